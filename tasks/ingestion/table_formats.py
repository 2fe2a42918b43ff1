"""CSV, TSV, JSONL and Parquet, plain or gzip, read batch by batch."""

import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tasks.errors import DataError
from tasks.ingestion.content import open_content, open_text
from tasks.ingestion.files import Located
from tasks.ingestion.labels import RowsAtFault
from tasks.parquet_batches import iterate_batches, open_parquet
from tasks.workspace import home

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
EXTENSIONS = tuple(extension + gz for extension in FORMATS for gz in ("", ".gz"))
ROW_BYTES = 1 << 23
"""What a row of CSV, TSV or JSONL may have at the most, and a batch has about."""
PARQUET_ROWS = 8_192

Columns = dict[str, pa.Array]


def read_batches(file: Located, extension: str, wanted: list[str], optional: Sequence[str] = ()) -> Iterator[Columns]:
    """Yield a file's rows in order, by batches of the columns wanted.

    Args:
        file: What to read.
        extension: One of `EXTENSIONS`.
        wanted: The column of texts, then those whose values count as words: text formats give them as strings.
        optional: Further columns of words, which are null where the file does not have them.

    Raises:
        DataError: The file is missing, empty or unreadable; a column is missing, or a text is none.
        DownloadError: The file's host did not deliver it.
    """
    readers: dict[str, Callable[[BinaryIO, list[str], Sequence[str], str], Iterator[Columns]]] = {
        ".csv": _read_csv,
        ".tsv": _read_tsv,
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
    }
    with open_content(file, zipped=extension.endswith(".gz")) as stream:
        yield from readers[extension.removesuffix(".gz")](stream, wanted, optional, file.name)


def _read_tsv(stream: BinaryIO, wanted: list[str], optional: Sequence[str], where: str) -> Iterator[Columns]:
    return _read_csv(stream, wanted, optional, where, delimiter="\t")


def _read_csv(
    stream: BinaryIO, wanted: list[str], optional: Sequence[str], where: str, delimiter: str = ","
) -> Iterator[Columns]:
    try:
        reader = pa.csv.open_csv(
            _UncutLineEnds(open_text(stream, where)),
            pa.csv.ReadOptions(use_threads=False, block_size=ROW_BYTES),  # with threads, errors would not name the row
            pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pa.csv.ConvertOptions(default_column_type=pa.string()),
        )
        columns = _choose_columns(reader.schema.names, wanted, optional, where)
        for batch in reader:
            yield _with_absent({name: batch[name] for name in columns}, optional)
    except pa.ArrowInvalid as error:
        reason = _one_line(error)
        if "straddles two block boundaries" in reason:
            reason = f"a row is longer than {ROW_BYTES >> 20} MiB; perhaps a quotation mark is never closed"
        raise DataError(f"{where} cannot be read: {reason}") from error


class _UncutLineEnds(io.RawIOBase):
    r"""A stream of which no read ends between \r and \n: pyarrow drops a \n that begins a block, even one within a text."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._held = stream, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._held + self._stream.read(len(buffer) - len(self._held))
        self._held = b"\r" if block.endswith(b"\r") and len(block) > 1 else b""
        block = block.removesuffix(self._held)
        buffer[: len(block)] = block
        return len(block)


def _read_jsonl(stream: BinaryIO, wanted: list[str], optional: Sequence[str], where: str) -> Iterator[Columns]:
    text_column, *word_columns = *wanted, *optional
    texts = _JsonTexts(text_column, where)
    seen: dict[str, None] = {}
    for rows in _read_objects(open_text(stream, where), where):
        seen.update(dict.fromkeys(chain.from_iterable(rows)))
        words = {name: pa.array([_word(row.get(name)) for row in rows], pa.string()) for name in word_columns}
        yield {text_column: texts.build([row.get(text_column) for row in rows])} | words
    _choose_columns(list(seen), wanted, (), where)
    texts.check()


def _word(value: Any) -> str | None:
    """Return a label or split as a word, so that 1 and "1" may stand in one column."""
    return None if value is None or value != value else str(value)


def _read_objects(stream: BinaryIO, where: str) -> Iterator[list[dict[str, Any]]]:
    rows, size, number = [], 0, 0
    # Not splitlines, which would cut a text at the line separators that JSON allows in strings.
    while line := stream.readline(ROW_BYTES):
        number += 1
        if len(line) == ROW_BYTES:
            raise DataError(f"{where} cannot be read: line {number} is longer than {ROW_BYTES >> 20} MiB")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} cannot be read: line {number} is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"{where} cannot be read: line {number} is not a JSON object")
        rows.append(row)
        size += len(line)
        if size >= ROW_BYTES:
            yield rows
            rows, size = [], 0
    yield rows


class _JsonTexts:
    """Builds the batches of a JSONL file's texts; what is no text is null in them, and told once all of it is known."""

    def __init__(self, column: str, where: str) -> None:
        self._told = f"{where}: column '{column}' holds"
        self._rows = 0
        self._odd, self._halves = RowsAtFault(), RowsAtFault()
        self._odd_kind = ""

    def build(self, values: list[Any]) -> pa.Array:
        """Return the values as strings (rows,)."""
        odd = np.array([not (value is None or isinstance(value, str)) for value in values], dtype=bool)
        if odd.any():
            self._odd_kind = self._odd_kind or type(values[int(np.flatnonzero(odd)[0])]).__name__
            values = [None if bad else value for value, bad in zip(values, odd, strict=True)]
        self._odd.add(odd, self._rows)
        try:
            texts = pa.array(values, pa.string())
        except UnicodeEncodeError:
            halves = [value is not None and any("\ud800" <= letter <= "\udfff" for letter in value) for value in values]
            self._halves.add(np.array(halves), self._rows)
            texts = pa.array([None if bad else value for value, bad in zip(values, halves, strict=True)], pa.string())
        self._rows += len(values)
        return texts

    def check(self) -> None:
        """Refuse the file if a value was no text."""
        if self._odd.count:
            raise DataError(f"{self._told} {self._odd_kind}, not text, in {self._odd}")
        if self._halves.count:
            raise DataError(f"{self._told} half a surrogate pair in {self._halves}")


def _read_parquet(stream: BinaryIO, wanted: list[str], optional: Sequence[str], where: str) -> Iterator[Columns]:
    if not stream.seekable():
        home().mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=home()) as unzipped:
            shutil.copyfileobj(stream, unzipped)
            yield from _read_parquet(unzipped, wanted, optional, where)
        return
    if not stream.seek(0, 2):
        raise DataError(f"{where} is empty")
    rows = 0
    try:
        file = open_parquet(stream)
        columns = _choose_columns(file.schema_arrow.names, wanted, optional, where)
        for batch in iterate_batches(file, PARQUET_ROWS, columns):
            pa.Table.from_batches([batch]).validate(full=True)
            yield _with_absent({name: batch[name] for name in columns}, optional)
            rows += len(batch)
    except (pa.ArrowException, OSError) as error:
        place = f" after row {rows}" if rows else ""
        raise DataError(f"{where} cannot be read{place}: {_one_line(error)}") from error


def _choose_columns(names: list[str], wanted: list[str], optional: Sequence[str], where: str) -> list[str]:
    """Return the columns wanted, which must be there, and those of the optional ones that are."""
    columns = [*wanted, *(column for column in optional if column in names)]
    for column in columns:
        if column not in names:
            raise DataError(f"{where} has no column '{column}'; its columns are {', '.join(map(repr, names))}")
        if names.count(column) > 1:
            raise DataError(f"{where} has {names.count(column)} columns named '{column}'")
    return columns


def _with_absent(columns: Columns, optional: Sequence[str]) -> Columns:
    rows = len(next(iter(columns.values())))
    return columns | {name: pa.nulls(rows, pa.string()) for name in optional if name not in columns}


def _one_line(error: Exception, limit: int = 200) -> str:
    line = " ".join(str(error).split())
    return line if len(line) <= limit else line[:limit] + " ..."
