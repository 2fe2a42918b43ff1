"""A model loaded by a process that knows nothing of the training, within bounds, and asked for the training's own scores."""

import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import psutil

from tasks.errors import ModelMismatch
from tasks.registration.environments import python_for

PROCESS = Path(__file__).with_name("fresh_process.py")
SERVING_MODULES = ("mlflow", "keras", "tensorflow")
SECONDS_BETWEEN_LOOKS = 0.1


class FreshScores(NamedTuple):
    """Probabilities, (texts,) float64, and what it took to have them: seconds, and the process's peak of resident memory."""

    probabilities: npt.NDArray[np.float64]
    load_seconds: float
    predict_seconds: float
    peak_mebibytes: float


class FreshProcess:
    """A process that imports what a served model needs, while the caller does other work, and waits for a model to load."""

    def __init__(self, python: Path = Path(sys.executable), modules: Sequence[str] = SERVING_MODULES) -> None:
        """Start the process.

        Args:
            python: its interpreter, with or without an environment of its own.
            modules: what it imports at once.
        """
        self._private = tempfile.TemporaryDirectory(prefix="reprise-check-")
        self._folder = Path(self._private.name)
        with (self._folder / "errors.txt").open("wb") as errors:
            # What a model prints goes nowhere, and its answer by a file: so neither can be taken for the other.
            self._process = psutil.Popen(
                [str(python), "-I", str(PROCESS), str(self._folder), *modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                bufsize=0,
            )

    def score(self, model: Path, texts: Sequence[str], *, seconds: float, mebibytes: float) -> FreshScores:
        """Return the probabilities that the model in a folder gives for texts, and end the process.

        Args:
            model: the folder.
            texts: one or more.
            seconds: the bound of the time from now to the answer.
            mebibytes: the bound of the resident memory of the process and of those that it started, together.

        Raises:
            ModelMismatch: the model could not be loaded or asked, or not within the bounds.
        """
        request = {"model": str(model), "texts": list(texts)}
        (self._folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        with contextlib.suppress(BrokenPipeError):  # it ended before it was asked: what it left tells why
            self._process.stdin.write(b"\n")
        peak = self._watch(seconds=seconds, mebibytes=mebibytes)
        answer_file = self._folder / "answer.json"
        if self._process.returncode != 0 or not answer_file.exists():
            lines = (self._folder / "errors.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"it ended with {self._process.returncode} and no message"
            raise ModelMismatch(f"the model cannot be used in a fresh process: {reason}")
        answer = json.loads(answer_file.read_text(encoding="utf-8"))
        peak = max(peak, answer["peak_mebibytes"])
        if peak > mebibytes:
            raise _too_large(peak, mebibytes)
        probabilities = np.asarray(answer["probabilities"], dtype=np.float64)
        return FreshScores(probabilities, answer["load_seconds"], answer["predict_seconds"], peak)

    def _watch(self, *, seconds: float, mebibytes: float) -> float:
        """Wait for the process to end, and return the most memory seen, in MiB."""
        deadline = time.monotonic() + seconds
        peak = 0.0
        while True:
            left = deadline - time.monotonic()
            try:
                self._process.wait(timeout=max(0.0, min(left, SECONDS_BETWEEN_LOOKS)))
                return peak
            except psutil.TimeoutExpired:
                peak = max(peak, self._resident_mebibytes())
            if peak > mebibytes:
                self._kill()
                raise _too_large(peak, mebibytes)
            if left <= 0:
                self._kill()
                raise ModelMismatch(f"the model did not answer within {seconds:g} s in a fresh process")

    def _resident_mebibytes(self) -> float:
        total = 0
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / 2**20

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _kill(self) -> None:
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process if it still waits."""
        self._kill()
        self._process.stdin.close()
        self._private.cleanup()


def score_afresh(
    model: Path, texts: Sequence[str], *, seconds: float, mebibytes: float, waiting: FreshProcess | None = None
) -> FreshScores:
    """Return the probabilities that the model in a folder gives for texts in a process of the packages that it pins.

    Args:
        model: the folder.
        texts: one or more.
        seconds: the bound of the time to the answer, without that to install what is pinned.
        mebibytes: the bound of the resident memory.
        waiting: a process of this project's own packages, which is used if they are what the model pins.

    Raises:
        ModelMismatch: the model could not be loaded or asked, or not within the bounds, or what it pins not be installed.
    """
    python = python_for(model / "requirements.txt")
    if waiting is not None and python == Path(sys.executable):
        return waiting.score(model, texts, seconds=seconds, mebibytes=mebibytes)
    with FreshProcess(python, modules=()) as process:
        return process.score(model, texts, seconds=seconds, mebibytes=mebibytes)


def compare_scores(expected: npt.NDArray[np.float64], found: npt.NDArray[np.float64], tolerance: float) -> float:
    """Return the largest difference between two (texts,) arrays of scores.

    Raises:
        ModelMismatch: their lengths differ, a score is not finite, or a difference is above the tolerance.
    """
    if expected.shape != found.shape:
        raise ModelMismatch(f"the logged model gave {len(found)} scores for {len(expected)} texts")
    difference = float(np.abs(expected - found).max())
    if not difference <= tolerance:
        raise ModelMismatch(
            f"the logged model's scores differ from the training's by up to {difference:.3g} (allowed {tolerance:g})"
        )
    return difference


def _too_large(reached: float, mebibytes: float) -> ModelMismatch:
    return ModelMismatch(f"the model took {math.ceil(reached):,} MiB of memory in a fresh process (allowed {mebibytes:,} MiB)")
