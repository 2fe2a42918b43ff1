"""The table to be scored: its columns as they are, and the text of each row."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import DataError
from tasks.ingestion.content import open_text, unzipped_if
from tasks.ingestion.files import Located, open_file
from tasks.ingestion.table_formats import read_columns, read_objects
from tasks.ingestion.tables import is_text
from tasks.ingestion.wording import list_names
from tasks.scoring.json_columns import JsonColumns, build_columns, replace_halves

LINES = pa.schema([("line", pa.binary())])
"""What is kept of JSONL that becomes JSONL again: each object as it is written."""


class Rows(NamedTuple):
    """Rows in order: the columns to keep, and for each row its text (string), or why it has none (string)."""

    kept: pa.RecordBatch
    texts: pa.Array
    faults: pa.Array


class Table(NamedTuple):
    """An open table; the first of its batches has no rows.

    `estimate_rows` tells how many rows there are, which it guesses, where it must, from those that were read.
    """

    sha256: str
    batches: Iterator[Rows]
    estimate_rows: Callable[[], int | None]


@contextmanager
def open_table(file: Located, extension: str, text_column: str, added: list[str], *, as_lines: bool) -> Iterator[Table]:
    """Open a table to be read once, row by row.

    Args:
        file: What to open; one that lies elsewhere is copied to the workspace for the time of the block.
        extension: One of `EXTENSIONS`.
        text_column: The column of the texts.
        added: Names that no column may have.
        as_lines: Whether to keep JSONL as lines (`LINES`) instead of columns.

    Raises:
        DataError: The file is missing or, as its rows are read, is unreadable, changes, lacks the text column, holds
            something else than text in it, or has one of the columns that are to be added.
        DownloadError: The file's host did not deliver it.
    """
    with open_file(file) as raw:
        before = os.fstat(raw.fileno())
        sha256 = hashlib.file_digest(raw, "sha256").hexdigest()

        @contextmanager
        def content() -> Iterator[BinaryIO]:
            raw.seek(0)
            with unzipped_if(raw, file.name, zipped=extension.endswith(".gz")) as stream:
                yield stream

        rows_read = 0

        def batches() -> Iterator[Rows]:
            nonlocal rows_read
            with ExitStack() as stack:
                if extension.startswith(".jsonl"):
                    read = _read_json(content, text_column, added, file.name, as_lines=as_lines)
                else:
                    read = _read_table(stack.enter_context(content()), extension, text_column, added, file.name)
                for rows in read:
                    rows_read += len(rows.texts)
                    yield rows
            after = os.fstat(raw.fileno())
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise DataError(f"{file.name} was changed while it was read: score it once it is written")

        counted = _count_parquet(raw) if extension == ".parquet" else None

        def estimate_rows() -> int | None:
            position = raw.tell()
            return counted or (round(rows_read * before.st_size / position) if rows_read and position else None)

        yield Table(sha256, batches(), estimate_rows)


def _read_table(stream: BinaryIO, extension: str, text_column: str, added: list[str], where: str) -> Iterator[Rows]:
    batches = read_columns(stream, extension, None, where)
    for batch in batches:
        names = batch.schema.names
        _refuse_collision(names, added, where)
        if text_column not in names:
            raise _no_column(text_column, names, where)
        texts = batch[text_column]
        if not (is_text(texts.type) or pa.types.is_null(texts.type)):
            raise DataError(f"{where}: column '{text_column}' holds {texts.type}, not text")
        yield Rows(batch, texts.cast(pa.string()), pa.nulls(len(batch), pa.string()))


def _read_json(content: Callable[[], Any], text_column: str, added: list[str], where: str, *, as_lines: bool) -> Iterator[Rows]:
    columns = JsonColumns()
    if not as_lines:  # which may begin to differ at the last row
        with content() as stream:
            for _, rows in read_objects(open_text(stream, where), where):
                columns.add(rows)
    schema = LINES if as_lines else columns.schema()
    names: dict[str, None] = {}
    with ExitStack() as stack:
        stream = stack.enter_context(content())
        yield _json_rows([], [], text_column, schema)
        for lines, rows in read_objects(open_text(stream, where), where):
            for row in rows:
                names.update(dict.fromkeys(row))
            _refuse_collision(list(names), added, where)
            yield _json_rows(lines, rows, text_column, schema)
    if text_column not in names:
        raise _no_column(text_column, list(names), where)


def _json_rows(lines: list[bytes], rows: list[dict[str, Any]], text_column: str, schema: pa.Schema) -> Rows:
    if schema is LINES:
        kept = pa.RecordBatch.from_arrays([pa.array([line.strip() for line in lines], pa.binary())], schema=LINES)
    else:
        kept = build_columns(rows, schema)
    values = [row.get(text_column) for row in rows]
    texts = [replace_halves(value) if isinstance(value, str) else None for value in values]
    faults = [
        None if value is None or isinstance(value, str) else f"this is no text but {type(value).__name__}" for value in values
    ]
    return Rows(kept, pa.array(texts, pa.string()), pa.array(faults, pa.string()))


def _refuse_collision(names: list[str], added: list[str], where: str) -> None:
    for name in added:
        if name in names:
            raise DataError(f"{where} has a column '{name}', and scoring adds one of that name: rename it, or give --prefix")


def _no_column(column: str, names: list[str], where: str) -> DataError:
    return DataError(f"{where} has no column '{column}'; its columns are {list_names(names)}")


def _count_parquet(raw: BinaryIO) -> int | None:
    try:
        return int(pq.read_metadata(raw).num_rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError):  # whoever reads the rows tells what is wrong
        return None
