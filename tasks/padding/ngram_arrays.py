"""Canonical Parquet to what its n-grams say of each row, for a network that reads them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.ngram_model import count_ngrams, fit_ngrams, measure_across_folds
from tasks.padding.arrays import BATCH_ROWS, SPLITS, open_array
from tasks.parquet_batches import iterate_batches, open_parquet
from tasks.served_model import Ids, Lengths, NgramFigures, TextEncoder

Labels = npt.NDArray[np.int8]


def write_ngram_arrays(reviews_path: Path, encoder: TextEncoder, longest: int, folder: Path) -> None:
    """Fit n-grams on the train split, and write the model and what it says of every row, as `PaddedReviews` lists them.

    The train split's ids are held in memory, and their n-grams: some hundred bytes a word.

    Args:
        reviews_path: canonical Parquet.
        encoder: what turns its texts into ids.
        longest: words of the longest n-grams.
        folder: where `write_arrays` has written, and the files go.

    Raises:
        DataError: the train split is of one class, or has too few reviews, or no word of the vocabulary stands in two of them.
    """
    rows = {split: np.load(folder / f"rows_{split}.npy") for split in SPLITS}
    ids, lengths, labels = map(np.concatenate, zip(*_read_rows(reviews_path, encoder, rows["train"]), strict=True))
    counted = count_ngrams(ids, lengths, longest=longest)
    model, told = fit_ngrams(counted, labels), measure_across_folds(counted, lengths, labels)
    model.save(folder / "ngrams.npz")
    with ExitStack() as files:
        for split in SPLITS:
            shape = (len(rows[split]), encoder.maxlen, longest)
            append_log_ratios = open_array(folder / f"log_ratios_{split}.npy", np.float16, shape, files)
            append_logits = open_array(folder / f"logits_{split}.npy", np.float32, shape[:1], files)

            def append(figures: NgramFigures, lengths: Lengths) -> None:
                append_log_ratios(encoder.pad(figures.log_ratios, lengths))  # noqa: B023 (called in this turn alone)
                append_logits(figures.logits)  # noqa: B023

            if split == "train":
                append(told, lengths)
                continue
            for found, counts, _ in _read_rows(reviews_path, encoder, rows[split]):
                append(model.measure(found, counts), counts)


def _read_rows(reviews_path: Path, encoder: TextEncoder, rows: npt.NDArray[np.int64]) -> Iterator[tuple[Ids, Lengths, Labels]]:
    """Yield some rows, given in rising order, batch by batch: ids one after the other, their numbers, and labels."""
    first_row = 0
    for batch in iterate_batches(open_parquet(reviews_path), BATCH_ROWS, ["text", "label"]):
        start, end = np.searchsorted(rows, [first_row, first_row + len(batch)])
        chosen = batch.take(pa.array(rows[start:end] - first_row))
        yield (*encoder.encode(chosen["text"]), chosen["label"].to_numpy())
        first_row += len(batch)
