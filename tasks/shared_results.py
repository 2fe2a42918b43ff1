"""Results of stages that machines share below the URL in `REPRISE_HOME`, each working on a copy in its own workspace."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from tasks.bucket import Bucket, Entry, SharedKept
from tasks.errors import StorageError
from tasks.handles import StageOutput
from tasks.ingestion.files import Located
from tasks.results import (
    HANDLE_FILE,
    LEFTOVER_AGE,
    hold_result,
    next_result_folder,
    one_at_a_time,
    result_folders,
    results_are_elsewhere,
)
from tasks.storage import find_storage
from tasks.workspace import in_use, is_whole, published, read_manifest, shared_home

Output = TypeVar("Output", bound=StageOutput)
logger = logging.getLogger("reprise.results")


class Standing(NamedTuple):
    """A key's result in the workspace, if there is one, and whether it was fetched just now.

    A result that is built because there is none gets a number above `beyond` in the bucket.
    """

    folder: Path | None
    fetched: bool = False
    beyond: int = 0


class _Damaged(Exception):
    """What was fetched is not what its entry says."""


def open_bucket() -> Bucket | None:
    """Return what `REPRISE_HOME` names; None if that is no URL, or where results are kept elsewhere.

    Raises:
        InputError: The URL names no place, is of no known kind, or carries credentials.
        StorageError: There is no such bucket, or it cannot be reached.
    """
    url = shared_home()
    return None if url is None or results_are_elsewhere() else Bucket(_find_home(url))


@lru_cache(maxsize=1)
def _find_home(url: str) -> Located:
    return find_storage("REPRISE_HOME", url)


def find_result(stage: str, key: str, held: ExitStack, *, force: bool = False) -> Standing:
    """Return a key's result: the workspace's own, or the one that the bucket says counts. None is looked for with `force`.

    It is kept `in_use` until `held` is closed.

    Raises:
        StorageError: the bucket could not be reached, read or written.
    """
    mine = None if force else hold_result(stage, key, held)
    bucket = open_bucket()
    if bucket is None:
        return Standing(mine)
    if mine is not None:
        agreed = _agree(bucket, stage, key, mine, 0, held)
        return Standing(agreed, fetched=agreed != mine)
    newest = max(bucket.list_numbers(stage, key), default=0)
    entry = bucket.read_entry(stage, key, newest) if newest and not force else None
    theirs = _fetch(bucket, stage, key, entry, held) if entry is not None else None
    return Standing(theirs, fetched=theirs is not None, beyond=newest)


def share_result(stage: str, key: str, folder: Path, beyond: int, held: ExitStack) -> Path:
    """Share a result that was built, and return the one that counts: another's, fetched, if that was shared meanwhile.

    Raises:
        StorageError: the bucket could not be reached, read or written.
    """
    bucket = open_bucket()
    return folder if bucket is None else _agree(bucket, stage, key, folder, beyond, held)


@contextmanager
def localized(handle: Output) -> Iterator[Output]:
    """Yield a stage's handle with its folder on this machine, fetched if need be, and not removed before the block ends.

    For a handle that came from another machine, where its `path` lies.

    Raises:
        StorageError: neither this machine nor a bucket has that result.
    """
    stage, name = Path(handle.path).parts[-2:]
    key = name.partition(".")[0]
    with ExitStack() as held:
        folder = _hold_same(handle, [Path(handle.path)], held)
        if folder is None:
            with one_at_a_time(stage, key):
                folder = _hold_same(handle, reversed(result_folders(stage, key)), held)
                bucket = open_bucket()
                if folder is None and bucket is not None:
                    folder = _fetch_same(bucket, stage, key, handle, held)
                if folder is None:
                    where = "REPRISE_HOME names no bucket" if bucket is None else f"not in {bucket.root.name} either"
                    raise StorageError(f"the {stage} result {handle.path} is not on this machine, and {where}")
        yield handle.model_copy(update={"path": str(folder)})


def list_shared() -> list[SharedKept]:
    """Return every result and leftover in the bucket, by stage and then by last use; none without a bucket.

    Raises:
        StorageError: the bucket could not be reached or read.
    """
    bucket = open_bucket()
    return [] if bucket is None else bucket.list_kept()


def prune_shared(older_than: timedelta) -> list[SharedKept]:
    """Remove from the bucket, and return, what was last used longer ago than `older_than`, and leftovers of over a day.

    Raises:
        StorageError: the bucket could not be reached or written.
    """
    bucket = open_bucket()
    if bucket is None:
        return []
    now = datetime.now(UTC)
    return [
        one
        for one in bucket.list_kept()
        if now - one.last_used > (age := LEFTOVER_AGE if one.leftover else older_than) and bucket.remove_unused(one, now - age)
    ]


def _agree(bucket: Bucket, stage: str, key: str, folder: Path, beyond: int, held: ExitStack) -> Path:
    """Share a folder, unless a whole result above `beyond` is there; return that one, fetched, if its bytes are others."""
    mine = read_manifest(folder)
    while True:
        number = max(bucket.list_numbers(stage, key), default=0)
        if number > beyond:
            entry = bucket.read_entry(stage, key, number)
        else:
            number = beyond + 1
            entry = bucket.upload(stage, key, number, folder)
        if entry is not None and entry.files == mine:
            bucket.mark_used(stage, entry)
            return folder
        theirs = _fetch(bucket, stage, key, entry, held) if entry is not None else None
        if theirs is not None:
            return theirs
        beyond = number


def _fetch(bucket: Bucket, stage: str, key: str, entry: Entry, held: ExitStack) -> Path | None:
    """Return a copy in the workspace, `in_use` until `held` is closed; None if the files are not what the entry says."""
    folder = next_result_folder(stage, key)
    try:
        with ExitStack() as attempt:
            with published(folder) as draft:
                attempt.enter_context(in_use(draft))
                if not bucket.download(stage, entry, draft):
                    raise _Damaged
            held.enter_context(attempt.pop_all())
    except _Damaged:
        logger.warning("%s: the result in %s is damaged", stage, bucket.root.name)
        return None
    bucket.mark_used(stage, entry)
    return folder


def _fetch_same(bucket: Bucket, stage: str, key: str, handle: StageOutput, held: ExitStack) -> Path | None:
    for number in reversed(bucket.list_numbers(stage, key)):
        entry = bucket.read_entry(stage, key, number)
        if entry is not None and _tells_of(handle, bucket.read_file(stage, entry, HANDLE_FILE)):
            folder = _fetch(bucket, stage, key, entry, held)
            if folder is not None:
                return folder
    return None


def _hold_same(handle: StageOutput, folders: Iterator[Path] | list[Path], held: ExitStack) -> Path | None:
    for folder in folders:
        with ExitStack() as attempt:
            try:
                attempt.enter_context(in_use(folder))
                text = (folder / HANDLE_FILE).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            if _tells_of(handle, text) and is_whole(folder):
                held.enter_context(attempt.pop_all())
                return folder
    return None


def _tells_of(handle: StageOutput, text: bytes | None) -> bool:
    """Tell whether a stored handle is this one, wherever its folder lies."""
    try:
        stored = None if text is None else type(handle).model_validate_json(text)
    except ValidationError:
        return False
    return stored is not None and stored.model_dump_json(exclude={"path"}) == handle.model_dump_json(exclude={"path"})
