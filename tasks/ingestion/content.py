"""A table file's bytes as a stream: local, unzipped, and for text formats checked to be text."""

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from tasks.errors import DataError
from tasks.ingestion.files import Located, open_file

BLOCK_BYTES = 1 << 20
UNPACKED_BYTES = 1 << 30
UNPACKED_TIMES = 200
"""What a file unpacks to is not looked at below so many bytes; above, it may be so many times as long as the file. Text in
gzip is some three times as long, and gzip itself reaches a thousand."""


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


def check_unpacked(size: int, packed: int, where: str) -> None:
    """Refuse a file that was made to unpack to more than it can be meant to hold.

    Raises:
        DataError: It has unpacked to too many bytes, `size`, for its own `packed`.
    """
    if size > max(UNPACKED_BYTES, UNPACKED_TIMES * packed):
        raise DataError(
            f"{where} cannot be read: its {packed:,} bytes unpack to more than {size:,}; if that is meant, give it unpacked"
        )


class _Unzipped(io.RawIOBase):
    def __init__(self, stream: BinaryIO, where: str) -> None:
        self._gzip, self._where = gzip.GzipFile(fileobj=stream), where
        self._packed, self._size = os.fstat(stream.fileno()).st_size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            read = self._gzip.readinto(buffer)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self._where} is no whole gzip file: {error}") from error
        self._size += read
        check_unpacked(self._size, self._packed, self._where)
        return read


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
