"""What every reader returns, and its canonical Parquet."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.handles import Split

SPLITS: tuple[Split, ...] = get_args(Split)
SCHEMA = pa.schema([("text", pa.string()), ("label", pa.int8()), ("split", pa.string())])
ROW_GROUP_ROWS = 16_384
ROW_GROUP_BYTES = 1 << 26
"""Of texts, some three times what IMDB's take: whatever reads the Parquet reads no more than that at once."""


@dataclass(frozen=True)
class Corpus:
    """Labelled reviews in source order and, where their source brought a word index, its words from rank 1 on.

    `labels` int8 (rows,) of 0 and 1, and `splits` object (rows,) of names are at hand. `texts` are read as they are asked
    for, once: string arrays of any number of rows, nulls allowed, `rows` in all; what raises DataError for a text that
    cannot be read is their iteration.
    """

    texts: Iterable[pa.Array]
    labels: np.ndarray
    splits: np.ndarray
    vocabulary: list[str] | None = None

    def count_rows(self) -> dict[Split, int]:
        """Return the number of rows of each split."""
        return {name: int((self.splits == name).sum()) for name in SPLITS}


def write_reviews(corpus: Corpus, path: Path) -> None:
    """Write a corpus as Parquet, a row group at a time; the same rows give the same bytes, however their texts are batched.

    Raises:
        DataError: A text cannot be read.
    """
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=["label", "split"]) as writer:
        start = 0
        for texts in _regroup(corpus.texts, ROW_GROUP_ROWS):
            rows = slice(start, start + len(texts))
            labels, splits = pa.array(corpus.labels[rows], pa.int8()), pa.array(corpus.splits[rows], pa.string())
            writer.write_table(pa.table([texts, labels, splits], schema=SCHEMA), row_group_size=ROW_GROUP_ROWS)
            start = rows.stop


def _regroup(batches: Iterable[pa.Array], rows: int) -> Iterator[pa.Array]:
    """Yield the same values in arrays of so many rows, of fewer where they would take more than `ROW_GROUP_BYTES`."""
    held: list[pa.Array] = []
    count = size = 0
    for batch in batches:
        ends = np.cumsum(pc.fill_null(pc.binary_length(batch), 0).to_numpy(zero_copy_only=False), dtype=np.int64)
        start = 0
        while start < len(batch):
            before = int(ends[start - 1]) if start else 0
            fitting = int(np.searchsorted(ends, before + ROW_GROUP_BYTES - size, side="right"))
            stop = min(max(fitting, start if held else start + 1), start + rows - count)
            if stop > start:
                held.append(batch[start:stop])
                count, size = count + stop - start, size + int(ends[stop - 1]) - before
            if stop < len(batch):
                yield pa.concat_arrays(held)
                held, count, size = [], 0, 0
            start = stop
    if held:
        yield pa.concat_arrays(held)
