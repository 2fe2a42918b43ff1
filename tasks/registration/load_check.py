"""A logged model loaded by a process that knows nothing of the training, and asked for the training's own scores."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from tasks.errors import ModelMismatch

PROCESS = Path(__file__).with_name("fresh_process.py")


class FreshProcess:
    """A process that imports what a served model needs, while the caller does other work, and waits for a model to load."""

    def __init__(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and file, no input of a user's)
            [sys.executable, "-I", str(PROCESS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def score(self, model: Path, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the probabilities that the model in a folder gives for texts, (texts,) float64, and end the process.

        Raises:
            ModelMismatch: the model could not be loaded or asked.
        """
        answer, errors = self._process.communicate(json.dumps({"model": str(model), "texts": list(texts)}) + "\n")
        if self._process.returncode != 0:
            last_line = (errors.strip().splitlines() or ["no message"])[-1]
            raise ModelMismatch(f"the logged model in {model} cannot be used in a fresh process: {last_line}")
        return np.asarray(json.loads(answer.splitlines()[-1])["probabilities"], dtype=np.float64)

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process if it still waits."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


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
