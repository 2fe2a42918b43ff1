"""Places that files are written to by path or fsspec URL: a folder, a bucket; reached, or named in one line."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.disk_space import writing
from tasks.errors import InputError, RepriseError, StorageError
from tasks.ingestion.files import Located, locate, shown_path
from tasks.workspace import flush_to_disk


def find_storage(name: str, url: str) -> Located:
    """Find the place that a URL names, and that its bucket is there.

    Args:
        name: What the user gave the URL as, for errors.
        url: Any fsspec URL without user, password or query.

    Raises:
        InputError: The URL names no place, is of no known kind, or carries credentials.
        StorageError: There is no such bucket, or it cannot be reached.
    """
    if shown_path(url) != url:
        raise InputError(f"{name} carries a user, a password or a query: credentials come from the environment")
    place = locate(url)
    if not place.path.strip("/"):
        raise InputError(f"{name} {url} names no bucket or folder")
    with reaching(f"{name} {place.name}"):
        parts = place.path.rstrip("/").split("/")
        # A folder below a bucket is there once something is in it, so that what stands above it is what has to be there.
        above = ("/".join(parts[:depth]) or "/" for depth in range(1, len(parts) + 1))
        if not any(_is_there(place, path) for path in above):
            raise StorageError(f"{name} {place.name}: there is no bucket {parts[0]}")
    return place


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Turn whatever a filesystem raises in the block into one line that names the place.

    Raises:
        StorageError: It could not be reached, read or written.
    """
    try:
        yield
    except RepriseError:
        raise
    except Exception as error:  # each filesystem has its own
        reason = shown_path(" ".join(str(error).split())) or type(error).__name__
        if type(error).__name__ == "NoCredentialsError":
            reason += "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        refused = isinstance(error, PermissionError)
        raise StorageError(f"{place}: {'access refused' if refused else 'cannot be used'}: {reason}") from error


def require_writable(option: str, output: str) -> None:
    """Raise what would keep an output from being written, before the work that it tells of.

    Args:
        option: The option that named it, for errors.
        output: A path or an fsspec URL.

    Raises:
        InputError: Its folder is not there, or the URL names no place that can be written.
        StorageError: There is no such bucket, or it cannot be reached.
    """
    path = Path(output)
    if "://" in output:
        place = find_storage(option, output)
        if not place.is_local:
            if "/" not in place.path.strip("/"):
                raise InputError(f"{option} {output} is a bucket, not a file in it")
            return
        path = Path(place.path)
    if not path.parent.is_dir():
        raise InputError(f"{option} {output}: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"{option} {output} is a folder, not a file")


def write_output(option: str, output: str, text: str) -> None:
    """Write a file, whole or not at all, to a path or an fsspec URL.

    Raises:
        StorageError: A URL's place could not be reached or written.
        DiskFull: There is no room for it.
    """
    if "://" in output:
        place = find_storage(option, output)
        if not place.is_local:
            with reaching(f"{option} {place.name}"):
                place.filesystem.pipe_file(place.path, text.encode())
            return
        output = place.path
    path = Path(output)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    content = text.encode()
    try:
        with writing(path, option, size=len(content)):
            draft.write_bytes(content)
            flush_to_disk(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _is_there(place: Located, path: str) -> bool:
    try:
        place.filesystem.info(path)
    except FileNotFoundError:
        return False
    return True
