from types import SimpleNamespace

import pyarrow as pa
import pytest

from tasks.served_model import tokenize
from tasks.serving.attribution import attribute, find_words, leave_out

TEXTS = ["A Great, unforgettablest film!", " don't—stop 😀 it's\na\tgood(ish) one ", "...", "İstanbul ÀÉ", "a\u00a0b c\r\nd"]


@pytest.mark.parametrize("text", TEXTS)
def test_words_are_those_of_the_model(text):
    words, (number,) = tokenize(pa.array([text]))
    found = [text[word.start : word.end] for word in find_words(text)]
    assert len(found) == number
    assert tokenize(pa.array(found, pa.string()))[0] == words


@pytest.mark.parametrize("text", TEXTS)
def test_each_is_left_out_alone(text):
    words, _ = tokenize(pa.array([text]))
    left = leave_out(text, find_words(text))
    assert [tokenize(pa.array([one]))[0].to_pylist() for one in left] == [
        words.to_pylist()[:place] + words.to_pylist()[place + 1 :] for place in range(len(words))
    ]


def test_a_change_is_what_the_word_adds_and_unknown_words_are_marked():
    text = "Bad, BAD zyzzyva"
    scores = [SimpleNamespace(probability=value, label=0) for value in (0.25, 0.5, 0.125, 0.25)]
    found = attribute(text, find_words(text), {"bad"}, scores[0], scores[1:])
    assert [(one.start, one.end, one.known, one.without, one.change) for one in found] == [
        (0, 3, True, 0.5, -0.25),
        (5, 8, True, 0.125, 0.125),
        (9, 16, False, 0.25, 0.0),
    ]
