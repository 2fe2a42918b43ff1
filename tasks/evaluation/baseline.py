"""The linear model that a network is compared with: words and word pairs, from the reviews that the network learns from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import expit

from tasks.ngram_model import count_ngrams, fit_ngrams
from tasks.padding.vocabulary import fit_vocabulary
from tasks.parquet_batches import iterate_batches, open_parquet
from tasks.served_model import FIRST_WORD_ID, NgramModel, TextEncoder, tokenize
from tasks.text_digests import DIGEST_BYTES, below, digest_texts

BATCH_ROWS = 8192
LONGEST = 2
VOCABULARY_SIZE = 2**16
"""The most that n-grams can be made of."""
MAX_WORDS = 10_000_000
"""What is learnt from is held in memory: some 160 bytes a word. IMDB's train split has 4.7 million."""


class TrainReviews(NamedTuple):
    """Reviews to learn from: `texts` string and `labels` int8, (rows,) each, drawn from `available` ones."""

    texts: pa.StringArray
    labels: NDArray[np.int8]
    available: int


class LinearModel(NamedTuple):
    """The words that are known, and the weights of them and of their pairs."""

    encoder: TextEncoder
    ngrams: NgramModel

    def probabilities(self, texts: pa.Array) -> NDArray[np.float32]:
        """Return the probability of the positive class of texts (rows,)."""
        probabilities: NDArray[np.float32] = expit(self.ngrams.measure(*self.encoder.encode(texts)).logits)
        return probabilities


def read_train_reviews(reviews_path: Path, max_words: int = MAX_WORDS) -> TrainReviews:
    """Read the train split: all of it, or a half, a quarter and so on of the texts, the most that have `max_words` words.

    They are drawn by their content: the same ones in whatever order they come.

    Args:
        reviews_path: canonical Parquet.
        max_words: the most words to hold.
    """
    columns = [("text", pa.string()), ("label", pa.int8()), ("words", pa.int32()), ("digest", pa.binary(DIGEST_BYTES))]
    held = pa.schema(columns).empty_table()
    share, available = 1.0, 0
    for batch in iterate_batches(open_parquet(reviews_path), BATCH_ROWS, ["text", "label", "split"]):
        train = batch.filter(pc.equal(batch["split"], "train"))
        available += len(train)
        words = tokenize(train["text"])[1]
        added = pa.table([train["text"], train["label"], words, digest_texts(train["text"])], schema=held.schema)
        held = pa.concat_tables([held, _draw(added, share)])
        while (pc.sum(held["words"]).as_py() or 0) > max_words:
            share /= 2
            held = _draw(held, share)
    return TrainReviews(held["text"].combine_chunks(), held["label"].to_numpy(), available)


def _draw(reviews: pa.Table, share: float) -> pa.Table:
    return reviews if share == 1.0 else reviews.filter(pa.array(below(reviews["digest"], share)))


def fit_linear_model(reviews: TrainReviews) -> LinearModel:
    """Fit n-grams on the most frequent words of reviews and on their pairs.

    Raises:
        DataError: the reviews are of one class, or no word stands in two of them.
    """
    words = fit_vocabulary([reviews.texts], VOCABULARY_SIZE - FIRST_WORD_ID)
    encoder = TextEncoder(words, VOCABULARY_SIZE, maxlen=0)  # for n-grams are counted before texts are cut
    return LinearModel(encoder, fit_ngrams(count_ngrams(*encoder.encode(reviews.texts), longest=LONGEST), reviews.labels))


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
