"""Any number of made-up reviews with the lengths and the word frequencies of the IMDB reviews.

IMDB's 50,000 reviews (Maas et al. 2011, as `keras.datasets.imdb` counts them) have 238.7 tokens on average with the start
marker, 76.4 % of at most 300, the longest 2,494, of 88,582 different words. A lognormal of that mean and sigma 0.65 has 75 %
of at most 300 and, of 50,000, a longest of about 2,500. Word frequencies follow Zipf's law: rank r comes up like 1 / r.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SCHEMA = pa.schema([("text", pa.string()), ("label", pa.int8())])
VOCABULARY = 88_582
MEAN_WORDS, SIGMA, MIN_WORDS, MAX_WORDS = 237.7, 0.65, 10, 2_493
ROWS_AT_ONCE = 10_000
SYLLABLES = [consonant + vowel + end for consonant in "bdfgklmnrt" for vowel in "aeiou" for end in "sn"]


def write_synthetic_reviews(path: Path, rows: int, seed: int = 0) -> None:
    """Write so many reviews as Parquet with `text` string and `label` int8, half of them 1, the same for the same seed."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for batch in generate_reviews(rows, seed):
            writer.write_batch(batch)


def generate_reviews(rows: int, seed: int = 0) -> Iterator[pa.RecordBatch]:
    """Yield so many reviews in batches of at most 10,000."""
    rng = np.random.default_rng(seed)
    words = pa.array(make_words(VOCABULARY))
    for start in range(0, rows, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, rows - start)
        lengths = draw_lengths(rng, count)
        ranks = np.exp(rng.random(lengths.sum(), dtype=np.float32) * np.float32(np.log(VOCABULARY))).astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        chosen = words.take(pa.array(np.minimum(ranks, VOCABULARY) - 1))
        texts = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), chosen), " ")
        labels = rng.permutation(np.arange(start, start + count) % 2).astype(np.int8)
        yield pa.record_batch([texts, labels], SCHEMA)


def draw_lengths(rng: np.random.Generator, rows: int) -> npt.NDArray[np.int64]:
    """Draw the numbers of words of so many reviews, (rows,)."""
    lengths = rng.lognormal(np.log(MEAN_WORDS) - SIGMA**2 / 2, SIGMA, rows)
    return np.clip(lengths.round(), MIN_WORDS, MAX_WORDS).astype(np.int64)


def make_words(count: int) -> list[str]:
    """Return so many different words, from the most frequent on; frequent ones are short."""
    words = list(SYLLABLES)
    while len(words) < count:
        words += [word + syllable for word in words[-(len(SYLLABLES) ** (len(words[-1]) // 3)) :] for syllable in SYLLABLES]
    return words[:count]
