"""The training stage."""

import hashlib
import json
import logging
import shutil
from pathlib import Path

from configs.schema import ModelConfig, PaddingConfig, TrainingConfig
from tasks.handles import PaddedReviews, TrackedRun, TrainedModel
from tasks.progress import is_shown
from tasks.recording import log_epoch
from tasks.stage import stage
from tasks.training.checkpoints import CHECKPOINTS, Checkpoints
from tasks.workspace import code_version, published

logger = logging.getLogger("reprise.training")


@stage("training")
def train(
    padded: PaddedReviews, padding: PaddingConfig, model: ModelConfig, training: TrainingConfig, run: TrackedRun
) -> TrainedModel:
    """Train the network on the train split, logging each epoch to the MLflow run as it ends.

    A run that was cut off goes on from the last checkpoint in its folder.

    Raises:
        TrainingDiverged: the loss is no longer finite.
        ConfigError: padding and masking do not go together.
    """
    from tasks.training import lstm
    from tasks.training.network import hash_weights, summarize
    from tasks.training.train_network import train_network

    # Where nobody shows how far it is, no terminal say, a line per epoch does.
    verbosity = 2 if training.verbosity == 1 and not is_shown() else training.verbosity
    network, fitted = train_network(
        padded,
        padding,
        model,
        training,
        verbosity=verbosity,
        on_epoch=lambda epoch, figures: log_epoch(run, epoch, figures),
        checkpoints=Checkpoints(Path(run.folder) / CHECKPOINTS, _identify(padded, padding, model, training)),
    )
    folder = Path(run.folder) / "training"
    with published(folder) as draft:
        network.save(draft / "model.keras")
        shutil.copy(lstm.__file__, draft / "lstm.py")
        (draft / "summary.txt").write_text(summarize(network), encoding="utf-8")
    return TrainedModel(
        path=str(folder),
        sha256=hash_weights(network),
        parameters=network.count_params(),
        epochs_run=len(fitted.history["loss"]),
        best_epoch=fitted.best_epoch,
        history=fitted.history,
    )


def _identify(padded: PaddedReviews, padding: PaddingConfig, model: ModelConfig, training: TrainingConfig) -> str:
    """Return the sha256 (hex) of all that the trained weights depend on, but for the circumstances, which a run has once."""
    sections = [section.digest() for section in (padding, model, training)]
    return hashlib.sha256(json.dumps([padded.sha256, *sections, code_version(Path(__file__).parent)]).encode()).hexdigest()
