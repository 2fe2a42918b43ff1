"""The linear model that a network is compared with: words and word pairs, from the reviews that the network learns from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from tasks.errors import DataError
from tasks.ngrams import log_count_ratios, mark_presence, number_ngrams
from tasks.parquet_batches import iterate_batches, open_parquet
from tasks.served_model import tokenize
from tasks.text_digests import below, digest_texts

BATCH_ROWS = 8192
ORDER = 2
MIN_TEXTS = 2
"""An n-gram of one text alone tells of no other; on IMDB 28 % of the n-grams remain, and as many reviews are right."""
INVERSE_REGULARIZATION = 1.0
"""Of 0.01, 0.03, 0.1 and 1 the one with the most validation reviews of IMDB right, and the least loss on them."""
MAX_WORDS = 10_000_000
"""What is learnt from is held in memory: some hundred bytes a word. IMDB's train split has 4.7 million."""


class TrainReviews(NamedTuple):
    """Reviews as words: `words` dictionary-encoded, one review after the other, `lengths` int32 and `labels` int8 (rows,).

    They are drawn from `available` ones.
    """

    words: pa.DictionaryArray
    lengths: NDArray[np.int32]
    labels: NDArray[np.int8]
    available: int


class LinearModel(NamedTuple):
    """A weight for each n-gram's number, and the words of the vocabulary in the order of the ids that make the numbers."""

    vocabulary: pa.StringArray
    numbers: pa.Int64Array
    weights: NDArray[np.float64]
    intercept: float

    def probabilities(self, texts: pa.Array) -> NDArray[np.float32]:
        """Return the probability of the positive class of texts (rows,)."""
        words, lengths = tokenize(texts)
        ids = pc.fill_null(pc.index_in(words, self.vocabulary), -1).to_numpy()
        ngrams = number_ngrams(ids, lengths, order=ORDER, words=len(self.vocabulary))
        presence = mark_presence(ngrams, self.numbers, lengths.size)
        probabilities: NDArray[np.float64] = expit(presence @ self.weights + self.intercept)
        return probabilities.astype(np.float32)


class _Part(NamedTuple):
    words: pa.DictionaryArray
    lengths: NDArray[np.int32]
    labels: NDArray[np.int8]
    digests: pa.FixedSizeBinaryArray

    def drawn(self, share: float) -> "_Part":
        kept = below(self.digests, share)
        words = self.words.filter(pa.array(np.repeat(kept, self.lengths)))
        return _Part(words, self.lengths[kept], self.labels[kept], self.digests.filter(pa.array(kept)))


def read_train_reviews(reviews_path: Path, max_words: int = MAX_WORDS) -> TrainReviews:
    """Read the train split: all of it, or a half, a quarter and so on of the texts, the most that have `max_words` words.

    They are drawn by their content: the same ones in whatever order they come.

    Args:
        reviews_path: canonical Parquet.
        max_words: the most words to hold.
    """
    parts: list[_Part] = []
    share, available = 1.0, 0
    for batch in iterate_batches(open_parquet(reviews_path), BATCH_ROWS, ["text", "label", "split"]):
        train = batch.filter(pc.equal(batch["split"], "train"))
        available += len(train)
        words, lengths = tokenize(train["text"])
        part = _Part(words.dictionary_encode(), lengths, train["label"].to_numpy(), digest_texts(train["text"]))
        parts.append(part if share == 1.0 else part.drawn(share))
        while sum(len(part.words) for part in parts) > max_words:
            share /= 2
            parts = [part.drawn(share) for part in parts]
    words = pa.chunked_array([part.words for part in parts], pa.dictionary(pa.int32(), pa.string()))
    return TrainReviews(
        words=words.unify_dictionaries().combine_chunks(),
        lengths=np.concatenate([np.zeros(0, np.int32), *(part.lengths for part in parts)]),
        labels=np.concatenate([np.zeros(0, np.int8), *(part.labels for part in parts)]),
        available=available,
    )


def fit_linear_model(reviews: TrainReviews) -> LinearModel:
    """Fit logistic regression on which words and word pairs a review has, each times its naive Bayes log-count ratio.

    As in Wang and Manning (2012, ACL), who found it hard to beat on long reviews. The solver is liblinear's dual coordinate
    descent: on IMDB as accurate as L-BFGS, in half the time.

    Raises:
        DataError: the reviews are of one class, or no word stands in two of them.
    """
    if np.unique(reviews.labels).size != 2:
        raise DataError(f"{reviews.labels.size} train reviews are not of two classes: a classifier learns from reviews of both")
    vocabulary = reviews.words.dictionary
    ngrams = number_ngrams(reviews.words.indices.to_numpy(), reviews.lengths, order=ORDER, words=len(vocabulary))
    numbers = pc.unique(pa.array(ngrams.numbers))
    presence = mark_presence(ngrams, numbers, reviews.lengths.size)
    kept = np.flatnonzero(np.bincount(presence.indices, minlength=len(numbers)) >= MIN_TEXTS)
    if not kept.size:
        raise DataError(
            f"no word stands in {MIN_TEXTS} of {reviews.labels.size} train reviews: nothing can be learnt from them"
        )
    presence = presence[:, kept]
    ratios = log_count_ratios(presence, reviews.labels)
    weighted = csr_array((ratios[presence.indices], presence.indices, presence.indptr), shape=presence.shape)
    # A seed, for it visits the reviews in random order.
    regression = LogisticRegression(C=INVERSE_REGULARIZATION, solver="liblinear", dual=True, max_iter=1000, random_state=0)
    regression.fit(weighted, reviews.labels)
    return LinearModel(vocabulary, numbers.take(kept), ratios * regression.coef_[0], float(regression.intercept_[0]))


def score_rows(model: LinearModel, reviews_path: Path, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the probabilities of some rows of canonical Parquet, given in rising order; (rows,)."""
    scores = [np.zeros(0, np.float32)]
    first_row = 0
    for batch in iterate_batches(open_parquet(reviews_path), BATCH_ROWS, ["text"]):
        start, end = np.searchsorted(rows, [first_row, first_row + len(batch)])
        if start < end:
            scores.append(model.probabilities(batch["text"].take(pa.array(rows[start:end] - first_row))))
        first_row += len(batch)
    return np.concatenate(scores)
