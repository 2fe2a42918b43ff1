"""A challenger beside a champion on the same rows: which has more of them right, and how sure that is; and calibration."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, norm, rankdata

from tasks.errors import DataError, ModelMismatch
from tasks.evaluation.scores import Labels, Probabilities, check_labels, check_probabilities
from tasks.evaluation.slices import split_by_length
from tasks.handles import Interval, PairedAccuracy

# The usual bound: https://en.wikipedia.org/wiki/McNemar%27s_test#Variations
FEW_DISCORDANT = 25


def mcnemar(only_challenger: int, only_champion: int) -> tuple[Literal["exact", "mid-p"], float]:
    """Return the method and the two-sided p-value of McNemar's test that two models are right equally often.

    Below 25 discordant rows it is the exact conditional test, which never exceeds its level. From there on it is the mid-p
    test, which has more power and keeps the level in all but name (Fagerland, Lydersen and Laake 2013, BMC Medical Research
    Methodology 13:91). Without a discordant row, p is 1.

    Args:
        only_challenger: Rows that the challenger alone has right.
        only_champion: Rows that the champion alone has right.
    """
    discordant = only_challenger + only_champion
    if discordant == 0:
        return "exact", 1.0
    if discordant < FEW_DISCORDANT:
        return "exact", float(binomtest(only_challenger, discordant).pvalue)
    return "mid-p", mid_p(only_challenger, only_champion)


def mid_p(first: int, second: int) -> float:
    """Return the two-sided mid-p-value that two counts are equally likely: the exact one with what was seen counted half.

    Of equal counts it is 1; Fagerland and others (2013) subtract half the probability of the counts there.
    """
    fewer, total = min(first, second), first + second
    # The same as twice the cumulative less the point probability, which rounding would take below 0 where both vanish.
    return min(float(binom.cdf(fewer - 1, total, 0.5) + binom.cdf(fewer, total, 0.5)), 1.0)


def paired_gain(only_challenger: int, only_champion: int, rows: int, confidence: float) -> Interval:
    """Return the challenger's accuracy less the champion's, with its adjusted Wald interval, cut at -1 and 1.

    One row is added to each of the two counts, which makes the interval good for small ones too (Bonett and Price 2012,
    Journal of Educational and Behavioral Statistics 37:479-488). The value is the difference itself, without the added rows.
    Of no rows nothing is known: the interval is -1 to 1, and the value 0.

    Args:
        only_challenger: Rows that the challenger alone has right.
        only_champion: Rows that the champion alone has right.
        rows: All rows, with those that both have right or wrong.
        confidence: Of the interval, between 0 and 1.
    """
    gained, lost = (only_challenger + 1) / (rows + 2), (only_champion + 1) / (rows + 2)
    half_width = norm.ppf((1 + confidence) / 2) * math.sqrt((gained + lost - (gained - lost) ** 2) / (rows + 2))
    return Interval(
        value=(only_challenger - only_champion) / rows if rows else 0.0,
        low=max(float(gained - lost - half_width), -1.0),
        high=min(float(gained - lost + half_width), 1.0),
    )


def compare_accuracy(
    name: str, labels: Labels, challenger_labels: Labels, champion_labels: Labels, confidence: float
) -> PairedAccuracy:
    """Compare how often two models are right on the same rows.

    Args:
        name: Of the rows.
        labels: 0 or 1, (rows,).
        challenger_labels: Predicted by the challenger, 0 or 1, (rows,).
        champion_labels: Predicted by the champion, 0 or 1, (rows,).
        confidence: Of the interval of the gain, between 0 and 1.

    Raises:
        DataError: No rows, labels other than 0 and 1, or a single class.
        ModelMismatch: Not one predicted label, 0 or 1, per row.
    """
    challenger_right, champion_right = _find_right(labels, challenger_labels, champion_labels)
    return _pair(name, challenger_right, champion_right, confidence)


def compare_slices(
    labels: Labels,
    lengths: NDArray[np.integer[Any]],
    challenger_labels: Labels,
    champion_labels: Labels,
    *,
    bands: Sequence[int],
    confidence: float,
) -> tuple[PairedAccuracy, ...]:
    """Compare two models in each band of lengths and in each class.

    The intervals hold for all slices at once: each is widened for their number (Bonferroni), so that a pair without any
    difference shows one somewhere with a probability of at most 1 - confidence.

    Args:
        labels: 0 or 1, (rows,).
        lengths: Words in each review, without any marker, (rows,).
        challenger_labels: Predicted by the challenger, 0 or 1, (rows,).
        champion_labels: Predicted by the champion, 0 or 1, (rows,).
        bands: Rising upper bounds, inclusive, of all bands but the last.
        confidence: Of all intervals together, between 0 and 1.

    Returns:
        The bands from short to long, those without rows left out, then "negative" and "positive".

    Raises:
        DataError: No rows, labels other than 0 and 1, a single class, or not one length per row.
        ModelMismatch: Not one predicted label, 0 or 1, per row.
    """
    challenger_right, champion_right = _find_right(labels, challenger_labels, champion_labels)
    if lengths.shape != labels.shape or lengths.min() < 0:
        raise DataError(f"{lengths.size} lengths for {labels.size} labels: each row needs one, of 0 words or more")
    masks = {**split_by_length(lengths, bands), "negative": labels == 0, "positive": labels == 1}
    widened = 1 - (1 - confidence) / len(masks)
    return tuple(_pair(name, challenger_right[mask], champion_right[mask], widened) for name, mask in masks.items())


def expected_calibration_error(labels: Labels, probabilities: Probabilities, bins: int = 15) -> float:
    """Return how far probabilities lie, on average, from the share of positive labels among rows of like probability.

    Rows are sorted into bins of equally many by their probability, equal ones into the same bin, and the distances of the
    bins' mean probabilities from their shares are averaged by rows (Naeini, Cooper and Hauskrecht 2015, AAAI; bins of equal
    mass as in Nguyen and O'Connor 2015, EMNLP). Chance alone gives a perfect model an error of about
    0.2 to 0.3 times sqrt(bins / rows), so figures compare only where these are the same.

    Args:
        labels: 0 or 1, (rows,).
        probabilities: Of the positive class, (rows,).
        bins: Their number.

    Raises:
        DataError: No rows, labels other than 0 and 1, or a single class.
        ModelMismatch: Not one finite probability per row.
    """
    check_labels(labels)
    check_probabilities(probabilities, labels.size)
    ranks = rankdata(probabilities, method="min").astype(np.int64) - 1
    distances = np.bincount(ranks * bins // labels.size, weights=probabilities.astype(np.float64) - labels)
    return float(np.abs(distances).sum() / labels.size)


def _find_right(
    labels: Labels, challenger_labels: Labels, champion_labels: Labels
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    check_labels(labels)
    for whose, predicted in (("challenger", challenger_labels), ("champion", champion_labels)):
        if predicted.shape != labels.shape:
            raise ModelMismatch(f"the {whose}'s labels of shape {predicted.shape} are not one for each of {labels.size} rows")
        if not np.isin(predicted, (0, 1)).all():
            raise ModelMismatch(f"the {whose} gave labels other than 0 and 1")
    return challenger_labels == labels, champion_labels == labels


def _pair(
    name: str, challenger_right: NDArray[np.bool_], champion_right: NDArray[np.bool_], confidence: float
) -> PairedAccuracy:
    rows = challenger_right.size
    only_challenger = int(np.count_nonzero(challenger_right & ~champion_right))
    only_champion = int(np.count_nonzero(champion_right & ~challenger_right))
    return PairedAccuracy(
        name=name,
        rows=rows,
        challenger=np.count_nonzero(challenger_right) / rows,
        champion=np.count_nonzero(champion_right) / rows,
        only_challenger=only_challenger,
        only_champion=only_champion,
        gain=paired_gain(only_challenger, only_champion, rows, confidence),
    )
