"""The official IMDB files, downloaded once into the workspace and checked by their digests."""

import hashlib
import http.client
import logging
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import NamedTuple

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from tasks.disk_space import writing
from tasks.errors import DownloadError
from tasks.ingestion.wording import shorten, tell_error
from tasks.progress import tell, working
from tasks.workspace import home

logger = logging.getLogger("reprise.ingestion")

BLOCK = 1 << 18
SLOWEST_BYTES = 1 << 16
"""What must come within each span of the timeout."""
MAX_BYTES = 1 << 26
"""Some three times the longest file: a body that never ends is cut here."""
INSTEAD = "pass a local copy instead: --data PATH for an imdb.npz and --set data.word_index=PATH for its word index"


class RemoteFile(NamedTuple):
    """A file on the network, and its digest as "algorithm:hex"."""

    url: str
    digest: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rsplit("/", 1)[-1]


NPZ = RemoteFile(
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/imdb.npz",
    "sha256:69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
)
# Keras publishes no better digest of this file.
WORD_INDEX = RemoteFile(
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/imdb_word_index.json",
    "md5:bfafd718b763782e994055a2d397834f",
)


class _PassingError(Exception):
    """A fault of the network that may be gone in a moment."""


def download_imdb(*, npz: RemoteFile = NPZ, word_index: RemoteFile = WORD_INDEX, backoff: float = 1.0) -> tuple[Path, Path]:
    """Return the npz and its word index, from `downloads` in the workspace where they lie there intact.

    Args:
        npz: The npz on the network.
        word_index: Its word index.
        backoff: Seconds before the first retry; each later one waits twice as long.

    Raises:
        DownloadError: A file could not be had whole; says how to pass a local one.
    """
    folder = home() / "downloads"
    return download(npz, folder, backoff=backoff), download(word_index, folder, backoff=backoff)


def imdb_available(*, npz: RemoteFile = NPZ, word_index: RemoteFile = WORD_INDEX, timeout: float = 3.0) -> bool:
    """Tell whether both files lie intact in the workspace, or their host answers for those that do not.

    Args:
        npz: The npz on the network.
        word_index: Its word index.
        timeout: Seconds to wait for the host, its name's look-up included.
    """
    missing = [remote for remote in (npz, word_index) if not _is_intact(home() / "downloads" / remote.name, remote.digest)]
    answers: list[bool] = []

    def ask() -> None:
        answers.extend(_answers(remote.url, timeout) for remote in missing)

    # In a thread, for no timeout of urllib covers the look-up of a name.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout)
    return len(answers) == len(missing) and all(answers)


def download(remote: RemoteFile, folder: Path, *, backoff: float = 1.0, timeout: float = 20.0) -> Path:
    """Return a file in `folder`, downloaded unless it lies there intact; it appears there whole or not at all.

    What has another digest is fetched once more, and what comes then is kept as `NAME.quarantined` if it is as wrong.

    Args:
        remote: The file on the network.
        folder: Where to keep it.
        backoff: Seconds before the first retry; each later one waits twice as long.
        timeout: Seconds without a byte, or without `SLOWEST_BYTES` of them, after which an attempt has failed.

    Raises:
        DownloadError: The host did not deliver it, or twice delivered something of another digest.
        DiskFull: There is no room for it.
    """
    target, quarantined = folder / remote.name, folder / f"{remote.name}.quarantined"
    if _is_intact(target, remote.digest):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{remote.name}.{uuid.uuid4().hex}"
    try:
        for attempt in ("first", "second"):
            with writing(target, "the download", draft=draft):
                found = _retrying(remote.url, backoff)(_transfer, remote.url, draft, remote.digest.partition(":")[0], timeout)
            if found == remote.digest:
                draft.replace(target)
                quarantined.unlink(missing_ok=True)
                return target
            logger.warning("%s has another digest than expected (%s attempt)", remote.url, attempt)
        what = (
            "an HTML page" if draft.read_bytes()[:256].lstrip().lower().startswith((b"<!doctype", b"<html")) else "another file"
        )
        draft.replace(quarantined)
        raise DownloadError(
            f"{remote.url} delivered {what}: its digest is {found}, not {remote.digest}; it is kept for you to look at as "
            f"{quarantined}, and nothing reads it; {INSTEAD}"
        )
    except (_PassingError, OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a redirect to no URL
        raise DownloadError(f"{remote.url} could not be downloaded ({_reason(error)}); {INSTEAD}") from error
    finally:
        draft.unlink(missing_ok=True)


def _retrying(url: str, backoff: float) -> Retrying:
    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        logger.warning("%s: %s; again in %.0f s", url, _reason(error) if error else "failed", wait)

    return Retrying(
        retry=retry_if_exception_type(_PassingError),
        stop=stop_after_attempt(4),
        wait=wait_exponential(multiplier=backoff, max=30),
        before_sleep=tell,
        reraise=True,
    )


def _transfer(url: str, draft: Path, algorithm: str, timeout: float) -> str:
    """Write what a URL delivers to `draft` and return its digest."""
    name = url.rsplit("/", 1)[-1]
    digest = hashlib.new(algorithm, usedforsecurity=False)
    received = 0
    try:
        with (
            urllib.request.urlopen(url, timeout=timeout) as response,  # noqa: S310 - the URL is this module's own
            draft.open("wb") as file,
            working(name),
        ):
            size = response.length
            began, before = time.monotonic(), 0
            # Not `read`, which waits for the whole block however slowly it comes.
            while received < MAX_BYTES and (block := response.read1(BLOCK)):
                file.write(block)
                digest.update(block)
                received += len(block)
                tell(name, received, size, "bytes")
                if time.monotonic() - began >= timeout:
                    if received - before < SLOWEST_BYTES:
                        raise _PassingError(f"only {received - before} bytes came in {timeout:g} s")
                    began, before = time.monotonic(), received
    except urllib.error.HTTPError as error:
        if error.code >= 500 or error.code in (408, 429):
            raise _PassingError(_reason(error)) from error
        raise
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _PassingError(_reason(error)) from error
    if size is not None and received < min(size, MAX_BYTES):
        raise _PassingError(f"it broke off after {received} of {size} bytes")
    return f"{algorithm}:{digest.hexdigest()}"


def _answers(url: str, timeout: float) -> bool:
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the URL is this module's own
        with urllib.request.urlopen(request, timeout=timeout):  # noqa: S310
            return True
    except (OSError, http.client.HTTPException):
        return False


def _is_intact(path: Path, digest: str) -> bool:
    algorithm, _, expected = digest.partition(":")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError:
        return False
    return found == expected


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {shorten(' '.join(str(error.reason).split()))}"
    return tell_error(
        error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception) else error
    )
