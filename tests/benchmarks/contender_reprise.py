"""An epoch and a prediction as the training and evaluation stages do them."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from contender import serve

from configs.loading import check_config, override, read_config
from tasks.served_model import Inputs, Predictor
from tasks.training import lstm
from tasks.training.batches import Rows
from tasks.training.fitting import fit, make_repeatable
from tasks.training.network import build_network, compile_network


def main(folder: Path, *assignments: str) -> None:
    """Serve an epoch of training with its validation, and a prediction of the test rows."""

    def read(split: str) -> Rows:
        return Rows(*(np.load(folder / f"{name}_{split}.npy", mmap_mode="r") for name in ("ids", "lengths", "labels")))

    config = check_config(override(read_config("imdb"), assignments), "imdb")
    train, validation, test = map(read, ("train", "validation", "test"))
    make_repeatable(config.training)
    network = build_network(config.model, vocabulary_size=5000, maxlen=train.ids.shape[1], padding="pre")
    trimmed = lstm.TrimmedNetwork(network, config.training.shards)
    compile_network(trimmed, config.training, rows=len(train.ids))
    once = config.training.model_copy(update={"epochs": 1})
    with tempfile.TemporaryDirectory() as scratch:
        network.save(Path(scratch) / "model.keras")
        predictor = Predictor(Path(scratch) / "model.keras", Path(lstm.__file__))
    serve(
        epoch=lambda: fit(trimmed, train, validation, once, verbosity=0, on_epoch=lambda *_: None),
        predict=lambda: predictor.probabilities(Inputs(test.ids)),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
