"""The results of stages, and what runs have left, in the workspace: found by key, listed, and pruned by age.

A result is never changed or replaced. One that is built again is a new folder beside the old, `<key>.<number>`, and the
highest number counts: a run that reads the old one goes on reading it. Age is counted from the last use, which is the
folder's modification time.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from tasks.progress import tell
from tasks.workspace import home, in_use, is_in_use, is_whole, remove_unused

HANDLE_FILE = "handle.json"
LEFTOVER_AGE = timedelta(days=1)
RUNS = "runs"
UNFINISHED = "unfinished.json"
"""The file in a run's folder by which a training that was cut off is found and gone on with."""
DRAFTS = {"downloads": "downloads/.*", "environments": "environments/.*", "sources": ".copy-*"}
"""Where else in the workspace a killed process leaves what it was writing: the group, and the pattern of its names."""
logger = logging.getLogger("reprise.results")

_elsewhere: ContextVar[Path | None] = ContextVar("elsewhere", default=None)


class Kept(NamedTuple):
    """A folder that the workspace keeps, or a file that was to be downloaded.

    `group` is its stage, or "runs"; a leftover is what a killed process had not finished writing or removing.
    """

    group: str
    path: Path
    bytes: int
    last_used: datetime
    in_use: bool
    leftover: bool


@contextmanager
def results_below(folder: Path) -> Iterator[None]:
    """In the block, find and keep results below `folder`, so that those of the workspace are neither used nor superseded."""
    token = _elsewhere.set(folder)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def results_are_elsewhere() -> bool:
    """Tell whether the block is one of `results_below`."""
    return _elsewhere.get() is not None


def result_folders(stage: str, key: str) -> list[Path]:
    """Return the folders of a key's results, oldest first."""
    folders = _area(stage).glob(f"{key}.[0-9]*")
    return sorted(folders, key=lambda folder: int(folder.suffix[1:]))


@contextmanager
def one_at_a_time(stage: str, key: str) -> Iterator[None]:
    """Have all others that want a key's result, in any process, wait for the block, so that they find what it has built."""
    area = _area(stage)
    area.mkdir(parents=True, exist_ok=True)
    # A file for every 256th of the keys, since one for each would be left behind for ever: removing a lock file is a race.
    lock = FileLock(area / f".{key[:2]}.lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        logger.info("%s: waiting for another run that is at it", stage)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def recovering() -> Iterator[None]:
    """Keep others, in any process, from ending a run that was cut off, or going on with it, for the block."""
    (home() / RUNS).mkdir(parents=True, exist_ok=True)
    # One lock for the whole process: a block within a block does not wait for itself.
    with FileLock(home() / RUNS / ".recovery.lock", is_singleton=True):
        yield


def hold_result(stage: str, key: str, held: ExitStack) -> Path | None:
    """Return a key's newest result, marked as used now and kept `in_use` until `held` is closed; None if it is not whole."""
    while folders := result_folders(stage, key):
        with ExitStack() as attempt:
            try:
                attempt.enter_context(in_use(folders[-1]))
            except FileNotFoundError:  # removed between the listing and the lock
                continue
            if not is_whole(folders[-1]):
                return None
            os.utime(folders[-1])
            held.enter_context(attempt.pop_all())
            return folders[-1]
    return None


def next_result_folder(stage: str, key: str) -> Path:
    """Return the path of the result that would supersede all others of its key."""
    folders = result_folders(stage, key)
    number = int(folders[-1].suffix[1:]) + 1 if folders else 1
    return _area(stage) / f"{key}.{number}"


def remove_superseded(stage: str, key: str) -> None:
    """Remove all results of a key but the newest; one that a run is using is left for a later time."""
    for folder in result_folders(stage, key)[:-1]:
        remove_unused(folder)


def list_kept() -> list[Kept]:
    """Return every result, run folder and leftover, by group and then by last use."""
    areas = [*sorted((home() / "stages").glob("*")), home() / RUNS]
    folders = [(area.name, folder) for area in areas for folder in area.glob("*") if folder.is_dir()]
    drafts = [(group, path) for group, pattern in DRAFTS.items() for path in home().glob(pattern) if path.suffix != ".lock"]
    kept = [_describe(group, path) for group, path in folders + drafts]
    return sorted(
        (one for one in kept if one is not None), key=lambda one: (one.group == RUNS, one.group, one.leftover, one.last_used)
    )


def prune(older_than: timedelta) -> tuple[list[Kept], list[Kept]]:
    """Remove what was last used longer ago than `older_than`, and leftovers of more than a day.

    Returns:
        What was removed, and what was old enough but is in use by a run that is not over.
    """
    now = datetime.now(UTC)
    removed: list[Kept] = []
    spared: list[Kept] = []
    kept = list_kept()
    for number, one in enumerate(kept):
        tell("pruning", number, len(kept), "folders", one.group)
        # What was used in the future, as the clock has it now, was used just now.
        if max(now - one.last_used, timedelta(0)) >= (LEFTOVER_AGE if one.leftover else older_than):
            (removed if remove_unused(one.path) else spared).append(one)
    tell("pruning", ended=True)
    return removed, spared


def _area(stage: str) -> Path:
    return (_elsewhere.get() or home() / "stages") / stage


def _describe(group: str, folder: Path) -> Kept | None:
    try:
        last_used = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        size = sum(file.stat().st_size for file in (folder, *folder.rglob("*")) if file.is_file())
        return Kept(group, folder, size, last_used, is_in_use(folder), leftover=folder.name.startswith("."))
    except FileNotFoundError:  # being written or removed at this moment
        return None
