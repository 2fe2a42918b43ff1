"""The metrics of many resamples at once: each is the same rows under other weights, so the rows are sorted only once."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.scores import Labels, Probabilities, predict_labels

# keras.config.epsilon() and its complement, as they are in float32, where Keras clips.
CLIP_LOW = float(np.float32(1e-7))
CLIP_HIGH = float(np.float32(1 - 1e-7))

# Weights of one chunk: few enough to stay in the processor's cache, enough to hide the cost of a call.
CHUNK = 50_000


class RankedRows(NamedTuple):
    """Rows made ready for weighting.

    `terms` (rows, 7) holds each row's loss, squared error, true positive, false positive, false negative, positive and
    negative flags, in the rows' own order; `order` (rows,) sorts rows by falling score; `positive` (rows,) is 1.0 or 0.0 in
    that order; `ends` holds the last place of each group of equal scores.
    """

    terms: NDArray[np.float64]
    order: NDArray[np.intp]
    positive: NDArray[np.float64]
    ends: NDArray[np.intp]


def cross_entropy(labels: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    """Return each row's binary cross-entropy in nats, with probabilities clipped as `keras.losses.BinaryCrossentropy` does."""
    clipped = np.clip(probabilities.astype(np.float64), CLIP_LOW, CLIP_HIGH)
    return -np.log(np.where(labels == 1, clipped, 1 - clipped))


def rank_rows(labels: Labels, probabilities: Probabilities, threshold: float) -> RankedRows:
    """Sort rows by score and compute what each adds to the metrics.

    Args:
        labels: 0 or 1, (rows,).
        probabilities: Of the positive class, (rows,).
        threshold: Rows of at least this probability are predicted positive.
    """
    positive = labels == 1
    predicted = predict_labels(probabilities, threshold) == 1
    squared = np.square(probabilities.astype(np.float64) - labels)
    flags = (predicted & positive, predicted & ~positive, ~predicted & positive, positive, ~positive)
    order = np.argsort(-probabilities, kind="stable")
    falling = probabilities[order]
    return RankedRows(
        terms=np.column_stack([cross_entropy(labels, probabilities), squared, *flags]),
        order=order,
        positive=positive[order].astype(np.float64),
        ends=np.flatnonzero(np.append(falling[1:] != falling[:-1], True)),
    )


def weigh(rows: RankedRows, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of the rows under each line of weights.

    They are those of scikit-learn with `sample_weight`: ROC AUC is the weight of the pairs that are ordered rightly, with
    half of the ties (Mann and Whitney 1947), average precision the sum of precision times the gain in recall.

    Args:
        rows: From `rank_rows`.
        weights: At least 0, with a sum above 0 in each line, (samples, rows).

    Returns:
        loss, brier_score, f1, roc_auc and average_precision, each (samples,). The last two are NaN where the weights
        leave only one class; f1 is 0 where nothing is positive or predicted so.
    """
    total = weights.sum(axis=1)
    loss, squared, hits, false_alarms, misses, positives, negatives = (weights @ rows.terms).T
    in_order = np.take(weights, rows.order, axis=1)
    above = np.take(np.cumsum(in_order, axis=1), rows.ends, axis=1)
    in_order *= rows.positive
    positive_above = np.take(np.cumsum(in_order, axis=1), rows.ends, axis=1)
    precision = np.divide(positive_above, above, out=np.zeros_like(above), where=above > 0)
    gains = positive_above[:, 0] * precision[:, 0]
    gains += np.einsum("ij,ij->i", np.diff(positive_above, axis=1), precision[:, 1:])
    above -= positive_above
    pairs = above[:, 0] * positive_above[:, 0] / 2
    pairs += np.einsum("ij,ij->i", np.diff(above, axis=1), positive_above[:, 1:] + positive_above[:, :-1]) / 2
    two_classes = (positives > 0) & (negatives > 0)  # their sum may differ from the total in its last bit
    decided = 2 * hits + false_alarms + misses
    return {
        "loss": loss / total,
        "brier_score": squared / total,
        "f1": _divide(2 * hits, decided, decided > 0, otherwise=0.0),
        "roc_auc": _divide(pairs, positives * negatives, two_classes, otherwise=np.nan),
        "average_precision": _divide(gains, positives, two_classes, otherwise=np.nan),
    }


def draw_counts(rows: int, samples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield, in chunks (some, rows), how often each row is drawn in each of `samples` resamples with replacement.

    Equal arguments give equal counts: two models resampled on the same rows with the same seed are compared in pairs.
    """
    generator = np.random.default_rng(seed)
    step = max(1, CHUNK // rows)
    for start in range(0, samples, step):
        some = min(step, samples - start)
        drawn = generator.integers(rows, size=(some, rows))
        drawn += np.arange(some)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=some * rows).reshape(some, rows).astype(np.float64)


def resample_metrics(
    labels: Labels, probabilities: Probabilities, *, threshold: float, samples: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Return the bootstrap distribution over rows of each metric of `weigh`, (samples,).

    Item i belongs to the same resample for every model that is given the same number of rows and the same seed.
    """
    rows = rank_rows(labels, probabilities, threshold)
    chunks = [weigh(rows, counts) for counts in draw_counts(labels.size, samples, seed)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _divide(
    above: NDArray[np.float64], below: NDArray[np.float64], where: NDArray[np.bool_], *, otherwise: float
) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full_like(above, otherwise), where=where)
