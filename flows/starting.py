"""How a command starts a flow: Prefect's API comes up while what the flow needs is imported."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from flows.servers import await_answer, start_prefect_api
from tasks.imports import import_ahead
from tasks.progress import working
from tasks.workspace import home, shared_home

TRAINING_IMPORTS = ("tasks.validation.validate", "tasks.training.fitting")
EVALUATION_IMPORTS = ("tasks.evaluation.figures", "tasks.evaluation.metrics")


@contextmanager
def running_prefect(flow_module: str, *, ahead: tuple[str, ...] = ()) -> Iterator[None]:
    """Run the block once a flow can be called in it: Prefect's API answers, and MLflow's store is there.

    Args:
        flow_module: the flow's module, imported meanwhile; nothing may have imported Prefect before.
        ahead: modules that its stages import, in this order; the block does not wait for them.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
        OrchestrationError: the API went away while the block ran.
        StorageError: REPRISE_HOME names a bucket that could not be reached.
        RepriseError: the API ended, or did not answer in time.
    """
    with working("starting Prefect and MLflow"):
        if shared_home() is not None:
            from tasks.shared_results import open_bucket

            open_bucket()
        api = start_prefect_api(home() / "logs")
        from prefect import tags
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        from flows.automations import RUN_TAG
        from tasks.mlflow_store import connect
        from tasks.stage import reaching_prefect

        importlib.import_module(flow_module)
        import_ahead(*ahead)
        connect()
        if api is not None:
            await_answer(api)
    # An API that ends with the command has nobody to miss a heartbeat, and to end their thread takes up to a second.
    unwatched = {} if api is None else {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(unwatched), tags(RUN_TAG), reaching_prefect():
        yield
