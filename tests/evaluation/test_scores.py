import numpy as np
import pytest

from tasks.errors import DataError, ModelMismatch
from tasks.evaluation.scores import check_labels, check_probabilities, predict_labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "no rows"),
        ([[0], [1]], "no rows"),
        ([0, 1, 2], "2 is among them"),
        ([0, 1, -1], "-1 is among them"),
        ([1, 1], "all 2 labels are positive"),
        ([0, 0, 0], "all 3 labels are negative"),
    ],
)
def test_unfit_labels_are_refused(labels, message):
    with pytest.raises(DataError, match=message) as refusal:
        check_labels(np.array(labels, dtype=np.int8))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -1e-6, 1.000001])
def test_values_that_are_no_probabilities_are_refused_by_position(wrong):
    with pytest.raises(ModelMismatch, match=r"1 of 3 scores .* position 1"):
        check_probabilities(np.array([0.0, wrong, 1.0]), 3)


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), (0,)])
def test_a_wrong_number_of_scores_is_refused(shape):
    with pytest.raises(ModelMismatch, match="for 3 rows"):
        check_probabilities(np.full(shape, 0.5), 3)


def test_what_is_fit_passes():
    check_labels(np.array([0, 1], dtype=np.int8))
    check_probabilities(np.array([0.0, 1.0], dtype=np.float32), 2)


def test_a_score_at_the_threshold_is_positive():
    assert predict_labels(np.array([0.499, 0.5, 0.501]), 0.5).tolist() == [0, 1, 1]


def test_the_threshold_is_compared_as_the_served_model_compares_it():
    just_below = np.array([0.7], dtype=np.float32)  # the nearest float32 lies below 0.7
    assert predict_labels(just_below, 0.7).tolist() == [int(float(just_below[0]) >= 0.7)] == [0]
