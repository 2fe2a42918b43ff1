"""Trainings that were cut off: the mark in a run's folder from its start until it ended well, or for a reason that repeats."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import AwareDatetime, ValidationError

from configs.schema import Config
from tasks.circumstances import COMMIT, DIRTY, read_circumstances
from tasks.errors import (
    GateClosed,
    InputError,
    ModelMismatch,
    RepriseError,
    StaleBase,
    TrainingDiverged,
    TrialFailed,
    TrialPruned,
)
from tasks.handles import Handle, Reviews, TrackedRun
from tasks.ingestion.source import source_digest
from tasks.results import RUNS, UNFINISHED, recovering
from tasks.training.checkpoints import CHECKPOINTS, newest_epoch
from tasks.workspace import home, is_in_use, write_whole

REPEATING: tuple[type[RepriseError], ...] = (
    *(InputError, TrainingDiverged, TrialPruned, TrialFailed, ModelMismatch, GateClosed, StaleBase),
)
"""What would stop the same training again: it is not gone on with."""
GO_ON = "reprise train --resume"

logger = logging.getLogger("reprise.unfinished")


class Mark(Handle):
    """What a run must be given again to end as it would have: its configuration, its circumstances, and its source.

    `began` is when it was started last, `resumed` how often it was gone on with; `source_sha256` is None until the source has
    been read.
    """

    config: Config
    circumstances: dict[str, str]
    began: AwareDatetime
    source_sha256: str | None = None
    resumed: int = 0


class Unfinished(NamedTuple):
    """A training that was cut off: its run's folder, which is named for the run's id, and its mark."""

    folder: Path
    mark: Mark

    @property
    def run_id(self) -> str:
        """The id of its MLflow run."""
        return self.folder.name

    @property
    def epochs(self) -> int:
        """How many epochs it need not repeat."""
        return newest_epoch(self.folder / CHECKPOINTS)


def present_circumstances() -> dict[str, str]:
    """Return the circumstances that a training goes on under, and no others; of its code, the digest says all."""
    return {name: value for name, value in read_circumstances().items() if name not in (COMMIT, DIRTY)}


def list_unfinished() -> list[Unfinished]:
    """Return the workspace's trainings that were cut off, newest first."""
    with recovering():  # which holds their folders in use for a while
        found = [_read(path.parent) for path in (home() / RUNS).glob(f"*/{UNFINISHED}")]
    return sorted((one for one in found if one is not None), key=lambda one: one.mark.began, reverse=True)


def matching_unfinished(config: Config, circumstances: Mapping[str, str]) -> Iterator[Unfinished]:
    """Yield the trainings of a configuration that were cut off and would end as they would have, newest first.

    Raises:
        DataError: the source, which one has read, is missing.
        DownloadError: the source's host did not answer.
    """
    for one in list_unfinished():
        if one.mark.config == config and find_difference(one.mark, circumstances) is None:
            yield one


def find_difference(mark: Mark, circumstances: Mapping[str, str]) -> str | None:
    """Return the first thing without which a training would not end as it would have, or None.

    Raises:
        DataError: its source, which it has read, is missing.
        DownloadError: the source's host did not answer.
    """
    for name in sorted({*mark.circumstances, *circumstances}):
        then, now = mark.circumstances.get(name, "not recorded"), circumstances.get(name, "not recorded")
        if then != now:
            return f"{name} {then} -> {now}"
    if mark.source_sha256 is not None and (now := source_digest(mark.config.data)) != mark.source_sha256:
        return f"the data's sha256 {mark.source_sha256} -> {now}"
    return None


def require_unfinished(config: Config | None) -> Config:
    """Return the configuration of the training that was cut off last, or was so with this configuration.

    Raises:
        InputError: there is none, or what it depends on has changed.
        DataError: its source is missing.
        DownloadError: the source's host did not answer.
    """
    found = [one for one in list_unfinished() if config is None or one.mark.config == config]
    if not found:
        which = "" if config is None else " with this configuration"
        raise InputError(f"no training{which} was cut off in {home()}: `reprise train` without --resume begins one")
    if config is not None and any(matching_unfinished(config, present_circumstances())):
        return config
    difference = find_difference(found[0].mark, present_circumstances())
    if difference is not None:
        raise InputError(
            f"run {found[0].run_id} of {found[0].mark.config.registered_model} cannot go on as it began: {difference}; "
            "`reprise train` without --resume begins anew"
        )
    return found[0].mark.config


@contextmanager
def marked_unfinished(mark: Mark, folder: Path) -> Iterator[None]:
    """Mark a run's folder for the block, and from then on unless the block ends well, or for a reason that repeats.

    An error that leaves the mark says how the run is gone on with: one of ours in its line, another in a note.
    """
    write_whole(folder / UNFINISHED, mark.model_dump_json(indent=1))
    try:
        yield
    except REPEATING:
        (folder / UNFINISHED).unlink(missing_ok=True)
        raise
    except BaseException as error:
        way_on = _tell_way_on(Unfinished(folder, mark))
        if isinstance(error, RepriseError):
            raise type(error)(f"{error}; {way_on}") from error
        error.add_note(way_on)
        raise
    for one in list_unfinished():  # this one is in use, and so not among them
        if one.mark.config == mark.config:
            forget(one)
    (folder / UNFINISHED).unlink(missing_ok=True)
    if (folder / CHECKPOINTS).is_dir():
        shutil.rmtree(folder / CHECKPOINTS)


def keep_source(run: TrackedRun, reviews: Reviews) -> None:
    """Note what a run has read, so that it is not gone on with on other data."""
    path = Path(run.folder) / UNFINISHED
    mark = Mark.model_validate_json(path.read_text(encoding="utf-8"))
    write_whole(path, mark.model_copy(update={"source_sha256": reviews.source_sha256}).model_dump_json(indent=1))


def forget(unfinished: Unfinished) -> None:
    """Take a training's mark away: it is not gone on with."""
    (unfinished.folder / UNFINISHED).unlink(missing_ok=True)


def find_way_on(config: Config) -> str | None:
    """Return how the newest training of a configuration that was cut off is gone on with, in words, or None."""
    return next((_tell_way_on(one) for one in list_unfinished() if one.mark.config == config), None)


def _tell_way_on(unfinished: Unfinished) -> str:
    where = tell_epochs(unfinished.epochs, unfinished.mark.config)
    return f"`{GO_ON}` goes on with run {unfinished.run_id}, {where}"


def tell_epochs(epochs: int, config: Config) -> str:
    """Return after which epoch a training goes on, in words."""
    return f"after epoch {epochs} of {config.training.epochs}" if epochs else "from its first epoch on"


def _read(folder: Path) -> Unfinished | None:
    try:
        if is_in_use(folder):
            return None
        return Unfinished(folder, Mark.model_validate_json((folder / UNFINISHED).read_text(encoding="utf-8")))
    except FileNotFoundError:  # it was pruned, or ended, at this moment
        return None
    except ValidationError:
        logger.warning("%s is of another version of Reprise: that training is not gone on with", folder / UNFINISHED)
        return None
