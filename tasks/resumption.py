"""The run of a training: that of one which was cut off and is the same, or a new one."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial

from configs.schema import Config
from tasks.errors import InputError, JournalError
from tasks.handles import TrackedRun
from tasks.journal import require_readable
from tasks.mlflow_store import shown_tracking_uri
from tasks.results import recovering
from tasks.tracking import Standing, find_standing, training_run
from tasks.unfinished import (
    Mark,
    Unfinished,
    forget,
    marked_unfinished,
    matching_unfinished,
    present_circumstances,
    tell_epochs,
)
from tasks.workspace import in_use

logger = logging.getLogger("reprise.unfinished")


@contextmanager
def resumable_run(
    config: Config, *, name: str, tags: Mapping[str, str], force: bool = False, resume: bool = False
) -> Iterator[TrackedRun]:
    """Yield an MLflow run as `training_run` does: of the same training where that was cut off, else a new one.

    It is the same training where its configuration, its data, its code, its packages and its processor are the same. Call it
    within `only_training`: of two that would go on with the same run, one does.

    Args:
        config: all that the training depends on.
        name: of a new run; one that goes on keeps its own.
        tags: further tags.
        force: begin anew.
        resume: go on, or not at all.

    Raises:
        InputError: none was cut off, and `resume` allows no new one.
        DataError: the source that the run has read is missing.
        RegistryError: MLflow could not be reached, or refused.
    """
    circumstances = present_circumstances()
    began = datetime.now(UTC)
    with ExitStack() as held:
        earlier = None if force else _hold_reopenable(config, circumstances, resume, held)
        if earlier is None:
            mark = Mark(config=config, circumstances=circumstances, began=began)
        else:
            where = tell_epochs(earlier.epochs, config)
            logger.info("goes on with run %s, %s", earlier.run_id, where)
            mark = earlier.mark.model_copy(update={"resumed": earlier.mark.resumed + 1, "began": began})
            tags = {**tags, "resumed": f"{mark.resumed} x, the last time {where}"}
        reopened, during = earlier and earlier.run_id, partial(marked_unfinished, mark)
        with training_run(config, name=name, tags=tags, reopened=reopened, during=during) as run:
            yield run


def _hold_reopenable(config: Config, circumstances: Mapping[str, str], resume: bool, held: ExitStack) -> Unfinished | None:
    """Return a training to go on with, its folder in use from then on: else, once it is RUNNING, it would count as killed."""
    why = "it ended, or another process goes on with it"
    with recovering():
        for found in matching_unfinished(config, circumstances):
            standing = find_standing(found.run_id)
            why = f"run {found.run_id} {standing.value} {shown_tracking_uri()}"
            try:
                if standing is Standing.CAN_GO_ON:
                    held.enter_context(in_use(found.folder))
                    require_readable(found.folder)
                    return found
            except FileNotFoundError:
                why = f"the folder of run {found.run_id} was removed"
            except JournalError as damaged:
                why = str(damaged)
            logger.warning("a training of this configuration was cut off, but %s", why)
            if standing is not Standing.UNKNOWN:  # which another store may well know
                forget(found)
    if resume:
        raise InputError(f"there is nothing to go on with: {why}; `reprise train` without --resume begins anew")
    return None
