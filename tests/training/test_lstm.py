"""The fused LSTM against Keras's own: results and gradients, and who does the work."""

import subprocess
import sys
import venv

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema import ModelConfig
from tasks.training.lstm import FusedLSTM, TrimmedNetwork, TrimmedNgramNetwork, trim_network
from tasks.training.network import build_network

FEATURES, UNITS = 3, 4
TOLERANCE = 1e-5


def make_pair(seed=0, shards=2, **arguments):
    keras.utils.set_random_seed(seed)
    plain, fused = keras.layers.LSTM(UNITS, **arguments), FusedLSTM(UNITS, shards=shards, **arguments)
    for layer in (plain, fused):
        layer.build((None, None, FEATURES))
    for weight in plain.weights:
        weight.assign(np.random.default_rng(seed).normal(size=weight.shape))
    fused.set_weights(plain.get_weights())
    if arguments.get("dropout") or arguments.get("recurrent_dropout"):  # Keras 3.15 does not hand `seed` on to the cell
        fused.cell.seed_generator.state.assign(plain.cell.seed_generator.state)
    return plain, fused


def draw_inputs(rows, steps, seed=0):
    rng = np.random.default_rng(seed)
    sequences = tf.constant(rng.normal(size=(rows, steps, FEATURES)), tf.float32)
    return sequences, [tf.constant(rng.normal(size=(rows, UNITS)), tf.float32) for _ in range(2)]


def run(layer, sequences, states=None, mask=None, training=False):
    """All outputs, and the gradients of a sum in which each number counts differently."""
    watched = [sequences, *(states or []), *(weight.value for weight in layer.trainable_weights)]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs = tf.nest.flatten(layer(sequences, initial_state=states, mask=mask, training=training))
        numbers = tf.concat([tf.reshape(output, [-1]) for output in outputs], 0)
        total = tf.reduce_sum(numbers * tf.cos(tf.cast(tf.range(tf.size(numbers)), numbers.dtype)))
    return outputs, tape.gradient(total, watched)


def assert_alike(one, other):
    for part, (found, expected) in enumerate(zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)):
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"part {part}")


def operations(layer, **call):
    """The names of the operations that a layer runs."""
    sequences, states = draw_inputs(2, 5)
    traced = tf.function(lambda sequences: layer(sequences, initial_state=None if layer.stateful else states, **call))
    graph = traced.get_concrete_function(sequences).graph
    return {operation.type for operation in graph.get_operations()}


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 7),
    steps=st.integers(1, 12),
    shards=st.integers(1, 4),
    masked=st.sampled_from(["no", "any", "in front", "behind"]),
    options=st.fixed_dictionaries(dict.fromkeys(("return_sequences", "return_state", "go_backwards"), st.booleans())),
    with_states=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_results_and_gradients_are_those_of_keras(rows, steps, shards, masked, options, with_states, seed):
    plain, fused = make_pair(seed, shards, **options)
    sequences, states = draw_inputs(rows, steps, seed)
    rng = np.random.default_rng(seed)
    real = rng.integers(0, steps + 1, (rows, 1))
    masks = {
        "no": None,
        "any": rng.random((rows, steps)) < 0.5,
        "in front": np.arange(steps) >= steps - real,
        "behind": np.arange(steps) < real,
    }
    mask = None if masks[masked] is None else tf.constant(masks[masked])
    call = {"states": states if with_states else None, "mask": mask}
    assert_alike(run(fused, sequences, **call), run(plain, sequences, **call))


@pytest.mark.parametrize("real", [[0, 0], [1, 1], [0, 1], [0, 6], [1, 6]])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_rows_without_a_step_and_with_one(real, return_sequences):
    plain, fused = make_pair(return_sequences=return_sequences, return_state=True)
    sequences, states = draw_inputs(2, 6)
    mask = tf.sequence_mask(real, 6)
    assert_alike(run(fused, sequences, states, mask), run(plain, sequences, states, mask))


def test_more_shards_than_rows_and_no_rows_at_all():
    for rows in (1, 2, 3):
        plain, fused = make_pair(shards=4)
        assert_alike(run(fused, *draw_inputs(rows, 5)), run(plain, *draw_inputs(rows, 5)))
    outputs, gradients = run(make_pair()[1], *draw_inputs(0, 5))
    assert outputs[0].shape == (0, UNITS)
    for gradient in gradients:
        assert not np.any(gradient)


def test_the_kernel_runs_once_a_shard():
    _, fused = make_pair(shards=3)
    sequences, states = draw_inputs(6, 5)
    graph = tf.function(lambda x: fused(x, initial_state=states)).get_concrete_function(sequences).graph
    assert [operation.type for operation in graph.get_operations()].count("BlockLSTMV2") == 3
    assert "BlockLSTMV2" not in operations(make_pair()[0])
    with pytest.raises(ValueError, match="shards"):
        FusedLSTM(UNITS, shards=0)


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ({"unroll": True}, {}),
        ({"recurrent_dropout": 0.5}, {"training": True}),
        ({"dropout": 0.5, "implementation": 1, "use_cudnn": False}, {"training": True}),
        ({"activation": "relu"}, {}),
        ({"recurrent_activation": "hard_sigmoid"}, {}),
        ({"use_bias": False}, {}),
        ({"dtype": "float64"}, {}),
        ({"dtype": "mixed_bfloat16"}, {}),
        ({"zero_output_for_mask": True, "return_sequences": True}, {"mask": [[True, False] * 2 + [True]] * 2}),
    ],
)
def test_what_the_kernel_cannot_do_goes_the_way_of_keras(arguments, call):
    call = {**call, "mask": tf.constant(call["mask"])} if "mask" in call else call
    assert "BlockLSTMV2" not in operations(make_pair(**arguments)[1], **call)
    plain, fused = make_pair(**arguments)
    sequences = draw_inputs(2, 5)[0]
    for found, expected in zip(run(fused, sequences, **call)[0], run(plain, sequences, **call)[0], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_stateful_layer_keeps_its_state_as_keras_does():
    keras.utils.set_random_seed(0)
    plain, fused = keras.layers.LSTM(UNITS, stateful=True), FusedLSTM(UNITS, stateful=True)
    sequences = draw_inputs(2, 5)[0]
    for layer in (plain, fused):
        layer.build(sequences.shape)
    fused.set_weights(plain.get_weights())
    assert "BlockLSTMV2" not in operations(fused)
    for layer in (plain, fused):
        layer.reset_state()
    for _ in range(2):
        np.testing.assert_array_equal(fused(sequences), plain(sequences))


def test_recurrent_dropout_leaves_prediction_to_the_kernel():
    assert "BlockLSTMV2" in operations(make_pair(recurrent_dropout=0.5)[1], training=False)


def test_dropout_draws_what_keras_draws():
    plain, fused = make_pair(dropout=0.5)
    assert "BlockLSTMV2" in operations(make_pair(dropout=0.5)[1], training=True)
    sequences, states = draw_inputs(4, 6)
    found, expected = (run(layer, sequences, states, training=True) for layer in (fused, plain))
    assert_alike(found, expected)
    assert not np.allclose(found[0][0], run(fused, sequences, states)[0][0])


def test_the_layer_comes_back_from_its_configuration():
    fused = FusedLSTM(UNITS, shards=3, go_backwards=True)
    again = FusedLSTM.from_config(fused.get_config())
    assert (again.units, again.shards, again.go_backwards) == (UNITS, 3, True)
    assert set(fused.get_config()) - set(keras.layers.LSTM(UNITS).get_config()) == {"shards"}


def build(seed=0, maxlen=12, padding="pre", longest_ngram=0, **model):
    keras.utils.set_random_seed(seed)
    network = build_network(
        ModelConfig(**model), vocabulary_size=30, maxlen=maxlen, padding=padding, longest_ngram=longest_ngram
    )
    for weight in network.trainable_weights:
        weight.assign(np.random.default_rng(seed).normal(0, 0.5, weight.shape))
    return network


def measure(network, ids, weights):
    """Probabilities, and the gradients of their cross-entropy."""
    with tf.GradientTape() as tape:
        probabilities = network(ids)
        labels = np.arange(len(probabilities)) % 2
        loss = keras.losses.BinaryCrossentropy()(labels[:, None], probabilities)
    return probabilities, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights)]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    semantics=st.sampled_from([("pre", False), ("pre", True), ("post", True)]),
    shards=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_a_trimmed_network_is_the_network_in_values_and_gradients(lengths, semantics, shards, seed):
    padding, mask_padding = semantics
    network = build(seed, padding=padding, mask_padding=mask_padding)
    trimmed = TrimmedNetwork(network, shards)
    ids = np.random.default_rng(seed).integers(1, 30, (len(lengths), 12)).astype(np.uint16)
    columns, real = np.arange(12), np.array(lengths)[:, None]
    ids[columns < 12 - real if padding == "pre" else columns >= real] = 0
    cut = trimmed.trim(ids)
    assert cut.shape[1] == max(1, *lengths)
    weights = [weight.value for weight in network.trainable_weights]
    assert_alike(measure(trimmed, cut, weights), measure(network, ids.astype(np.int32), weights))


def build_ngram_network(seed=0, **model):
    return build(seed, longest_ngram=2, mask_padding=True, lstm_units=4, embedding_dimension=3, **model)


def draw_ngram_inputs(seed, lengths, padding="pre", maxlen=12):
    rng = np.random.default_rng(seed)
    columns, real = np.arange(maxlen), np.array(lengths)[:, None]
    there = columns >= maxlen - real if padding == "pre" else columns < real
    ids = np.where(there, rng.integers(1, 30, there.shape), 0).astype(np.uint16)
    log_ratios = np.where(there[:, :, None], rng.normal(size=(*there.shape, 2)), 0).astype(np.float16)
    return ids, log_ratios, rng.normal(size=len(ids)).astype(np.float32)


@settings(max_examples=10, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    padding=st.sampled_from(["pre", "post"]),
    shards=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_a_trimmed_ngram_network_is_the_network_in_values_and_gradients(lengths, padding, shards, seed):
    network = build_ngram_network(seed, padding=padding)
    trimmed = trim_network(network, shards)
    assert isinstance(trimmed, TrimmedNgramNetwork)
    ids, log_ratios, logits = draw_ngram_inputs(seed, lengths, padding)
    cut = trimmed.trim(ids, log_ratios, logits)
    assert cut[0].shape[1] == cut[1].shape[1] == max(lengths)
    weights = [weight.value for weight in network.trainable_weights]
    whole = [ids.astype(np.int32), log_ratios.astype(np.float32), logits[:, None]]
    assert_alike(measure(trimmed, cut, weights), measure(network, whole, weights))


def test_a_trimmed_ngram_network_that_the_kernel_cannot_run_is_the_network(monkeypatch):
    network = build_ngram_network()
    trimmed = trim_network(network)
    monkeypatch.setattr(FusedLSTM, "fits_kernel", lambda *_: False)
    ids, log_ratios, logits = draw_ngram_inputs(1, [3, 12, 7])
    expected = network([ids.astype(np.int32), log_ratios.astype(np.float32), logits[:, None]])
    np.testing.assert_allclose(trimmed(trimmed.arrange(ids, log_ratios, logits)), expected, atol=1e-6)


@pytest.mark.parametrize("dropout", ["embedding_dropout", "word_dropout", "state_dropout"])
def test_each_dropout_of_the_ngram_network_is_one_of_training_alone(dropout):
    trimmed = trim_network(build_ngram_network(**{dropout: 0.5}))
    inputs = draw_ngram_inputs(2, [12] * 8)
    scored, again, trained = trimmed(inputs), trimmed(inputs), trimmed(inputs, training=True)
    np.testing.assert_array_equal(scored, again)
    assert np.abs(scored - trained).max() > 1e-3


def test_training_a_trimmed_network_trains_the_network():
    network = build()
    before = network.get_weights()
    trimmed = TrimmedNetwork(network)
    trimmed.compile(optimizer="adam", loss="binary_crossentropy")
    trimmed.fit(np.ones((4, 12), np.uint16), np.ones(4), verbose=0)
    assert len(trimmed.trainable_weights) == len(network.trainable_weights)
    for old, new in zip(before, network.get_weights(), strict=True):
        assert np.any(old != new)


def test_padding_that_is_read_is_cut_off_the_front_alone():
    ids = np.array([[0, 0, 5, 0], [0, 6, 7, 0]], np.uint16)
    np.testing.assert_array_equal(TrimmedNetwork(build(maxlen=4)).trim(ids), ids[:, 1:])
    np.testing.assert_array_equal(TrimmedNetwork(build(maxlen=4, mask_padding=True)).trim(ids), ids[:, 1:3])


@pytest.mark.parametrize("kind", ["words", "n-grams"])
def test_a_saved_network_loads_and_scores_where_reprise_is_not_installed(tmp_path, kind):
    ids, log_ratios, logits = draw_ngram_inputs(0, [12, 1, 7, 12, 3])
    inputs = [ids.astype(np.int32), log_ratios.astype(np.float32), logits[:, None]]
    network = build() if kind == "words" else build_ngram_network()
    inputs = inputs[: len(network.inputs)]
    np.savez(tmp_path / "inputs.npz", *inputs)
    network.save(tmp_path / "model.keras")
    venv.create(tmp_path / "bare", with_pip=False)
    # The packages alone: a folder named in a .pth file is searched, but the .pth files in it, as that of Reprise, are not read.
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / "bare/lib" / version / "site-packages/packages.pth").write_text(packages)
    script = (
        "import importlib.util, keras, numpy as np\n"
        "assert importlib.util.find_spec('tasks') is None\n"
        "model = keras.models.load_model('model.keras')\n"
        "lstm = model.get_layer('lstm')\n"
        "assert type(getattr(lstm, 'forward_layer', lstm)) is keras.layers.LSTM\n"
        "np.save('scores.npy', model([*np.load('inputs.npz').values()]))\n"
    )
    subprocess.run([tmp_path / "bare/bin/python", "-c", script], cwd=tmp_path, env={}, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), network(inputs))
