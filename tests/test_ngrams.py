"""The n-grams of texts, beside scikit-learn's."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from tasks.ngrams import log_count_ratios, mark_presence, number_ngrams

WORDS = ["a", "b", "c", "d"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=8), min_size=1, max_size=6)


def number(texts, vocabulary, order):
    words = pa.array([word for text in texts for word in text], pa.string())
    ids = pc.fill_null(pc.index_in(words, pa.array(vocabulary)), -1).to_numpy()
    return number_ngrams(ids, np.array([len(text) for text in texts]), order=order, words=len(vocabulary))


def spell(number, vocabulary):
    words = []
    while number:
        number, digit = divmod(number, len(vocabulary) + 1)
        words.append(vocabulary[digit - 1])
    return " ".join(reversed(words))


@given(TEXTS, st.integers(1, 3))
def test_presence_is_that_of_scikit_learn(texts, order):
    ngrams = number(texts, WORDS, order)
    columns = pc.unique(pa.array(ngrams.numbers))
    presence = mark_presence(ngrams, columns, len(texts))
    counter = CountVectorizer(ngram_range=(1, order), binary=True, tokenizer=str.split, token_pattern=None, lowercase=False)
    expected = counter.fit_transform([" ".join(text) for text in [*texts, ["a"]]]).toarray()[:-1]
    names = [spell(number, WORDS) for number in columns.to_pylist()]
    assert set(names) | {"a"} == set(counter.vocabulary_)
    np.testing.assert_array_equal(presence.toarray(), expected[:, [counter.vocabulary_[name] for name in names]])


@given(TEXTS)
def test_an_ngram_with_an_unknown_word_is_left_out(texts):
    known = ["a", "b", "c"]
    ngrams = number(texts, known, 2)
    expected = [
        (" ".join(text[start : start + length]), row)
        for length in (1, 2)
        for row, text in enumerate(texts)
        for start in range(len(text) - length + 1)
        if "d" not in text[start : start + length]
    ]
    found = zip((spell(one, known) for one in ngrams.numbers.tolist()), ngrams.texts.tolist(), strict=True)
    assert list(found) == expected


def test_an_ngram_without_a_column_is_passed_over():
    ngrams = number([["a", "b"], ["c"]], WORDS, 1)
    np.testing.assert_array_equal(mark_presence(ngrams, pa.array([2, 1]), 2).toarray(), [[1, 1], [0, 0]])


def test_numbers_that_would_not_fit_are_refused():
    ids, lengths = np.array([0]), np.array([1])
    assert number_ngrams(ids, lengths, order=3, words=2_000_000).numbers.tolist() == [1]
    with pytest.raises(ValueError, match="n-grams of 3 among 3000000 words"):
        number_ngrams(ids, lengths, order=3, words=3_000_000)


def test_ratios_are_those_of_the_smoothed_shares():
    texts = [["a", "b", "b"], ["a"], ["b", "c"]]
    presence = mark_presence(number(texts, WORDS, 1), pa.array([1, 2, 3]), 3)
    ratios = log_count_ratios(presence, np.array([1, 1, 0]))
    positive, negative = np.array([3, 2, 1]) / 6, np.array([1, 2, 2]) / 5
    np.testing.assert_allclose(ratios, np.log(positive / negative))
