"""The workspace's folders: written whole or not at all, checked before they are reused, not removed while in use."""

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.disk_space import writing
from tasks.errors import InputError

MANIFEST = "manifest.json"


def home() -> Path:
    """Return this machine's workspace: `REPRISE_HOME`, or beside a URL there `REPRISE_LOCAL`; else `.reprise` right here.

    Raises:
        InputError: `REPRISE_LOCAL` is a URL, or the path has a variable in it.
    """
    variable = "REPRISE_HOME" if shared_home() is None else "REPRISE_LOCAL"
    folder = os.environ.get(variable) or ".reprise"
    if "://" in folder:
        raise InputError("REPRISE_LOCAL is a URL: it names a folder of this machine")
    path = Path(folder).absolute()
    if os.path.expandvars(path) != str(path):  # Prefect would put a variable's value there, and work in another folder
        raise InputError(f"the workspace {path} has the name of a variable in its path: name another with {variable}")
    return path


def shared_home() -> str | None:
    """Return the fsspec URL in `REPRISE_HOME`, below which machines share the results of stages; None if it is no URL."""
    named = os.environ.get("REPRISE_HOME", "")
    return named if "://" in named else None


def sha256_of_file(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def published(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder`, with a manifest of its files, when the block ends without an error.

    A folder that another process has published meanwhile is kept, and a damaged one is replaced. What is published is on the
    disk, and not only on its way there.

    Raises:
        DiskFull: there is no room for it.
    """
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        with writing(folder, "the files of", draft=draft):
            draft.mkdir(parents=True)
            yield draft
            (draft / MANIFEST).write_text(json.dumps(describe_files(draft), indent=1))
            for path in (*draft.rglob("*"), draft):
                flush_to_disk(path)
        if folder.exists() and not is_whole(folder):
            damaged = draft.with_name(f"{draft.name}.damaged")
            folder.rename(damaged)
            shutil.rmtree(damaged)
        if not folder.exists():
            draft.rename(folder)
            flush_to_disk(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file in UTF-8; whoever reads it sees what it was before, or all of it."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Have the kernel write a file's content, or a folder's list of names, to the disk, for a power cut to leave them there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def describe_files(folder: Path) -> dict[str, tuple[int, str]]:
    """Return the size in bytes and the sha256 (hex) of each file below a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_size, sha256_of_file(path)) for path in files}


def read_manifest(folder: Path) -> dict[str, tuple[int, str]]:
    """Return what `describe_files` said of a folder when it was published.

    Raises:
        FileNotFoundError: the folder or its manifest is gone.
        ValueError: the manifest is no JSON.
    """
    return {name: (size, digest) for name, (size, digest) in json.loads((folder / MANIFEST).read_text()).items()}


def is_whole(folder: Path) -> bool:
    """Tell whether a published folder still holds every file of its manifest, bytes unchanged."""
    try:
        manifest = read_manifest(folder)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    for name, (size, digest) in manifest.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size or sha256_of_file(path) != digest:
            return False
    return True


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep a folder from being removed by `remove_unused` in any process while the block, or this process, lasts.

    Raises:
        FileNotFoundError: there is no such folder, or it was removed just now.
    """
    # A lock on the folder itself: it follows the folder when that is renamed, and the kernel drops it when a process is killed.
    with _opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        _require_same(folder, descriptor)
        yield


def is_in_use(folder: Path) -> bool:
    """Tell whether a process holds a folder `in_use`.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    with _opened(folder) as descriptor:
        return not _lock_alone(descriptor)


def remove_unused(folder: Path) -> bool:
    """Remove a folder, or a file, that no process holds `in_use`, and tell whether it is gone; a reader sees all or nothing."""
    doomed = folder.with_name(f".{folder.name.lstrip('.')}.{uuid.uuid4().hex}")
    try:
        with _opened(folder) as descriptor:
            if not _lock_alone(descriptor):
                return False
            _require_same(folder, descriptor)
            folder.rename(doomed)
    except FileNotFoundError:  # another process was faster
        return True
    if doomed.is_dir():
        shutil.rmtree(doomed)
    else:
        doomed.unlink()
    return True


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock_alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _require_same(folder: Path, descriptor: int) -> None:
    """Between opening a folder and locking it, another process may have removed it, or put a new one in its place."""
    if not os.path.samestat(folder.stat(), os.fstat(descriptor)):
        raise FileNotFoundError(f"{folder} was replaced")


def code_version(*sources: Path) -> str:
    """Return the sha256 (hex) of the Python files named, or below the folders named: their bytes, and their paths there."""
    digest = hashlib.sha256()
    for source in sources:
        for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            name = file.relative_to(source.parent if file == source else source)
            content = hashlib.sha256(file.read_bytes())
            digest.update(f"{name.as_posix()}\0{content.hexdigest()}\0".encode())
    return digest.hexdigest()
