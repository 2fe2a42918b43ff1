"""Where the time of a training step goes, by TensorFlow operation.

python -m tests.benchmarks.profile_epoch PADDED_FOLDER

The folder is one of `.reprise/stages/padding/`. Milliseconds are of all threads together, for a step of `configs/imdb.yaml`.
"""

import sys
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from configs.loading import check_config, read_config
from tasks.training.batches import Rows, training_batches
from tasks.training.lstm import TrimmedNetwork
from tasks.training.network import build_network, compile_network

STEPS, WARM_UP = 150, 5
EXECUTOR = {"Process", "Run"}
"""What the trace calls the executor's own spans, within which the operations lie."""


def main(folder: Path) -> None:
    """Run warm steps under the profiler and print the operations that took longest."""
    config = check_config(read_config("imdb"), "imdb")
    rows = Rows(*(np.load(folder / f"{name}_train.npy", mmap_mode="r") for name in ("ids", "lengths", "labels")))
    network = build_network(config.model, vocabulary_size=5000, maxlen=rows.ids.shape[1], padding="pre")
    trimmed = TrimmedNetwork(network, config.training.shards)
    compile_network(trimmed, config.training, rows=len(rows.ids))
    stream = training_batches(
        rows,
        batch_size=config.training.batch_size,
        seed=0,
        epoch=lambda: 0,
        bucketing=True,
        read=trimmed.trim,
        signature=trimmed.signature,
    )
    step = tf.function(trimmed.train_step, input_signature=[stream.element_spec])
    batches = list(islice(stream, STEPS + WARM_UP))
    for batch in batches[:WARM_UP]:
        step(batch)
    with tempfile.TemporaryDirectory() as trace:
        with tf.profiler.experimental.Profile(trace):
            for batch in batches[WARM_UP:]:
                step(batch)
        (path,) = Path(trace).rglob("*.xplane.pb")
        milliseconds, calls = sum_operations(xplane_pb2.XSpace.FromString(path.read_bytes()))
    table = Table("operation", "ms a step", "calls a step", title=f"{STEPS} steps, all threads", title_justify="left")
    for name, total in milliseconds.most_common(14):
        table.add_row(name, f"{total / STEPS:.2f}", f"{calls[name] / STEPS:.1f}")
    Console().print(table)


def sum_operations(space: xplane_pb2.XSpace) -> tuple[Counter[str], Counter[str]]:
    """Return the milliseconds and the number of calls of each operation, which the trace names "name:Operation"."""
    milliseconds: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                _, colon, operation = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if colon and operation.isidentifier() and operation not in EXECUTOR:
                    milliseconds[operation] += event.duration_ps / 1e9
                    calls[operation] += 1
    return milliseconds, calls


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main(Path(sys.argv[1]))
