"""Ends, in MLflow and in Prefect, the runs that were killed before they could end themselves."""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from tasks.tracking import end_abandoned_runs


def recover_killed_runs() -> None:
    """End the killed runs of this machine's workspace: FAILED in MLflow, Crashed in Prefect.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    for tags in end_abandoned_runs():
        with get_client(sync_client=True) as client:
            try:
                client.set_flow_run_state(
                    UUID(tags["prefect.flow_run_id"]), Crashed(message="Its process was killed."), force=True
                )
            except ObjectNotFound:  # it ran under another Prefect server, or its record was deleted
                continue
