import math

import numpy as np
import pytest

from tasks.registration.noise import spread_of_difference


def test_two_accuracies_spread_by_their_difference():
    assert spread_of_difference([0.80, 0.83]) == pytest.approx(0.03)
    assert spread_of_difference([0.8, 0.8, 0.8]) == pytest.approx(0, abs=1e-12)


def test_the_spread_is_that_of_differences_of_independent_draws():
    rng = np.random.default_rng(0)
    accuracies = rng.normal(0.86, 0.002, 20_000)
    assert spread_of_difference(accuracies) == pytest.approx(np.std(accuracies[::2] - accuracies[1::2]), rel=0.02)


def test_one_accuracy_has_no_spread():
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        assert math.isnan(spread_of_difference([0.8]))
