"""Room on disk: a write that found none, by whichever library, becomes one line that names path, size and free space."""

import errno
import re
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.filesize import decimal

from tasks.errors import DiskFull, RepriseError

CUT_SHORT = r"^\d+ requested and \d+ written$"
FULL = re.compile(f"no space left on device|database or disk is full|disk quota exceeded|{CUT_SHORT}", re.IGNORECASE)
LIMITED = re.compile(f"file too large|{CUT_SHORT}", re.IGNORECASE)
"""What those write that hand on no error number: NumPy, HDF5, TensorFlow, and MLflow, for its database."""
NEARLY_FULL = 1 << 20
"""Bytes: with fewer, a database cannot be relied on to write a page and its journal."""
HINT = "make room, then give the same command again"


@contextmanager
def writing(place: Path, what: str, *, draft: Path | None = None, size: int | None = None) -> Iterator[None]:
    """Turn whatever the block raises because a disk has no room left into one line.

    Args:
        place: the file or folder that is written.
        what: what it is, for the error.
        draft: where it is written before it becomes `place`.
        size: how large it will be, in bytes, where that is known; else what was written until then is told.

    Raises:
        DiskFull: the disk is full, a quota is used up, or a file would be larger than this process may write.
    """
    try:
        yield
    except RepriseError:
        raise
    except Exception as error:
        told = tell_full_disk(error, place, what, draft=draft, size=size)
        if told is None:
            raise
        raise DiskFull(told) from error


def tell_full_disk(
    error: BaseException,
    place: Path,
    what: str,
    *,
    draft: Path | None = None,
    size: int | None = None,
    below: Iterable[Path] = (),
) -> str | None:
    """Return the line of a `DiskFull` if that is what an error comes from, else None; see `writing`.

    `below` are folders of the place that may have disks of their own.
    """
    found = next((one for one in _causes(error) if _is_limited(one) or _is_full(one)), None)
    if found is None:
        return None
    wanted = f"{decimal(_size(draft or place))} of it are written" if size is None else f"{decimal(size)} are wanted"
    subject = f"no room for {what} {place} ({wanted})"
    if _is_limited(found):
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        return f"{subject}: a file of this process may have {decimal(limit)} at most: raise that limit, ulimit -f"
    # Libraries also write to the folder for temporary files, and an error seldom says where it struck: on the fullest disk.
    disk = min((place, *below, Path(tempfile.gettempdir())), key=lambda path: shutil.disk_usage(_standing(path)).free)
    quota = ", and a quota is used up" if getattr(found, "errno", None) == errno.EDQUOT else ""
    return f"{subject}: {_tell_free(disk)}{quota}: {HINT}"


def find_full_disk(places: Iterable[Path]) -> str | None:
    """Tell of the first place whose disk is all but full: for an error that may come of it and does not say so."""
    full = (place for place in places if shutil.disk_usage(_standing(place)).free < NEARLY_FULL)
    return next((f"{_tell_free(place)}: {HINT}" for place in full), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        yield at
        seen.add(id(at))
        at = at.__cause__ or at.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return FULL.search(str(error)) is not None


def _is_limited(error: BaseException) -> bool:
    """Tell whether what stopped a write was the process's limit for a file (setrlimit(2), RLIMIT_FSIZE), and not the disk."""
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY:
        return False
    if isinstance(error, sqlite3.Error):  # which has no code for that
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_WRITE
    return getattr(error, "errno", None) == errno.EFBIG or LIMITED.search(str(error)) is not None


def _size(path: Path) -> int:
    """Return the bytes of a file, or of the files below a folder; 0 where there is neither."""
    try:
        return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())
    except FileNotFoundError:  # removed meanwhile
        return 0


def _standing(path: Path) -> Path:
    """Return a path, or the nearest above it that is there."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def _tell_free(path: Path) -> str:
    usage = shutil.disk_usage(_standing(path))
    mount = next(one for one in (_standing(path), *_standing(path).parents) if one.is_mount())
    return f"{decimal(usage.free)} of {decimal(usage.total)} are free on {mount}"
