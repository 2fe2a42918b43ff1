"""Fitting a model of n-grams: what each tells of the labels, and a linear model of them all."""

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from tasks.errors import DataError
from tasks.served_model import Ids, NgramFigures, NgramModel, ngram_keys, present_ngrams

SMOOTHING = 1.0
"""Added to each count, as by Wang and Manning (2012, https://aclanthology.org/P12-2018)."""
MIN_TEXTS = 2
"""The texts that must have an n-gram: one that fewer have tells of those, and of no other."""
INVERSE_REGULARIZATION = 0.3
"""Of 0.3 and 1 the one with less loss on 5,000 validation reviews of IMDB, 0.2075 against 0.2124; as many are right."""
FOLDS = 5

Labels = npt.NDArray[np.integer[Any]]

_one_at_a_time = Lock()
"""liblinear draws from one generator for the whole process: of two fits side by side, neither would repeat."""


class CountedNgrams(NamedTuple):
    """The n-grams of texts: `keys` and `ends` as `NgramModel` has them, and `found` as its `find` returns it.

    `presence` float64 (rows, ngrams) is 1 where an n-gram stands in a text.
    """

    keys: npt.NDArray[np.uint64]
    ends: npt.NDArray[np.int64]
    found: npt.NDArray[np.int32]
    presence: csr_array


def count_ngrams(ids: Ids, lengths: npt.NDArray[Any], *, longest: int) -> CountedNgrams:
    """Find the n-grams that stand in at least `MIN_TEXTS` texts.

    Args:
        ids: all texts' ids one after the other, (ids,) uint16.
        lengths: (rows,) integer; they sum to the number of ids.
        longest: words of the longest n-grams.

    Raises:
        DataError: there is no such n-gram.
    """
    keys, ends, found = _number_ngrams(ids, lengths, longest)
    rows, ngrams = present_ngrams(found, lengths)
    kept = np.bincount(ngrams, minlength=len(keys)) >= MIN_TEXTS
    if not kept.any():
        raise DataError(
            f"no word of the vocabulary stands in {MIN_TEXTS} of {len(lengths)} train reviews: n-grams tell nothing"
        )
    # One more, for what is -1 already.
    number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)
    pairs = kept[ngrams]
    # Of 32 bits: liblinear takes no others.
    columns = number[ngrams[pairs]]
    starts = np.searchsorted(rows[pairs], np.arange(len(lengths) + 1)).astype(np.int32)
    presence = csr_array((np.ones(len(columns)), columns, starts), shape=(len(lengths), kept.sum()))
    kept_ends = np.array([kept[:end].sum() for end in ends], np.int64)
    return CountedNgrams(keys[kept], kept_ends, number[found], presence)


def fit_ngrams(counted: CountedNgrams, labels: Labels) -> NgramModel:
    """Fit log-count ratios and a logistic regression on the n-grams of texts.

    The linear model is that of Wang and Manning (2012): logistic regression on which n-grams a text has, each times its log
    ratio.

    Args:
        counted: the n-grams.
        labels: 0 or 1, (rows,), both of them.

    Raises:
        DataError: the texts are of one class.
    """
    log_ratios, weights, intercept = _fit(counted.presence, labels)
    return NgramModel(counted.keys, counted.ends, log_ratios, weights.astype(np.float32), np.array(intercept, np.float32))


def measure_across_folds(counted: CountedNgrams, lengths: npt.NDArray[Any], labels: Labels) -> NgramFigures:
    """Return what is said of the very texts that n-grams were counted in: of each of `FOLDS` parts by a model of the others.

    A network that learns from texts would be told their labels by a model that was fitted on them.

    Args:
        counted: the texts' n-grams.
        lengths: (rows,) integer; they sum to the number of ids.
        labels: 0 or 1, (rows,), both of them.

    Raises:
        DataError: the texts but one part are of one class.
    """
    figures = NgramFigures(np.zeros(counted.found.shape, np.float16), np.zeros(len(lengths), np.float32))
    fold = np.random.default_rng(0).permutation(len(lengths)) % FOLDS
    for part in range(FOLDS):
        log_ratios, weights, intercept = _fit(counted.presence[fold != part], labels[fold != part])
        told = np.repeat(fold == part, lengths)
        figures.log_ratios[told] = np.append(log_ratios, 0).astype(np.float16)[counted.found[told]]
        figures.logits[fold == part] = counted.presence[fold == part] @ weights + intercept
    return figures


def _number_ngrams(
    ids: Ids, lengths: npt.NDArray[Any], longest: int
) -> tuple[npt.NDArray[np.uint64], list[int], npt.NDArray[np.int32]]:
    """Return what `CountedNgrams` has as keys, ends and found, for all n-grams that occur at least `MIN_TEXTS` times."""
    found = np.full((len(ids), longest), -1, np.int32)
    keys: list[npt.NDArray[np.uint64]] = []
    ends = [0]
    for column in range(longest):
        every = ngram_keys(ids, lengths, column + 1)
        there = np.flatnonzero(every)
        # Hashed, and only those sorted that occur often enough: on IMDB a sixth.
        encoded = pa.array(every[there]).dictionary_encode()
        own, numbers = encoded.dictionary.to_numpy(), encoded.indices.to_numpy()
        often = np.flatnonzero(np.bincount(numbers) >= MIN_TEXTS)
        often = often[np.argsort(own[often])]
        number = np.full(len(own), -1, np.int32)
        number[often] = ends[-1] + np.arange(len(often))
        found[there, column] = number[numbers]
        keys.append(own[often])
        ends.append(ends[-1] + len(often))
    return np.concatenate(keys), ends[1:], found


def _fit(presence: csr_array, labels: Labels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], float]:
    """Return the log ratio and the weight of each n-gram, (ngrams,) each, and the intercept; 0 for one of too few texts."""
    if np.unique(labels).size != 2:
        raise DataError(f"{labels.size} train reviews are not of two classes: n-grams tell of labels where there are both")
    positive, negative = (presence.T @ (labels == label).astype(np.float64) for label in (1, 0))
    sums = (positive + SMOOTHING).sum(), (negative + SMOOTHING).sum()
    log_ratios = np.log((positive + SMOOTHING) / sums[0]) - np.log((negative + SMOOTHING) / sums[1])
    log_ratios[positive + negative < MIN_TEXTS] = 0.0
    # liblinear's dual coordinate descent: several times as fast here as L-BFGS. A seed, for it visits texts in random order.
    regression = LogisticRegression(C=INVERSE_REGULARIZATION, solver="liblinear", dual=True, max_iter=1000, random_state=0)
    with _one_at_a_time:
        regression.fit(csr_array((log_ratios[presence.indices], presence.indices, presence.indptr), presence.shape), labels)
    return log_ratios.astype(np.float32), log_ratios * regression.coef_[0], float(regression.intercept_[0])
