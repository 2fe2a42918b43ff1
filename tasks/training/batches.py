"""Batches in an order that depends on the seed and the epoch alone."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt


def draw_order(rows: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return a permutation of the row numbers, (rows,) int64; the same for the same seed and epoch."""
    return np.random.default_rng([seed, epoch]).permutation(rows)


class ShuffledBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of (ids int32, labels float32), every row once an epoch, reshuffled between epochs."""

    def __init__(self, ids: npt.NDArray[Any], labels: npt.NDArray[Any], *, batch_size: int, seed: int) -> None:
        """Take (rows, maxlen) ids and (rows,) labels, which may be memory-mapped."""
        super().__init__()
        self._ids, self._labels, self._batch_size, self._seed = ids, labels, batch_size, seed
        self._epoch = 0
        self._order = draw_order(len(ids), seed=seed, epoch=0)

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self._ids) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return one batch."""
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        return self._ids[rows].astype(np.int32), self._labels[rows].astype(np.float32)

    def on_epoch_end(self) -> None:
        """Draw the next epoch's order."""
        self._epoch += 1
        self._order = draw_order(len(self._ids), seed=self._seed, epoch=self._epoch)
