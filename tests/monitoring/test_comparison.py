import numpy as np
import pytest
from pydantic import ValidationError

from configs.monitoring import MonitoringConfig
from tasks.monitoring.comparison import Measured, compare_profiles, judge_signal
from tasks.monitoring.profile import make_profile
from tests.monitoring.reviews import VOCABULARY_SIZE, draw_reviews

SIGNALS = ["length", "unknown words", "score", "vocabulary", "label balance", "accuracy"]
MONITORING = MonitoringConfig(false_alarm_rate=0.02, resamples=399)


def profile(rows, **drift):
    return make_profile(*draw_reviews(rows, **drift), VOCABULARY_SIZE)


@pytest.fixture(scope="module")
def reference():
    return profile(2000)


def compare(reference, new, monitoring=MONITORING):
    return compare_profiles("films-lstm", "3", reference, new, monitoring)


def drifted(drift):
    return [signal.name for signal in drift.signals if signal.outcome == "drift"]


def test_like_reviews_do_not_alarm(reference):
    drift = compare(reference, profile(400, seed=1))
    assert [signal.name for signal in drift.signals] == SIGNALS
    assert (drift.outcome, drifted(drift)) == ("no drift", [])
    assert drift.sentence.startswith("no drift in 400 new reviews: length (population stability index 0.0")
    assert all(name in drift.sentence for name in SIGNALS)
    assert compare(reference, reference).outcome == "no drift"
    assert drift.accuracy.low < 0.85 < drift.accuracy.high
    assert {signal.level for signal in drift.signals} == {0.02 / 6}


@pytest.mark.parametrize(
    ("planted", "signals"),
    [
        ({"length": 3.0}, {"length"}),
        ({"unknown": 0.4}, {"unknown words"}),
        ({"first_word": 60}, {"vocabulary"}),
        ({"accuracy": 0.6}, {"accuracy"}),
        ({"positive": 0.8}, {"label balance", "score"}),
    ],
)
def test_each_drift_alarms_its_own_signal(reference, planted, signals):
    drift = compare(reference, profile(400, seed=1, **planted))
    assert drift.outcome == "drift"
    assert set(drifted(drift)) == signals
    assert drift.sentence.startswith("drift in 400 new reviews: ")
    assert all(name in drift.sentence for name in signals)


def test_an_accuracy_that_rises_is_no_alarm(reference):
    assert compare(reference, profile(400, seed=1, accuracy=1.0)).outcome == "no drift"


def test_without_labels_two_signals_are_not_known(reference):
    drift = compare(reference, profile(400, seed=1)._replace(labels=None))
    assert [signal.name for signal in drift.signals] == SIGNALS[:4]
    assert {signal.level for signal in drift.signals} == {0.02 / 4}
    assert (drift.accuracy, drift.detectable_drop) == (None, None)
    assert drift.sentence.endswith("without labels, label balance and accuracy are not known")


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_too_few_rows_are_told_and_never_no_drift(reference, rows):
    few = profile(rows)
    for drift, what in ((compare(reference, few), "new reviews"), (compare(few, reference), "reviews in the reference")):
        assert (drift.outcome, drift.signals) == ("not enough rows", ())
        assert f"{rows} {what}, and fewer than 100" in drift.sentence


def test_one_class_and_constant_scores(reference):
    new = profile(400, seed=1)
    ones = np.ones(400, np.int8)
    assert "label balance" in drifted(compare(reference, new._replace(labels=ones)))
    constant = np.full(400, 0.5, np.float32)
    assert drifted(compare(reference, new._replace(probabilities=constant))) == ["score"]
    always = reference._replace(probabilities=np.full(2000, 0.5, np.float32))
    assert drifted(compare(always, new._replace(probabilities=constant))) == []
    assert drifted(compare(always, new)) == ["score"]


def test_reviews_without_a_known_word_are_drift(reference):
    assert {"unknown words", "vocabulary"} <= set(drifted(compare(reference, profile(400, seed=1, unknown=1.0))))


@pytest.mark.parametrize(
    ("size", "p_value", "outcome"),
    [
        (0.3, 0.001, "drift"),
        (0.1, 0.0033, "drift"),
        (0.3, 0.01, "no drift"),
        (0.09, 0.0, "no drift"),
        (np.nan, 0.5, "drift"),
        (0.0, np.nan, "drift"),
        (np.inf, 0.001, "drift"),
    ],
)
def test_a_signal_is_drift_where_it_is_large_and_significant_or_not_known(size, p_value, outcome):
    measured = Measured("length", "median words", 1.0, 2.0, "population stability index", size, 0.1, p_value)
    assert judge_signal(measured, level=0.02 / 6).outcome == outcome


@pytest.mark.parametrize(
    ("key", "value", "planted"),
    [
        ("stability_index", 20.0, {"length": 3.0}),
        ("vocabulary_bits", 1.0, {"first_word": 60}),
        ("accuracy_drop", 0.5, {"accuracy": 0.6}),
        ("false_alarm_rate", 1e-12, {"accuracy": 0.77}),
    ],
)
def test_each_key_changes_what_alarms(reference, key, value, planted):
    new = profile(400, seed=1, **planted)
    assert compare(reference, new).outcome == "drift"
    # `model_copy` checks nothing: so small a rate would need more resamples than this test waits for.
    assert compare(reference, new, MONITORING.model_copy(update={key: value})).outcome == "no drift"


def test_label_balance_and_the_least_rows_have_keys(reference):
    new = profile(400, seed=1)._replace(labels=np.ones(400, np.int8), predicted=np.ones(400, np.int8))
    assert drifted(compare(reference, new)) == ["label balance"]
    assert drifted(compare(reference, new, MonitoringConfig(label_balance=0.9))) == []
    assert compare(reference, new, MonitoringConfig(min_rows=500)).outcome == "not enough rows"


def test_keys_that_could_never_alarm_are_refused():
    with pytest.raises(ValidationError, match="resamples must be 600 or more"):
        MonitoringConfig(false_alarm_rate=0.01, resamples=500)
    with pytest.raises(ValidationError, match="max_rows must be min_rows or more"):
        MonitoringConfig(max_rows=80)
