"""Rebuilding a version: its recipe, as MLflow holds it, and what became of following it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from configs.loading import check_config, parse_config
from configs.schema import Config
from tasks.circumstances import CODE, COMMIT, DIRTY, PACKAGE, RECORDED_PACKAGES
from tasks.errors import ConfigError, DataError, InputError
from tasks.handles import Reproduction, Reviews, TrackedRun
from tasks.mlflow_store import connect, reaching_mlflow
from tasks.registration.run_files import fetched_run_file
from tasks.registration.sources import find_run
from tasks.registration.versions import find_version

NOTHING = "nothing that was recorded differs"
CIRCUMSTANCES = (
    *(f"{PACKAGE}{name}" for name in RECORDED_PACKAGES),
    *("python", "cpu.features", "cpu.cores", "cpu.model", "environment"),
)
"""In the order in which they are suspected, after data and code."""


class Recipe(NamedTuple):
    """What a version was made of: its run's configuration and tags, and the digest of the weights that came of them."""

    name: str
    version: str
    weights_sha256: str
    config: Config
    tags: dict[str, str]


def read_recipe(name: str, version_or_alias: str) -> Recipe:
    """Return what MLflow holds of a version's making; keys that its configuration lacks have their defaults.

    Raises:
        InputError: there is no such version, or no training registered it.
        ConfigError: its configuration is not of this schema.
        ModelMismatch: its run, or the run's configuration, is gone.
        RegistryError: MLflow could not be reached, or refused.
    """
    details = find_version(name, version_or_alias)
    number, run_id = details.summary.version, details.summary.run_id
    title = f"{name} version {number}"
    if not run_id or "weights_sha256" not in details.tags:
        raise InputError(f"{title} was not registered by a training: there is no record to build it from")
    tags = dict(find_run(details).data.tags)
    with fetched_run_file(details, "config.yaml", "its configuration") as path:
        text = path.read_text(encoding="utf-8")
    try:
        config = check_config(parse_config(text, title), f"the configuration of {title}")
    except ConfigError as error:
        raise ConfigError(f"{error}; it was written by commit {tags.get(COMMIT, 'unknown')}") from None
    return Recipe(name, number, details.tags["weights_sha256"], config, tags)


def data_difference(recipe: Recipe, found: Reviews | DataError) -> str | None:
    """Return how the data that is there now differs from what the version was trained on, or None.

    Other reviews read from the same bytes are no other data: the code or a package differs that reads them.

    Args:
        recipe: of the version.
        found: the reviews that its source gives now, or why it gives none.
    """
    then, source = recipe.tags.get("dataset.sha256", "not recorded"), recipe.tags.get("dataset.source", "its source")
    if isinstance(found, DataError):
        return f"data: {source} was sha256 {then} and gives no reviews now: {found}"
    if found.sha256 == then or found.source_sha256 == recipe.tags.get("dataset.source_sha256"):
        return None
    return f"data: {source} sha256 {then} -> {found.sha256}"


def compare(recipe: Recipe, weights_sha256: str | None, now: Mapping[str, str], data: str | None = None) -> Reproduction:
    """Compare the weights of a rebuilt version, and all circumstances that were recorded of both trainings.

    Args:
        recipe: of the version.
        weights_sha256: of the weights that came of it now; None where the data differ, so that nothing was trained.
        now: `read_circumstances` of the new training.
        data: how the data differ.
    """
    differences = (*([data] if data else []), *_differences(recipe.tags, now, f"{recipe.version} --model {recipe.name}"))
    identical = weights_sha256 == recipe.weights_sha256
    return Reproduction(
        identical=identical,
        weights_sha256=weights_sha256,
        expected_sha256=recipe.weights_sha256,
        differs=None if identical else next(iter(differences), _without_a_cause(recipe.config)),
        circumstances=differences,
    )


def record_reproduction(recipe: Recipe, run: TrackedRun, result: Reproduction) -> None:
    """Write the answer, with the time, into the version's tag `reproduced` and the new run's tag `reproduction`.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}"
    answer = f"identical {moment}" if result.identical else f"different {moment}: {result.differs}"
    client = connect()
    with reaching_mlflow():
        client.set_tag(run.run_id, "reproduction", answer)
        client.set_model_version_tag(recipe.name, recipe.version, "reproduced", answer)


def _differences(then: Mapping[str, str], now: Mapping[str, str], version: str) -> Iterator[str]:
    """Yield what differs, in the order in which it is suspected; what was not recorded then or now is passed over."""
    identity = CODE if CODE in then else COMMIT
    if identity in then and identity in now and then[identity] != now[identity]:
        again = f": git checkout {then[COMMIT]} && make setup && reprise reproduce {version}" if COMMIT in then else ""
        yield f"code: {_describe_code(then)} -> {_describe_code(now)}{again}"
    for name in CIRCUMSTANCES:
        if name in then and name in now and then[name] != now[name]:
            shown = name.replace(PACKAGE, "package ", 1).replace("cpu.", "CPU ").replace("python", "Python")
            yield f"{shown}: {then[name]} -> {now[name]}"


def _describe_code(tags: Mapping[str, str]) -> str:
    if COMMIT not in tags:
        return f"sha256 {tags[CODE]}, of no known commit"
    return f"commit {tags[COMMIT]}" + (" with uncommitted changes" if tags.get(DIRTY) == "true" else "")


def _without_a_cause(config: Config) -> str:
    return NOTHING if config.training.deterministic else f"{NOTHING}, but training.deterministic is false"
