import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.spatial.distance import jensenshannon

from tasks.monitoring.statistics import compare_shares, compare_values, compare_vocabularies, detectable_fall, stability_index

RNG = np.random.default_rng(5)
VALUES = RNG.lognormal(5, 0.6, 4000)


def counts(groups, words=50, shift=0.0, seed=0):
    """Words of groups of reviews; of one source unless shifted."""
    frequencies = np.arange(1, words + 1) ** -1.0
    frequencies[: words // 2] += shift
    return csr_array(np.random.default_rng(seed).multinomial(500, frequencies / frequencies.sum(), groups))


def test_the_same_values_do_not_differ_whatever_their_order():
    assert compare_values(VALUES, VALUES[::-1]) == (0.0, 1.0)
    new = VALUES[:500] * 1.5
    assert compare_values(VALUES, new) == compare_values(np.sort(VALUES), np.random.default_rng(0).permutation(new))


def test_the_index_is_the_one_of_the_formula():
    reference = np.arange(1000)
    new = np.repeat([50, 950], 100)  # all in the first and the last tenth
    p, q = np.full(10, 100.5) / 1005, np.array([100.5, *[0.5] * 8, 100.5]) / 205
    assert stability_index(reference, new) == pytest.approx(((p - q) * np.log(p / q)).sum())


def test_a_multiple_of_the_length_is_large_and_significant():
    found = compare_values(VALUES, 3 * VALUES[:200])
    assert found.size > 1
    assert found.p_value < 1e-20


@pytest.mark.parametrize(
    ("reference", "new", "large"),
    [
        (np.full(300, 0.5), np.full(200, 0.5), False),
        (np.full(300, 0.5), np.linspace(0, 1, 200), True),
        (np.full(300, 0.5), np.full(200, 0.4), True),
        (np.full(300, 0.5), np.full(200, 0.6), True),
        (
            np.repeat([0.0, 0.1, 0.2], [200, 50, 50]),
            np.repeat([0.0, 0.1, 0.2], [20, 90, 90]),
            True,
        ),  # most have no unknown word
    ],
)
def test_values_that_repeat_are_told_apart(reference, new, large):
    found = compare_values(reference, new)
    assert (found.size > 0.1, found.p_value < 0.001) == (large, large)


def test_words_of_one_source_alarm_no_more_often_than_they_may():
    """The p-values of 200 clean pairs: with 10 % of them below 0.1, fewer than 7 or more than 35 would come once in 1,000."""
    found = [
        compare_vocabularies(counts(40, seed=seed), counts(10, seed=1000 + seed), resamples=199, seed=seed).p_value
        for seed in range(200)
    ]
    assert 7 <= np.sum(np.array(found) <= 0.1) <= 35
    assert min(found) >= 1 / 200


def test_the_divergence_is_that_of_the_frequencies_and_what_is_expected_is_as_large():
    reference, new = counts(40), counts(10, seed=1)
    found = compare_vocabularies(reference, new, resamples=199, seed=0)
    assert found.divergence == pytest.approx(jensenshannon(reference.sum(axis=0), new.sum(axis=0), base=2) ** 2)
    assert found.expected == pytest.approx(found.divergence, rel=0.3)
    assert found == compare_vocabularies(reference, new, resamples=199, seed=0)


def test_other_words_diverge_by_more_than_is_expected():
    found = compare_vocabularies(counts(40), counts(10, shift=0.5, seed=1), resamples=199, seed=0)
    assert found.divergence > found.expected + 0.01
    assert found.p_value == 1 / 200


def test_without_a_known_word_nothing_is_known():
    found = compare_vocabularies(counts(40), csr_array((10, 50), dtype=np.int64), resamples=99, seed=0)
    assert np.isnan(found).all()


def test_shares_are_compared_exactly():
    assert compare_shares((50, 10), (100, 20)) == (0.0, 1.0)
    balance = compare_shares((250, 20), (500, 100))
    assert balance.size == pytest.approx(0.3)
    assert balance.p_value < 1e-6
    assert compare_shares((430, 70), (500, 100), lower_only=True).p_value < 1e-3
    better = compare_shares((430, 99), (500, 100), lower_only=True)
    assert better.size < 0
    assert better.p_value > 0.99


def test_the_detectable_fall_is_found_in_about_four_of_five_samples():
    level, reference, rows = 0.02 / 6, (4300, 5000), 1000
    fall = detectable_fall(0.86, 5000, rows, level)
    right = np.random.default_rng(1).binomial(rows, 0.86 - fall, 400)
    found = np.mean([compare_shares((reference[0], int(one)), (5000, rows), lower_only=True).p_value <= level for one in right])
    assert 0.7 < found < 0.9
