"""Runs that nobody carries on any more: what they left in their journals is delivered, and they are ended in MLflow."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from mlflow import MlflowClient  # noqa: TID251
from mlflow.entities import Run, RunStatus  # noqa: TID251
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID  # noqa: TID251

from tasks.delivery import batches, is_refused, send
from tasks.errors import JournalError
from tasks.journal import JOURNAL, Line, read_undelivered, write_delivered
from tasks.mlflow_store import connect, every_page, reaching_mlflow, shown_tracking_uri, tell_failure
from tasks.results import RUNS, UNFINISHED, recovering
from tasks.tracking import end_run, run_folder
from tasks.workspace import home, in_use, is_in_use

logger = logging.getLogger("reprise.tracking")

STARTING_SECONDS = 10


def find_running_runs() -> dict[str, dict[str, str]]:
    """Return the tags of all runs that are RUNNING, by their id; without those that have only just begun.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    return {run.info.run_id: dict(run.data.tags) for run in _list_running() if not _only_just_began(run)}


def _list_running() -> list[Run]:
    client = connect()
    with reaching_mlflow():
        experiments = [experiment.experiment_id for experiment in every_page(client.search_experiments)]
        return list(every_page(client.search_runs, experiments, "attributes.status = 'RUNNING'"))


def _only_just_began(run: Run) -> bool:
    """Tell whether a run may not have come to lock its folder yet, which it does before it marks it."""
    # One of the future began before the clock was put back.
    young = abs(time.time() * 1000 - run.info.start_time) <= STARTING_SECONDS * 1000
    return young and not (run_folder(run.info.run_id) / UNFINISHED).is_file()


def end_abandoned_runs() -> list[dict[str, str]]:
    """Send what runs of this machine's workspace left in their journals, and end those whose process was killed.

    The latter end as FAILED, unless their journal says how they ended.

    Returns:
        The tags of those that are no other run's child: a child's flow run may well go on.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    abandoned = []
    with recovering():
        running = find_running_runs()
        _deliver_left_journals()
        for run_id, tags in running.items():
            folder = run_folder(run_id)
            lost = _is_left(folder) and end_lost_run(run_id, "its process was killed")
            if lost and MLFLOW_PARENT_RUN_ID not in tags:
                abandoned.append(tags)
    return abandoned


def _is_left(folder: Path) -> bool:
    try:
        return not is_in_use(folder)
    except FileNotFoundError:  # another machine's run, or pruned
        return False


def _deliver_left_journals() -> None:
    client = connect()
    for path in sorted((home() / RUNS).glob(f"*/{JOURNAL}")):
        if not _is_left(path.parent):
            continue
        run_id = path.parent.name
        try:
            with in_use(path.parent):
                store, lines = read_undelivered(path.parent)
                if store == shown_tracking_uri() and lines:
                    _deliver_left(client, run_id, path.parent, lines)
        except FileNotFoundError:  # pruned at this moment
            continue
        except JournalError as damaged:
            logger.warning("run %s: %s", run_id, damaged)


def _deliver_left(client: MlflowClient, run_id: str, folder: Path, lines: list[Line]) -> None:
    for batch in batches(lines):
        try:
            _send_or_give_up(client, run_id, batch)
        except Exception as error:  # an artifact store has errors of its own
            logger.warning("run %s: what it recorded last waits in its journal: %s", run_id, tell_failure(error))
            return
        write_delivered(folder, batch[-1].end)
    logger.info("run %s: MLflow has now been sent what it recorded last", run_id)


def _send_or_give_up(client: MlflowClient, run_id: str, batch: list[Line]) -> None:
    """Send a batch; of what MLflow will never take, give up the lines that are at fault, and no others."""
    try:
        send(client, run_id, batch)
    except Exception as error:
        if not is_refused(error):
            raise
        if len(batch) == 1:
            logger.warning("run %s: a part of what it recorded is given up: %s", run_id, tell_failure(error))
        for line in batch if len(batch) > 1 else []:
            _send_or_give_up(client, run_id, [line])


def end_killed_runs(run_ids: Iterable[str]) -> None:
    """End as KILLED the runs that are known to have lost their process, where they have not ended.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    for run_id in run_ids:
        _end_running(run_id, RunStatus.KILLED, "its process was killed")


def end_lost_run(run_id: str, error: str) -> bool:
    """End as FAILED a run that nobody carries on, and tell whether it was still running; `error` becomes its tag of that name.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    ended = _end_running(run_id, RunStatus.FAILED, error)
    if ended:
        logger.warning("run %s could not end itself and is now FAILED: %s", run_id, error)
    return ended


def _end_running(run_id: str, status: int, error: str) -> bool:
    """End a run that has not ended by itself since it was listed, and tell whether it had not."""
    client = connect()
    with reaching_mlflow():
        running = bool(client.get_run(run_id).info.status == RunStatus.to_string(RunStatus.RUNNING))
    if running:
        end_run(client, run_id, RunStatus.to_string(status), error)
    return running
