"""Texts on standard input, one a line."""

from collections.abc import Iterator
from itertools import count
from typing import BinaryIO

from tasks.errors import InputError

LINE_BYTES = 1 << 23
"""As many as a row of a table may have."""


def read_lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines that are not blank, without their ends.

    Raises:
        InputError: A line is not UTF-8, or too long.
    """
    for number in count(1):
        line = stream.readline(LINE_BYTES)
        if not line:
            return
        if len(line) == LINE_BYTES:
            raise InputError(f"line {number} of standard input is longer than {LINE_BYTES >> 20} MiB")
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            told = f"line {number} of standard input is not UTF-8: it holds the byte {line[error.start]:#04x}"
            raise InputError(told) from error
        if text.strip():
            yield text
