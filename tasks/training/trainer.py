"""The process that trials are trained in, one at a time: what TensorFlow keeps for a whole process is then one trial's alone.

Run as a module, its argument is the number of threads that TensorFlow may use. Every line of standard input is a JSON message
to it, and every line of standard output one from it. It is asked with `{"padded": ..., "padding": ..., "model": ...,
"training": ...}`, tells each epoch with `{"epoch": N, "figures": {...}}`, goes on or stops as the answer `true` or `false`
says, and ends with `{"history": {...}, "best_epoch": N}`, `{"stopped": true}` or `{"error": KIND, "message": ...}`.
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO

from configs.schema import ModelConfig, PaddingConfig, TrainingConfig
from tasks.handles import PaddedReviews

IDLE_SECONDS = 60
"""How long the process waits for the next trial before it ends by itself."""


class Stopped(Exception):
    """The asking process wants no further epoch."""


def main(threads: int) -> None:
    """Train what is asked for, until nothing is for `IDLE_SECONDS`, or at once where the asking process is gone."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no message
    messages = _read_ahead()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    import tasks.training.train_network  # noqa: F401 (while nothing is asked for yet)

    while True:
        try:
            request = messages.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return
        _tell(channel, _answer(request, messages, channel))


def _answer(request: Mapping[str, Any], messages: "queue.Queue[Any]", channel: TextIO) -> dict[str, Any]:
    import keras

    from tasks.training.train_network import train_network

    def on_epoch(epoch: int, figures: Mapping[str, float]) -> None:
        _tell(channel, {"epoch": epoch, "figures": dict(figures)})
        if not messages.get():
            raise Stopped

    keras.backend.clear_session()
    try:
        fitted = train_network(
            PaddedReviews.model_validate(request["padded"]),
            PaddingConfig.model_validate(request["padding"]),
            ModelConfig.model_validate(request["model"]),
            TrainingConfig.model_validate(request["training"]),
            verbosity=0,
            on_epoch=on_epoch,
        ).fitted
    except Stopped:
        return {"stopped": True}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"history": fitted.history, "best_epoch": fitted.best_epoch}


def _read_ahead() -> "queue.Queue[Any]":
    """Return what is read from standard input; at its end, this process ends, whatever it is doing."""
    messages: queue.Queue[Any] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            messages.put(json.loads(line))
        os._exit(1)

    threading.Thread(target=read, daemon=True, name="messages").start()
    return messages


def _tell(channel: TextIO, message: Mapping[str, Any]) -> None:
    channel.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
