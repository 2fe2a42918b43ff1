"""The folders under REPRISE_HOME: written whole or not at all, checked before they are reused."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
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


@cache
def code_version(*sources: Path) -> str:
    """Return the sha256 (hex) of the Python files named, or below the folders named."""
    files = sorted(file for source in sources for file in (source.rglob("*.py") if source.is_dir() else [source]))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
