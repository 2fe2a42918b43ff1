import numpy as np
import pytest

from tasks.errors import ModelMismatch
from tasks.monitoring.profile import GROUP_ROWS, make_profile, read_profile, write_profile
from tests.monitoring.reviews import draw_reviews, take


def same(first, second):
    return (first.word_counts != second.word_counts).nnz == 0 and all(
        np.array_equal(one, other) for one, other in zip(first[:5], second[:5], strict=True)
    )


@pytest.mark.parametrize("rows", [5, 10, 237])
def test_it_is_read_as_it_was_written(tmp_path, rows):
    profile = make_profile(*take(draw_reviews(237), np.arange(rows)), 200)
    write_profile(profile, tmp_path / "profile.parquet")
    assert same(read_profile(tmp_path / "profile.parquet"), profile)
    assert profile.word_counts.shape == (rows // GROUP_ROWS, 200)
    unlabelled = profile._replace(labels=None)
    write_profile(unlabelled, tmp_path / "profile.parquet")
    assert read_profile(tmp_path / "profile.parquet").labels is None


def test_the_order_of_the_rows_makes_no_difference():
    reviews = draw_reviews(237)
    order = np.random.default_rng(0).permutation(237)
    assert same(make_profile(*take(reviews, order), 200), make_profile(*reviews, 200))


def test_words_and_unknown_words_are_counted_as_the_network_reads_them():
    digests, _, *rest = take(draw_reviews(10), np.arange(10))
    ids = np.zeros((10, 6), np.uint16)
    ids[:, -4:] = [1, 2, 7, 7]  # the start marker, an unknown word, and a known one twice
    ids[3] = [0, 0, 0, 0, 0, 1]  # nothing but the marker
    profile = make_profile(digests, ids, *rest, 200)
    assert profile.word_counts.sum() == profile.word_counts[0, 7] == 18
    assert sorted(profile.unknown) == [0.0] + [pytest.approx(1 / 3)] * 9


def test_equal_texts_go_to_different_groups():
    digests, ids, *rest = draw_reviews(100)
    first = take((digests, ids, *rest), np.zeros(100, int))[0]
    twice = digests.take(np.repeat(np.arange(50), 2))
    ids = np.zeros((100, 4), np.uint16)
    ids[:, 3] = np.repeat(np.arange(50), 2) + 4
    counts = make_profile(twice, ids, *rest, 200).word_counts.toarray()
    assert counts.max() == 1
    assert make_profile(first, ids, *rest, 200).word_counts.sum() == 100


def test_a_score_that_is_none_is_refused():
    digests, ids, words, probabilities, *rest = draw_reviews(20)
    probabilities[3] = np.nan
    with pytest.raises(ModelMismatch, match="1 of 20 scores are no probabilities"):
        make_profile(digests, ids, words, probabilities, *rest, 200)
