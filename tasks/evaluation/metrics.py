"""The metrics of a binary classifier, each with its confidence interval."""

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from tasks.evaluation.bootstrap import cross_entropy, resample_metrics
from tasks.evaluation.intervals import percentile_interval, wilson_interval
from tasks.evaluation.scores import Labels, Probabilities, check_labels, check_probabilities, predict_labels
from tasks.handles import Interval

Confusion = tuple[tuple[int, int], tuple[int, int]]


def count_confusion(labels: Labels, probabilities: Probabilities, threshold: float) -> Confusion:
    """Return ((true negatives, false positives), (false negatives, true positives))."""
    matrix = confusion_matrix(labels, predict_labels(probabilities, threshold), labels=[0, 1])
    (true_negatives, false_positives), (false_negatives, true_positives) = matrix.tolist()
    return (true_negatives, false_positives), (false_negatives, true_positives)


def measure_points(labels: Labels, predicted: Labels, probabilities: Probabilities) -> dict[str, float]:
    """Return the metrics that can have a floor, without intervals.

    Args:
        labels: 0 or 1, (rows,).
        predicted: 0 or 1, by whatever threshold, (rows,).
        probabilities: Of the positive class, (rows,).

    Raises:
        DataError: No rows, labels other than 0 and 1, or a single class.
        ModelMismatch: Not one finite probability per row.
    """
    check_labels(labels)
    check_probabilities(probabilities, labels.size)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "precision": float(precision_score(labels, predicted, zero_division=0.0)),
        "recall": float(recall_score(labels, predicted)),
        "f1": float(f1_score(labels, predicted, zero_division=0.0)),
        "roc_auc": float(roc_auc_score(labels, probabilities)),
        "average_precision": float(average_precision_score(labels, probabilities)),
    }


def measure(
    labels: Labels,
    probabilities: Probabilities,
    *,
    threshold: float,
    confidence: float,
    bootstrap_samples: int,
    seed: int,
) -> dict[str, Interval]:
    """Measure how well probabilities foretell labels.

    Accuracy, precision and recall are shares of counted rows and have Wilson intervals; the others have percentile
    bootstrap intervals over rows. Precision is 0 with the interval 0 to 1 where nothing is predicted positive. The loss is
    Keras's binary cross-entropy of the same probabilities.

    Args:
        labels: 0 or 1, (rows,).
        probabilities: Of the positive class, (rows,).
        threshold: Rows of at least this probability are predicted positive.
        confidence: Of the intervals, between 0 and 1.
        bootstrap_samples: Number of resamples.
        seed: Of the resamples; equal arguments give equal intervals.

    Returns:
        loss (nats per row), accuracy, precision, recall, f1, roc_auc, average_precision and brier_score.

    Raises:
        DataError: No rows, labels other than 0 and 1, or a single class.
        ModelMismatch: Not one finite probability per row.
    """
    check_labels(labels)
    check_probabilities(probabilities, labels.size)
    (true_negatives, false_positives), (false_negatives, true_positives) = count_confusion(labels, probabilities, threshold)
    predicted = predict_labels(probabilities, threshold)
    resampled = resample_metrics(labels, probabilities, threshold=threshold, samples=bootstrap_samples, seed=seed)

    def resampled_interval(name: str, value: float) -> Interval:
        return percentile_interval(value, resampled[name], confidence)

    return {
        "loss": resampled_interval("loss", float(np.mean(cross_entropy(labels, probabilities)))),
        "accuracy": wilson_interval(true_positives + true_negatives, labels.size, confidence),
        "precision": wilson_interval(true_positives, true_positives + false_positives, confidence),
        "recall": wilson_interval(true_positives, true_positives + false_negatives, confidence),
        "f1": resampled_interval("f1", f1_score(labels, predicted, zero_division=0.0)),
        "roc_auc": resampled_interval("roc_auc", roc_auc_score(labels, probabilities)),
        "average_precision": resampled_interval("average_precision", average_precision_score(labels, probabilities)),
        "brier_score": resampled_interval("brier_score", brier_score_loss(labels, probabilities)),
    }
