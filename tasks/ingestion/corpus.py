"""What every reader returns, and its canonical Parquet."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.handles import Split

SPLITS: tuple[Split, ...] = get_args(Split)
SCHEMA = pa.schema([("text", pa.string()), ("label", pa.int8()), ("split", pa.string())])


@dataclass(frozen=True)
class Corpus:
    """Labelled reviews and, where their source brought a word index, its words from rank 1 on.

    `table` has the columns of `SCHEMA`. Rows stand in source order, test rows last; `text` may be null.
    """

    table: pa.Table
    vocabulary: list[str] | None = None

    @property
    def labels(self) -> np.ndarray:
        """The labels, int8 (rows,)."""
        return self.table["label"].to_numpy()  # type: ignore[no-any-return]

    @property
    def splits(self) -> np.ndarray:
        """The splits' names, object (rows,)."""
        return self.table["split"].to_numpy()  # type: ignore[no-any-return]

    def count_rows(self) -> dict[Split, int]:
        """Return the number of rows of each split."""
        splits = self.splits
        return {name: int((splits == name).sum()) for name in SPLITS}


def build_table(texts: pa.Array, labels: np.ndarray, splits: str | np.ndarray) -> pa.Table:
    """Return reviews as a table of `SCHEMA`, test rows moved behind all others.

    Args:
        texts: Strings (rows,), nulls allowed.
        labels: 0 and 1, int8 (rows,).
        splits: One name for all rows, or an object array (rows,).
    """
    names = np.full(len(labels), splits, dtype=object) if isinstance(splits, str) else splits
    table = pa.table([texts, pa.array(labels, pa.int8()), pa.array(names, pa.string())], schema=SCHEMA)
    is_test = names == "test"
    if is_test.any() and not is_test.all():
        table = table.take(np.argsort(is_test, kind="stable"))
    return table


def write_reviews(table: pa.Table, path: Path) -> None:
    """Write a table of `SCHEMA` as Parquet; the same rows give the same bytes."""
    pq.write_table(table.cast(SCHEMA), path, compression="zstd", use_dictionary=["label", "split"], row_group_size=16_384)
