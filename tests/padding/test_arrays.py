from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.padding import arrays
from tasks.padding.arrays import read_train_texts, write_arrays
from tasks.padding.vocabulary import fit_vocabulary
from tasks.served_model import TextEncoder

TEXTS = ["good good film", "bad film", "good", "unseen words here now", "bad bad bad bad bad", ""]
SPLITS = ["train", "validation", "train", "test", "test", "train"]


@pytest.fixture
def reviews_path(tmp_path):
    table = pa.table({"text": TEXTS, "label": pa.array([1, 0, 1, 0, 1, 0], pa.int8()), "split": SPLITS})
    pq.write_table(table, tmp_path / "reviews.parquet")
    return tmp_path / "reviews.parquet"


def test_the_vocabulary_comes_from_train_alone_most_frequent_first(reviews_path):
    assert fit_vocabulary(read_train_texts(reviews_path), 10) == ("good", "film")
    assert fit_vocabulary(read_train_texts(reviews_path), 1) == ("good",)


def test_counts_add_up_over_batches_and_ties_are_alphabetical():
    assert fit_vocabulary([pa.array(["b c"]), pa.array(["a c b c"])], 3) == ("c", "b", "a")


@given(batches=st.lists(st.lists(st.lists(st.sampled_from("abcdefgh")).map(" ".join)), max_size=12), size=st.integers(1, 9))
def test_the_vocabulary_is_that_of_a_plain_count(batches, size):
    counts = Counter(word for texts in batches for text in texts for word in text.split())
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    assert fit_vocabulary([pa.array(texts, pa.string()) for texts in batches], size) == tuple(ranked[:size])


@pytest.mark.parametrize("group_rows", [2, 4, 6])
@pytest.mark.parametrize("batch_rows", [1, 2, 8192])
def test_each_split_gets_its_rows_whatever_the_batches(reviews_path, tmp_path, monkeypatch, batch_rows, group_rows):
    monkeypatch.setattr(arrays, "BATCH_ROWS", batch_rows)
    pq.write_table(pq.read_table(reviews_path), reviews_path, row_group_size=group_rows)
    encoder = TextEncoder(("good", "bad", "film"), vocabulary_size=7, maxlen=4)
    rows, shares = write_arrays(reviews_path, encoder, np.array([2]), tmp_path)
    assert rows == {"train": 2, "validation": 1, "test": 2}
    load = {
        name: np.load(tmp_path / f"{name}.npy")
        for name in ("ids_train", "rows_train", "labels_test", "lengths_test", "ids_test")
    }
    assert load["ids_train"].tolist() == [[1, 4, 4, 6], [0, 0, 0, 1]]
    assert load["rows_train"].tolist() == [0, 5]
    assert load["labels_test"].tolist() == [0, 1]
    assert load["lengths_test"].tolist() == [5, 6]
    assert load["ids_test"].tolist() == [[2, 2, 2, 2], [5, 5, 5, 5]]
    assert [str(array.dtype) for array in load.values()] == ["uint16", "int64", "int8", "int32", "uint16"]
    assert shares["test"] == (1.0, 4 / 9, 0.0)
    assert shares["train"] == (0.0, 0.0, 3 / 8)


def test_a_split_without_rows_has_empty_arrays(reviews_path, tmp_path):
    rows, shares = write_arrays(reviews_path, TextEncoder(("good",), 7, 4), np.array([1]), tmp_path)
    assert rows["validation"] == 0
    assert shares["validation"] == (0.0, 0.0, 0.0)
    assert np.load(tmp_path / "ids_validation.npy", mmap_mode="r").shape == (0, 4)
