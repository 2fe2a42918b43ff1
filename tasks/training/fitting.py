"""Fitting a network: seeded, watched, kept after each epoch, and stopped at the first loss that is not finite."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from configs.schema import TrainingConfig
from tasks.errors import TrainingDiverged
from tasks.progress import tell
from tasks.training.batches import Rows, training_batches, validation_batches
from tasks.training.checkpoints import Checkpoint, Checkpoints, Progress
from tasks.training.lstm import Trimmed

OnEpoch = Callable[[int, Mapping[str, float]], None]
TITLE = "training"
logger = logging.getLogger("reprise.training")


class FitResult(NamedTuple):
    """Per-epoch history, and the last epoch (from 1) that was better than the best before it by the least difference set."""

    history: dict[str, tuple[float, ...]]
    best_epoch: int


def make_repeatable(training: TrainingConfig) -> None:
    """Seed all that draws at random and, where `deterministic` says so, have TensorFlow run only what repeats bit for bit.

    The latter lasts as long as the process: TensorFlow has no way back.
    """
    keras.utils.set_random_seed(training.seed)
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()


def fit(
    network: Trimmed,
    train: Rows,
    validation: Rows,
    training: TrainingConfig,
    *,
    verbosity: int,
    on_epoch: OnEpoch,
    checkpoints: Checkpoints | None = None,
) -> FitResult:
    """Fit a compiled network in place, from its last checkpoint on where there is one.

    A training that goes on from a checkpoint ends with the weights and the history that it would have ended with, bit for
    bit: the order of an epoch's rows follows from the seed and its number, and all other state is in the checkpoint.

    Args:
        network: compiled.
        train: what it learns from.
        validation: what each epoch is measured on.
        training: epochs, batch size, seed, bucketing, early stopping.
        verbosity: 0 silent, 1 a progress bar per epoch, 2 a line per epoch.
        on_epoch: called after each epoch with its number, from 1, and its loss, accuracy, val_loss, val_accuracy and seconds;
            not for the epochs that the checkpoint has behind it.
        checkpoints: where the state after each epoch is kept, once `on_epoch` has returned; without it, none is.

    Raises:
        TrainingDiverged: a batch's or an epoch's loss is NaN or infinite.
    """
    stopping = training.early_stopping
    monitor = stopping.monitor if stopping else "val_loss"
    start = checkpoints.newest() if checkpoints else None
    if start is not None:
        _restore(network, start)
    best = _Stopping(
        start,
        monitor=monitor,
        mode="min" if monitor == "val_loss" else "max",
        patience=stopping.patience if stopping else training.epochs,
        min_delta=stopping.min_delta if stopping else 0.0,
        restore_best_weights=training.restore_best_weights,
    )
    present = _PresentEpoch()
    progress = _KeptProgress(start, best, checkpoints)
    shown = [_ShownProgress(training.epochs)] if verbosity == 1 else []
    callbacks = [present, _FiniteLoss(present), *shown, _EachEpoch(on_epoch), best, progress]
    reading: dict[str, Any] = {
        "batch_size": training.batch_size,
        "bucketing": training.bucketing,
        "read": network.trim if training.bucketing else network.arrange,
        "signature": network.signature,
    }
    done = start.progress.epoch if start else 0
    network.fit(
        training_batches(train, seed=training.seed, epoch=lambda: present.number, **reading),
        initial_epoch=done,
        epochs=done if start and start.progress.stopped else training.epochs,
        shuffle=False,
        validation_data=validation_batches(validation, **reading),
        callbacks=callbacks,
        verbose=0 if shown else verbosity,
    )
    return FitResult(progress.history, best.best_epoch + 1)


def _restore(network: Trimmed, start: Checkpoint) -> None:
    for variables, values in ((network.variables, start.network), (network.optimizer.variables, start.optimizer)):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


class _PresentEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Knows the number, from 0, of the epoch that runs."""

    number = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.number = epoch


class _FiniteLoss(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops the fit within a few batches of the one whose loss is not finite, so that no later step hides it."""

    def __init__(self, present: _PresentEpoch) -> None:
        super().__init__()
        self._present = present

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        by = min(batch + 1, self.params["steps"])
        self._check("loss", logs or {}, f"epoch {self._present.number + 1}, by batch {by}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._check("val_loss", logs or {}, f"epoch {epoch + 1}")

    def _check(self, name: str, logs: Mapping[str, Any], where: str) -> None:
        if not math.isfinite(loss := float(logs[name])):
            raise TrainingDiverged(f"{name} is {loss} at {where}: lower training.learning_rate or look at the data")


class _EachEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Hands each epoch's figures on as they come."""

    def __init__(self, on_epoch: OnEpoch) -> None:
        super().__init__()
        self._on_epoch = on_epoch
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self._on_epoch(epoch + 1, {**figures, "seconds": time.perf_counter() - self._start})


class _ShownProgress(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells how far the training and its present epoch are, and leaves a line of each epoch, as Keras's own bar would."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs
        self._number = 0
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._number, self._start = epoch, time.perf_counter()
        self._tell(0, "")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._tell(min(batch + 1, self.params["steps"]), _describe(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        tell(self._title(), ended=True)
        seconds = time.perf_counter() - self._start
        logger.info("Epoch %d/%d - %.1f s - %s", epoch + 1, self._epochs, seconds, _describe(logs or {}))

    def _tell(self, batches: int, note: str) -> None:
        steps = self.params["steps"]
        tell(TITLE, self._number + batches / steps, self._epochs, "epochs")
        tell(self._title(), batches, steps, "batches", note)

    def _title(self) -> str:
        return f"epoch {self._number + 1}"


def _describe(logs: Mapping[str, Any]) -> str:
    return " - ".join(f"{name}: {float(value):.4f}" for name, value in logs.items())


class _Stopping(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Early stopping that goes on from where a checkpoint has it."""

    def __init__(self, start: Checkpoint | None, **settings: Any) -> None:
        super().__init__(**settings)
        self._from = start

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        if self._from is not None:
            progress = self._from.progress
            self.best, self.best_epoch, self.wait = progress.best, progress.best_epoch, progress.wait
            self.best_weights = self._from.best_weights or None


class _KeptProgress(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the history, and a checkpoint after each epoch; it comes last, when the epoch is over for all others."""

    def __init__(self, start: Checkpoint | None, stopping: _Stopping, checkpoints: Checkpoints | None) -> None:
        super().__init__()
        self.history = start.progress.history if start else {}
        self._stopping = stopping
        self._checkpoints = checkpoints

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.history = {name: (*self.history.get(name, ()), float(value)) for name, value in (logs or {}).items()}
        if self._checkpoints is None:
            return
        stopping = self._stopping
        progress = Progress(
            belongs_to=self._checkpoints.belongs_to,
            epoch=epoch + 1,
            history=self.history,
            best=stopping.best,
            best_epoch=stopping.best_epoch,
            wait=stopping.wait,
            stopped=self.model.stop_training,
        )
        # All variables and not the weights alone: the state of what draws at random, for dropout say, is among them.
        network, optimizer = (
            [variable.numpy() for variable in owner.variables] for owner in (self.model, self.model.optimizer)
        )
        self._checkpoints.write(Checkpoint(progress, network, optimizer, stopping.best_weights or []))
