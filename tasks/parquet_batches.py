"""Reading Parquet in memory that grows neither with the file nor with its row groups."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

BUFFER_BYTES = 1 << 20


def open_parquet(source: Path | BinaryIO, read_dictionary: Sequence[str] = ()) -> pq.ParquetFile:
    """Open a file so that its columns are read a piece at a time, for a row group may hold all rows there are.

    Columns of `read_dictionary` come as dictionary arrays.

    Raises:
        OSError: There is no such file.
        pyarrow.ArrowException: It is no Parquet.
    """
    return pq.ParquetFile(source, buffer_size=BUFFER_BYTES, read_dictionary=list(read_dictionary))


def iterate_batches(file: pq.ParquetFile, rows: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """Yield the columns named, or all, in batches of at most so many rows, in row order.

    Raises:
        OSError, pyarrow.ArrowException: The file is damaged.
    """
    # One call for all row groups would keep some megabytes of each until the last is read.
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group], columns=columns and list(columns))
