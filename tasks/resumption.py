"""The run of a training: that of one which was cut off and is the same, or a new one."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from configs.schema import Config
from tasks.errors import InputError
from tasks.handles import TrackedRun
from tasks.mlflow_store import shown_tracking_uri
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
    earlier = None if force else _find_reopenable(config, circumstances, resume)
    if earlier is None:
        mark = Mark(config=config, circumstances=circumstances, began=datetime.now(UTC))
        with training_run(config, name=name, tags=tags, during=partial(marked_unfinished, mark)) as run:
            yield run
        return
    where = tell_epochs(earlier.epochs, config)
    logger.info("goes on with run %s, %s", earlier.run_id, where)
    mark = earlier.mark.model_copy(update={"resumed": earlier.mark.resumed + 1})
    tags = {**tags, "resumed": f"{mark.resumed} x, the last time {where}"}
    during = partial(marked_unfinished, mark)
    # Held from here on: a run that is RUNNING again, and whose folder nobody holds, counts as killed.
    with (
        in_use(earlier.folder),
        training_run(config, name=name, tags=tags, reopened=earlier.run_id, during=during) as run,
    ):
        yield run


def _find_reopenable(config: Config, circumstances: Mapping[str, str], resume: bool) -> Unfinished | None:
    why = "it ended, or another process goes on with it"
    for found in matching_unfinished(config, circumstances):
        standing = find_standing(found.run_id)
        if standing is Standing.CAN_GO_ON:
            return found
        why = f"run {found.run_id} {standing.value} {shown_tracking_uri()}"
        logger.warning("a training of this configuration was cut off, but %s", why)
        if standing is not Standing.UNKNOWN:  # which another store may well know
            forget(found)
    if resume:
        raise InputError(f"there is nothing to go on with: {why}; `reprise train` without --resume begins anew")
    return None
