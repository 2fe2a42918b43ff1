"""What every contender of a benchmark does: read the arrays, warm up, and do on request what is to be timed.

Contenders run in environments of their own, so this file and theirs need nothing of the project and no package but numpy.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Padded ids (rows, maxlen) int32 and labels (rows,) float32."""

    ids: np.ndarray
    labels: np.ndarray


def read_split(folder: Path, name: str) -> Split:
    """Read a split from the folder of padded arrays."""
    ids, labels = (np.load(folder / f"{kind}_{name}.npy") for kind in ("ids", "labels"))
    return Split(ids.astype(np.int32), labels.astype(np.float32))


def serve(**jobs: Callable[[], object]) -> None:
    """Do each job once unasked, say so, and then each that is named on standard input; print its seconds as JSON."""
    for job in jobs.values():
        job()
    print(json.dumps(sorted(jobs)), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        jobs[line.strip()]()
        print(json.dumps(time.perf_counter() - start), flush=True)
