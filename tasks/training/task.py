"""The training stage."""

import logging
import shutil
import sys
from pathlib import Path

import numpy as np

from configs.schema import ModelConfig, PaddingConfig, TrainingConfig
from tasks import tracking
from tasks.handles import PaddedReviews, Split, TrackedRun, TrainedModel
from tasks.stage import stage
from tasks.workspace import published

logger = logging.getLogger("reprise.training")


@stage("training")
def train(
    padded: PaddedReviews, padding: PaddingConfig, model: ModelConfig, training: TrainingConfig, run: TrackedRun
) -> TrainedModel:
    """Train the network on the train split, logging each epoch to the MLflow run as it ends.

    Raises:
        TrainingDiverged: the loss is no longer finite.
        ConfigError: padding and masking do not go together.
    """
    from tasks.training import lstm
    from tasks.training.batches import Rows
    from tasks.training.fitting import fit, make_repeatable
    from tasks.training.network import build_network, compile_network, hash_weights, summarize

    def load(split: Split) -> Rows:
        return Rows(*(np.load(padded.file(f"{name}_{split}.npy"), mmap_mode="r") for name in ("ids", "lengths", "labels")))

    make_repeatable(training)
    network = build_network(model, vocabulary_size=padded.vocabulary_size, maxlen=padded.maxlen, padding=padding.padding)
    trimmed = lstm.TrimmedNetwork(network, training.shards)
    compile_network(trimmed, training)
    summary = summarize(network)
    logger.info("%s", summary)
    # A progress bar redraws its line, which only a terminal can show.
    verbosity = 2 if training.verbosity == 1 and not sys.stdout.isatty() else training.verbosity
    fitted = fit(
        trimmed,
        load("train"),
        load("validation"),
        training,
        verbosity=verbosity,
        on_epoch=lambda epoch, figures: tracking.log_epoch(run, epoch, figures),
    )
    folder = Path(run.folder) / "training"
    with published(folder) as draft:
        network.save(draft / "model.keras")
        shutil.copy(lstm.__file__, draft / "lstm.py")
        (draft / "summary.txt").write_text(summary, encoding="utf-8")
    return TrainedModel(
        path=str(folder),
        sha256=hash_weights(network),
        parameters=network.count_params(),
        epochs_run=len(fitted.history["loss"]),
        best_epoch=fitted.best_epoch,
        history=fitted.history,
    )
