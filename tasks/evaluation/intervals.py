"""Confidence intervals of shares and of resampled statistics."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tasks.handles import Interval


def wilson_interval(successes: int, trials: int, confidence: float) -> Interval:
    """Return a share with its Wilson score interval (Wilson 1927, without continuity correction).

    Of no trials nothing is known: the interval is 0 to 1, and the value 0, as scikit-learn has it.
    """
    if trials == 0:
        return Interval(value=0.0, low=0.0, high=1.0)
    bounds = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(value=successes / trials, low=float(bounds.low), high=float(bounds.high))


def percentile_interval(value: float, resampled: NDArray[np.float64], confidence: float) -> Interval:
    """Return a value with the percentile interval of its bootstrap distribution (Efron 1981).

    Args:
        value: The statistic on the rows themselves.
        resampled: The statistic on each resample (samples,); NaN where a resample leaves it undefined, which is passed over.
        confidence: The share of the distribution between the bounds.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled[~np.isnan(resampled)], [tail, 1 - tail])
    return Interval(value=float(value), low=float(low), high=float(high))
