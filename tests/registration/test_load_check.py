import numpy as np
import pytest

from tasks.errors import ModelMismatch
from tasks.registration.load_check import FreshProcess, compare_scores


def test_equal_scores_pass_with_their_largest_difference():
    assert compare_scores(np.array([0.5, 0.25]), np.array([0.5, 0.25 + 1e-7]), 1e-6) == pytest.approx(1e-7)


@pytest.mark.parametrize("found", [[0.5, 0.26], [0.5], [0.5, np.nan]])
def test_other_scores_are_refused(found):
    with pytest.raises(ModelMismatch):
        compare_scores(np.array([0.5, 0.25]), np.array(found), 1e-6)


def test_a_model_that_cannot_be_loaded_is_refused_in_one_line(tmp_path):
    with FreshProcess() as fresh, pytest.raises(ModelMismatch, match="cannot be used in a fresh process") as refusal:
        fresh.score(tmp_path, ["a film"])
    assert "\n" not in str(refusal.value)
