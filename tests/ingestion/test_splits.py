import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.ingestion.corpus import Corpus
from tasks.ingestion.splits import draw_rows, hold_out_validation


def corpus_of(labels, splits):
    texts = pa.array([f"text {number}" for number in range(len(labels))])
    return Corpus([texts], np.array(labels, np.int8), np.array(splits, dtype=object))


@settings(deadline=None, max_examples=50)
@given(
    negatives=st.integers(10, 300),
    positives=st.integers(10, 300),
    fraction=st.floats(0.1, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_share_of_each_label_is_drawn_and_the_same_each_time(negatives, positives, fraction, seed):
    labels = np.random.default_rng(seed).permutation([0] * negatives + [1] * positives)
    drawn = draw_rows(labels, fraction, seed, purpose="test")
    assert np.array_equal(drawn, draw_rows(labels, fraction, seed, purpose="test"))
    for label, count in ((0, negatives), (1, positives)):
        assert abs(drawn[labels == label].sum() - fraction * count) < 2


def test_another_seed_draws_other_rows():
    labels = np.array([0, 1] * 200)
    assert not np.array_equal(draw_rows(labels, 0.2, 0, purpose="test"), draw_rows(labels, 0.2, 1, purpose="test"))


def test_validation_comes_out_of_train_alone_and_rows_keep_their_order():
    before = corpus_of([0, 1] * 100, ["train"] * 150 + ["test"] * 50)
    after = hold_out_validation(before, 0.2, 7)
    assert after.count_rows() == {"train": 120, "validation": 30, "test": 50}
    assert after.texts == before.texts
    assert np.array_equal(after.labels, before.labels)
    assert set(after.splits[150:]) == {"test"}
    assert after.labels[after.splits == "validation"].sum() == 15


def test_a_source_with_its_own_validation_rows_keeps_them():
    before = corpus_of([0, 1] * 10, ["train"] * 10 + ["validation"] * 4 + ["test"] * 6)
    assert np.array_equal(hold_out_validation(before, 0.2, 0).splits, before.splits)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_source_without_a_split_is_refused(missing):
    other = {"train": "test", "test": "train"}[missing]
    with pytest.raises(DataError, match=f"the source has no {missing} rows"):
        hold_out_validation(corpus_of([0, 1, 0, 1], [other] * 4), 0.5, 0)


def test_too_few_rows_of_a_label_are_counted():
    with pytest.raises(DataError, match=r"cannot take 0\.2 of 6 rows \(5 of label 0, 1 of label 1\) for validation"):
        hold_out_validation(corpus_of([0] * 5 + [1, 0, 1], ["train"] * 6 + ["test"] * 2), 0.2, 0)


def test_one_label_alone_is_left_for_validation_to_refuse():
    assert hold_out_validation(corpus_of([1] * 20, ["train"] * 10 + ["test"] * 10), 0.2, 0).count_rows()["validation"] == 2
