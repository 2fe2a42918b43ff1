"""A table file's bytes as a stream: local, unzipped, and for text formats checked to be text."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from tasks.errors import DataError
from tasks.ingestion.files import Located, open_file

BLOCK_BYTES = 1 << 20


@contextmanager
def open_content(file: Located, *, zipped: bool) -> Iterator[BinaryIO]:
    """Open a file's content; what a damaged gzip file holds raises DataError where it is read, or at the end of the block.

    Args:
        file: What to open.
        zipped: Whether it is gzip and is to be unzipped; the stream then cannot be searched.

    Raises:
        DataError: No such file.
        DownloadError: Its host did not deliver it.
    """
    with open_file(file) as stream, unzipped_if(stream, file.name, zipped=zipped) as content:
        yield content


@contextmanager
def unzipped_if(stream: BinaryIO, where: str, *, zipped: bool) -> Iterator[BinaryIO]:
    """Do with a stream that is open already what `open_content` does with a file."""
    if not zipped:
        yield stream
        return
    unzipped = io.BufferedReader(_Unzipped(stream, where), BLOCK_BYTES)
    try:
        yield unzipped
    except DataError:
        # Damaged bytes may unzip to nonsense: then the damage is what to tell, and the file's end shows it.
        while unzipped.read(BLOCK_BYTES):
            pass
        raise


def open_text(stream: BinaryIO, where: str) -> BinaryIO:
    """Return the stream with a check: reading raises DataError where it is not UTF-8, or no more than white space."""
    return io.BufferedReader(_Text(stream, where), BLOCK_BYTES)


class _Unzipped(io.RawIOBase):
    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._gzip, self._where = gzip.GzipFile(fileobj=stream), where

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            return self._gzip.readinto(buffer)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self._where} is no whole gzip file: {error}") from error


class _Text(io.RawIOBase):
    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._stream, self._where = stream, where
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines, self._blank = 0, True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._stream.read(len(buffer))
        self._check_utf8(block)
        if self._blank and not block:
            raise DataError(f"{self._where} is empty")
        self._blank = self._blank and not block.strip()
        buffer[: len(block)] = block
        return len(block)

    def _check_utf8(self, block: bytes) -> None:
        try:
            self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line = self._lines + error.object.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{self._where} is not UTF-8: line {line} holds the byte {error.object[error.start]:#04x}"
            ) from error
        self._lines += block.count(b"\n")
