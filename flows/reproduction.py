"""The reproduction flow: ingest -> validate -> pad -> train, as a version's record says, and compare the weights."""

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow
from prefect.runtime import flow_run

from flows.recovery import prefect_tags, recover_killed_runs
from tasks.circumstances import read_circumstances
from tasks.errors import DataError
from tasks.handles import Reproduction, Reviews, TrackedRun
from tasks.ingestion.task import ingest
from tasks.padding.task import pad_reviews
from tasks.recording import log_training
from tasks.registration.reproduction import Recipe, compare, data_difference, read_recipe, record_reproduction
from tasks.registration.task import publish
from tasks.stage import recorded_stages
from tasks.tracking import training_run
from tasks.training.task import train
from tasks.validation.task import validate_reviews


@flow(name="reproduction", flow_run_name="reproduction of {name} version {version}")
def reproduction(name: str, version: str) -> Reproduction:
    """Train a registered version again from what MLflow holds of it, and tell whether the weights are the same bit for bit.

    Nothing is reused, and no result of the workspace is replaced. Where the data differ, nothing is trained.

    Args:
        name: of the registered model.
        version: a number or an alias.

    Raises:
        InputError: there is no such version, or its record cannot be followed.
    """
    recover_killed_runs()
    recipe = read_recipe(name, version)
    tags = {**prefect_tags(), "reproduction.of": f"{name}/{recipe.version}"}
    with (
        training_run(recipe.config, name=flow_run.name, tags=tags) as run,
        TemporaryDirectory(prefix="results-", dir=run.folder) as results,
        recorded_stages(results=Path(results)),
    ):
        result = follow(recipe, run)
        record_reproduction(recipe, run, result)
        publish(name, recipe.version, before=None)
    return result


def follow(recipe: Recipe, run: TrackedRun) -> Reproduction:
    """Run the stages that lead to a version's weights and compare; no further than its data, where they differ."""
    config = recipe.config
    try:
        found: Reviews | DataError = ingest(config.data)
    except DataError as error:
        found = error
    difference = data_difference(recipe, found)
    if difference is not None or isinstance(found, DataError):
        return compare(recipe, None, read_circumstances(), data=difference)
    validation = validate_reviews(found, config.validation)
    padded = pad_reviews(found, validation, config.padding)
    model = train(padded, config.padding, config.model, config.training, run)
    log_training(run, model)
    return compare(recipe, model.sha256, read_circumstances())
