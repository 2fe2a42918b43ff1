"""Accuracy on parts of the rows: by the length of the review, and by class."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.evaluation.intervals import wilson_interval
from tasks.evaluation.scores import Labels, Probabilities, check_labels, check_probabilities, predict_labels
from tasks.handles import Slice


def split_by_length(lengths: NDArray[np.integer[Any]], bands: Sequence[int]) -> dict[str, NDArray[np.bool_]]:
    """Return a mask (rows,) for each band of lengths that has rows, named for its lengths; together they cover all rows.

    Args:
        lengths: Words in each review, at least 0, (rows,).
        bands: Rising upper bounds, inclusive, of all bands but the last. Reviews without a word are a band of their own.
    """
    masks = {_name_band(low + 1, high): (lengths > low) & (lengths <= high) for low, high in pairwise([-1, 0, *bands])}
    masks[f"over {bands[-1]} words"] = lengths > bands[-1]
    return {name: mask for name, mask in masks.items() if mask.any()}


def measure_slices(
    labels: Labels,
    probabilities: Probabilities,
    lengths: NDArray[np.integer[Any]],
    *,
    bands: Sequence[int],
    threshold: float,
    confidence: float,
) -> tuple[Slice, ...]:
    """Measure accuracy, with its Wilson interval, in each band of lengths and in each class.

    The intervals stand for one slice at a time: they are not widened for the number of slices.

    Args:
        labels: 0 or 1, (rows,).
        probabilities: Of the positive class, (rows,).
        lengths: Words in each review, without any marker, (rows,).
        bands: Rising upper bounds, inclusive, of all bands but the last.
        threshold: Rows of at least this probability are predicted positive.
        confidence: Of the intervals, between 0 and 1.

    Returns:
        The bands from short to long, those without rows left out, then "negative" and "positive".

    Raises:
        DataError: No rows, labels other than 0 and 1, a single class, or not one length per row.
        ModelMismatch: Not one finite probability per row.
    """
    check_labels(labels)
    check_probabilities(probabilities, labels.size)
    if lengths.shape != labels.shape or lengths.min() < 0:
        raise DataError(f"{lengths.size} lengths for {labels.size} labels: each row needs one, of 0 words or more")
    right = predict_labels(probabilities, threshold) == labels
    masks = {**split_by_length(lengths, bands), "negative": labels == 0, "positive": labels == 1}
    return tuple(
        Slice(name=name, rows=int(mask.sum()), accuracy=wilson_interval(int(right[mask].sum()), int(mask.sum()), confidence))
        for name, mask in masks.items()
    )


def _name_band(low: int, high: int) -> str:
    words = "word" if high == 1 else "words"
    return f"{high} {words}" if low == high else f"{low}-{high} {words}"
