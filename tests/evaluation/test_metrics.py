import warnings
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import accuracy_score, precision_score, recall_score

from configs.schema import Metric
from tasks.errors import DataError, ModelMismatch
from tasks.evaluation.bootstrap import cross_entropy
from tasks.evaluation.metrics import count_confusion, measure, measure_points
from tasks.evaluation.scores import predict_labels

NAMES = ["loss", "accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "brier_score"]
SETTINGS = {"threshold": 0.5, "confidence": 0.95, "bootstrap_samples": 400, "seed": 0}


def test_known_values():
    labels = np.array([0, 0, 0, 1, 1], dtype=np.int8)
    probabilities = np.array([0.1, 0.2, 0.8, 0.4, 0.9])
    found = {name: interval.value for name, interval in measure(labels, probabilities, **SETTINGS).items()}
    assert list(found) == NAMES
    assert found == pytest.approx(
        {
            "loss": -(np.log([0.9, 0.8, 0.2, 0.4, 0.9])).mean(),
            "accuracy": 3 / 5,
            "precision": 1 / 2,
            "recall": 1 / 2,
            "f1": 1 / 2,
            "roc_auc": 5 / 6,
            "average_precision": (1 + 2 / 3) / 2,
            "brier_score": (0.01 + 0.04 + 0.64 + 0.36 + 0.01) / 5,
        }
    )
    assert count_confusion(labels, probabilities, 0.5) == ((2, 1), (1, 1))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_values_are_finite_and_those_of_scikit_learn(data):
    size = data.draw(st.integers(2, 25))
    labels = np.array([0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))], dtype=np.int8)
    scores = st.lists(st.floats(0, 1, width=32), min_size=labels.size, max_size=labels.size)
    probabilities = np.array(data.draw(scores), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure(labels, probabilities, threshold=0.4, confidence=0.9, bootstrap_samples=100, seed=1)
    predicted = predict_labels(probabilities, 0.4)
    points = measure_points(labels, predicted, probabilities)
    assert points == pytest.approx({name: found[name].value for name in points})
    assert set(points) == {*get_args(Metric)}
    assert found["accuracy"].value == pytest.approx(accuracy_score(labels, predicted))
    assert found["precision"].value == pytest.approx(precision_score(labels, predicted, zero_division=0))
    assert found["recall"].value == pytest.approx(recall_score(labels, predicted))
    for interval in found.values():
        assert np.isfinite([interval.value, interval.low, interval.high]).all()
        assert interval.low <= interval.high


def test_shares_have_the_wilson_interval_of_scipy(scored_rows):
    labels, probabilities = scored_rows
    (_, false_positives), (misses, hits) = count_confusion(labels, probabilities, 0.5)
    found = measure(labels, probabilities, **SETTINGS)
    for name, trials in (("precision", hits + false_positives), ("recall", hits + misses)):
        bounds = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
        assert (found[name].low, found[name].high) == (bounds.low, bounds.high)


def test_bootstrap_intervals_of_means_are_near_the_normal_ones(scored_rows):
    labels, probabilities = scored_rows
    found = measure(labels, probabilities, **{**SETTINGS, "bootstrap_samples": 2000})
    z = norm.ppf(0.975)
    for name, values in (
        ("brier_score", np.square(probabilities.astype(float) - labels)),
        ("loss", cross_entropy(labels, probabilities)),
    ):
        half = z * values.std(ddof=1) / np.sqrt(values.size)
        assert found[name].value == pytest.approx(values.mean(), rel=1e-6)
        assert found[name].low == pytest.approx(values.mean() - half, abs=0.15 * half)
        assert found[name].high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_the_interval_of_the_auc_covers_the_true_one_as_often_as_it_says():
    # Normal scores one standard deviation apart have the AUC Phi(1 / sqrt 2).
    truth, covered, generator = norm.cdf(1 / np.sqrt(2)), 0, np.random.default_rng(11)
    for _ in range(200):
        labels = generator.integers(0, 2, 300)
        probabilities = norm.cdf(generator.normal(size=300) + labels)
        interval = measure(labels, probabilities, threshold=0.5, confidence=0.9, bootstrap_samples=200, seed=0)["roc_auc"]
        covered += interval.low <= truth <= interval.high
    # Four standard errors of a share of 0.9 among 200 are 0.085.
    assert covered / 200 == pytest.approx(0.9, abs=0.085)


def test_a_higher_confidence_gives_wider_intervals(scored_rows):
    narrow, wide = (measure(*scored_rows, **{**SETTINGS, "confidence": confidence}) for confidence in (0.8, 0.99))
    for name in NAMES:
        assert wide[name].low < narrow[name].low < narrow[name].high < wide[name].high
        assert wide[name].value == narrow[name].value


def test_the_seed_decides_the_intervals(scored_rows):
    first, again, other = (measure(*scored_rows, **{**SETTINGS, "seed": seed}) for seed in (0, 0, 1))
    assert first == again
    assert first["roc_auc"] != other["roc_auc"]


def test_the_input_is_left_as_it_was(scored_rows):
    labels, probabilities = (array.copy() for array in scored_rows)
    for array in (labels, probabilities):
        array.flags.writeable = False
    assert measure(labels, probabilities, **SETTINGS) == measure(*scored_rows, **SETTINGS)


def test_a_model_that_finds_nothing_has_a_precision_of_which_nothing_is_known():
    found = measure(np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3]), **SETTINGS)
    assert (found["precision"].value, found["precision"].low, found["precision"].high) == (0.0, 0.0, 1.0)
    assert found["f1"].value == found["f1"].high == 0.0


@pytest.mark.parametrize(
    ("labels", "probabilities", "error"),
    [
        ([], [], DataError),
        ([1, 1], [0.5, 0.6], DataError),
        ([0, 3], [0.5, 0.6], DataError),
        ([0, 1], [0.5, np.nan], ModelMismatch),
        ([0, 1], [0.5, 1.5], ModelMismatch),
        ([0, 1], [0.5], ModelMismatch),
    ],
)
def test_unfit_input_is_refused(labels, probabilities, error):
    with pytest.raises(error):
        measure(np.array(labels, dtype=np.int8), np.array(probabilities, dtype=np.float32), **SETTINGS)
