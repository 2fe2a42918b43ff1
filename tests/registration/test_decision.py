import math

import pytest

from tasks.handles import Interval
from tasks.registration.decision import decide_alias

FLOORS = {"accuracy": 0.8, "roc_auc": 0.85}


def metrics(accuracy=0.87, roc_auc=0.94):
    return {"accuracy": Interval(value=accuracy, low=0, high=1), "roc_auc": Interval(value=roc_auc, low=0, high=1)}


def test_the_first_version_over_every_floor_is_crowned():
    decision = decide_alias(metrics(0.8, 0.85), FLOORS, version="1", champion=None)
    assert (decision.outcome, decision.alias, decision.champion) == ("promote", "champion", "1")


@pytest.mark.parametrize("champion", [None, "1"])
@pytest.mark.parametrize("bad", [{"accuracy": 0.7999}, {"roc_auc": 0.84}, {"accuracy": math.nan}, {"roc_auc": -math.inf}])
def test_a_value_below_its_floor_or_not_a_number_is_kept_out(champion, bad):
    decision = decide_alias(metrics(**bad), FLOORS, version="2", champion=champion)
    assert (decision.outcome, decision.alias, decision.champion) == ("keep", "challenger", champion)
    assert f"test {next(iter(bad))}" in decision.reason


def test_a_metric_that_was_not_measured_passes_no_floor():
    assert decide_alias({}, FLOORS, version="1", champion=None).outcome == "keep"


def test_a_champion_is_not_replaced():
    decision = decide_alias(metrics(0.99, 0.99), FLOORS, version="2", champion="1")
    assert (decision.outcome, decision.alias, decision.champion) == ("keep", "challenger", "1")
    assert "Version 1 stays champion" in decision.reason
