"""How far two samples differ, and how probable so large a difference is between two samples of one source."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from scipy.spatial.distance import jensenshannon
from scipy.stats import fisher_exact, ks_2samp, norm

BINS = 10
AT_ONCE = 50
"""Resamples whose counts are held at once."""
ENOUGH = 10
"""Resamples that differ as much as what was observed, after which no further ones are drawn: it is then no rare difference."""
ROUNDING = 1e-12

Values = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]


class Difference(NamedTuple):
    """A difference's size and its p-value; NaN where it cannot be told."""

    size: float
    p_value: float


def stability_index(reference: Values, new: Values) -> float:
    """Return the population stability index over tenths of the reference, sum((p - q) ln(p / q)) (Siddiqi 2006, section 8).

    Half a row is added to each bin (Jeffreys), so that an empty one is not an infinite difference. A value that more than a
    tenth of the reference has gets a bin of its own.

    Args:
        reference: finite values (rows,), at least one.
        new: finite values (rows,), at least one.
    """
    tenths = np.quantile(reference.astype(np.float64), np.arange(1, BINS) / BINS, method="inverted_cdf")
    repeated = tenths[1:][tenths[1:] == tenths[:-1]]
    edges = np.unique(np.concatenate([tenths, np.nextafter(repeated, -np.inf)]))  # a bin ends with its upper edge
    shares = []
    for values in (reference, new):
        counts = np.bincount(np.searchsorted(edges, values.astype(np.float64)), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    return float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())


def compare_values(reference: Values, new: Values) -> Difference:
    """Return the stability index of values, and the p-value of the two-sample Kolmogorov-Smirnov test.

    Where values repeat, the test's p-values are larger than exact ones: it errs on the side of no alarm.

    Args:
        reference: finite values (rows,), at least one.
        new: finite values (rows,), at least one.
    """
    return Difference(stability_index(reference, new), float(ks_2samp(reference, new, method="asymp").pvalue))


class VocabularyDifference(NamedTuple):
    """A Jensen-Shannon divergence in bits, 0 to 1.

    `expected` is what two samples of these sizes from one source have on average.
    """

    divergence: float
    expected: float
    p_value: float


def compare_vocabularies(reference: csr_array, new: csr_array, *, resamples: int, seed: int) -> VocabularyDifference:
    """Compare word frequencies by a permutation test over groups of reviews.

    Frequencies of thousands of words differ between any two samples, the more the smaller these are and the more a word
    is said again within one review. So what is expected is measured: all groups of both are dealt anew into two samples of the
    same sizes. The p-value is exact for samples of one source, whatever their sizes, also where dealing ends as soon as
    `ENOUGH` divergences reached the one observed (Besag and Clifford 1991).

    Args:
        reference: counts of words by group (groups, words).
        new: likewise, of groups of as many reviews.
        resamples: how often to deal, at the most.
        seed: of the dealing.
    """
    pooled = vstack([reference, new]).tocsr()
    groups, drawn = pooled.shape[0], new.shape[0]
    total = np.asarray(pooled.sum(axis=0), dtype=np.float64)[None, :]
    (observed,) = _divergence(total, np.asarray(new.sum(axis=0), dtype=np.float64)[None, :])
    if not np.isfinite(observed):
        return VocabularyDifference(np.nan, np.nan, np.nan)
    generator = np.random.default_rng(seed)
    dealt = np.empty(0)
    reached = np.empty(0, np.int64)
    while len(dealt) < resamples and len(reached) < ENOUGH:
        chosen = np.zeros((groups, min(AT_ONCE, resamples - len(dealt))), np.float32)
        for column in chosen.T:
            column[generator.choice(groups, drawn, replace=False)] = 1
        dealt = np.append(dealt, _divergence(total, np.asarray((pooled.T @ chosen).T, dtype=np.float64)))
        reached = np.flatnonzero(~(dealt < observed - ROUNDING))
    ended = len(reached) >= ENOUGH
    p_value = ENOUGH / (reached[ENOUGH - 1] + 1) if ended else (len(reached) + 1) / (resamples + 1)
    return VocabularyDifference(float(observed), float(dealt.mean()), float(p_value))


def _divergence(total: NDArray[np.float64], part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the divergence between parts (parts, words) and what they leave of the total (1, words), for each part."""
    with np.errstate(invalid="ignore"):  # a part without a known word has no frequencies: NaN
        distances: NDArray[np.float64] = jensenshannon(part, total - part, base=2, axis=1)
    return distances**2


def compare_shares(counts: tuple[int, int], rows: tuple[int, int], *, lower_only: bool = False) -> Difference:
    """Return by how much a share of the rows differs, and the p-value of Fisher's exact test.

    Args:
        counts: how many rows of the reference, and of the new ones, are counted.
        rows: of how many, one or more each.
        lower_only: test only whether the new share is lower; the size is then the fall.
    """
    (reference, new), (reference_rows, new_rows) = counts, rows
    table = [[new, new_rows - new], [reference, reference_rows - reference]]
    p_value = float(fisher_exact(table, alternative="less" if lower_only else "two-sided").pvalue)
    fall = reference / reference_rows - new / new_rows
    return Difference(fall if lower_only else abs(fall), p_value)


def detectable_fall(share: float, old_rows: int, new_rows: int, level: float, power: float = 0.8) -> float:
    """Return the fall of a share that a one-sided test at `level` finds with probability `power`, by normal approximation."""
    spread = np.sqrt(share * (1 - share) * (1 / old_rows + 1 / new_rows))
    return float((norm.isf(level) + norm.isf(1 - power)) * spread)
