"""Ends, in MLflow and in Prefect, the runs that were killed before they could end themselves."""

import logging
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.servers import lasting_prefect_api
from tasks.abandoned_runs import end_abandoned_runs, end_lost_run, find_running_runs
from tasks.errors import RegistryError
from tasks.tracking import FLOW_RUN

logger = logging.getLogger("reprise.recovery")

SERVER = "prefect.api"
"""The tag of an MLflow run that holds the address of the Prefect server that knows its Prefect run."""


@flow(name="recovery", flow_run_name="recovery")
def recovery() -> int:
    """End as FAILED every MLflow run whose Prefect run is over or gone, whatever machine it ran on.

    Returns:
        How many were ended.
    """
    recover_killed_runs()
    return end_orphaned_runs()


def recover_killed_runs() -> None:
    """End the killed runs of this machine's workspace: FAILED in MLflow, Crashed in Prefect.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    for tags in end_abandoned_runs():
        with get_client(sync_client=True) as client:
            try:
                client.set_flow_run_state(UUID(tags[FLOW_RUN]), Crashed(message="Its process was killed."), force=True)
            except ObjectNotFound:  # it ran under another Prefect server, or its record was deleted
                continue


def end_orphaned_runs() -> int:
    """End the MLflow runs that Prefect says are over; return how many.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    ended = 0
    with get_client(sync_client=True) as client:
        for run_id, tags in find_running_runs().items():
            if (reason := _find_ending(client, tags)) is None:
                continue
            try:
                ended += end_lost_run(run_id, reason)
            except RegistryError as refused:  # another user's, say: the others are to be ended all the same
                logger.error("run %s could not be ended: %s", run_id, refused)
    return ended


def prefect_tags() -> dict[str, str]:
    """Return the tags by which the MLflow run of the present flow run is ended if the flow run cannot do it."""
    server = lasting_prefect_api()
    return {FLOW_RUN: str(flow_run.id), **({SERVER: server} if server else {})}


def _find_ending(client: SyncPrefectClient, tags: dict[str, str]) -> str | None:
    if FLOW_RUN not in tags:
        return None
    try:
        state = client.read_flow_run(UUID(tags[FLOW_RUN])).state
    except ObjectNotFound:
        # A run that this server never knew may be running elsewhere.
        return "its Prefect run was deleted" if tags.get(SERVER) == lasting_prefect_api() is not None else None
    return f"its Prefect run is {state.name}" if state is not None and state.is_final() else None
