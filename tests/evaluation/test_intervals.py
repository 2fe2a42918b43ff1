import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from tasks.evaluation.intervals import percentile_interval, wilson_interval


@given(st.integers(1, 30_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_bounds_solve_the_score_equation(counts, confidence):
    successes, trials = counts
    interval = wilson_interval(successes, trials, confidence)
    assert interval.value == successes / trials
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    z = norm.ppf((1 + confidence) / 2)
    for bound in (interval.low, interval.high):
        assert (interval.value - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / trials, rel=1e-6, abs=1e-9)


def test_wilson_of_a_published_example():
    # 15 of 148: Newcombe, Statistics in Medicine 17 (1998), table I.
    interval = wilson_interval(15, 148, 0.95)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.0624, 0.1605)


def test_nothing_is_known_from_no_trials():
    interval = wilson_interval(0, 0, 0.95)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 1.0)


def test_percentiles_pass_over_undefined_resamples():
    resampled = np.append(np.arange(101.0), [np.nan, np.nan])
    interval = percentile_interval(47, resampled, 0.9)
    assert (interval.value, interval.low, interval.high) == pytest.approx((47, 5, 95))
