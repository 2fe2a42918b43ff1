"""Texts that stand in the data more than once: in one part, in both parts, or under two labels."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
NO_TEXT = -1


def number_texts(digests: pa.FixedSizeBinaryArray) -> NDArray[np.int64]:
    """Give equal digests (rows,) equal numbers, counted from 0, and `NO_TEXT` to nulls; int64 (rows,)."""
    numbers: NDArray[np.int64] = digests.dictionary_encode().indices.cast(pa.int64()).fill_null(NO_TEXT).to_numpy()
    return numbers


def find_repeats(numbers: NDArray[np.int64], of_test: Flags) -> Flags:
    """Mark rows whose text stands earlier in the same part, test or the rest; shapes (rows,)."""
    parts = numbers * 2 + of_test
    repeats: Flags = pd.Series(parts).duplicated().to_numpy(dtype=bool) & (numbers != NO_TEXT)
    return repeats


def find_leaks(numbers: NDArray[np.int64], of_test: Flags, of_training: Flags) -> Flags:
    """Mark test rows whose text stands in a training row as well; shapes (rows,)."""
    leaks: Flags = of_test & (numbers != NO_TEXT) & np.isin(numbers, numbers[of_training])
    return leaks


def find_conflicts(numbers: NDArray[np.int64], labels: NDArray[np.float64]) -> Flags:
    """Mark every row whose text stands under more than one label; shapes (rows,), rows with label nan take no part."""
    told = np.flatnonzero((numbers != NO_TEXT) & ~np.isnan(labels))
    texts = numbers.max(initial=NO_TEXT) + 1
    first_label = np.empty(texts)
    first_label[numbers[told[::-1]]] = labels[told[::-1]]
    disputed = np.zeros(texts, dtype=bool)
    disputed[numbers[told[labels[told] != first_label[numbers[told]]]]] = True
    marks = np.zeros(len(numbers), dtype=bool)
    marks[told] = disputed[numbers[told]]
    return marks
