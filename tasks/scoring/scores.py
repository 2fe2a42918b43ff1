"""The score of each text, or the sentence that tells why it has none."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.evaluation.scores import check_probabilities

MAX_CHARACTERS = 100_000
"""What `validation.max_characters` lets pass into a training; a longer text takes some 20 times its size to cut into words."""
CHUNK_ROWS = 4096
CHUNK_BYTES = 1 << 24
SCORES = pa.schema([("probability", pa.float64()), ("label", pa.int8()), ("error", pa.string())])


class Prediction(Protocol):
    """What a registered model says of one text."""

    @property
    def probability(self) -> float:
        """The probability of label 1."""

    @property
    def label(self) -> int:
        """0 or 1."""


Predict = Callable[[list[str]], Sequence[Prediction]]


def score(texts: pa.Array, faults: pa.Array, predict: Predict) -> pa.RecordBatch:
    """Return the scores of texts, in their order, as `SCORES`; a row has either an error, or a probability and a label.

    Args:
        texts: (rows,) string.
        faults: (rows,) string; why a row has no text, null for the rows that have one.
        predict: a registered model's own, which gives a text the same score whatever stands beside it.

    Raises:
        ModelMismatch: The model gave something else than one probability for each text.
    """
    errors = find_errors(texts, faults)
    sound = errors.is_null().to_numpy(zero_copy_only=False)
    predictions = [one for chunk in cut_chunks(texts.filter(pa.array(sound))) for one in predict(chunk.to_pylist())]
    probabilities = np.array([one.probability for one in predictions], np.float64)
    check_probabilities(probabilities, int(sound.sum()))
    labels = np.array([one.label for one in predictions], np.int8)
    place = pa.array(np.cumsum(sound) - 1, mask=~sound)  # of a row's prediction, null where there is none
    columns = [pa.array(probabilities).take(place), pa.array(labels).take(place), errors]
    return pa.RecordBatch.from_arrays(columns, schema=SCORES)


def find_errors(texts: pa.Array, faults: pa.Array) -> pa.Array:
    """Return for each text why it cannot be scored, string (rows,): its fault, blank, or too long; null where it can."""
    lengths = pc.utf8_length(texts)
    told = pc.binary_join_element_wise(
        pc.cast(lengths, pa.string()), f"characters are too many: at most {MAX_CHARACTERS:,} are scored", " "
    )
    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    errors = pc.case_when(
        pc.make_struct(pc.is_valid(faults), pc.is_null(texts), blank, pc.greater(lengths, MAX_CHARACTERS)),
        faults,
        "there is no text",
        "the text is blank",
        told,
    )
    return errors.cast(pa.string())


def cut_chunks(texts: pa.Array) -> Iterator[pa.Array]:
    """Yield texts (rows,), without nulls, in pieces of some thousand rows, or fewer where they are long."""
    ends = np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False), dtype=np.int64)
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        fitting = int(np.searchsorted(ends, before + CHUNK_BYTES, side="right"))
        stop = min(start + CHUNK_ROWS, max(start + 1, fitting))
        yield texts.slice(start, stop - start)
        start = stop
