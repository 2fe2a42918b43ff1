"""A trained network beside the linear model that has learnt from the same reviews."""

from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.schema import EvaluationConfig
from tasks.errors import DataError
from tasks.evaluation.bootstrap import cross_entropy
from tasks.evaluation.comparison import compare_accuracy
from tasks.evaluation.metrics import measure_points
from tasks.evaluation.scores import Labels, Probabilities, predict_labels
from tasks.handles import Baseline, BaselineComparison


def compare_with_baseline(
    rows: NDArray[np.integer[Any]],
    labels: Labels,
    probabilities: Probabilities,
    baseline: Baseline,
    settings: EvaluationConfig,
) -> BaselineComparison:
    """Compare a network with the linear model, row by row.

    Args:
        rows: The gate rows' numbers, (rows,).
        labels: 0 or 1, (rows,).
        probabilities: The network's, of the positive class, (rows,).
        baseline: The linear model's scores.
        settings: The threshold of both, and the confidence.

    Raises:
        DataError: The linear model has scored other rows; or labels that `compare_accuracy` refuses.
    """
    scores = pq.read_table(baseline.file("predictions.parquet"))
    if not np.array_equal(scores["row"].to_numpy(), rows):
        raise DataError(
            f"the {len(scores)} rows that the linear model has scored are not the {rows.size} rows it is compared on"
        )
    linear = scores["probability"].to_numpy()
    predicted = predict_labels(linear, settings.threshold)
    points = measure_points(labels, predicted, linear)
    ours = predict_labels(probabilities, settings.threshold)
    return BaselineComparison(
        metrics={
            "accuracy": points["accuracy"],
            "roc_auc": points["roc_auc"],
            "loss": float(np.mean(cross_entropy(labels, linear))),
        },
        accuracy=compare_accuracy("all", labels, ours, predicted, settings.confidence),
        train_rows=baseline.train_rows,
        learnt_rows=baseline.learnt_rows,
        ngrams=baseline.ngrams,
    )
