"""The folders under REPRISE_HOME: written whole or not at all, checked before they are reused, not removed while in use."""

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MANIFEST = "manifest.json"


def home() -> Path:
    """Return the workspace: `REPRISE_HOME`, or `.reprise` in the working folder."""
    return Path(os.environ.get("REPRISE_HOME") or ".reprise").absolute()


def sha256_of_file(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def published(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder`, with a manifest of its files, when the block ends without an error.

    A folder that another process has published meanwhile is kept, and a damaged one is replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    draft.mkdir()
    try:
        yield draft
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        manifest = {path.relative_to(draft).as_posix(): [path.stat().st_size, sha256_of_file(path)] for path in files}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))
        if folder.exists() and not is_whole(folder):
            folder.rename(draft.with_suffix(".damaged"))
            shutil.rmtree(draft.with_suffix(".damaged"))
        if not folder.exists():
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def is_whole(folder: Path) -> bool:
    """Tell whether a published folder still holds every file of its manifest, bytes unchanged."""
    try:
        manifest: dict[str, tuple[int, str]] = json.loads((folder / MANIFEST).read_text())
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
    """Remove a folder that no process holds `in_use`, and tell whether it is gone; a reader sees all of it or nothing."""
    doomed = folder.with_name(f".{folder.name.lstrip('.')}.{uuid.uuid4().hex}")
    try:
        with _opened(folder) as descriptor:
            if not _lock_alone(descriptor):
                return False
            _require_same(folder, descriptor)
            folder.rename(doomed)
    except FileNotFoundError:  # another process was faster
        return True
    shutil.rmtree(doomed)
    return True


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
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
