"""Made-up reviews as a version sees them, for profiles."""

import numpy as np
import pyarrow as pa

from tasks.text_digests import digest_texts

MAXLEN, VOCABULARY_SIZE = 60, 200


def draw_reviews(rows, *, seed=0, length=1.0, unknown=0.1, first_word=4, accuracy=0.85, positive=0.5):
    """Return digests, ids, words, probabilities, predicted and labels of reviews; each argument but the first can drift."""
    rng = np.random.default_rng(seed)
    digests = digest_texts(pa.array([f"review {seed} {row}" for row in range(rows)]))
    words = np.maximum((rng.lognormal(5, 0.5, rows) * length).astype(np.int32), 1)
    ids = first_word + rng.geometric(0.05, (rows, MAXLEN)) % (VOCABULARY_SIZE - first_word)
    ids = np.where(rng.random(ids.shape) < unknown, 2, ids)
    ids[np.arange(MAXLEN) < MAXLEN - words[:, None]] = 0
    labels = (rng.random(rows) < positive).astype(np.int8)
    right = rng.random(rows) < accuracy
    predicted = np.where(right, labels, 1 - labels).astype(np.int8)
    probabilities = np.where(predicted == 1, 0.5 + rng.random(rows) / 2, rng.random(rows) / 2).astype(np.float32)
    return digests, ids.astype(np.uint16), words, probabilities, predicted, labels


def take(reviews, rows):
    """Return some of the reviews."""
    return tuple(one.take(pa.array(rows)) if isinstance(one, pa.Array) else one[rows] for one in reviews)
