"""The network: Embedding -> LSTM -> Dense(1, sigmoid)."""

import hashlib

import keras
import numpy as np

from configs.schema import ModelConfig, TrainingConfig
from tasks.errors import ConfigError

STEPS_AT_ONCE = 8
"""Steps that Keras runs between two looks at the loss and the progress bar, whose cost is that of half a step."""


def build_network(model: ModelConfig, *, vocabulary_size: int, maxlen: int, padding: str) -> keras.Sequential:
    """Return an untrained network from (rows, maxlen) int32 ids to (rows, 1) float32 probabilities.

    Its initial weights follow from Keras's global seed.

    Raises:
        ConfigError: post-padding without `mask_padding`, which learns badly (https://github.com/keras-team/keras/issues/20898).
    """
    if padding == "post" and not model.mask_padding:
        raise ConfigError("padding.padding 'post' needs model.mask_padding true: the LSTM would end each short row on padding")
    return keras.Sequential(
        [
            keras.Input((maxlen,), dtype="int32", name="ids"),
            keras.layers.Embedding(vocabulary_size, model.embedding_dimension, mask_zero=model.mask_padding, name="embedding"),
            keras.layers.LSTM(model.lstm_units, name="lstm"),
            keras.layers.Dense(1, activation="sigmoid", name="probability"),
        ],
        name="sentiment_lstm",
    )


def compile_network(network: keras.Model, training: TrainingConfig) -> None:
    """Give the network its loss, optimizer and metric; `compiled` False runs each step eagerly."""
    network.compile(
        optimizer=keras.optimizers.Adam(training.learning_rate),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=["accuracy"],
        run_eagerly=not training.compiled,
        steps_per_execution=STEPS_AT_ONCE if training.compiled else 1,
    )


def summarize(network: keras.Model, width: int = 80) -> str:
    """Return Keras's summary: layers, shapes and parameter counts."""
    lines: list[str] = []
    network.summary(print_fn=lines.append, line_length=width)
    return "\n".join(lines)


def hash_weights(network: keras.Model) -> str:
    """Return the sha256 (hex) of all weights, layer by layer, as little-endian float32."""
    digest = hashlib.sha256()
    for weights in network.get_weights():
        digest.update(np.ascontiguousarray(weights, dtype="<f4").tobytes())
    return digest.hexdigest()
