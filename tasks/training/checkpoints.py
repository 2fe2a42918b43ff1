"""Checkpoints: all that a training's next epoch depends on, written whole after each epoch or not at all."""

import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.handles import Handle
from tasks.workspace import is_whole, published

CHECKPOINTS = "checkpoint"
"""The folder of a run's checkpoints, in that run's."""
KEPT = 2
"""Checkpoints that are kept: where the last is damaged, the one before it is gone on from."""
PROGRESS, ARRAYS = "progress.json", "arrays.npz"

Arrays = list[npt.NDArray[Any]]

logger = logging.getLogger("reprise.training")


class Progress(Handle):
    """How far a training has come after `epoch` whole epochs, and the state of its early stopping.

    `belongs_to` is the digest of all that the training depends on. `best` is the best figure monitored so far, of the epoch
    `best_epoch` (from 0), and `wait` the epochs since; `stopped` tells that no further epoch is to come.
    """

    belongs_to: str
    epoch: int
    history: dict[str, tuple[float, ...]]
    best: float | None
    best_epoch: int
    wait: int
    stopped: bool


class Checkpoint(NamedTuple):
    """A training after an epoch: the values of the network's and the optimizer's variables, in Keras's order.

    `best_weights` are those of the best epoch, and empty where they are not kept.
    """

    progress: Progress
    network: Arrays
    optimizer: Arrays
    best_weights: Arrays


class Checkpoints:
    """The checkpoints of one training, in a folder of their own; one that belongs to another training is never read."""

    def __init__(self, folder: Path, belongs_to: str) -> None:
        """Take the folder, which need not be there, and the digest of all that the training depends on."""
        self.folder = folder
        self.belongs_to = belongs_to

    def newest(self) -> Checkpoint | None:
        """Return the last checkpoint that is whole, or None; damaged ones are passed over."""
        for epoch in reversed(_epochs(self.folder)):
            if not is_whole(self.folder / str(epoch)):
                logger.warning("the checkpoint of epoch %d is damaged: an earlier one is used", epoch)
                continue
            progress = Progress.model_validate_json((self.folder / str(epoch) / PROGRESS).read_text())
            if progress.belongs_to == self.belongs_to:
                with np.load(self.folder / str(epoch) / ARRAYS, allow_pickle=False) as arrays:
                    return Checkpoint(progress, *(_unpack(arrays, name) for name in Checkpoint._fields[1:]))
        return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of an epoch, and remove all but it and the one before."""
        epoch = checkpoint.progress.epoch
        # One that is there already is damaged, or another training's: else this epoch would not have been repeated.
        shutil.rmtree(self.folder / str(epoch), ignore_errors=True)
        with published(self.folder / str(epoch)) as draft:
            packed = {
                f"{name}.{n}": array for name in Checkpoint._fields[1:] for n, array in enumerate(getattr(checkpoint, name))
            }
            np.savez(draft / ARRAYS, **packed)
            (draft / PROGRESS).write_text(checkpoint.progress.model_dump_json())
        kept = {str(number) for number in range(epoch - KEPT + 1, epoch + 1)}
        for folder in self.folder.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder)


def newest_epoch(folder: Path) -> int:
    """Return how many epochs the last whole checkpoint in a folder has behind it; 0 where there is none."""
    return next((epoch for epoch in reversed(_epochs(folder)) if is_whole(folder / str(epoch))), 0)


def _epochs(folder: Path) -> list[int]:
    return sorted(int(one.name) for one in folder.glob("*") if one.name.isdecimal())


def _unpack(arrays: Any, name: str) -> Arrays:
    keys = sorted((key for key in arrays.files if key.startswith(f"{name}.")), key=lambda key: int(key.rpartition(".")[2]))
    return [arrays[key] for key in keys]
