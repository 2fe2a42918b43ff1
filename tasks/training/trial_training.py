"""Training a trial in a process of its own, so that no other trial, nor the thread that asks, can change what comes out."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from configs.schema import Config
from tasks.errors import ConfigError, TrainingDiverged, TrialFailed, TrialPruned
from tasks.handles import PaddedReviews
from tasks.training.trainer import IDLE_SECONDS

OnEpoch = Callable[[int, Mapping[str, float]], None]

_idle: "list[TrainerProcess]" = []
_living: "set[TrainerProcess]" = set()
_stopping = threading.Event()


class TrialHistory(NamedTuple):
    """Per-epoch figures, and the best epoch, from 1."""

    history: dict[str, tuple[float, ...]]
    best_epoch: int


class TrialsStopped(BaseException):
    """The trials of this process were stopped from outside: none of them is at fault."""


class TrainerProcess:
    """A process that trains one trial at a time; it ends with the one that started it."""

    def __init__(self, threads: int) -> None:
        """Start it; TensorFlow is imported meanwhile."""
        self.threads = threads
        self.last_used = time.monotonic()
        # Without -P the working folder would come first on the path, and may have a package `tasks` of its own.
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-P", "-m", "tasks.training.trainer", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self.pid = self._process.pid
        _living.add(self)

    def train(self, padded: PaddedReviews, config: Config, on_epoch: OnEpoch) -> TrialHistory:
        """Train a network on padded reviews, as `train_network` does.

        Args:
            padded: what to train on.
            config: its sections padding, model and training count.
            on_epoch: called after each epoch; what it raises ends the training, and is raised here.

        Raises:
            TrainingDiverged: the loss is no longer finite.
            ConfigError: padding and masking do not go together.
            TrialFailed: another error, or the process ended.
        """
        sections = ("padding", "model", "training")
        self._tell({"padded": padded.model_dump(), **{name: getattr(config, name).model_dump() for name in sections}})
        while "epoch" in (answer := self._hear()):
            try:
                on_epoch(answer["epoch"], answer["figures"])
            except BaseException:
                self._tell(False)
                self._hear()
                raise
            self._tell(True)
        if "error" in answer:
            kinds = {kind.__name__: kind for kind in (TrainingDiverged, ConfigError)}
            if answer["error"] in kinds:
                raise kinds[answer["error"]](answer["message"])
            raise TrialFailed(f"{answer['error']}: {answer['message']}")
        history = {name: tuple(values) for name, values in answer["history"].items()}
        return TrialHistory(history, answer["best_epoch"])

    def kill(self) -> None:
        """Kill the process; whoever waits for its answer is told."""
        self._process.kill()

    def end(self) -> None:
        """End the process, which nobody waits for."""
        _living.discard(self)
        with contextlib.suppress(ValueError):
            _idle.remove(self)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]

    def _tell(self, message: Any) -> None:
        try:
            self._process.stdin.write(json.dumps(message) + "\n")  # type: ignore[union-attr]
        except BrokenPipeError:
            raise self._ended() from None

    def _hear(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise self._ended()
        message: dict[str, Any] = json.loads(line)
        return message

    def _ended(self) -> TrialFailed | TrialsStopped:
        if _stopping.is_set():
            return TrialsStopped()
        return TrialFailed(f"the process that trained it ended with code {self._process.wait()}")


@contextmanager
def stopping_trials() -> Iterator[None]:
    """Where the block is left by an exception, an interrupt say, stop the trials that threads of this process still train."""
    _stopping.clear()
    try:
        yield
    except BaseException:
        _stopping.set()
        for trainer in tuple(_living):
            trainer.kill()
        raise


@contextmanager
def borrowed_trainer(threads: int) -> Iterator[TrainerProcess]:
    """Yield a trainer that nobody else has for as long as the block lasts, one that is idle or a new one.

    Raises:
        TrialsStopped: by `stopping_trials`.
    """
    if _stopping.is_set():
        raise TrialsStopped
    trainer = _take_idle(threads) or TrainerProcess(threads)
    try:
        yield trainer
    except (TrainingDiverged, ConfigError, TrialPruned):  # it has answered, and waits for the next request
        _give_back(trainer)
        raise
    except BaseException:
        trainer.end()
        raise
    _give_back(trainer)


def _give_back(trainer: TrainerProcess) -> None:
    trainer.last_used = time.monotonic()
    _idle.append(trainer)


def _take_idle(threads: int) -> TrainerProcess | None:
    while _idle:
        try:
            trainer = _idle.pop()
        except IndexError:  # another thread was faster
            return None
        # One that is about to end by itself would be gone before it has read the request.
        if trainer.threads == threads and time.monotonic() - trainer.last_used < IDLE_SECONDS / 2:
            return trainer
        trainer.end()
    return None
