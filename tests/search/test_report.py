import pytest

from configs.loading import check_section
from configs.sweep import SweepConfig
from tasks.errors import TrialFailed
from tasks.handles import TrialOutcome
from tasks.search.report import best_of, trial_line, write_sweep


def make_sweep(metric="val_loss"):
    space = {"model.lstm_units": {"low": 1, "high": 9}}
    return check_section({"name": "x", "trials": 3, "metric": metric, "space": space}, "x", SweepConfig)


def outcome(number, state="complete", value=0.5, error=None):
    params = {"model.lstm_units": number + 1}
    return TrialOutcome(number=number, state=state, value=value, params=params, epochs=3, run_id="r", error=error)


TRIALS = [
    outcome(0, value=0.4),
    outcome(1, value=0.3),
    outcome(2, value=0.3),
    outcome(3, "pruned", 0.1, "pruned at epoch 1"),
    outcome(4, "failed", None, "TrainingDiverged: loss | is nan"),
]


def test_the_best_trial_is_complete_and_the_first_of_equals():
    assert best_of(TRIALS, make_sweep()).number == 1
    assert best_of(TRIALS, make_sweep("val_accuracy")).number == 0


def test_where_none_is_complete_the_first_error_is_told():
    with pytest.raises(TrialFailed, match=r"none of 1 trials is complete; TrainingDiverged"):
        best_of(TRIALS[4:], make_sweep())


def test_the_page_has_every_trial_and_marks_the_best():
    page = write_sweep(TRIALS, TRIALS[1], make_sweep())
    assert "**Trial 1** is best, with val_loss 0.3000: `model.lstm_units` 2" in page
    assert "3 complete, 1 pruned, 1 failed" in page
    assert "| **1** | complete | 0.3000 | 3 | 2 |  |" in page
    assert "| 4 | failed |  | 3 | 5 | TrainingDiverged: loss \\| is nan |" in page


def test_a_trial_is_told_in_one_line():
    assert trial_line(TRIALS[0], make_sweep()) == "trial 0 complete: val_loss 0.4000 after 3 epochs (lstm_units 1)"
    assert trial_line(TRIALS[3], make_sweep()) == "trial 3 pruned: pruned at epoch 1 (lstm_units 4)"
