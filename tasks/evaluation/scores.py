"""Labels and probabilities of scored rows: what they must be, and from where on a probability counts as positive."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError, ModelMismatch

Labels = NDArray[np.integer[Any]]
Probabilities = NDArray[np.floating[Any]]


def check_labels(labels: Labels) -> None:
    """Refuse labels (rows,) on which no classifier can be measured.

    Raises:
        DataError: There are none, some are neither 0 nor 1, or all are of one class.
    """
    if labels.ndim != 1 or labels.size == 0:
        raise DataError(f"labels of shape {labels.shape} hold no rows to measure a model on: give a split with reviews in it")
    strange = np.setdiff1d(labels, [0, 1])
    if strange.size:
        raise DataError(
            f"labels must be 0 or 1, and {strange[0]} is among them: check data.negative_labels and data.positive_labels"
        )
    if labels.min() == labels.max():
        name = "positive" if labels[0] else "negative"
        raise DataError(f"all {labels.size} labels are {name}: a model can only be measured on rows of both classes")


def check_probabilities(probabilities: Probabilities, rows: int) -> None:
    """Refuse anything but one probability for each of `rows` rows.

    Raises:
        ModelMismatch: The shape is not (rows,), or a value is NaN, infinite, or outside 0 to 1.
    """
    if probabilities.shape != (rows,):
        raise ModelMismatch(
            f"the model gave scores of shape {probabilities.shape} for {rows} rows: it needs one output per row"
        )
    wrong = np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1)))
    if wrong.size:
        first = f"the first is {probabilities[wrong[0]]} at position {wrong[0]}"
        raise ModelMismatch(
            f"{wrong.size} of {rows} scores are no probabilities ({first}): the model is damaged, train it again"
        )


def predict_labels(probabilities: Probabilities, threshold: float) -> NDArray[np.int8]:
    """Return 1 where a probability is at least the threshold, else 0, as the served model does."""
    return (probabilities.astype(np.float64) >= threshold).astype(np.int8)
