"""Reading what a path or an fsspec URL names: bytes, listings and content digests."""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from glob import has_magic
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import fsspec
from fsspec.callbacks import Callback
from fsspec.implementations.local import LocalFileSystem

from tasks.disk_space import writing
from tasks.errors import DataError, DiskFull, DownloadError
from tasks.progress import tell, working
from tasks.workspace import home

# What filesystems call the mark that changes with a file's content.
VERSION_KEYS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "generation", "Digest", "Content-MD5")
SETTLED_SECONDS = 2.0


class Located(NamedTuple):
    """A file or folder: how the user named it, its filesystem, and its path there."""

    name: str
    filesystem: Any
    path: str

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine."""
        return isinstance(self.filesystem, LocalFileSystem)

    def join(self, *parts: str) -> "Located":
        """Return what lies below this folder."""
        tail = "/".join(parts)
        return Located(f"{self.name.rstrip('/')}/{tail}", self.filesystem, f"{self.path.rstrip('/')}/{tail}")


def locate(path: str) -> Located:
    """Find the filesystem of a local path or fsspec URL, without touching the file.

    Raises:
        DataError: No such kind of URL, or the package that reads it is not installed.
    """
    try:
        filesystem, inner = fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise DataError(f"cannot open {shown_path(path)}: {error}") from error
    filesystem.invalidate_cache()
    return Located(shown_path(path), filesystem, inner)


def shown_path(path: str) -> str:
    """Return a path as it may be shown and kept: without user, password or the query (it may be signed) of a URL."""
    path = re.sub(r"(https?://)[^/@\s]*@", r"\1", path)
    path = re.sub(r"(://)[^/@\s]*:[^/@\s]*@", r"\1", path)
    return re.sub(r"(https?://[^?#\s]*)[?#].*", r"\1", path)


def file_name(path: str) -> str:
    """Return the last part of a path or URL, lower case."""
    return shown_path(path).rstrip("/").rsplit("/", 1)[-1].lower()


def parent(path: str) -> str:
    """Return the folder that a path or URL lies in."""
    head, slash, _ = path.rstrip("/").rpartition("/")
    return head + slash if slash else "."


def is_file(file: Located) -> bool:
    """Tell whether a file is there.

    Raises:
        DownloadError: Its host did not answer.
    """
    # Not `isfile`, which takes a host that does not answer for a file that is not there.
    try:
        return bool(file.filesystem.info(file.path)["type"] == "file")
    except Exception as error:
        if _means_absent(error):
            return False
        raise _unreadable(file, error) from error


def is_folder(folder: Located) -> bool:
    """Tell whether a folder is there.

    Raises:
        DownloadError: Its host did not answer.
    """
    try:
        return bool(folder.filesystem.isdir(folder.path))
    except Exception as error:
        raise _unreadable(folder, error) from error


def read_bytes(file: Located) -> bytes:
    """Return a file's bytes.

    Raises:
        DataError: No such file, or no leave to read it.
        DownloadError: Its host did not deliver it.
    """
    try:
        if file.is_local:
            return Path(file.path).read_bytes()
        return bytes(file.filesystem.cat_file(file.path))
    except Exception as error:
        raise _unreadable(file, error) from error


@contextmanager
def open_file(file: Located) -> Iterator[BufferedReader]:
    """Open a file to read, one that lies elsewhere as a copy in the workspace that ends with the block.

    Raises:
        DataError: No such file, or no leave to read it.
        DownloadError: Its host did not deliver it.
        DiskFull: There is no room for the copy.
    """
    with ExitStack() as stack:
        path = file.path
        try:
            if not file.is_local:
                home().mkdir(parents=True, exist_ok=True)
                path = f"{stack.enter_context(TemporaryDirectory(prefix='.copy-', dir=home()))}/copy"
                with writing(Path(path), "a copy of the source,"), working(file.name):
                    file.filesystem.get_file(file.path, path, callback=_told_bytes(file.name))
            stream = stack.enter_context(Path(path).open("rb"))
        except DiskFull:
            raise
        except Exception as error:
            raise _unreadable(file, error) from error
        yield stream


def _told_bytes(name: str) -> Callback:
    return Callback(hooks={"told": lambda size, value, **_: tell(name, value, size, "bytes")})


def list_files(folder: Located) -> list[tuple[Located, Mapping[str, Any]]]:
    """Return the files right in a folder with what their filesystem tells of them, sorted by name.

    Raises:
        DataError: No such folder.
        DownloadError: Its host did not answer.
    """
    try:
        entries = folder.filesystem.ls(folder.path, detail=True)
    except Exception as error:
        raise _unreadable(folder, error) from error
    named = {entry["name"].rstrip("/").rsplit("/", 1)[-1]: entry for entry in entries if entry["type"] == "file"}
    return [(folder.join(name), named[name]) for name in sorted(named)]


def is_pattern(path: str) -> bool:
    """Tell whether a path is a glob: it holds `*`, `?` or `[...]`, and is no file of that very name.

    Raises:
        DownloadError: Its host did not answer.
    """
    return has_magic(shown_path(path)) and not is_file(locate(path))


def match_files(pattern: str) -> list[Located]:
    """Return the files that a glob matches, sorted by path.

    Raises:
        DataError: No leave to look.
        DownloadError: The host did not answer.
    """
    where = locate(pattern)
    try:
        found = where.filesystem.glob(where.path, detail=True)
    except Exception as error:
        raise _unreadable(where, error) from error
    named = sorted(path for path, told in found.items() if told["type"] == "file")
    shown = str if where.is_local else where.filesystem.unstrip_protocol
    return [Located(shown_path(shown(path)), where.filesystem, path) for path in named]


def digest_file(file: Located) -> str:
    """Return the sha256 (hex) of a file's content.

    Raises:
        DataError: No such file.
        DownloadError: Its host did not deliver it.
    """
    try:
        told = file.filesystem.info(file.path)
    except Exception as error:
        raise _unreadable(file, error) from error
    return digest_files([(file, told)])


def digest_files(files: list[tuple[Located, Mapping[str, Any]]]) -> str:
    """Return the sha256 (hex) of one file's content, or of several files' names and contents in the order given.

    Files that have not changed since this process last read them, by their filesystem's own mark, are not read again.
    """
    located = tuple(file for file, _ in files)
    versions = tuple(_version(told) for _, told in files)
    if None in versions:
        return _digest_contents(located)
    return _digest_versions(_Versions(located, versions))


class _Versions(NamedTuple):
    files: tuple[Located, ...]
    versions: tuple[tuple[Any, ...] | None, ...]


@lru_cache(maxsize=4096)
def _digest_versions(versions: _Versions) -> str:
    return _digest_contents(versions.files)


def _digest_contents(files: tuple[Located, ...]) -> str:
    if len(files) == 1:
        with open_file(files[0]) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path.rsplit('/', 1)[-1]}\0".encode() + hashlib.sha256(read_bytes(file)).digest())
    return digest.hexdigest()


def _version(told: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Return what changes when the file does, or None where that cannot be relied on."""
    mark = next((told[key] for key in VERSION_KEYS if told.get(key) is not None), None)
    # A clock tick may hide a second write to a file that has only just been written.
    if mark is None or (isinstance(mark, float) and time.time() - mark < SETTLED_SECONDS):
        return None
    return (told.get("size"), told.get("ino"), str(mark))


def _means_absent(error: Exception) -> bool:
    """Tell a missing file from a missing bucket, and from a host that gave no answer or refused, all reported alike."""
    if not isinstance(error, FileNotFoundError):
        return False
    if _names_missing_bucket(error):
        return False
    cause = error.__cause__
    unanswered = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    return not unanswered and getattr(cause, "status", 404) == 404


def _names_missing_bucket(error: Exception) -> bool:
    answer = getattr(error.__cause__, "response", None)
    return isinstance(answer, Mapping) and answer.get("Error", {}).get("Code") == "NoSuchBucket"


def _unreadable(file: Located, error: Exception) -> Exception:
    if _means_absent(error):
        return DataError(f"no such file: {file.name}")
    if _names_missing_bucket(error):
        return DataError(f"no such bucket: {file.name}")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{file.name} is a folder, not a file")
    if isinstance(error, NotADirectoryError):
        return DataError(f"{file.name} is a file, not a folder")
    if isinstance(error, PermissionError):
        return DataError(f"no permission to read {file.name}")
    told = (error.__cause__ or error) if isinstance(error, FileNotFoundError) else error
    reason = shown_path(" ".join(str(told).split())) or type(told).__name__
    if file.is_local:
        return DataError(f"cannot read {file.name}: {reason}")
    return DownloadError(f"cannot read {file.name}: {reason}")
