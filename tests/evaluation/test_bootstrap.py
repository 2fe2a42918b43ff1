import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from tasks.evaluation.bootstrap import CLIP_HIGH, CLIP_LOW, cross_entropy, draw_counts, rank_rows, resample_metrics, weigh
from tasks.evaluation.scores import predict_labels

# Few distinct scores, so that ties are the rule, and the ends, where the loss is clipped.
SCORES = st.sampled_from([0.0, 1e-9, 0.1, 0.25, 0.5, 0.5000001, 0.75, 0.9, 1.0]) | st.floats(0, 1, width=32)


@st.composite
def weighted_rows(draw):
    size = draw(st.integers(2, 30))
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)), dtype=np.int8)
    probabilities = np.array(draw(st.lists(SCORES, min_size=size, max_size=size)), dtype=np.float32)
    weight = st.integers(0, 4).map(float) | st.floats(0.125, 8)
    weights = np.array(draw(st.lists(weight, min_size=size, max_size=size)))
    return labels, probabilities, weights


@settings(max_examples=300, deadline=None)
@given(weighted_rows(), st.sampled_from([0.3, 0.5, 0.9]))
def test_every_weighted_metric_equals_that_of_scikit_learn(rows, threshold):
    labels, probabilities, weights = rows
    if weights.sum() == 0:
        weights = weights + 1
    found = weigh(rank_rows(labels, probabilities, threshold), weights[None, :])
    clipped = np.clip(probabilities.astype(float), CLIP_LOW, CLIP_HIGH)
    expected = {
        "loss": log_loss(labels, clipped, labels=[0, 1], sample_weight=weights),
        "brier_score": brier_score_loss(labels, probabilities, sample_weight=weights, pos_label=1, labels=[0, 1]),
        "f1": f1_score(labels, predict_labels(probabilities, threshold), sample_weight=weights, zero_division=0.0),
    }
    if np.unique(labels[weights > 0]).size == 2:
        expected["roc_auc"] = roc_auc_score(labels, probabilities, sample_weight=weights)
        expected["average_precision"] = average_precision_score(labels, probabilities, sample_weight=weights)
    else:
        expected["roc_auc"] = expected["average_precision"] = np.nan
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True), name


@given(weighted_rows())
@settings(deadline=None)
def test_counts_as_weights_equal_repeated_rows(rows):
    labels, probabilities, weights = rows
    counts = np.ceil(weights).astype(int)
    if counts.sum() == 0:
        counts = counts + 1
    weighted = weigh(rank_rows(labels, probabilities, 0.5), counts[None, :].astype(float))
    repeated = np.repeat(labels, counts), np.repeat(probabilities, counts)
    plain = weigh(rank_rows(*repeated, 0.5), np.ones((1, counts.sum())))
    for name in plain:
        assert weighted[name] == pytest.approx(plain[name], rel=1e-12, nan_ok=True), name


def test_weighing_divides_by_nothing_that_is_zero():
    rows = rank_rows(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.9]), 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = weigh(rows, np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0]]))
    assert found["roc_auc"].tolist() == pytest.approx([np.nan, np.nan, 1.0], nan_ok=True)
    assert found["f1"].tolist() == [0.0, 1.0, 1.0]


def test_weights_that_only_one_class_has_leave_one_class_whatever_their_sum_is_rounded_to():
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    weights = np.zeros((200, 11))
    weights[:, labels == 0] = np.random.default_rng(0).uniform(0.125, 8, size=(200, 6))
    weights[100:] = weights[100:, ::-1] * (1 - labels)
    weights[150:] = np.roll(weights[150:], 1, axis=1) * labels  # of the other class alone
    found = weigh(rank_rows(labels, np.zeros(11), 0.3), weights)
    assert np.isnan(found["roc_auc"]).all()
    assert np.isnan(found["average_precision"]).all()


def test_each_resample_draws_as_many_rows_as_there_are():
    counts = np.concatenate(list(draw_counts(1000, 333, 0)))
    assert counts.shape == (333, 1000)
    assert (counts.sum(axis=1) == 1000).all()
    # A row is left out of a resample with probability (1 - 1/n)^n; 4 standard errors are 0.003.
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 1000) ** 1000, abs=0.003)


def test_a_short_last_chunk_changes_no_earlier_resample():
    whole, part = (np.concatenate(list(draw_counts(30_000, samples, 5))) for samples in (5, 3))
    assert (whole[:3] == part).all()
    assert (whole[0] != whole[1]).any()


def test_two_models_are_resampled_on_the_same_rows(scored_rows):
    labels, probabilities = scored_rows
    loss = cross_entropy(labels, probabilities).mean()
    sharper = np.clip(probabilities * 1.01, 0, 1)
    first, second = (resample_metrics(labels, p, threshold=0.5, samples=200, seed=3) for p in (probabilities, sharper))
    assert loss == pytest.approx(first["loss"].mean(), rel=0.02)
    # Unpaired, the spread of the difference would be that of each loss times the root of two.
    assert (first["loss"] - second["loss"]).std() < 0.2 * first["loss"].std()


def test_cross_entropy_is_clipped_where_keras_clips():
    labels = np.array([1, 0, 1, 0], dtype=np.int8)
    found = cross_entropy(labels, np.array([0.0, 1.0, 1.0, 0.0], dtype=np.float32))
    # keras.losses.BinaryCrossentropy of the same four rows, which it computes in float32.
    assert found == pytest.approx([16.118095, 15.942385, 1.192093e-07, 1.192093e-07], rel=1e-5, abs=3e-8)
