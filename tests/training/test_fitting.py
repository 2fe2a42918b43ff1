import subprocess
import sys

import keras
import numpy as np
import pytest

from configs.schema import EarlyStopping, ModelConfig, TrainingConfig
from tasks.errors import TrainingDiverged
from tasks.training.batches import Rows
from tasks.training.checkpoints import Checkpoints
from tasks.training.fitting import fit
from tasks.training.lstm import TrimmedNetwork
from tasks.training.network import build_network, compile_network, hash_weights

VOCABULARY, MAXLEN = 20, 6
# To trace the graph of a step takes longer than some eager steps: where it is not the point, two of these are an epoch.
BRIEF = {"compiled": False, "batch_size": 48}


@pytest.fixture
def rows():
    """96 rows whose label is whether id 5 stands in them."""
    rng = np.random.default_rng(0)
    ids = rng.integers(6, VOCABULARY, (96, MAXLEN)).astype(np.uint16)
    labels = (np.arange(96) % 2).astype(np.int8)
    ids[labels == 1, 3] = 5
    return Rows(ids, np.full(96, MAXLEN, np.int32), labels)


def train(rows, on_epoch=lambda *_: None, verbosity=0, checkpoints=None, dropout=0.0, **training):
    config = TrainingConfig(**{"epochs": 3, "batch_size": 16, "learning_rate": 0.01, **training})
    keras.utils.set_random_seed(config.seed)
    layers = build_network(ModelConfig(), vocabulary_size=VOCABULARY, maxlen=MAXLEN, padding="pre").layers
    if dropout:
        layers[1] = keras.layers.LSTM(10, dropout=dropout)
        layers.insert(2, keras.layers.Dropout(dropout))
    network = TrimmedNetwork(keras.Sequential([keras.Input((MAXLEN,), dtype="int32"), *layers]), config.shards)
    compile_network(network, config, rows=1000)
    return network, fit(network, rows, rows, config, verbosity=verbosity, on_epoch=on_epoch, checkpoints=checkpoints)


class Killed(BaseException):
    """What ends a training in the midst of an epoch."""


def test_each_epoch_is_handed_on_as_it_ends(rows):
    seen = []
    _, result = train(rows, on_epoch=lambda epoch, figures: seen.append((epoch, figures)), **BRIEF)
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert set(seen[0][1]) == {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
    assert tuple(figures["val_loss"] for _, figures in seen) == result.history["val_loss"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(rows):
    """Compiled steps' weights repeat too: tests of whole trainings show it."""
    first, second, other = (hash_weights(train(rows, seed=seed, **BRIEF)[0]) for seed in (3, 3, 4))
    assert first == second != other


def test_eager_and_compiled_steps_learn_the_same(rows):
    compiled, eager = (train(rows, epochs=1, compiled=compiled)[0].get_weights() for compiled in (True, False))
    for one, other in zip(compiled, eager, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_loss_that_is_not_finite_stops_at_its_batch(rows):
    with pytest.raises(TrainingDiverged, match=r"loss is (nan|inf) at epoch 1, by batch 6"):
        train(rows, learning_rate=1e38)


def test_early_stopping_stops_and_without_it_all_epochs_run(rows):
    stopping = EarlyStopping(monitor="val_loss", patience=1, min_delta=10.0)
    assert len(train(rows, epochs=6, early_stopping=stopping, **BRIEF)[1].history["loss"]) == 2
    assert len(train(rows, epochs=6, **BRIEF)[1].history["loss"]) == 6


def test_restored_weights_are_the_best_epochs(rows):
    """A learning rate so high that later epochs get worse."""
    training = {"epochs": 8, "learning_rate": 0.5, "seed": 1}
    network, result = train(rows, restore_best_weights=True, **training)
    assert result.best_epoch < 8
    measured = network.evaluate(rows.ids.astype(np.int32), rows.labels.astype(np.float32), verbose=0)[0]
    assert measured == pytest.approx(min(result.history["val_loss"]), abs=1e-4)
    # What is better by less than the least difference is not taken, so the first epoch stays the best.
    assert train(rows, early_stopping=EarlyStopping(patience=8, min_delta=10.0), **training)[1].best_epoch == 1
    last, _ = train(rows, **training)
    assert hash_weights(last) != hash_weights(network)


@pytest.mark.parametrize(
    ("cut_off", "training"),
    [
        (2, {"epochs": 4, "dropout": 0.3}),
        (3, {"epochs": 8, "learning_rate": 0.5, "seed": 1, "restore_best_weights": True, "compiled": False}),
        (2, {"epochs": 9, "early_stopping": EarlyStopping(patience=3, min_delta=10.0), "compiled": False, "bucketing": False}),
    ],
    ids=["dropout", "best weights", "early stopping"],
)
def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(rows, cut_off, training, tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoint", "this")
    seen = []

    def on_epoch(epoch, _):
        if epoch > cut_off:  # before the epoch is kept
            raise Killed
        seen.append(epoch)

    with pytest.raises(Killed):
        train(rows, on_epoch, checkpoints=checkpoints, **training)
    resumed, result = train(rows, lambda epoch, _: seen.append(epoch), checkpoints=checkpoints, **training)
    network, whole = train(rows, **training)
    assert seen == list(range(1, len(whole.history["loss"]) + 1))
    assert result == whole
    assert hash_weights(resumed) == hash_weights(network)
    # With no epoch left to run: cut off after its training.
    again, result = train(rows, lambda *_: pytest.fail("no epoch is left"), checkpoints=checkpoints, **training)
    assert result == whole
    assert hash_weights(again) == hash_weights(network)


@pytest.mark.parametrize(("verbosity", "lines"), [(0, 0), (2, 3)])
def test_verbosity_says_how_much_is_printed(rows, capfd, verbosity, lines):
    train(rows, verbosity=verbosity, **BRIEF)
    assert capfd.readouterr().out.count("val_accuracy") == lines


def test_bucketing_changes_the_batches_and_shards_the_last_bits(rows):
    """Half the rows start with two ids of padding, which no batch of short rows holds."""
    rows.ids[:48, :2], rows.lengths[:48] = 0, MAXLEN - 2
    usual, plain, single = (
        hash_weights(train(rows, epochs=1, compiled=False, **changed)[0])
        for changed in ({}, {"bucketing": False}, {"shards": 1})
    )
    assert len({usual, plain, single}) == 3


@pytest.mark.parametrize(("compiled", "runs_of_its_code"), [(True, 1), (False, 2 * 6)])
def test_each_epoch_takes_one_step_a_batch_and_compiled_it_is_traced_once(rows, monkeypatch, compiled, runs_of_its_code):
    runs, step = [], TrimmedNetwork.train_step
    monkeypatch.setattr(TrimmedNetwork, "train_step", lambda *given: runs.append(1) or step(*given))
    network, _ = train(rows, epochs=2, compiled=compiled)
    assert int(network.optimizer.iterations) == 2 * 6
    assert len(runs) == runs_of_its_code


def test_deterministic_has_tensorflow_refuse_what_would_not_repeat():
    """In a process of its own, since it lasts as long as the process."""
    code = """
import tensorflow as tf
from configs.schema import TrainingConfig
from tasks.training.fitting import make_repeatable
for deterministic in (False, True):
    make_repeatable(TrainingConfig(deterministic=deterministic))
    tf.random.set_seed(None)
    print(deterministic, tf.random.uniform([]).numpy(), flush=True)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.startswith("False 0.")
    assert "True" not in run.stdout
    assert "require a seed to be set when determinism is enabled" in run.stderr
