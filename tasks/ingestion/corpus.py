"""What every reader returns, and its canonical Parquet."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.handles import Split

SPLITS: tuple[Split, ...] = get_args(Split)
SCHEMA = pa.schema([("text", pa.string()), ("label", pa.int8()), ("split", pa.string())])
ROW_GROUP_ROWS = 16_384


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
    """Yield the same values in arrays of so many rows; the last may be shorter."""
    held: list[pa.Array] = []
    missing = rows
    for batch in batches:
        while len(batch) >= missing:
            yield pa.concat_arrays([*held, batch[:missing]])
            batch, held, missing = batch[missing:], [], rows
        held.append(batch)
        missing -= len(batch)
    if missing < rows:
        yield pa.concat_arrays(held)
