"""What is kept of reviews to compare others with: figures of each, and counts of words over small groups, no text."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from tasks.evaluation.scores import check_probabilities
from tasks.served_model import UNKNOWN_ID

GROUP_ROWS = 10
"""Reviews whose words are counted together: enough that no review can be read from the counts, few enough that 100 reviews
make groups to resample."""
REFERENCE_ROWS = 5_000
"""With so many, a difference to new reviews is known nearly as well as with any number (its variance goes with 1/new + 1/old),
and IMDB's take a few hundred kB."""
SCALARS = pa.schema(
    [
        ("words", pa.int32()),
        ("unknown", pa.float32()),
        ("probability", pa.float32()),
        ("predicted", pa.int8()),
        ("label", pa.int8()),
    ]
)


class Profile(NamedTuple):
    """What is kept of reviews, all arrays in one order.

    `words` int32 (rows,) of the whole text; `unknown` float32 (rows,), the share of the words that the network reads, the
    last or first `maxlen`, that are not in its vocabulary; `probabilities` float32, `predicted` int8 and, where there are
    labels, `labels` int8, each (rows,). `word_counts` int64 (groups, vocabulary size), sparse, of each known word in every
    whole group of `GROUP_ROWS` rows.
    """

    words: NDArray[np.int32]
    unknown: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    predicted: NDArray[np.int8]
    labels: NDArray[np.int8] | None
    word_counts: csr_array

    @property
    def rows(self) -> int:
        """The number of reviews."""
        return len(self.words)


def deal_into_groups(digests: pa.FixedSizeBinaryArray) -> NDArray[np.int64]:
    """Return the order (rows,) in which reviews make groups: by their digests, so that no order of a file counts.

    Reviews next to each other by digest go to groups next to each other, for equal texts in one group would make groups differ
    more than reviews do. What is left over of the last group comes last.

    Args:
        digests: of the texts, binary of 16 bytes (rows,).
    """
    order: NDArray[np.int64] = pc.sort_indices(digests).to_numpy().astype(np.int64)
    groups = len(order) // GROUP_ROWS
    whole, rest = np.split(order, [groups * GROUP_ROWS])
    return np.concatenate([whole.reshape(GROUP_ROWS, groups).T.ravel(), rest])


def make_profile(
    digests: pa.FixedSizeBinaryArray,
    ids: NDArray[np.uint16],
    words: NDArray[np.int32],
    probabilities: NDArray[np.floating[Any]],
    predicted: NDArray[np.int8],
    labels: NDArray[np.int8] | None,
    vocabulary_size: int,
) -> Profile:
    """Return the profile of reviews; their order makes no difference.

    Args:
        digests: of their texts, binary of 16 bytes (rows,).
        ids: padded, as the network reads them, (rows, maxlen).
        words: of each whole text (rows,).
        probabilities: of label 1 (rows,).
        predicted: the labels that the model gives (rows,).
        labels: the true ones (rows,), where there are any.
        vocabulary_size: the number of ids.

    Raises:
        ModelMismatch: there is not one finite probability for each row.
    """
    check_probabilities(probabilities, len(ids))
    order = deal_into_groups(digests)
    ids, words, probabilities, predicted = ids[order], words[order], probabilities[order], predicted[order]
    labels = None if labels is None else labels[order]
    known, unknown = (ids > UNKNOWN_ID).sum(axis=1), (ids == UNKNOWN_ID).sum(axis=1)
    shares = (unknown / np.maximum(known + unknown, 1)).astype(np.float32)
    counts = count_words(ids, vocabulary_size)
    return Profile(words.astype(np.int32), shares, probabilities.astype(np.float32), predicted, labels, counts)


def count_words(ids: NDArray[np.uint16], vocabulary_size: int) -> csr_array:
    """Return how often each known word stands in each whole group of rows, (groups, vocabulary_size).

    Args:
        ids: padded (rows, maxlen).
        vocabulary_size: the number of ids.
    """
    groups = len(ids) // GROUP_ROWS
    rows, columns = np.nonzero(ids[: groups * GROUP_ROWS] > UNKNOWN_ID)
    entries = (np.ones(len(rows), np.int64), (rows // GROUP_ROWS, ids[rows, columns]))
    return coo_array(entries, shape=(groups, vocabulary_size)).tocsr()


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile as Parquet, a row for each group; the last group may not be whole, and then has no counts."""
    starts = np.arange(0, profile.rows + GROUP_ROWS, GROUP_ROWS).clip(max=profile.rows)
    starts = np.unique(starts).astype(np.int32)
    labels = profile.labels if profile.labels is not None else pa.nulls(profile.rows, pa.int8())
    scalars = (profile.words, profile.unknown, profile.probabilities, profile.predicted, labels)
    columns = {
        field.name: pa.ListArray.from_arrays(starts, pa.array(values, field.type))
        for field, values in zip(SCALARS, scalars, strict=True)
    }
    counts = profile.word_counts
    ends = np.append(counts.indptr, np.repeat(counts.indptr[-1:], len(starts) - len(counts.indptr))).astype(np.int32)
    columns["word_id"] = pa.ListArray.from_arrays(ends, pa.array(counts.indices.astype(np.uint16)))
    columns["word_count"] = pa.ListArray.from_arrays(ends, pa.array(counts.data.astype(np.uint32)))
    table = pa.table(columns).replace_schema_metadata({"vocabulary_size": str(counts.shape[1])})
    pq.write_table(table, path, compression="zstd", compression_level=9)


def read_profile(path: Path) -> Profile:
    """Read what `write_profile` wrote."""
    table = pq.read_table(path).combine_chunks()
    words, unknown, probabilities, predicted, labels = (table[field.name].combine_chunks().flatten() for field in SCALARS)
    groups = len(words) // GROUP_ROWS
    lists = table["word_id"].combine_chunks()
    offsets = lists.offsets.to_numpy()[: groups + 1]
    data = table["word_count"].combine_chunks().flatten().to_numpy().astype(np.int64)
    shape = (groups, int(table.schema.metadata[b"vocabulary_size"]))
    return Profile(
        words.to_numpy(),
        unknown.to_numpy(),
        probabilities.to_numpy(),
        predicted.to_numpy(),
        labels.to_numpy() if labels.null_count == 0 else None,
        csr_array((data, lists.flatten().to_numpy().astype(np.int32), offsets), shape=shape),
    )
