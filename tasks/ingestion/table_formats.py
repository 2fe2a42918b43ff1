"""CSV, TSV, JSONL and Parquet, plain or gzip, read batch by batch."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tasks.disk_space import writing
from tasks.errors import DataError
from tasks.ingestion.content import check_unpacked, open_content, open_text
from tasks.ingestion.files import Located
from tasks.ingestion.labels import RowsAtFault
from tasks.ingestion.row_sizes import check_columns, check_rows, iterate_parquet
from tasks.ingestion.wording import list_names, shorten, tell_error
from tasks.parquet_batches import open_parquet
from tasks.workspace import home

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
EXTENSIONS = tuple(extension + gz for extension in FORMATS for gz in ("", ".gz"))
ROW_BYTES = 1 << 23
"""What a row may have at the most, its texts that is in Parquet, and a batch of text formats has about."""
HEADER_BYTES = 1 << 20
_BROKEN_ROW = re.compile(
    r"CSV parse error: Row #(?P<number>\d+): Expected (?P<columns>\d+) columns, got (?P<values>\d+): (?P<row>.*)"
)
PARQUET_ROWS = 8_192


def read_batches(file: Located, extension: str, wanted: list[str], optional: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
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
    with open_content(file, zipped=extension.endswith(".gz")) as stream:
        if extension.startswith(".jsonl"):
            yield from _read_jsonl(stream, wanted, optional, file.name)
        else:
            for batch in read_columns(stream, extension, wanted, file.name, optional):
                yield _with_absent(batch, optional)


def read_columns(
    stream: BinaryIO, extension: str, wanted: list[str] | None, where: str, optional: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a CSV, TSV or Parquet stream in order, of the columns wanted or, with None, of all as they are.

    Optional columns are those wanted too where there are such.

    The first batch has no rows, so that the columns are known of a table without any, too.

    Raises:
        DataError: The stream is empty or unreadable; a column is missing, or there twice.
    """
    readers: dict[str, Callable[[BinaryIO, list[str] | None, Sequence[str], str], Iterator[pa.RecordBatch]]] = {
        ".csv": _read_csv,
        ".tsv": _read_tsv,
        ".parquet": _read_parquet,
    }
    return readers[extension.removesuffix(".gz")](stream, wanted, optional, where)


def _read_tsv(stream: BinaryIO, wanted: list[str] | None, optional: Sequence[str], where: str) -> Iterator[pa.RecordBatch]:
    return _read_csv(stream, wanted, optional, where, delimiter="\t")


def _read_csv(
    stream: BinaryIO, wanted: list[str] | None, optional: Sequence[str], where: str, delimiter: str = ","
) -> Iterator[pa.RecordBatch]:
    text = open_text(stream, where)
    head = text.read(HEADER_BYTES)
    names = _read_names(head, delimiter, where)
    check_columns(len(names), where)
    rows = 0
    try:
        reader = pa.csv.open_csv(
            _UncutLineEnds(head, text),
            pa.csv.ReadOptions(use_threads=False, block_size=ROW_BYTES),  # with threads, errors would not name the row
            pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pa.csv.ConvertOptions(default_column_type=pa.string()),
        )
        columns = _choose_columns(reader.schema.names, wanted, optional, where)
        yield pa.RecordBatch.from_pylist([], reader.schema).select(columns)
        for batch in reader:
            check_rows(batch, rows, where, ROW_BYTES)
            yield batch.select(columns)
            rows += len(batch)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):  # which a row of names without a line end is to pyarrow
            yield pa.RecordBatch.from_pylist([], pa.schema([(name, pa.string()) for name in names])).select(
                _choose_columns(names, wanted, optional, where)
            )
            return
        raise DataError(f"{where} cannot be read: {_describe_csv_error(error, rows)}") from error


def _read_names(head: bytes, delimiter: str, where: str) -> list[str]:
    """Return the names in a table's first row, for each of which pyarrow takes kilobytes of memory."""
    lines = io.StringIO(head.decode(errors="replace").removeprefix("\ufeff"), newline="")
    try:
        first = next(filter(None, csv.reader(lines, delimiter=delimiter)), [])
    except csv.Error as error:
        raise DataError(f"{where} cannot be read: its first row is no row of names ({tell_error(error)})") from error
    if len(head) == HEADER_BYTES and next(lines, None) is None:
        raise DataError(
            f"{where} cannot be read: its first row, of the columns' names, is longer than {HEADER_BYTES >> 20} MiB"
        )
    return first


def _describe_csv_error(error: pa.ArrowInvalid, rows: int) -> str:
    """Return in words what pyarrow found after so many rows; it counts the header as row 1."""
    reason = " ".join(str(error).split())
    if "straddles two block boundaries" in reason:
        return f"a row after row {rows} is longer than {ROW_BYTES >> 20} MiB; perhaps a quotation mark is never closed"
    if found := _BROKEN_ROW.match(reason):
        told = f"row {int(found['number']) - 1} has {found['values']} columns and not {found['columns']}"
        return f"{told}, or a quotation mark is never closed: {shorten(found['row'])}"
    return shorten(reason)


class _UncutLineEnds(io.RawIOBase):
    r"""A stream of which no read ends between \r and \n: pyarrow drops a \n that begins a block, even one within a text."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        """Take the stream, and what was read of it already."""
        self._head, self._stream, self._held = head, stream, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._held + self._take(len(buffer) - len(self._held))
        self._held = b"\r" if block.endswith(b"\r") and len(block) > 1 else b""
        block = block.removesuffix(self._held)
        buffer[: len(block)] = block
        return len(block)

    def _take(self, size: int) -> bytes:
        taken, self._head = self._head[:size], self._head[size:]
        return taken or self._stream.read(size)


def _read_jsonl(stream: BinaryIO, wanted: list[str], optional: Sequence[str], where: str) -> Iterator[pa.RecordBatch]:
    text_column, *word_columns = *wanted, *optional
    texts = _JsonTexts(text_column, where)
    seen: dict[str, None] = {}
    for _, rows in read_objects(open_text(stream, where), where):
        seen.update(dict.fromkeys(chain.from_iterable(rows)))
        words = {name: pa.array([_word(row.get(name)) for row in rows], pa.string()) for name in word_columns}
        yield pa.RecordBatch.from_pydict({text_column: texts.build([row.get(text_column) for row in rows])} | words)
    _choose_columns(list(seen), wanted, (), where)
    texts.check()


def _word(value: Any) -> str | None:
    """Return a label or split as a word, so that 1 and "1" may stand in one column."""
    return None if value is None or value != value else str(value).encode(errors="backslashreplace").decode()


def read_objects(stream: BinaryIO, where: str) -> Iterator[tuple[list[bytes], list[dict[str, Any]]]]:
    """Yield the lines of a stream of JSON objects that are not blank, as they are written and as they are read, in batches.

    Raises:
        DataError: A line is too long, or holds no JSON object; names the first.
    """
    lines: list[bytes] = []
    rows: list[dict[str, Any]] = []
    size, number = 0, 0
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
            row = json.loads(line, object_pairs_hook=_refuse_repeated_keys)
        except _RepeatedKeyError as error:
            raise DataError(f"{where} cannot be read: line {number} has the key {error} twice") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} cannot be read: line {number} is not JSON ({tell_error(error)})") from error
        if not isinstance(row, dict):
            raise DataError(f"{where} cannot be read: line {number} is not a JSON object")
        lines.append(line)
        rows.append(row)
        size += len(line)
        if size >= ROW_BYTES:
            yield lines, rows
            lines, rows, size = [], [], 0
    yield lines, rows


class _RepeatedKeyError(Exception):
    """A JSON object has a key twice, of which json would take the last."""


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKeyError(shorten(repr(next(name for name in names if names.count(name) > 1))))
    return row


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


def _read_parquet(stream: BinaryIO, wanted: list[str] | None, optional: Sequence[str], where: str) -> Iterator[pa.RecordBatch]:
    if not stream.seekable():
        home().mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=home()) as unzipped:
            with writing(home(), f"{where}, unzipped, in"):
                shutil.copyfileobj(stream, unzipped)
            yield from _read_parquet(unzipped, wanted, optional, where)
        return
    size = stream.seek(0, 2)
    if not size:
        raise DataError(f"{where} is empty")
    rows = unpacked = 0
    try:
        file = open_parquet(stream)
        check_columns(len(file.schema_arrow.names), where)
        columns = _choose_columns(file.schema_arrow.names, wanted, optional, where)
        yield pa.RecordBatch.from_pylist([], file.schema_arrow).select(columns)
        for batch in iterate_parquet(file, stream, PARQUET_ROWS, columns, ROW_BYTES):
            pa.Table.from_batches([batch]).validate(full=True)
            unpacked += check_rows(batch, rows, where, ROW_BYTES)
            check_unpacked(unpacked, size, where)
            yield batch
            rows += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last for names in damaged metadata
        place = f" after row {rows}" if rows else ""
        raise DataError(f"{where} cannot be read{place}: {tell_error(error)}") from error


def _choose_columns(names: list[str], wanted: list[str] | None, optional: Sequence[str], where: str) -> list[str]:
    """Return the columns wanted, which must be there, and those of the optional ones that are; all where none is named."""
    columns = [*(wanted or names), *(column for column in optional if column in names)]
    for column in columns:
        if column not in names:
            raise DataError(f"{where} has no column '{column}'; its columns are {list_names(names)}")
        if names.count(column) > 1:
            raise DataError(f"{where} has {names.count(column)} columns named '{column}'")
    return columns


def _with_absent(batch: pa.RecordBatch, optional: Sequence[str]) -> pa.RecordBatch:
    for name in optional:
        if name not in batch.schema.names:
            batch = batch.append_column(name, pa.nulls(len(batch), pa.string()))
    return batch
