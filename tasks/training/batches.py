"""Batches in an order that depends on the seed and the epoch alone."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

WINDOW_BATCHES = 50
"""Batches whose rows are sorted together: enough for the rows of a batch to be alike, few enough to leave the order random."""

READY_BATCHES = 8
"""Batches made ready while one is trained on."""

Ids = npt.NDArray[np.uint16]
Batch = tuple[Any, npt.NDArray[np.float32]]
Read = Callable[..., Any]
"""From some rows' ids, and their log ratios and logits where there are any, to what a network takes."""


class Rows(NamedTuple):
    """One split, memory-mapped or not: ids (rows, maxlen) uint16, lengths (rows,) int32 in words, labels (rows,) int8.

    Where n-grams are read, `ngrams` are their log ratios (rows, maxlen, longest) float16 and the logits (rows,) float32.
    """

    ids: Ids
    lengths: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int8]
    ngrams: tuple[npt.NDArray[Any], ...] = ()


def draw_batches(
    lengths: npt.NDArray[np.int32], *, batch_size: int, seed: int, epoch: int, bucketing: bool
) -> list[npt.NDArray[np.int64]]:
    """Return the row numbers of each batch of an epoch; every row stands in one, and all batches but one are full.

    Args:
        lengths: words read of each row, (rows,).
        batch_size: rows of a full batch.
        seed: what, with `epoch`, decides on the order.
        epoch: number of the epoch.
        bucketing: whether rows of similar length share a batch: windows of `WINDOW_BATCHES` batches are sorted, and the
            batches shuffled.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    ends = range(batch_size, len(order), batch_size)
    if not bucketing:
        return np.split(order, ends)
    windows = np.split(order, range(batch_size * WINDOW_BATCHES, len(order), batch_size * WINDOW_BATCHES))
    batches = np.split(np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in windows]), ends)
    return [batches[number] for number in random.permutation(len(batches))]


def training_batches(
    rows: Rows, *, batch_size: int, seed: int, epoch: Callable[[], int], bucketing: bool, read: Read, signature: Any
) -> tf.data.Dataset:
    """Return batches of (what `read` gives, labels float32), every row once, in an order of its own each time.

    Args:
        rows: what to train on.
        batch_size: rows of a full batch.
        seed: what, with the epoch, decides on the order.
        epoch: tells the number of the epoch that begins.
        bucketing: whether rows of similar length share a batch.
        read: makes of a batch's rows what the network takes.
        signature: of that, as tensors.
    """
    lengths = np.minimum(rows.lengths, rows.ids.shape[1])

    def batches() -> Iterator[Batch]:
        drawn = draw_batches(lengths, batch_size=batch_size, seed=seed, epoch=epoch(), bucketing=bucketing)
        return _read_batches(rows, drawn, read)

    return _stream(batches, -(-len(lengths) // batch_size), signature)


def validation_batches(rows: Rows, *, batch_size: int, bucketing: bool, read: Read, signature: Any) -> tf.data.Dataset:
    """Return each row once, in batches like those of `training_batches`; with `bucketing`, in order of length."""
    order = np.argsort(np.minimum(rows.lengths, rows.ids.shape[1]), kind="stable") if bucketing else np.arange(len(rows.ids))
    drawn = np.split(order, range(batch_size, len(order), batch_size))
    return _stream(lambda: _read_batches(rows, drawn, read), len(drawn), signature)


def _read_batches(rows: Rows, drawn: Iterable[npt.NDArray[np.int64]], read: Read) -> Iterator[Batch]:
    for numbers in drawn:
        yield read(*(part[numbers] for part in (rows.ids, *rows.ngrams))), rows.labels[numbers].astype(np.float32)


def _stream(batches: Callable[[], Iterator[Batch]], number: int, signature: Any) -> tf.data.Dataset:
    stream = tf.data.Dataset.from_generator(batches, output_signature=(signature, tf.TensorSpec([None], tf.float32)))
    options = tf.data.Options()
    options.autotune.enabled = False  # there is nothing to tune, and its thread lets an epoch's end wait for a second
    return stream.apply(tf.data.experimental.assert_cardinality(number)).prefetch(READY_BATCHES).with_options(options)
