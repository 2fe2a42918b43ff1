"""N-grams against a plain reading of their definition."""

import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.ngram_model import FOLDS, MIN_TEXTS, SMOOTHING, count_ngrams, fit_ngrams, measure_across_folds
from tasks.served_model import NgramModel, ngram_keys

GOOD, BAD, FILM, NOT, VERY, UNKNOWN, START = 4, 5, 6, 7, 8, 2, 1
TEXTS = [[START, VERY, GOOD, FILM], [START, NOT, BAD, FILM], [START, VERY, BAD, FILM], [START, NOT, GOOD, FILM]]
LABELS = [1, 1, 0, 0]


def flatten(texts):
    return np.array([word for text in texts for word in text], np.uint16), np.array([len(text) for text in texts], np.int32)


def fit(texts=TEXTS * 10, labels=LABELS * 10, longest=2):
    return fit_ngrams(count_ngrams(*flatten(texts), longest=longest), np.array(labels))


def measure_across(texts, labels):
    ids, lengths = flatten(texts)
    return measure_across_folds(count_ngrams(ids, lengths, longest=2), lengths, labels)


def ngrams_of(text, longest):
    """The n-grams of known words that end at each word, by their length."""
    known = [[tuple(text[end - n + 1 : end + 1]) for n in range(1, longest + 1) if end >= n - 1] for end in range(len(text))]
    return [[ngram for ngram in ending if min(ngram) >= GOOD] for ending in known]


def present(text, longest):
    return {ngram for ending in ngrams_of(text, longest) for ngram in ending}


@given(texts=st.lists(st.lists(st.sampled_from([START, UNKNOWN, GOOD, BAD, FILM, 65_535]), min_size=1), min_size=1))
def test_a_key_is_that_of_the_same_words_alone(texts):
    ids, lengths = flatten(texts)
    for n in (1, 2, 3, 4):
        keys = iter(ngram_keys(ids, lengths, n).tolist())
        for text in texts:
            for end in range(len(text)):
                words = text[max(0, end - n + 1) : end + 1]
                whole = len(words) == n and min(words) >= GOOD
                expected = sum(word << 16 * back for back, word in enumerate(reversed(words))) if whole else 0
                assert next(keys) == expected


@given(
    texts=st.lists(st.lists(st.sampled_from([START, UNKNOWN, GOOD, BAD, FILM]), min_size=1), min_size=1),
    longest=st.integers(1, 3),
)
def test_what_is_counted_is_which_text_has_which_ngram_of_two_texts(texts, longest):
    often = Counter(ngram for text in texts for ngram in present(text, longest))
    kept = sorted((len(ngram), ngram) for ngram, count in often.items() if count >= MIN_TEXTS)
    if not kept:
        with pytest.raises(DataError, match="no word of the vocabulary"):
            count_ngrams(*flatten(texts), longest=longest)
        return
    counted = count_ngrams(*flatten(texts), longest=longest)
    assert counted.ends.tolist() == [sum(length <= n for length, _ in kept) for n in range(1, longest + 1)]
    assert counted.keys.tolist() == [sum(word << 16 * back for back, word in enumerate(reversed(words))) for _, words in kept]
    expected = [[words in present(text, longest) for _, words in kept] for text in texts]
    np.testing.assert_array_equal(counted.presence.toarray(), expected)
    zeros = np.zeros(len(kept), np.float32)
    model = NgramModel(counted.keys, counted.ends, zeros, zeros, np.zeros((), np.float32))
    np.testing.assert_array_equal(model.find(*flatten(texts)), counted.found)


def test_log_ratios_are_those_of_texts_that_have_an_ngram_with_each_label():
    model = fit()
    counts = {label: Counter() for label in (0, 1)}
    for text, label in zip(TEXTS * 10, LABELS * 10, strict=True):
        counts[label].update(present(text, 2))
    every = counts[0] | counts[1]
    sums = {label: sum(counts[label][ngram] + SMOOTHING for ngram in every) for label in (0, 1)}
    for text in TEXTS:
        found = model.measure(*flatten([text])).log_ratios
        for row, ending in zip(found, ngrams_of(text, 2), strict=True):
            by_length = {len(ngram): ngram for ngram in ending}
            for n in (1, 2):
                expected = 0.0
                if n in by_length:
                    share = {label: (counts[label][by_length[n]] + SMOOTHING) / sums[label] for label in (0, 1)}
                    expected = math.log(share[1] / share[0])
                assert row[n - 1] == pytest.approx(expected, abs=1e-3)  # half precision


def test_pairs_tell_what_no_word_does():
    """Each word stands in as many texts of either label; only its neighbour tells which."""
    words, pairs = fit(longest=1), fit(longest=2)
    for fitted, told in ((words, False), (pairs, True)):
        logits = fitted.measure(*flatten(TEXTS)).logits
        assert ((logits > 0) == np.array(LABELS)).all() == told


def test_an_ngram_counts_once_a_text_however_often_it_stands_there():
    model = fit([[START, GOOD], [START, BAD]] * 10, [1, 0] * 10, longest=1)
    none, once, thrice = (model.measure(*flatten([[START, *[GOOD] * times]])).logits for times in (0, 1, 3))
    assert none < once == thrice


def test_an_ngram_of_one_text_alone_is_none():
    assert MIN_TEXTS == 2
    texts = [*TEXTS * 10, [START, 9], [START, 10], [START, 10]]
    model = fit(texts, [*LABELS * 10, 1, 1, 0], longest=1)
    assert model.keys.tolist() == [GOOD, BAD, FILM, NOT, VERY, 10]


def test_what_a_text_is_told_in_training_does_not_depend_on_its_own_label():
    texts = TEXTS * 10
    labels = np.array(LABELS * 10)
    before = measure_across(texts, labels)
    turned = labels.copy()
    turned[0] = 1 - turned[0]
    after = measure_across(texts, turned)
    first = slice(0, len(texts[0]))
    np.testing.assert_array_equal(before.log_ratios[first], after.log_ratios[first])
    assert before.logits[0] == after.logits[0]
    assert (before.logits != after.logits).sum() > len(texts) / FOLDS  # those of the other parts are told of it


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(4)), batch=st.integers(1, 4))
def test_what_is_said_of_a_text_does_not_depend_on_its_company(order, batch):
    model = fit()
    whole = [model.measure(*flatten([text])) for text in TEXTS]
    for start in range(0, 4, batch):
        chosen = order[start : start + batch]
        found = model.measure(*flatten([TEXTS[number] for number in chosen]))
        np.testing.assert_array_equal(found.logits, np.concatenate([whole[number].logits for number in chosen]))
        np.testing.assert_array_equal(found.log_ratios, np.concatenate([whole[number].log_ratios for number in chosen]))


def test_a_model_reads_back_as_itself(tmp_path):
    model = fit()
    model.save(tmp_path / "ngrams.npz")
    again = NgramModel.load(tmp_path / "ngrams.npz")
    for name in NgramModel.__dataclass_fields__:
        before, after = getattr(model, name), getattr(again, name)
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype


def test_the_same_texts_give_the_same_file(tmp_path):
    for name in ("first", "second"):
        fit().save(tmp_path / f"{name}.npz")
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_fits_side_by_side_repeat(tmp_path):
    """On texts enough for the solver to be interrupted: it draws the order of texts as it goes."""
    rng = np.random.default_rng(0)
    texts, labels = rng.integers(GOOD, 2000, (400, 60)).astype(np.uint16).tolist(), rng.integers(0, 2, 400)
    counted = count_ngrams(*flatten(texts), longest=2)
    alone = fit_ngrams(counted, labels).weights
    with ThreadPoolExecutor(4) as pool:
        for beside in pool.map(lambda _: fit_ngrams(counted, labels).weights, range(8)):
            np.testing.assert_array_equal(beside, alone)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (TEXTS * 10, [1] * 40, "not of two classes"),
        ([[START, 10 + number] for number in range(20)], [0, 1] * 10, "no word of the vocabulary stands in 2 of 20"),
    ],
)
def test_texts_that_teach_nothing_are_refused(texts, labels, message):
    with pytest.raises(DataError, match=message):
        fit(texts, labels)
