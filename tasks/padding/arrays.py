"""Canonical Parquet to arrays of padded ids, in bounded memory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.handles import Split
from tasks.parquet_batches import iterate_batches, open_parquet
from tasks.served_model import PADDING_ID, UNKNOWN_ID, TextEncoder

SPLITS: tuple[Split, ...] = get_args(Split)
BATCH_ROWS = 8192


class SplitShares(NamedTuple):
    """What padding did to a split: shares of its rows, of its words, and of its padded cells."""

    truncated: float
    out_of_vocabulary: float
    padding: float


def read_train_texts(reviews_path: Path) -> Iterator[pa.Array]:
    """Yield the texts of the train split, batch by batch."""
    for batch in iterate_batches(open_parquet(reviews_path), BATCH_ROWS, ["text", "split"]):
        yield batch["text"].filter(pc.equal(batch["split"], "train"))


def write_arrays(
    reviews_path: Path, encoder: TextEncoder, excluded: npt.NDArray[np.int64], folder: Path
) -> tuple[dict[Split, int], dict[Split, SplitShares]]:
    """Write each split's arrays, as `PaddedReviews` lists them, into a folder.

    Args:
        reviews_path: canonical Parquet.
        encoder: what turns its texts into ids.
        excluded: row numbers to leave out.
        folder: where the `.npy` files go.

    Returns:
        The rows and the shares of each split.
    """
    split_column = pq.read_table(reviews_path, columns=["split"])["split"]
    kept = np.ones(len(split_column), dtype=bool)
    kept[excluded] = False
    with ExitStack() as files:
        writers = {
            split: _SplitWriter(split, _row_numbers(split_column, split, kept), encoder.maxlen, folder, files)
            for split in SPLITS
        }
        first_row = 0
        for batch in iterate_batches(open_parquet(reviews_path), BATCH_ROWS, ["text", "label"]):
            ids, lengths = encoder.encode(batch["text"])
            unknown = np.add.reduceat(ids == UNKNOWN_ID, np.cumsum(lengths, dtype=np.int64) - lengths, dtype=np.int64)
            padded, labels = encoder.pad(ids, lengths), batch["label"].to_numpy()
            for writer in writers.values():
                writer.write(first_row, padded, lengths, labels, unknown)
            first_row += len(batch)
    rows = {split: len(writer.rows) for split, writer in writers.items()}
    return rows, {split: writer.shares() for split, writer in writers.items()}


def open_array(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...], files: ExitStack) -> Callable[[npt.NDArray[Any]], int]:
    """Begin an `.npy` file, which `files` closes, and return the function that appends rows to it."""
    # Written in order and not mapped: the pages of a mapping count as the process's memory until it ends.
    file = files.enter_context(path.open("wb"))
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
    np.lib.format.write_array_header_1_0(file, header | {"shape": shape})
    return lambda values: file.write(values.astype(dtype, copy=False).tobytes())


def _row_numbers(split_column: pa.ChunkedArray, split: Split, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return np.flatnonzero(pc.equal(split_column, split).to_numpy() & kept)


class _SplitWriter:
    """Fills one split's arrays from batches that come in row order."""

    def __init__(self, split: Split, rows: npt.NDArray[np.int64], maxlen: int, folder: Path, files: ExitStack) -> None:
        self.rows = rows
        self._written = self._truncated = self._unknown = self._words = self._padding = 0
        self._cells = len(rows) * maxlen

        def create(name: str, dtype: npt.DTypeLike, *shape: int) -> Callable[[npt.NDArray[Any]], int]:
            return open_array(folder / f"{name}_{split}.npy", dtype, (len(rows), *shape), files)

        self._append_ids = create("ids", np.uint16, maxlen)
        self._append_lengths = create("lengths", np.int32)
        self._append_labels = create("labels", np.int8)
        np.save(folder / f"rows_{split}.npy", rows)

    def write(
        self,
        first_row: int,
        padded: npt.NDArray[np.uint16],
        lengths: npt.NDArray[np.int32],
        labels: npt.NDArray[np.int8],
        unknown: npt.NDArray[np.int64],
    ) -> None:
        """Take this split's rows out of a batch that begins at `first_row`."""
        end = int(np.searchsorted(self.rows, first_row + len(padded)))
        chosen = self.rows[self._written : end] - first_row
        self._append_ids(padded[chosen])
        self._append_lengths(lengths[chosen])
        self._append_labels(labels[chosen])
        self._truncated += int((lengths[chosen] > padded.shape[1]).sum())
        self._unknown += int(unknown[chosen].sum())
        self._words += int((lengths[chosen] - 1).sum())
        self._padding += int((padded[chosen] == PADDING_ID).sum())
        self._written = end

    def shares(self) -> SplitShares:
        """Return the split's shares once all is written; of an empty split or one without a word they are 0."""
        return SplitShares(
            self._truncated / max(len(self.rows), 1), self._unknown / max(self._words, 1), self._padding / max(self._cells, 1)
        )
