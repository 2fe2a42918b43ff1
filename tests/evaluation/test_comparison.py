import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from tasks.errors import DataError, ModelMismatch
from tasks.evaluation.comparison import (
    compare_accuracy,
    compare_slices,
    expected_calibration_error,
    mcnemar,
    mid_p,
    paired_gain,
)
from tasks.handles import PairedAccuracy

COUNTS = st.integers(0, 3000)
CONFIDENCES = st.sampled_from([0.8, 0.9, 0.95, 0.99])
BANDS = [100, 200, 300]


@pytest.mark.parametrize("discordant", range(1, 25))
def test_below_25_discordant_rows_the_test_is_exact(discordant):
    for count in range(discordant + 1):
        assert mcnemar(count, discordant - count) == ("exact", binomtest(count, discordant).pvalue)


def test_without_a_discordant_row_p_is_1():
    assert mcnemar(0, 0) == ("exact", 1.0)


@given(COUNTS, COUNTS)
@example(209, 209)
@example(1, 1074)
def test_from_25_on_it_is_the_exact_p_less_the_probability_of_what_was_seen(first, second):
    test, p_value = mcnemar(first, second)
    discordant = first + second
    assert test == ("exact" if discordant < 25 else "mid-p")
    assert 0 <= p_value <= 1
    if discordant >= 25 and first != second:
        exact = binomtest(first, discordant)
        seen = exact.pvalue - binomtest(min(first, second) - 1, discordant).pvalue if min(first, second) else exact.pvalue
        assert p_value == pytest.approx(exact.pvalue - seen / 2, rel=1e-9, abs=1e-300)


def test_p_values_of_published_examples():
    # Fagerland, Lydersen and Laake 2013, tables 1 and 2: 1 against 7, and 6 against 16 discordant pairs.
    assert round(mcnemar(1, 7)[1], 3) == 0.070
    assert round(mid_p(1, 7), 3) == 0.039
    assert round(mcnemar(16, 6)[1], 6) == 0.052479
    assert round(mid_p(16, 6), 6) == 0.034690


def test_intervals_of_published_examples():
    # The second from Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8.
    first, second = paired_gain(26, 4, 40, 0.95), paired_gain(6, 16, 161, 0.95)
    assert (first.low, first.high) == pytest.approx((0.3126438, 0.7349752), abs=1e-7)
    assert [round(bound, 4) for bound in (second.value, second.low, second.high)] == [-0.0621, -0.1195, -0.0032]


@given(COUNTS, COUNTS, st.integers(0, 20_000), CONFIDENCES)
def test_swapping_the_models_turns_the_gain_and_leaves_p(first, second, others, confidence):
    rows = first + second + others
    gain, turned = paired_gain(first, second, rows, confidence), paired_gain(second, first, rows, confidence)
    assert (gain.value, gain.low, gain.high) == (-turned.value, -turned.high, -turned.low)
    assert -1 <= gain.low <= gain.value <= gain.high <= 1
    assert gain.value == ((first - second) / rows if rows else 0)
    assert mcnemar(first, second) == mcnemar(second, first)


@given(COUNTS, COUNTS, st.integers(0, 20_000))
def test_more_confidence_is_a_wider_interval(first, second, others):
    narrow, wide = (paired_gain(first, second, first + second + others, confidence) for confidence in (0.9, 0.99))
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


def test_nothing_is_known_from_no_rows():
    gain = paired_gain(0, 0, 0, 0.95)
    assert (gain.value, gain.low, gain.high) == (0.0, -1.0, 1.0)


@pytest.mark.parametrize(("rows", "gained", "lost"), [(60, 0.05, 0.02), (60, 0.2, 0.1), (2000, 0.06, 0.06)])
def test_the_interval_covers_the_true_gain_as_often_as_it_says(rows, gained, lost):
    generator = np.random.default_rng(0)
    counts = generator.multinomial(rows, [gained, lost, 1 - gained - lost], size=2000)
    gains = [paired_gain(int(first), int(second), rows, 0.95) for first, second, _ in counts]
    covered = np.mean([gain.low <= gained - lost <= gain.high for gain in gains])
    assert 0.935 <= covered <= 0.995  # three standard errors below; the interval is wide where counts are small


def test_known_pairs():
    labels = np.array([0, 0, 1, 1, 1], dtype=np.int8)
    challenger, champion = np.array([0, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 0])
    found = compare_accuracy("all", labels, challenger, champion, 0.95)
    assert found == PairedAccuracy(
        name="all",
        rows=5,
        challenger=0.6,
        champion=0.4,
        only_challenger=2,
        only_champion=1,
        gain=paired_gain(2, 1, 5, 0.95),
    )


def test_slices_are_named_counted_and_widened_for_their_number():
    labels = np.array([0, 1, 1, 0, 1], dtype=np.int8)
    challenger, champion = np.array([0, 1, 1, 0, 1]), np.array([0, 1, 0, 1, 1])
    lengths = np.array([1, 100, 101, 301, 5000])
    found = compare_slices(labels, lengths, challenger, champion, bands=BANDS, confidence=0.95)
    assert [(part.name, part.rows, part.only_challenger, part.only_champion, part.gain) for part in found] == [
        ("1-100 words", 2, 0, 0, paired_gain(0, 0, 2, 0.99)),
        ("101-200 words", 1, 1, 0, paired_gain(1, 0, 1, 0.99)),
        ("over 300 words", 2, 1, 0, paired_gain(1, 0, 2, 0.99)),
        ("negative", 2, 1, 0, paired_gain(1, 0, 2, 0.99)),
        ("positive", 3, 1, 0, paired_gain(1, 0, 3, 0.99)),
    ]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_more_slices_widen_those_that_stay_and_the_parts_add_up(seed):
    generator = np.random.default_rng(seed)
    labels = np.append([0, 1], generator.integers(0, 2, 98))
    challenger, champion = generator.integers(0, 2, (2, 100))
    lengths = np.append([50, 250], generator.integers(0, 500, 98))
    few, many = (
        compare_slices(labels, lengths, challenger, champion, bands=bands, confidence=0.95) for bands in ([400], BANDS)
    )
    assert len(many) > len(few)
    for narrow, wide in zip(few[-2:], many[-2:], strict=True):
        assert narrow.gain.value == wide.gain.value
        assert wide.gain.low < narrow.gain.low
        assert narrow.gain.high < wide.gain.high
    whole = compare_accuracy("all", labels, challenger, champion, 0.95)
    for parts in (many[:-2], many[-2:]):
        assert sum(part.rows for part in parts) == whole.rows
        assert sum(part.only_challenger for part in parts) == whole.only_challenger
        assert sum(part.only_champion for part in parts) == whole.only_champion


@pytest.mark.parametrize("labels", [[], [1, 1], [0, 0], [0, 2]])
def test_labels_that_cannot_decide_are_refused(labels):
    rows = np.array(labels, dtype=np.int8)
    for compare in (
        lambda: compare_accuracy("all", rows, rows, rows, 0.95),
        lambda: compare_slices(rows, np.ones_like(rows), rows, rows, bands=BANDS, confidence=0.95),
        lambda: expected_calibration_error(rows, rows.astype(float)),
    ):
        with pytest.raises(DataError):
            compare()


@pytest.mark.parametrize(("wrong", "message"), [([0, 1, 1], "shape"), ([0, np.nan], "other than"), ([0, 0.4], "other than")])
def test_predicted_labels_that_are_none_are_refused_by_model(wrong, message):
    labels, lengths = np.array([0, 1]), np.array([5, 6])
    for challenger, champion, whose in ((np.array(wrong), labels, "challenger"), (labels, np.array(wrong), "champion")):
        with pytest.raises(ModelMismatch, match=f"{whose}.*{message}"):
            compare_accuracy("all", labels, challenger, champion, 0.95)
        with pytest.raises(ModelMismatch, match=f"{whose}.*{message}"):
            compare_slices(labels, lengths, challenger, champion, bands=BANDS, confidence=0.95)


@pytest.mark.parametrize("lengths", [[1, 2, 3], [1, -1]])
def test_lengths_that_are_none_are_refused(lengths):
    labels = np.array([0, 1])
    with pytest.raises(DataError, match="0 words or more"):
        compare_slices(labels, np.array(lengths), labels, labels, bands=BANDS, confidence=0.95)


def test_a_calibrated_model_has_an_error_near_0_and_a_boastful_one_has_not():
    generator = np.random.default_rng(0)
    probabilities = generator.random(30_000)
    labels = (generator.random(30_000) < probabilities).astype(np.int8)
    assert expected_calibration_error(labels, probabilities) < 0.012
    # Rounding to the nearer end errs by the mean distance from it, a quarter.
    assert expected_calibration_error(labels, probabilities.round()) == pytest.approx(0.25, abs=0.01)


def test_known_calibration_errors():
    labels = np.array([0, 1, 0, 1], dtype=np.int8)
    assert expected_calibration_error(labels, np.array([0.0, 1.0, 0.0, 1.0])) == 0
    assert expected_calibration_error(labels, np.array([1.0, 0.0, 1.0, 0.0])) == 1
    # Bins of two: means 0.15 and 0.7 against shares 0 and 1.
    assert expected_calibration_error(labels, np.array([0.1, 0.6, 0.2, 0.8]), bins=2) == pytest.approx((0.15 + 0.3) / 2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_the_order_of_the_rows_changes_no_calibration_error(seed, bins):
    generator = np.random.default_rng(seed)
    labels = np.append([0, 1], generator.integers(0, 2, 40))
    probabilities = generator.integers(0, 5, 42) / 4  # with many ties
    order = generator.permutation(42)
    error = expected_calibration_error(labels, probabilities, bins)
    assert expected_calibration_error(labels[order], probabilities[order], bins) == pytest.approx(error, abs=1e-12)
    assert 0 <= error <= 1


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1])
def test_scores_that_are_no_probabilities_have_no_calibration_error(wrong):
    with pytest.raises(ModelMismatch):
        expected_calibration_error(np.array([0, 1]), np.array([0.5, wrong]))
