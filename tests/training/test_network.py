import keras
import numpy as np
import pytest

from configs.schema import ModelConfig, TrainingConfig
from tasks.errors import ConfigError
from tasks.training.network import are_alike, build_network, compile_network, hash_weights, summarize


def build(seed=0, **model):
    keras.utils.set_random_seed(seed)
    return build_network(ModelConfig(**model), vocabulary_size=5000, maxlen=300, padding="pre")


def test_the_notebooks_network_has_76_051_parameters():
    network = build()
    assert [layer.count_params() for layer in network.layers] == [75_000, 1_040, 11]
    assert network.count_params() == 76_051
    assert "76,051" in summarize(network)


@pytest.mark.parametrize("compiled", [True, False])
def test_compiled_false_runs_eagerly(compiled):
    network = build()
    compile_network(network, TrainingConfig(compiled=compiled), rows=1000)
    assert network.run_eagerly is not compiled


def test_masked_padding_is_not_read():
    ids = np.zeros((1, 300), np.int32)
    ids[0, -3:] = [1, 7, 9]
    shorter = np.full((1, 300), 7, np.int32)
    shorter[0, -3:] = ids[0, -3:]
    masked, unmasked = build(mask_padding=True), build()
    short = keras.Sequential([keras.Input((3,)), *masked.layers])
    np.testing.assert_allclose(masked(ids), short(ids[:, -3:]), atol=1e-6)
    unmasked.set_weights(masked.get_weights())
    assert abs(float(unmasked(ids)[0, 0]) - float(masked(ids)[0, 0])) > 1e-6


def test_unmasked_post_padding_is_refused():
    with pytest.raises(ConfigError, match=r"model\.mask_padding"):
        build_network(ModelConfig(), vocabulary_size=10, maxlen=5, padding="post")


def test_the_weights_digest_follows_the_weights():
    assert hash_weights(build(1)) == hash_weights(build(1))
    assert hash_weights(build(1)) != hash_weights(build(2))


def test_networks_that_would_draw_other_dropouts_are_not_alike():
    """Keras counts the states of what draws among a network's variables, and not among its weights."""

    def build_ngram_network():
        keras.utils.set_random_seed(0)
        model = ModelConfig(mask_padding=True, state_dropout=0.5)
        return build_network(model, vocabulary_size=10, maxlen=5, padding="pre", longest_ngram=2)

    first, second = build_ngram_network(), build_ngram_network()
    assert are_alike(first, second)
    state = next(variable for variable in second.variables if variable.path.endswith("seed_generator_state"))
    state.assign(state.value + 1)
    assert hash_weights(first) == hash_weights(second)
    assert not are_alike(first, second)
