import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from configs.schema import GateConfig
from tasks.evaluation.comparison import mcnemar, paired_gain
from tasks.handles import Comparison, HighWaterMark, Interval, PairedAccuracy, SeedNoise, Standing
from tasks.registration.gate import judge

FLOORS = {"accuracy": 0.8, "roc_auc": 0.85}
BETTER, NOT_WORSE = GateConfig(), GateConfig(promote_if="not_worse")
CHECKS = ["complete", "finite", "floors", "calibration", "latency", "size", "slices", "high-water mark", "gain", "seed noise"]


def pair(only_challenger: int, only_champion: int, rows: int, name: str = "all", confidence: float = 0.95) -> PairedAccuracy:
    both = round(0.80 * rows)
    return PairedAccuracy(
        name=name,
        rows=rows,
        challenger=(both + only_challenger) / rows,
        champion=(both + only_champion) / rows,
        only_challenger=only_challenger,
        only_champion=only_champion,
        gain=paired_gain(only_challenger, only_champion, rows, confidence),
    )


def standing(version: str, accuracy: float, **changes: Any) -> Standing:
    return Standing(
        version=version,
        metrics={"accuracy": accuracy, "roc_auc": 0.93},
        calibration_error=0.02,
        latency_milliseconds=5.0,
        bytes=900_000,
    ).model_copy(update=changes)


def compare(only_challenger: int = 1420, only_champion: int = 1240, of_rows: int = 20_000, **changes: Any) -> Comparison:
    """A challenger that is to be promoted: 87.10 % against 86.20 % of 20,000 rows."""
    accuracy = pair(only_challenger, only_champion, of_rows)
    test, p_value = mcnemar(only_challenger, only_champion)
    return Comparison(
        gate_sha256="aa",
        rows=of_rows,
        overlap_rows=0,
        decided_before=2,
        gate_changed=False,
        challenger=standing("4", accuracy.challenger),
        champion=standing("3", accuracy.champion),
        accuracy=accuracy,
        test=test,
        p_value=p_value,
        slices=(pair(600, 550, 9000, "1-200 words", 0.99), pair(720, 690, 11_000, "over 200 words", 0.99)),
        high_water=HighWaterMark(version="2", accuracy=0.863),
        noise=SeedNoise(accuracies=(0.86, 0.865, 0.862), spread=0.0025, gate_sha256="aa", config_sha256="bb"),
    ).model_copy(update=changes)


def first(**changes: Any) -> Comparison:
    """A challenger where there is no champion yet."""
    nothing = dict.fromkeys(("champion", "accuracy", "test", "p_value", "high_water", "noise"))
    return compare(**{**nothing, "slices": (), **changes})


def with_gain(low: float, value: float, high: float, p_value: float = 0.001, **changes: Any) -> Comparison:
    accuracy = pair(1420, 1240, 20_000).model_copy(update={"gain": Interval(value=value, low=low, high=high)})
    return compare(**{"accuracy": accuracy, "p_value": p_value, "noise": None, **changes})


def passed(verdict) -> dict[str, bool | None]:
    return {check.name: check.passed for check in verdict.checks}


def test_a_challenger_shown_to_be_better_is_promoted():
    verdict = judge(compare(), floors=FLOORS, gate=BETTER)
    assert verdict.outcome == "promote"
    assert verdict.reason == (
        "Version 4 becomes champion: accuracy 87.10% against 86.20% of version 3 on 20,000 gate rows, "
        "gain 0.90 points [0.39, 1.41], McNemar p 0.0005 (mid-p), seed noise 0.25 points."
    )
    assert passed(verdict) == dict.fromkeys(CHECKS, True)
    assert all(check.sentence.endswith(".") and not check.sentence[0].islower() for check in verdict.checks)


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("complete", {"rows": 0}, "version 4 was scored on 0 gate rows, and the gate needs 100"),
        ("complete", {"rows": 19_999}, "accuracies of 20,000 rows were given for 19,999 gate rows"),
        ("complete", {"accuracy": None}, "the comparison with version 3 lacks accuracy"),
        ("complete", {"p_value": None, "test": None}, "lacks test, p_value"),
        ("complete", {"slices": ()}, "lacks slices"),
        ("finite", {"p_value": math.nan}, "comparison.p_value is nan"),
        ("floors", {"challenger": standing("4", 0.79995)}, "accuracy 0.79995 of version 4 is below the floor 0.8"),
        ("floors", {"challenger": standing("4", 0.871, metrics={"accuracy": 0.871})}, "roc_auc nan of version 4 is below"),
        ("calibration", {"challenger": standing("4", 0.871, calibration_error=0.2)}, "error 0.2 is not within 0.1"),
        ("calibration", {"challenger": standing("4", 0.871, calibration_error=-1.0)}, "error -1 is not within 0.1"),
        (
            "latency",
            {"challenger": standing("4", 0.871, latency_milliseconds=10.1)},
            "10.1 ms of version 4 is not within 2 times",
        ),
        ("latency", {"champion": standing("3", 0.862, latency_milliseconds=0.0)}, "the 0 ms of version 3"),
        ("latency", {"challenger": standing("4", 0.871, latency_milliseconds=-1.0)}, "latency -1 ms"),
        ("size", {"challenger": standing("4", 0.871, bytes=1_800_001)}, "1,800,001 bytes of version 4 is not within 2 times"),
        ("size", {"challenger": standing("4", 0.871, bytes=-1)}, "size -1 bytes of version 4 is not within"),
        ("slices", {"slices": (pair(10, 150, 2000, "negative", 0.99),)}, "('negative', 2,000 rows, gains -7.00 points ["),
        (
            "high-water mark",
            {"high_water": HighWaterMark(version="2", accuracy=0.8761)},
            "accuracy 87.10% is more than 0.50 points below the best",
        ),
    ],
)
def test_each_check_that_fails_alone_keeps_the_champion(name, changes, told):
    verdict = judge(compare(**changes), floors=FLOORS, gate=BETTER)
    assert verdict.outcome == "keep"
    assert [check.name for check in verdict.checks if check.passed is False] == [name]
    assert verdict.reason.startswith("Version 3 stays champion over version 4: ")
    assert told in verdict.reason
    assert verdict.reason.count(".  ") == 0
    assert "nan%" not in verdict.reason


def test_a_challenger_shown_to_be_worse_is_kept_out():
    verdict = judge(compare(1240, 1420, noise=None), floors=FLOORS, gate=BETTER)
    assert (verdict.outcome, passed(verdict)["gain"]) == ("keep", False)
    assert verdict.reason == (
        "Version 3 stays champion over version 4: a gain is ruled out (-0.90 points [-1.41, -0.39], McNemar p 0.0005 (mid-p)); "
        "accuracy 86.20% against 87.10% of version 3 on 20,000 gate rows."
    )


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((1230, 1240), "and version 4 may be worse by more than 0.50 points"),
        ((1270, 1240), "and version 4 is shown not to be worse by more than 0.50 points"),
    ],
)
def test_a_gain_neither_shown_nor_ruled_out_is_undecided(counts, told):
    verdict = judge(compare(*counts), floors=FLOORS, gate=BETTER)
    assert (verdict.outcome, passed(verdict)["gain"]) == ("undecided", None)
    assert verdict.reason.startswith("Version 3 stays champion, undecided on version 4: a gain is neither")
    assert told in verdict.reason


def test_the_first_version_under_which_every_floor_lies_is_promoted():
    verdict = judge(first(), floors=FLOORS, gate=BETTER)
    assert verdict.outcome == "promote"
    assert verdict.reason == (
        "Version 4 becomes the first champion on 20,000 gate rows: every floor is reached (accuracy 0.871 >= 0.8, "
        "roc_auc 0.93 >= 0.85), and calibration error 0.02 is within 0.1."
    )
    assert list(passed(verdict)) == ["complete", "finite", "floors", "calibration"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rows": 99}, "scored on 99 gate rows, and the gate needs 100"),
        ({"challenger": standing("4", 0.7999)}, "below the floor 0.8"),
        ({"challenger": standing("4", math.nan)}, "comparison.challenger.metrics.accuracy is nan"),
        ({"challenger": standing("4", 0.871, metrics={})}, "accuracy nan of version 4 is below"),
        ({"challenger": standing("4", 0.871, calibration_error=0.11)}, "calibration error 0.11"),
        # A champion that went missing is no reason to forget how good it was, nor to take the challenger for the first.
        ({"high_water": HighWaterMark(version="3", accuracy=0.88)}, "below the best that was promoted, 88.00% of version 3"),
        ({"accuracy": pair(1420, 1240, 20_000)}, "the comparison has accuracy but no champion"),
        ({"slices": (pair(10, 10, 100),)}, "the comparison has slices but no champion"),
    ],
)
def test_without_a_champion_the_other_checks_stand(changes, told):
    verdict = judge(first(**changes), floors=FLOORS, gate=BETTER)
    assert verdict.outcome == "keep"
    assert verdict.reason.startswith("Version 4 stays challenger: ")
    assert told in verdict.reason


def test_a_champion_that_went_missing_is_followed_by_one_that_holds_its_mark():
    mark = HighWaterMark(version="3", accuracy=0.872)
    verdict = judge(first(high_water=mark), floors=FLOORS, gate=BETTER)
    assert verdict.outcome == "promote"
    assert "becomes champion, where there was none, on 20,000" in verdict.reason


def float_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, float):
        return [path]
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return [found for key, part in parts for found in float_paths(part, (*path, key))]


def replaced(comparison: Comparison, path: tuple[Any, ...], number: float) -> Comparison:
    values = comparison.model_dump(mode="json")
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = number
    return Comparison.model_validate(values)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("base", [compare(), first()], ids=["champion", "no champion"])
def test_a_number_that_is_not_finite_promotes_nothing_wherever_it_stands(base, number):
    assert judge(base, floors=FLOORS, gate=BETTER).outcome == "promote"
    paths = float_paths(base.model_dump(mode="json"))
    assert len(paths) == (29 if base.champion else 4)
    for path in paths:
        verdict = judge(replaced(base, path, number), floors=FLOORS, gate=BETTER)
        assert (verdict.outcome, passed(verdict)["finite"]) == ("keep", False), path
        assert str(path[-1]) in verdict.reason


@pytest.mark.parametrize(
    ("comparison", "floors", "outcome"),
    [
        (compare(challenger=standing("4", 0.8)), FLOORS, "promote"),
        (compare(challenger=standing("4", 0.9, calibration_error=0.1)), FLOORS, "promote"),
        (compare(challenger=standing("4", 0.9, latency_milliseconds=10.0, bytes=1_800_000)), FLOORS, "promote"),
        (with_gain(1e-9, 0.01, 0.02), FLOORS, "promote"),
        (with_gain(0.0, 0.01, 0.02), FLOORS, "undecided"),
        (with_gain(-0.02, -0.01, 0.0), FLOORS, "undecided"),
        (with_gain(-0.02, -0.01, -1e-9), FLOORS, "keep"),
        (with_gain(0.001, 0.01, 0.02, p_value=1 - 0.95), FLOORS, "undecided"),
        (with_gain(0.001, 0.01, 0.02, p_value=0.0499), FLOORS, "promote"),
        (with_gain(0.001, 0.01, 0.02, p_value=-0.1), FLOORS, "undecided"),
        (compare(noise=SeedNoise(accuracies=(), spread=90 / 20_000, gate_sha256="", config_sha256="")), FLOORS, "promote"),
        (compare(noise=SeedNoise(accuracies=(), spread=91 / 20_000, gate_sha256="", config_sha256="")), FLOORS, "undecided"),
        (compare(), {"accuracy": math.nan}, "keep"),
    ],
)
def test_boundaries(comparison, floors, outcome):
    assert judge(comparison, floors=floors, gate=BETTER).outcome == outcome


def sliced(*bounds: tuple[float, float, float]) -> Comparison:
    intervals = [Interval(low=low, value=value, high=high) for low, value, high in bounds]
    return compare(slices=tuple(pair(1, 1, 50).model_copy(update={"gain": interval}) for interval in intervals))


@pytest.mark.parametrize(
    ("comparison", "outcome"),
    [
        (sliced((-0.9, -0.2, 0.5), (-0.09, -0.07, -0.05)), "promote"),
        # The slice that loses most by its value is not the one that is sure to lose.
        (sliced((-0.9, -0.2, 0.5), (-0.09, -0.07, -0.0501)), "keep"),
    ],
)
def test_a_slice_fails_where_its_whole_interval_lies_below_the_margin(comparison, outcome):
    assert judge(comparison, floors=FLOORS, gate=BETTER).outcome == outcome


@pytest.mark.parametrize(("mark", "outcome"), [(1.0, "promote"), (1.0001, "keep")])
def test_the_mark_is_held_at_the_margin_itself(mark, outcome):
    gate = GateConfig(non_inferiority_margin=0.125)
    comparison = compare(1500, 1240, high_water=HighWaterMark(version="2", accuracy=mark))
    assert comparison.accuracy.challenger == 0.875
    assert judge(comparison, floors=FLOORS, gate=gate).outcome == outcome


@pytest.mark.parametrize(
    ("comparison", "outcome", "gain"),
    [
        (with_gain(-0.004, 0.0, 0.004, p_value=1.0), "promote", True),
        (with_gain(-0.005, 0.0, 0.005, p_value=1.0), "undecided", None),
        (with_gain(-0.004, -0.002, -0.001, p_value=0.01), "promote", True),
        (with_gain(-0.009, -0.008, -0.006, p_value=0.0), "keep", False),
        (with_gain(-0.004, 0.001, 0.006, noise=compare().noise, p_value=0.5), "promote", True),
    ],
)
def test_where_it_suffices_not_to_be_worse(comparison, outcome, gain):
    verdict = judge(comparison, floors=FLOORS, gate=NOT_WORSE)
    assert (verdict.outcome, passed(verdict)["gain"]) == (outcome, gain)
    told = next(check.sentence for check in verdict.checks if check.name == "gain")
    assert told.startswith("No loss of more than 0.50 points is ")


def test_a_gain_below_the_seed_noise_is_undecided_and_says_so():
    noise = SeedNoise(accuracies=(0.86, 0.88), spread=0.0125, gate_sha256="aa", config_sha256="bb")
    verdict = judge(compare(noise=noise), floors=FLOORS, gate=BETTER)
    assert (verdict.outcome, passed(verdict)["seed noise"], passed(verdict)["gain"]) == ("undecided", None, True)
    assert "the gain of 0.90 points does not reach 2 times the 1.25 by which seeds alone differ" in verdict.reason


@pytest.mark.parametrize(
    ("setting", "comparison", "before", "after"),
    [
        ({"promote_if": "not_worse"}, with_gain(-0.004, 0.001, 0.006, p_value=0.6), "undecided", "promote"),
        ({"min_rows": 20_001}, compare(), "promote", "keep"),
        ({"confidence": 0.9999}, compare(), "promote", "undecided"),
        ({"required_gain": 0.005}, compare(), "promote", "undecided"),
        ({"required_gain": 0.02}, compare(), "promote", "keep"),
        ({"non_inferiority_margin": 0.02}, compare(high_water=HighWaterMark(version="2", accuracy=0.89)), "keep", "promote"),
        ({"slice_margin": 0.09}, compare(slices=(pair(10, 150, 2000, "negative", 0.99),)), "keep", "promote"),
        ({"max_calibration_error": 0.01}, compare(), "promote", "keep"),
        ({"max_latency_ratio": 0.9}, compare(), "promote", "keep"),
        ({"max_size_ratio": 0.9}, compare(), "promote", "keep"),
        ({"noise_multiple": 4.0}, compare(), "promote", "undecided"),
    ],
)
def test_every_setting_changes_an_outcome(setting, comparison, before, after):
    assert judge(comparison, floors=FLOORS, gate=BETTER).outcome == before
    assert judge(comparison, floors=FLOORS, gate=GateConfig(**setting)).outcome == after


def test_no_setting_is_left_out_above():
    tried = test_every_setting_changes_an_outcome.pytestmark[0].args[1]
    assert {name for case in tried for name in case[0]} == set(GateConfig.model_fields)


def test_small_losses_are_written_without_a_sign():
    verdict = judge(with_gain(-0.00001, -0.000001, 0.00001, p_value=0.9), floors=FLOORS, gate=BETTER)
    assert "(0.00 points [0.00, 0.00], McNemar p 0.9000 (mid-p)" in verdict.reason
    sentences = [check.sentence for check in verdict.checks]
    assert not any("-0.00" in sentence for sentence in (verdict.reason, *sentences))


def test_it_says_how_often_the_rows_decided_and_what_was_left_out_of_them():
    verdict = judge(compare(overlap_rows=120, decided_before=1), floors=FLOORS, gate=BETTER)
    assert verdict.checks[0].sentence == (
        "20,000 gate rows, without 120 that a version was trained on, which took 1 decision before."
    )


COUNTS = st.integers(0, 400)


@given(COUNTS, COUNTS, st.integers(1, 5000), st.sampled_from([0.8, 0.95, 0.99]))
def test_none_is_promoted_whose_interval_holds_0(only_challenger, only_champion, others, confidence):
    rows = only_challenger + only_champion + others
    accuracy = pair(only_challenger, only_champion, rows, confidence=confidence)
    test, p_value = mcnemar(only_challenger, only_champion)
    comparison = compare(rows=rows, accuracy=accuracy, test=test, p_value=p_value, high_water=None, noise=None)
    verdict = judge(comparison, floors=FLOORS, gate=GateConfig(confidence=confidence, min_rows=1))
    assert (verdict.outcome == "promote") == (accuracy.gain.low > 0 and p_value + confidence < 1)
    assert (verdict.outcome == "keep") == (accuracy.gain.high < 0)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1))
@example(1.0, 0.0, 0.0, 0.05)
def test_nor_where_the_interval_was_made_up(low, value, high, p_value):
    verdict = judge(with_gain(low, value, high, p_value), floors=FLOORS, gate=BETTER)
    assert verdict.outcome != "promote" or (low > 0 and p_value < 0.05)


@given(COUNTS, COUNTS)
def test_p_and_interval_agree_but_for_a_hair(only_challenger, only_champion):
    gain, p_value = paired_gain(only_challenger, only_champion, 20_000, 0.95), mcnemar(only_challenger, only_champion)[1]
    # The exact test below 25 discordant rows is more cautious than the interval.
    if only_challenger + only_champion >= 25 and not 0.04 < p_value < 0.06:
        assert (p_value < 0.05) == (gain.low > 0 or gain.high < 0)


def test_it_says_that_the_champion_was_decided_on_by_other_rows():
    verdict = judge(compare(gate_changed=True), floors=FLOORS, gate=BETTER)
    assert "version 3 was decided on by others, and is scored on these now" in verdict.checks[0].sentence
