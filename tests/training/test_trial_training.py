"""Trials trained in a real process of their own."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import psutil
import pytest

from configs.loading import check_config, override, read_config
from tasks.errors import ConfigError, TrainingDiverged, TrialFailed, TrialPruned
from tasks.handles import PaddedReviews
from tasks.training.train_network import train_network
from tasks.training.trial_training import TrainerProcess, TrialsStopped, borrowed_trainer, stopping_trials

SMALL = [
    "padding.padding=pre",
    "model.mask_padding=false",
    "training.epochs=2",
    "training.batch_size=16",
    "training.compiled=false",
]


def configure(*assignments):
    return check_config(override(read_config("sample"), [*SMALL, *assignments]), "test")


@pytest.fixture(scope="module")
def padded(tmp_path_factory):
    """64 rows of train and 32 of validation; there is no file of the test split, so opening one would fail."""
    folder, random = tmp_path_factory.mktemp("padded"), np.random.default_rng(0)
    for split, rows in (("train", 64), ("validation", 32)):
        np.save(folder / f"ids_{split}.npy", random.integers(3, 20, (rows, 6)).astype(np.uint16))
        np.save(folder / f"lengths_{split}.npy", np.full(rows, 6, np.int32))
        np.save(folder / f"labels_{split}.npy", (np.arange(rows) % 2).astype(np.int8))
    shares = dict.fromkeys(("train", "validation"), 0.0)
    counts = {"train": 64, "validation": 32}
    facts = {"truncated_share": shares, "out_of_vocabulary_share": shares, "padding_share": shares, "rows": counts}
    return PaddedReviews(path=str(folder), sha256="x", vocabulary_size=20, maxlen=6, **facts)


@pytest.fixture
def trainer():
    trainer = TrainerProcess(threads=1)
    yield trainer
    trainer.end()


def nothing(epoch, figures):
    pass


def test_what_a_trial_finds_does_not_depend_on_where_it_is_trained_nor_on_what_was_before(padded, trainer):
    config = configure()
    seen = []
    first = trainer.train(padded, config, lambda epoch, figures: seen.append((epoch, figures["val_loss"])))
    assert seen == list(enumerate(first.history["val_loss"], start=1))
    trainer.train(padded, configure("training.seed=7", "model.lstm_units=3"), nothing)
    here = train_network(padded, config.padding, config.model, config.training, verbosity=0, on_epoch=nothing).fitted
    assert trainer.train(padded, config, nothing).history == first.history == here.history


@pytest.mark.long
def test_a_trial_that_ends_early_leaves_its_process_for_the_next(padded, trainer):
    def prune(epoch, figures):
        raise TrialPruned(f"pruned at epoch {epoch}")

    with pytest.raises(TrialPruned, match="epoch 1"):
        trainer.train(padded, configure("training.epochs=1000000"), prune)
    with pytest.raises(TrainingDiverged, match="loss is"):
        trainer.train(padded, configure("training.learning_rate=1.0e+38"), nothing)
    with pytest.raises(ConfigError, match="mask_padding"):
        trainer.train(padded, configure("padding.padding=post"), nothing)
    with pytest.raises(TrialFailed, match="FileNotFoundError"):
        trainer.train(padded.model_copy(update={"path": "/no/such/folder"}), configure(), nothing)
    assert len(trainer.train(padded, configure(), nothing).history["loss"]) == 2


def test_a_process_that_is_killed_fails_its_trial_alone(padded):
    with pytest.raises(TrialFailed, match="ended with code -9"), borrowed_trainer(1) as trainer:
        trainer.train(padded, configure("training.epochs=1000000"), lambda *_: psutil.Process(trainer.pid).kill())
    with borrowed_trainer(1) as other:
        assert other is not trainer
    with borrowed_trainer(1) as again:
        assert again is other
    with borrowed_trainer(2) as wider:
        assert wider is not other
    assert not psutil.pid_exists(other.pid)
    wider.end()


def test_an_interrupt_stops_the_trials_of_all_threads_and_none_is_at_fault(padded):
    training = threading.Event()

    def train():
        with borrowed_trainer(1) as trainer:
            trainer.train(padded, configure("training.epochs=1000000"), lambda *_: training.set())

    with ThreadPoolExecutor(1) as pool:
        with suppress(KeyboardInterrupt), stopping_trials():
            trial = pool.submit(train)
            assert training.wait(timeout=120)
            raise KeyboardInterrupt
        assert isinstance(trial.exception(timeout=20), TrialsStopped)
        assert isinstance(pool.submit(train).exception(timeout=20), TrialsStopped)  # one that waited for its turn
    with stopping_trials(), borrowed_trainer(1) as next_trainer:
        pass
    next_trainer.end()


def test_a_trainer_ends_when_nobody_is_left_to_ask_it():
    code = "from tasks.training.trial_training import TrainerProcess\nprint(TrainerProcess(1).pid, flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asking:
        trainer = psutil.Process(int(asking.stdout.readline()))
        asking.kill()
    trainer.wait(timeout=20)
