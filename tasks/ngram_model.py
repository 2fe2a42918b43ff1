"""Fitting a model of n-grams: what each tells of the labels, and a linear model of them all.

A network that learns from the very texts that n-grams were counted in would be told their labels by them: so what is given for
each of those texts is what others say.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from tasks.errors import DataError
from tasks.served_model import Ids, NgramFigures, NgramModel, ngram_keys, present_ngrams

SMOOTHING = 1.0
"""Added to each count, as by Wang and Manning (2012, https://aclanthology.org/P12-2018)."""
MIN_TEXTS = 2
"""The texts that must have an n-gram: one that fewer have tells of those, and of no other."""
INVERSE_REGULARIZATION = 0.3
"""Of 0.03, 0.1, 0.3 and 1 the one with the least loss on validation reviews of IMDB."""
FOLDS = 5

Labels = npt.NDArray[np.integer[Any]]


class FittedNgrams(NamedTuple):
    """The model for other texts, and what is said of the texts themselves by models that were fitted without them."""

    model: NgramModel
    figures: NgramFigures


class _Counted(NamedTuple):
    """Which text has which n-gram, 0 or 1 (rows, ngrams), and the texts' labels (rows,)."""

    presence: csr_array
    labels: Labels

    def take(self, rows: npt.NDArray[np.bool_]) -> "_Counted":
        return _Counted(self.presence[rows], self.labels[rows])


def fit_ngrams(ids: Ids, lengths: npt.NDArray[Any], labels: Labels, *, longest: int) -> FittedNgrams:
    """Fit log-count ratios and a logistic regression on the n-grams of texts.

    The linear model is that of Wang and Manning (2012): logistic regression on which n-grams a text has, each times its log
    ratio. Each of `FOLDS` parts of the texts is measured by a model of the others.

    Args:
        ids: all texts' ids one after the other, (ids,) uint16.
        lengths: (rows,) integer; they sum to the number of ids.
        labels: 0 or 1, (rows,), both of them.
        longest: words of the longest n-grams.

    Raises:
        DataError: a part of the texts is of one class, or no n-gram stands in two texts.
    """
    keys, ends, found = _number_ngrams(ids, lengths, longest)
    rows, ngrams = present_ngrams(found, lengths)
    kept = np.bincount(ngrams, minlength=len(keys)) >= MIN_TEXTS
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    found = np.where(found >= 0, number[found], -1)
    pairs = kept[ngrams]
    shape = (len(lengths), int(kept.sum()))
    # Of 32 bits: liblinear takes no others.
    places = rows[pairs].astype(np.int32), number[ngrams[pairs]].astype(np.int32)
    presence = csr_array((np.ones(len(places[0])), places), shape=shape)
    counted = _Counted(presence, labels)

    if not len(counted.labels) or not kept.any():
        raise DataError(
            f"no word of the vocabulary stands in {MIN_TEXTS} of {len(lengths)} train reviews: n-grams tell nothing"
        )
    figures = NgramFigures(np.zeros(found.shape, np.float16), np.zeros(len(lengths), np.float32))
    fold = np.random.default_rng(0).permutation(len(lengths)) % FOLDS
    for part in range(FOLDS):
        log_ratios, weights, intercept = _fit(counted.take(fold != part))
        told = np.repeat(fold == part, lengths)
        figures.log_ratios[told] = np.where(found[told] >= 0, log_ratios[found[told]], 0.0)
        figures.logits[fold == part] = counted.presence[fold == part] @ weights + intercept

    log_ratios, weights, intercept = _fit(counted)
    kept_ends = np.array([kept[:end].sum() for end in ends], np.int64)
    model = NgramModel(keys[kept], kept_ends, log_ratios, weights.astype(np.float32), np.array(intercept, np.float32))
    return FittedNgrams(model, figures)


def _number_ngrams(
    ids: Ids, lengths: npt.NDArray[Any], longest: int
) -> tuple[npt.NDArray[np.uint64], list[int], npt.NDArray[np.int64]]:
    """Return what `NgramModel` has as keys and ends, and what its `find` returns, for all n-grams of the texts."""
    found = np.full((len(ids), longest), -1, np.int64)
    keys: list[npt.NDArray[np.uint64]] = []
    ends: list[int] = []
    for column in range(longest):
        every = ngram_keys(ids, lengths, column + 1)
        there = every > 0
        own, numbers = np.unique(every[there], return_inverse=True)
        found[there, column] = numbers + (ends[-1] if ends else 0)
        keys.append(own)
        ends.append(sum(map(len, keys)))
    return np.concatenate(keys), ends, found


def _fit(counted: _Counted) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], float]:
    """Return the log ratio and the weight of each n-gram, (ngrams,) each, and the intercept; 0 for one of too few texts."""
    presence, labels = counted
    if np.unique(labels).size != 2:
        raise DataError(f"{labels.size} train reviews are not of two classes: n-grams tell of labels where there are both")
    positive, negative = (presence.T @ (labels == label).astype(np.float64) for label in (1, 0))
    sums = (positive + SMOOTHING).sum(), (negative + SMOOTHING).sum()
    log_ratios = np.log((positive + SMOOTHING) / sums[0]) - np.log((negative + SMOOTHING) / sums[1])
    log_ratios[positive + negative < MIN_TEXTS] = 0.0
    # liblinear's dual coordinate descent: several times as fast here as L-BFGS. A seed, for it visits texts in random order.
    regression = LogisticRegression(C=INVERSE_REGULARIZATION, solver="liblinear", dual=True, max_iter=1000, random_state=0)
    regression.fit(csr_array((log_ratios[presence.indices], presence.indices, presence.indptr), presence.shape), labels)
    return log_ratios.astype(np.float32), log_ratios * regression.coef_[0], float(regression.intercept_[0])
