"""What the rows of a table take, so that none is read that takes all memory there is."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.errors import DataError
from tasks.parquet_batches import open_parquet

MAX_COLUMNS = 4_096
"""Readers and writers keep kilobytes for each column, and a header names one with two bytes."""
CAREFUL_ROWS = 32
"""Rows to decode at a time where they may be long: as many of the longest allowed are 256 MiB."""
CAREFUL_BYTES = 1 << 28


def check_columns(count: int, where: str) -> None:
    """Refuse a table with too many columns.

    Raises:
        DataError: There are more than `MAX_COLUMNS`.
    """
    if count > MAX_COLUMNS:
        raise DataError(f"{where} cannot be read: it has {count:,} columns, and at most {MAX_COLUMNS:,} are read")


def check_rows(batch: pa.RecordBatch, rows_before: int, where: str, limit: int) -> int:
    """Refuse a batch with too long a row; return the bytes of all rows together.

    Args:
        batch: Rows of which the strings and bytes are measured.
        rows_before: The rows of the file before it.
        where: The file's name, for errors.
        limit: The bytes that a row may have, all columns together.

    Raises:
        DataError: A row has more; names the first, and its longest column.
    """
    sizes = _text_sizes(batch)
    together = sum(sizes.values(), np.zeros(len(batch), np.int64))
    if len(batch) and together.max() > limit:
        row = int((together > limit).argmax())
        longest = max(sizes, key=lambda name: int(sizes[name][row]))
        told = f"row {rows_before + row + 1} is longer than {limit >> 20} MiB, most of it column '{longest}'"
        raise DataError(f"{where} cannot be read: {told}")
    return int(together.sum())


def iterate_parquet(
    file: pq.ParquetFile, stream: BinaryIO, rows: int, columns: list[str], limit: int
) -> Iterator[pa.RecordBatch]:
    """Yield a Parquet file's rows in order, at most so many at a time, and few where a text may stand in it again and again.

    Args:
        file: The open file.
        stream: What it was opened from.
        rows: The most rows of a batch.
        columns: The columns to read.
        limit: The bytes of the longest value that whoever asks will accept.

    Raises:
        OSError, pyarrow.ArrowException: The file is damaged.
    """
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        chunks = [group.column(index) for index in range(group.num_columns)]
        chosen = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
        expected = sum(chunk.total_uncompressed_size for chunk in chosen)
        for chunk in chosen:
            if chunk.has_dictionary_page and chunk.physical_type == "BYTE_ARRAY":
                longest = _longest_in_dictionary(stream, number, chunk.path_in_schema)
                if longest > limit:
                    raise pa.ArrowInvalid(f"column '{chunk.path_in_schema}' holds a text of {longest:,} bytes")
                expected += longest * group.num_rows
        at_once = rows if expected <= CAREFUL_BYTES else min(CAREFUL_ROWS, rows)
        yield from file.iter_batches(at_once, row_groups=[number], columns=columns)


def _longest_in_dictionary(stream: BinaryIO, group: int, column: str) -> int:
    """Return the bytes of the longest value of the dictionary that a column's rows point to."""
    file = open_parquet(stream, read_dictionary=[column])
    first = next(file.iter_batches(1, row_groups=[group], columns=[column]), None)
    if first is None or not pa.types.is_dictionary(first.column(0).type):
        return 0
    return pc.max(pc.binary_length(first.column(0).dictionary)).as_py() or 0


def _text_sizes(batch: pa.RecordBatch) -> dict[str, np.ndarray]:
    """Return the bytes of each row, int64 (rows,), in each column of strings or bytes."""
    return {
        name: np.asarray(pc.fill_null(_lengths(column), 0).to_numpy(zero_copy_only=False), np.int64)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if _has_length(column.type.value_type if pa.types.is_dictionary(column.type) else column.type)
    }


def _lengths(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return pc.binary_length(column.dictionary).take(column.indices)
    view = pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type)
    return pc.binary_length(column.cast(pa.large_binary()) if view else column)


def _has_length(kind: pa.DataType) -> bool:
    tests = ("is_string", "is_large_string", "is_string_view", "is_binary", "is_large_binary", "is_binary_view")
    return any(getattr(pa.types, test)(kind) for test in tests)
