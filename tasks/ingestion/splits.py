"""Which rows become test and validation: seeded, stratified by label, row order kept."""

from dataclasses import replace

import numpy as np
from sklearn.model_selection import train_test_split

from tasks.errors import DataError
from tasks.ingestion.corpus import Corpus


def draw_rows(labels: np.ndarray, fraction: float, seed: int, *, purpose: str) -> np.ndarray:
    """Draw a share of the rows, the same for the same labels, fraction and seed.

    Args:
        labels: 0 and 1 (rows,).
        fraction: Share to draw, of each label.
        seed: Any integer from 0 to 2**32 - 1.
        purpose: What the rows are for, for errors.

    Returns:
        True for each drawn row, bool (rows,).

    Raises:
        DataError: Too few rows of some label.
    """
    drawn = np.zeros(len(labels), dtype=bool)
    try:
        _, chosen = train_test_split(np.arange(len(labels)), test_size=fraction, random_state=seed, stratify=labels)
    except ValueError as error:
        counts = ", ".join(
            f"{count} of label {label}" for label, count in zip(*np.unique(labels, return_counts=True), strict=True)
        )
        raise DataError(f"cannot take {fraction:g} of {len(labels)} rows ({counts}) for {purpose}: {error}") from error
    drawn[chosen] = True
    return drawn


def hold_out_validation(corpus: Corpus, fraction: float, seed: int) -> Corpus:
    """Return the corpus with a share of its train rows named `validation`, unless it has such rows already.

    Raises:
        DataError: There are no train rows, no test rows, or too few rows of some label.
    """
    splits = corpus.splits.copy()
    for name in ("train", "test"):
        if not (splits == name).any():
            raise DataError(f"the source has no {name} rows")
    if (splits == "validation").any():
        return corpus
    train = np.flatnonzero(splits == "train")
    splits[train[draw_rows(corpus.labels[train], fraction, seed, purpose="validation")]] = "validation"
    return replace(corpus, splits=splits)
