"""Texts as the n-grams in them: which text has which, and for which class each of them speaks. Arrays in, arrays out."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array


class Ngrams(NamedTuple):
    """The n-grams of some texts, each as often as it occurs: its number, and the text that it stands in; both (n-grams,)."""

    numbers: NDArray[np.int64]
    texts: NDArray[np.int32]


def number_ngrams(ids: NDArray[np.integer[Any]], lengths: NDArray[np.integer[Any]], *, order: int, words: int) -> Ngrams:
    """Return the n-grams of 1 to `order` words, as numbers that are equal where the n-grams are, whatever text they stand in.

    The number's digits, to the base `words` + 1, are the ids of the n-gram's words, each plus 1. An n-gram lies within one
    text; one with an unknown word is left out.

    Args:
        ids: all texts' words one after the other, 0 to `words` - 1, or -1 where unknown; (words,).
        lengths: the words of each text, which sum to the number of ids; (texts,).
        order: words of the longest n-grams.
        words: in the vocabulary.

    Raises:
        ValueError: numbers of so many words would not fit into 63 bits.
    """
    base = words + 1
    if base**order >= 2**63:
        raise ValueError(f"n-grams of {order} among {words} words cannot be numbered in 63 bits")
    digits = ids.astype(np.int64) + 1
    texts = np.repeat(np.arange(lengths.size, dtype=np.int32), lengths)
    numbers, known = digits, digits > 0
    found = [Ngrams(numbers[known], texts[known])]
    for more in range(1, order):
        numbers = numbers[:-1] * base + digits[more:]
        known = known[:-1] & (digits[more:] > 0) & (texts[more:] == texts[:-more])
        found.append(Ngrams(numbers[known], texts[:-more][known]))
    return Ngrams(*map(np.concatenate, zip(*found, strict=True)))


def mark_presence(ngrams: Ngrams, columns: pa.Array, texts: int) -> csr_array:
    """Return 1 where a text has an n-gram, however often; (texts, columns) float64.

    Args:
        ngrams: of the texts; those without a column are passed over.
        columns: the number of each column's n-gram, once each; (columns,) int64.
        texts: their number.
    """
    column = pc.index_in(pa.array(ngrams.numbers), columns)
    has_one = column.is_valid().to_numpy(zero_copy_only=False)
    place = (ngrams.texts[has_one], column.drop_null().to_numpy())
    presence = coo_array((np.ones(place[0].size), place), shape=(texts, len(columns))).tocsr()
    presence.data[:] = 1.0
    return presence


def log_count_ratios(presence: csr_array, labels: NDArray[np.integer[Any]], smoothing: float = 1.0) -> NDArray[np.float64]:
    """Return, for each column, how much more of the positive texts' n-grams it is than of the negative ones', as a logarithm.

    It is log((p / |p|) / (q / |q|)), with p and q the positive and the negative texts that have the n-gram, plus the
    smoothing, and |p| and |q| their sums over all columns (Wang and Manning 2012, ACL).

    Args:
        presence: 0 or 1, (texts, columns).
        labels: 0 or 1, (texts,).
        smoothing: added to each count, above 0.

    Returns:
        (columns,), above 0 where an n-gram speaks for the positive class.
    """
    positive = presence.T @ (labels == 1).astype(np.float64) + smoothing
    negative = presence.T @ (labels == 0).astype(np.float64) + smoothing
    ratios: NDArray[np.float64] = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratios
