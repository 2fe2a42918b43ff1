import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.evaluation.mistakes import TEXT_LIMIT, list_mistakes, rank_mistakes, read_texts


@pytest.fixture
def reviews(tmp_path):
    """100 reviews in row groups of 7, so that a row's group and place must both be found."""
    path = tmp_path / "reviews.parquet"
    table = pa.table({"text": [f"review {row}" for row in range(100)], "label": pa.array([0, 1] * 50, pa.int8())})
    pq.write_table(table, path, row_group_size=7)
    return path


def test_known_mistakes_worst_first():
    labels = np.array([0, 1, 1, 0, 1, 0], dtype=np.int8)
    probabilities = np.array([0.7, 0.05, 0.9, 0.99, 0.3, 0.1], dtype=np.float32)
    assert rank_mistakes(labels, probabilities, threshold=0.5, limit=10).tolist() == [3, 1, 0, 4]
    assert rank_mistakes(labels, probabilities, threshold=0.5, limit=2).tolist() == [3, 1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.sampled_from([0.2, 0.5, 0.8]))
def test_no_mistake_left_out_is_worse_than_one_listed(seed, limit, threshold):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, 60)
    probabilities = generator.integers(0, 11, 60) / 10
    listed = rank_mistakes(labels, probabilities, threshold=threshold, limit=limit)
    error = np.abs(probabilities - labels)
    wrong = np.flatnonzero((probabilities >= threshold) != labels)
    assert listed.size == min(limit, wrong.size)
    assert (np.diff(error[listed]) <= 0).all()
    assert set(listed) <= set(wrong)
    left_out = np.setdiff1d(wrong, listed)
    assert not left_out.size or error[left_out].max() <= error[listed].min()


@given(st.lists(st.integers(0, 99), max_size=30))
def test_texts_come_in_the_order_of_the_rows(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "ordered.parquet"
    if not path.exists():
        pq.write_table(pa.table({"text": [f"review {row}" for row in range(100)]}), path, row_group_size=7)
    assert read_texts(path, np.array(rows, dtype=np.int64)) == [f"review {row}" for row in rows]


@pytest.mark.parametrize("rows", [[3, 100], [-1, 3]])
def test_a_row_that_is_not_there_is_refused(reviews, rows):
    with pytest.raises(DataError, match="100 rows and no row"):
        read_texts(reviews, np.array(rows))


def test_the_table_of_mistakes(reviews):
    labels = np.array([0, 1, 1], dtype=np.int8)
    probabilities = np.array([0.75, 0.125, 0.9], dtype=np.float32)
    found = list_mistakes(
        labels,
        probabilities,
        rows=np.array([90, 8, 50]),
        lengths=np.array([2, 3, 4], dtype=np.int32),
        reviews=reviews,
        threshold=0.5,
        limit=10,
    )
    assert found.to_dict("records") == [
        {"row": 8, "label": 1, "probability": 0.125, "error": 0.875, "words": 3, "text": "review 8"},
        {"row": 90, "label": 0, "probability": 0.75, "error": 0.75, "words": 2, "text": "review 90"},
    ]
    assert found.dtypes.astype(str).tolist() == ["int64", "int8", "float32", "float32", "int32", "str"]


def test_a_model_without_mistakes_has_an_empty_table(reviews):
    found = list_mistakes(
        np.array([0, 1]),
        np.array([0.1, 0.9]),
        rows=np.array([1, 2]),
        lengths=np.array([2, 2]),
        reviews=reviews,
        threshold=0.5,
        limit=5,
    )
    assert found.empty
    assert list(found) == ["row", "label", "probability", "error", "words", "text"]


@pytest.mark.parametrize(("length", "cut"), [(TEXT_LIMIT, False), (TEXT_LIMIT + 1, True)])
def test_long_texts_are_cut(tmp_path, length, cut):
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table({"text": ["é" * length]}), path)
    one = np.array([0])
    (text,) = list_mistakes(one, np.array([0.9]), rows=one, lengths=one, reviews=path, threshold=0.5, limit=1)["text"]
    assert len(text) == TEXT_LIMIT
    assert text.endswith("…") is cut
