"""Everything that is computed of a model's scores, from arrays alone."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.schema import EvaluationConfig
from tasks.evaluation.metrics import Confusion, count_confusion, measure
from tasks.evaluation.scores import Labels, Probabilities
from tasks.evaluation.slices import measure_slices
from tasks.handles import Interval, Slice

# One seed for all versions: what differs between two intervals is then the model, not the draw.
BOOTSTRAP_SEED = 0


class Assessment(NamedTuple):
    """What scores are worth: see `Evaluation` for each field."""

    metrics: dict[str, Interval]
    slices: tuple[Slice, ...]
    confusion: Confusion


def assess(
    labels: Labels, probabilities: Probabilities, lengths: NDArray[np.integer[Any]], settings: EvaluationConfig
) -> Assessment:
    """Measure a model's scores, whole and slice by slice.

    Args:
        labels: 0 or 1, (rows,).
        probabilities: Of the positive class, (rows,).
        lengths: Words in each review, without any marker, (rows,).
        settings: Threshold, confidence, resamples and length bands.

    Raises:
        DataError: No rows, labels other than 0 and 1, a single class, or not one length per row.
        ModelMismatch: Not one finite probability per row.
    """
    metrics = measure(
        labels,
        probabilities,
        threshold=settings.threshold,
        confidence=settings.confidence,
        bootstrap_samples=settings.bootstrap_samples,
        seed=BOOTSTRAP_SEED,
    )
    slices = measure_slices(
        labels,
        probabilities,
        lengths,
        bands=settings.length_bands,
        threshold=settings.threshold,
        confidence=settings.confidence,
    )
    return Assessment(metrics, slices, count_confusion(labels, probabilities, settings.threshold))


def tabulate_predictions(rows: NDArray[np.integer[Any]], labels: Labels, probabilities: Probabilities) -> pa.Table:
    """Return row (int64), label (int8) and probability (float32) side by side."""
    schema = pa.schema([("row", pa.int64()), ("label", pa.int8()), ("probability", pa.float32())])
    columns = [rows.astype(np.int64), labels.astype(np.int8), probabilities.astype(np.float32)]
    return pa.table([pa.array(column) for column in columns], schema=schema)


def summarize(metrics: dict[str, Interval]) -> str:
    """Return the one line that tells loss and accuracy."""
    return f"Test results - Loss: {metrics['loss'].value:.4f} - Accuracy: {metrics['accuracy'].value:.2%}"
