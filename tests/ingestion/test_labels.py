from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.ingestion.labels import LabelColumn, SplitColumn, name_rows

NEGATIVE, POSITIVE = ["0", "neg", "NA"], ["1", "pos"]


def map_batches(*batches):
    column = LabelColumn(NEGATIVE, POSITIVE, column="sentiment", where="f.csv")
    for batch in batches:
        column.add(batch)
    return column.labels()


def map_values(values, kind=None):
    return map_batches(pa.array(values, kind))


@given(st.lists(st.sampled_from(NEGATIVE + POSITIVE), min_size=1))
def test_words_are_mapped_by_the_lists(values):
    mapped = map_values(values)
    assert mapped.dtype == np.int8
    assert mapped.tolist() == [int(value in POSITIVE) for value in values]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint8()])
def test_integers_count_as_their_digits(kind):
    assert map_values([1, 0, 1], kind).tolist() == [1, 0, 1]


def test_a_dictionary_column_is_mapped_too():
    encoded = pa.array(["pos", "neg", "pos"]).dictionary_encode()
    assert map_batches(encoded).tolist() == [1, 0, 1]


@given(st.lists(st.text(max_size=4), min_size=1, max_size=30))
def test_whatever_is_in_neither_list_is_refused_with_its_value_and_rows(values):
    known = set(NEGATIVE + POSITIVE)
    bad = [value for value in values if value not in known]
    if not bad:
        assert len(map_values(values)) == len(values)
        return
    with pytest.raises(DataError) as caught:
        map_values(values)
    rows = [number for number, value in enumerate(values, start=1) if value == bad[0]]
    assert "column 'sentiment'" in str(caught.value)
    assert f"{'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows[:5]))}" in str(caught.value)
    assert "no label" in str(caught.value) if bad[0] == "" else repr(bad[0]) in str(caught.value)


@pytest.mark.fault("table hostile")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.0, 1.0], r"f\.csv: column 'sentiment' holds 0\.0 in row 1 \(and 1 more unknown values\)"),
        ([True, False], "holds True in row 1"),
        (["pos", " pos"], "holds ' pos' in row 2,"),
        (["pos", "POS"], "holds 'POS' in row 2,"),
        (["pos", None, "neg", None], "has no label in rows 2, 4"),
        (["pos", ""], "has no label in row 2"),
        ([1.0, float("nan")][1:], "has no label in row 1"),
        ([None, None], "has no label in rows 1, 2"),
        ([b"1"], "holds b'1' in row 1"),
        ([["1"]], "cannot be labels"),
        (["pos"] + ["meh"] * 7, "holds 'meh' in rows 2, 3, 4, 5, 6 and 2 more"),
    ],
)
def test_nothing_is_cast_and_nothing_is_guessed(values, message):
    with pytest.raises(DataError, match=message):
        map_values(values)


@pytest.mark.parametrize(
    ("chosen", "words"), [([0, 1], "row 2"), ([1, 0, 1], "rows 1, 3"), ([1] * 6, "rows 1, 2, 3, 4, 5 and 1 more")]
)
def test_rows_are_named_from_one_and_five_at_most(chosen, words):
    assert name_rows(np.array(chosen, dtype=bool)) == words


VALUES = st.sampled_from([*NEGATIVE, *POSITIVE, "", "meh", "bad", None])


def outcome(*batches):
    try:
        return map_batches(*batches).tolist()
    except DataError as error:
        return str(error)


@given(values=st.lists(VALUES, max_size=40), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_batches_are_told_as_one_column(values, cuts):
    whole = pa.array(values, pa.string())
    edges = [0, *sorted(cuts), len(values)]
    batches = [whole.slice(start, max(end - start, 0)) for start, end in pairwise(edges)]
    batches[0] = batches[0].dictionary_encode()
    assert outcome(*batches) == outcome(whole)


def test_splits_are_told_over_batches():
    column = SplitColumn(column="part", where="f.csv")
    column.add(pa.array(["train", "test"]))
    assert column.splits().tolist() == ["train", "test"]
    column.add(pa.array(["dev", "validation", None, "dev"]))
    with pytest.raises(
        DataError, match=r"f\.csv: column 'part' holds 'dev' in rows 3, 6; a split is one of train, validation, "
    ):
        column.splits()
