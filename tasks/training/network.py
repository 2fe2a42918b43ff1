"""The networks: Embedding -> LSTM -> Dense(1, sigmoid), and one that reads n-grams besides, in both directions."""

import hashlib

import keras
import numpy as np

from configs.schema import ModelConfig, TrainingConfig
from tasks.errors import ConfigError

STEPS_AT_ONCE = 8
"""Steps that Keras runs between two looks at the loss and the progress bar, whose cost is that of half a step."""


def build_network(
    model: ModelConfig, *, vocabulary_size: int, maxlen: int, padding: str, longest_ngram: int = 0
) -> keras.Model:
    """Return an untrained network from (rows, maxlen) int32 ids to (rows, 1) float32 probabilities.

    Where n-grams are given, it takes besides the ids their log ratios (rows, maxlen, longest_ngram) and the linear model's
    logits (rows, 1). Its initial weights follow from Keras's global seed.

    Raises:
        ConfigError: post-padding without `mask_padding`, which learns badly (https://github.com/keras-team/keras/issues/20898);
            or keys of the model that do not go with n-grams, or without them.
    """
    if padding == "post" and not model.mask_padding:
        raise ConfigError("padding.padding 'post' needs model.mask_padding true: the LSTM would end each short row on padding")
    if longest_ngram:
        if not model.mask_padding:
            raise ConfigError("padding.longest_ngram needs model.mask_padding true: states at padding would be averaged, too")
        return _build_ngram_network(model, vocabulary_size, maxlen, longest_ngram)
    for name in ("embedding_dropout", "word_dropout", "state_dropout"):
        if getattr(model, name):
            raise ConfigError(f"model.{name} needs padding.longest_ngram above 0: the network of words alone has no dropout")
    return keras.Sequential(
        [
            keras.Input((maxlen,), dtype="int32", name="ids"),
            keras.layers.Embedding(vocabulary_size, model.embedding_dimension, mask_zero=model.mask_padding, name="embedding"),
            keras.layers.LSTM(model.lstm_units, name="lstm"),
            keras.layers.Dense(1, activation="sigmoid", name="probability"),
        ],
        name="sentiment_lstm",
    )


def _build_ngram_network(model: ModelConfig, vocabulary_size: int, maxlen: int, longest_ngram: int) -> keras.Model:
    layers = keras.layers
    ids = keras.Input((maxlen,), dtype="int32", name="ids")
    log_ratios = keras.Input((maxlen, longest_ngram), name="log_ratios")
    logits = keras.Input((1,), name="logits")
    embedded = layers.Embedding(vocabulary_size, model.embedding_dimension, name="embedding")(ids)
    embedded = layers.SpatialDropout1D(model.embedding_dropout, name="embedding_dropout")(embedded)
    steps = layers.Concatenate(name="words_and_ngrams")([embedded, log_ratios])
    steps = layers.Dropout(model.word_dropout, noise_shape=(None, None, 1), name="word_dropout")(steps)
    real = keras.ops.not_equal(ids, 0)  # by hand: of a masked and an unmasked input, Concatenate makes an unmasked one
    states = layers.Bidirectional(layers.LSTM(model.lstm_units, return_sequences=True), name="lstm")(steps, mask=real)
    mean = layers.GlobalAveragePooling1D(name="mean")(states, mask=real)
    state_logit = layers.Dense(1, name="state_logit")(layers.Dropout(model.state_dropout, name="state_dropout")(mean))
    # The linear model knows a text before the network has learned anything; how far to trust it is learned, from the whole on.
    trusted = layers.Dense(1, use_bias=False, kernel_initializer="ones", name="linear_weight")(logits)
    both = layers.Add(name="both")([state_logit, trusted])
    probability = layers.Activation("sigmoid", name="probability")(both)
    return keras.Model([ids, log_ratios, logits], probability, name="sentiment_ngram_lstm")


def compile_network(network: keras.Model, training: TrainingConfig, *, rows: int) -> None:
    """Give the network its loss, optimizer and metric; `compiled` False runs each step eagerly.

    Args:
        network: to compile.
        training: what it is compiled for.
        rows: of the train split: a learning rate that falls reaches 0 at the last batch of the last epoch.
    """
    steps = training.epochs * -(-rows // training.batch_size)
    falling = keras.optimizers.schedules.CosineDecay(training.learning_rate, steps)
    network.compile(
        optimizer=keras.optimizers.Adam(training.learning_rate if training.learning_rate_decay == "none" else falling),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=[keras.metrics.BinaryAccuracy(name="accuracy")],
        run_eagerly=not training.compiled,
        steps_per_execution=STEPS_AT_ONCE if training.compiled else 1,
    )
    # With a variable that is first made in a step, as those of a metric given by name are too, TensorFlow traces it twice.
    network.optimizer.build(network.trainable_variables)


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


def are_alike(first: keras.Model, second: keras.Model) -> bool:
    """Tell whether two networks have the same variables: weights, and the states that dropout draws from."""
    return all(np.array_equal(one, other) for one, other in zip(first.variables, second.variables, strict=True))
