"""The predictor against the network that it runs."""

from pathlib import Path

import keras
import numpy as np
import pytest

from configs.schema import ModelConfig
from tasks.served_model import Inputs, Predictor
from tasks.training import lstm
from tasks.training.network import build_network

VOCABULARY, MAXLEN = 50, 20


@pytest.fixture(params=[False, True], ids=["padding is read", "padding is masked"])
def network(request):
    keras.utils.set_random_seed(0)
    network = build_network(ModelConfig(mask_padding=request.param), vocabulary_size=VOCABULARY, maxlen=MAXLEN, padding="pre")
    for weight in network.trainable_weights:
        weight.assign(np.random.default_rng(0).normal(0, 0.5, weight.shape))
    return network


@pytest.fixture
def predictor(network, tmp_path):
    network.save(tmp_path / "model.keras")
    return Predictor(tmp_path / "model.keras", Path(lstm.__file__))


@pytest.mark.parametrize("batch_size", [1, 7, 512])
def test_probabilities_are_the_networks_in_the_order_of_the_rows(network, predictor, batch_size):
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, MAXLEN + 1, (100, 1))
    ids = np.where(np.arange(MAXLEN) >= MAXLEN - lengths, rng.integers(1, VOCABULARY, (100, MAXLEN)), 0).astype(np.uint16)
    found = predictor.probabilities(Inputs(ids), batch_size)
    assert (found.dtype, found.shape) == (np.float32, (100,))
    np.testing.assert_allclose(found, network(ids.astype(np.int32))[:, 0], atol=1e-6)


@pytest.mark.parametrize("number", [1, 2, 15, 17, 33, 100])
def test_a_score_does_not_depend_on_what_is_scored_beside_it(predictor, number):
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, MAXLEN + 1, (1000, 1))
    ids = np.where(np.arange(MAXLEN) >= MAXLEN - lengths, rng.integers(1, VOCABULARY, (1000, MAXLEN)), 0).astype(np.uint16)
    chosen = rng.choice(len(ids), number, replace=False)
    np.testing.assert_array_equal(predictor.probabilities(Inputs(ids[chosen])), predictor.probabilities(Inputs(ids))[chosen])


def test_no_rows_have_no_probabilities(predictor):
    assert predictor.probabilities(Inputs(np.empty((0, MAXLEN), np.uint16))).shape == (0,)


def test_each_predictor_runs_the_code_that_it_is_given(network, tmp_path):
    network.save(tmp_path / "model.keras")
    other = tmp_path / "lstm.py"
    other.write_text(Path(lstm.__file__).read_text() + "\nTrimmedNetwork.call = lambda self, ids, training=False: self.other\n")
    Predictor(tmp_path / "model.keras", other)
    ids = np.ones((1, MAXLEN), np.uint16)
    found = Predictor(tmp_path / "model.keras", Path(lstm.__file__)).probabilities(Inputs(ids))
    np.testing.assert_allclose(found, network(ids.astype(np.int32))[:, 0], atol=1e-6)
