"""What a version came from, as MLflow has it: the run that made it, and the model that this run logged."""

from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException

from tasks.errors import ModelMismatch
from tasks.mlflow_store import connect, mlflow_command, reaching_mlflow
from tasks.registration.ledger import is_missing
from tasks.registration.promotion import MEND
from tasks.registration.versions import VersionDetails

MODELS_SCHEME = "models:/"


def find_run(version: VersionDetails) -> Run:
    """Return the run that made a version.

    Raises:
        ModelMismatch: no run made it, or the run was deleted; the message says what brings it back.
        RegistryError: MLflow could not be reached, or refused.
    """
    title, run_id = f"version {version.summary.version} of {version.summary.name}", version.summary.run_id
    if not run_id:  # MLflow lets a version be made by hand, of any address
        raise ModelMismatch(f"{title}: no run made it, so nothing tells what it was trained on")
    client = connect()
    with reaching_mlflow():
        try:
            run = client.get_run(run_id)
            experiment = client.get_experiment(run.info.experiment_id)
        except MlflowException as error:
            if is_missing(error):
                raise ModelMismatch(
                    f"{title}: the run {run_id} that made it is gone for good, and with it what the version was trained on: "
                    f"restore MLflow's database and artifacts from a backup; else, {MEND}"
                ) from None
            raise
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        restore = mlflow_command(f"experiments restore --experiment-id {run.info.experiment_id}")
        raise ModelMismatch(
            f"{title}: the experiment {experiment.name!r} of the run {run_id} that made it is deleted: bring it back with "
            f"{restore}"
        )
    if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        restore = mlflow_command(f"runs restore --run-id {run_id}")
        raise ModelMismatch(f"{title}: the run {run_id} that made it is deleted: bring it back with {restore}")
    return run


def check_sources(version: VersionDetails) -> None:
    """See that nothing a version came from was deleted: `mlflow gc` removes such things for good, and asks no registry.

    Raises:
        ModelMismatch: the version's run or its logged model was deleted.
        RegistryError: MLflow could not be reached, or refused.
    """
    find_run(version)
    if not version.source.startswith(MODELS_SCHEME):
        return
    client = connect()
    with reaching_mlflow():
        try:
            client.get_logged_model(version.source.removeprefix(MODELS_SCHEME))
        except MlflowException as error:
            if is_missing(error):
                raise ModelMismatch(
                    f"version {version.summary.version} of {version.summary.name}: its logged model {version.source} is "
                    f"deleted, which MLflow has no way back from, and `mlflow gc` removes its files: {MEND}"
                ) from None
            raise
