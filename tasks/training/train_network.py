"""From padded reviews to a trained network: what the training stage and a sweep's trials have in common."""

import logging
import shutil
from typing import NamedTuple

import keras
import numpy as np

from configs.schema import ModelConfig, PaddingConfig, TrainingConfig
from tasks.handles import PaddedReviews, Split
from tasks.training.batches import Rows
from tasks.training.checkpoints import Checkpoints
from tasks.training.fitting import FitResult, OnEpoch, fit, make_repeatable
from tasks.training.lstm import trim_network
from tasks.training.network import are_alike, build_network, compile_network, summarize

logger = logging.getLogger("reprise.training")


class Trained(NamedTuple):
    """A trained network, and how it came to be."""

    network: keras.Model
    fitted: FitResult


def train_network(
    padded: PaddedReviews,
    padding: PaddingConfig,
    model: ModelConfig,
    training: TrainingConfig,
    *,
    verbosity: int,
    on_epoch: OnEpoch,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Build a network and train it on the train split, measured on the validation split; the test split is not opened.

    What comes out depends on the arguments alone, and not on what this process has trained before.

    Args:
        padded: padded ids, lengths and labels by split.
        padding: how they were padded.
        model: the network.
        training: how it is trained.
        verbosity: 0 silent, 1 a progress bar per epoch, 2 a line per epoch.
        on_epoch: called after each epoch, as by `fit`; what it raises ends the training.
        checkpoints: what the training goes on from, and where it is kept after each epoch.

    Raises:
        TrainingDiverged: the loss is no longer finite.
        ConfigError: padding and masking do not go together.
    """

    def load(split: Split) -> Rows:
        lengths, labels = (np.load(padded.file(f"{name}_{split}.npy"), mmap_mode="r") for name in ("lengths", "labels"))
        ids, *ngrams = (np.load(path, mmap_mode="r") for path in padded.input_files(split))
        return Rows(ids, lengths, labels, tuple(ngrams))

    def build() -> keras.Model:
        make_repeatable(training)
        return build_network(
            model,
            vocabulary_size=padded.vocabulary_size,
            maxlen=padded.maxlen,
            padding=padding.padding,
            longest_ngram=padded.longest_ngram,
        )

    # Keras draws weights and dropout's seeds from Python's one generator, which another thread may draw from meanwhile.
    network = build()
    while not are_alike(network, again := build()):
        network = again
    trimmed = trim_network(network, training.shards)
    train, validation = load("train"), load("validation")
    compile_network(trimmed, training, rows=len(train.ids))
    logger.info("%s", summarize(network, width=min(80, shutil.get_terminal_size().columns)))
    fitted = fit(
        *(trimmed, train, validation, training),
        verbosity=verbosity,
        on_epoch=on_epoch,
        checkpoints=checkpoints,
    )
    return Trained(network, fitted)
