from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from tasks.errors import ModelMismatch
from tasks.scoring import scores
from tasks.scoring.scores import MAX_CHARACTERS, SCORES, cut_chunks, find_errors, score
from tasks.scoring.window import in_order


def predict(texts):
    return [SimpleNamespace(probability=1 / len(text), label=len(text) % 2) for text in texts]


def strings(*values):
    return pa.array(values, pa.string())


@pytest.mark.fault("text hostile")
def test_a_row_has_a_score_or_the_reason_why_not():
    texts = strings("ab", None, "", " \n", "x" * (MAX_CHARACTERS + 1), None, "abc", "x" * MAX_CHARACTERS)
    found = score(texts, strings(None, None, None, None, None, "this is no text but int", None, None), predict)
    assert found.schema == SCORES
    assert found["probability"].to_pylist() == [1 / 2, None, None, None, None, None, 1 / 3, 1 / MAX_CHARACTERS]
    assert found["label"].to_pylist() == [0, None, None, None, None, None, 1, 0]
    assert found["error"].to_pylist() == [
        None,
        "there is no text",
        "the text is blank",
        "the text is blank",
        "100001 characters are too many: at most 100,000 are scored",
        "this is no text but int",
        None,
        None,
    ]


@pytest.mark.parametrize("texts", [[], [None], ["", None]])
def test_a_batch_without_a_text_needs_no_model(texts):
    found = score(strings(*texts), pa.nulls(len(texts), pa.string()), lambda texts: pytest.fail("asked"))
    assert (len(found), found["probability"].null_count, found["error"].null_count) == (len(texts), len(texts), 0)


@pytest.mark.parametrize("value", [np.nan, 1.5])
def test_a_model_that_gives_no_probability_stops_the_work(value):
    with pytest.raises(ModelMismatch):
        score(strings("ab"), strings(None), lambda texts: [SimpleNamespace(probability=value, label=1)])


def test_a_model_that_gives_too_few_scores_stops_the_work():
    with pytest.raises(ModelMismatch):
        score(strings("ab", "c"), pa.nulls(2, pa.string()), lambda texts: predict(texts[1:]))


def test_a_sliced_array_is_scored_as_any():
    texts = strings("a", "bb", "ccc", None).slice(1)
    assert score(texts, pa.nulls(3, pa.string()), predict)["probability"].to_pylist() == [1 / 2, 1 / 3, None]
    assert find_errors(texts, pa.nulls(3, pa.string())).to_pylist() == [None, None, "there is no text"]


def test_chunks_are_bounded_in_rows_and_bytes(monkeypatch):
    monkeypatch.setattr(scores, "CHUNK_ROWS", 3)
    monkeypatch.setattr(scores, "CHUNK_BYTES", 10)
    texts = strings("a", "b", "c", "d", "x" * 50, "é" * 5, "e", "f")
    assert [len(chunk) for chunk in cut_chunks(texts)] == [3, 1, 1, 1, 2]
    assert pa.chunked_array(cut_chunks(texts)).combine_chunks() == texts


class Work:
    def __init__(self, at_work, number):
        self.at_work, self.number = at_work, number
        at_work.add(number)

    def result(self):
        self.at_work.remove(self.number)


def test_work_is_finished_in_order_and_no_more_is_taken_than_allowed():
    at_work, most = set(), 0
    for number in in_order(range(20), lambda item: Work(at_work, item) if item % 5 else None, at_once=4):
        most = max(most, len(at_work) + 1)
        assert number not in at_work
    assert most == 4
    assert list(in_order(range(3), lambda item: None, at_once=8)) == [0, 1, 2]


def test_what_the_work_raises_comes_out():
    class Broken:
        def result(self):
            raise ModelMismatch("broken")

    with pytest.raises(ModelMismatch):
        list(in_order(range(3), lambda item: Broken(), at_once=2))
