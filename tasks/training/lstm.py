"""The LSTM at the speed of a CPU: TensorFlow's fused block kernel as a Keras layer, and networks run without their padding.

This file travels with every registered version and is loaded there by its path, so it imports nothing of this project.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

PADDING_ID = 0
SHARDS = 2


class FusedLSTM(keras.layers.LSTM):  # type: ignore[misc]
    """`keras.layers.LSTM` on TensorFlow's block kernel, forward and backward, where there is no GPU.

    Arguments, weights, shapes, masking and results are those of `keras.layers.LSTM`, to float32 rounding. What the kernel
    cannot do goes Keras's own way: a stateful or unrolled layer, recurrent dropout, other activations than tanh and
    sigmoid, no bias, another dtype than float32, `zero_output_for_mask`, `use_cudnn=True`; and everything where there is a
    GPU, for which Keras has cuDNN. Second derivatives are not defined on the kernel.
    """

    def __init__(self, units: int, *args: Any, shards: int = SHARDS, **kwargs: Any) -> None:
        """Take the arguments of `keras.layers.LSTM`.

        Args:
            units: size of the state and of the output.
            *args: as there.
            shards: pieces into which a batch is cut, to run side by side; they change sums, and so the last bits of
                gradients. A number of its own, so that weights do not depend on the machine's cores.
            **kwargs: as there.
        """
        super().__init__(units, *args, **kwargs)
        if shards < 1:
            raise ValueError(f"shards must be at least 1, not {shards}")
        self.shards = shards

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "shards": self.shards}

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> tuple[Any, Any, list[Any]]:
        """Return the last output (rows, units), all outputs (rows, steps, units), and the last h and c, (rows, units) each.

        Without `return_sequences`, Keras does not look at the outputs, and they have one step.
        """
        if isinstance(mask, list | tuple):
            mask = mask[0]
        if not self.fits_kernel(mask, training):
            return super().inner_loop(sequences, initial_state, mask, training)  # type: ignore[no-any-return]
        if training and self.dropout:
            sequences *= self.cell.get_dropout_mask(sequences[:, 0])[:, None]
        parts = [sequences, *initial_state, *([] if mask is None else [tf.cast(mask, tf.bool)])]
        last_output, outputs, h, c = run_in_shards(self._run_shard, parts, self.shards)
        return last_output, outputs, [h, c]

    def _run_shard(self, sequences: Any, h: Any, c: Any, mask: Any = None) -> tuple[Any, Any, Any, Any]:
        if self.go_backwards:
            sequences = tf.reverse(sequences, [1])
            mask = None if mask is None else tf.reverse(mask, [1])
        return self.run_steps(_swap_rows_and_steps(sequences), h, c, mask)

    def run_steps(self, steps: Any, h: Any, c: Any, mask: Any = None) -> tuple[Any, Any, Any, Any]:
        """Run the kernel on time-major inputs.

        Args:
            steps: (steps, rows, features) float32.
            h: the output before the first step, (rows, units).
            c: the cell state before the first step, (rows, units).
            mask: bool (rows, steps), or None.

        Returns:
            Last output (rows, units), outputs (rows, steps, units), h and c after the last step that is not masked. Without
            `return_sequences` the outputs have one step.
        """
        weights = tf.concat([self.cell.kernel, self.cell.recurrent_kernel], axis=0)
        bias = tf.convert_to_tensor(self.cell.bias)
        if mask is None and not self.return_sequences:
            last_h, last_c = _block_lstm_end(steps, h, c, weights, bias)
            return last_h, last_h[:, None], last_h, last_c
        if mask is None:
            hs, cs = _block_lstm(steps, h, c, weights, bias)
            return hs[-1], _swap_rows_and_steps(hs), hs[-1], cs[-1]

        # The kernel knows no mask: it is given each row's real steps in front, and is read where they end.
        done = tf.cumsum(tf.cast(mask, tf.int32), axis=1)
        hs, cs = _block_lstm(_real_steps_first(steps, mask, done), h, c, weights, bias)
        count = done[:, -1:]
        last_h, last_c = (_read_steps(series, count - 1)[:, 0] for series in (hs, cs))
        last_output = tf.where(count > 0, last_h, tf.zeros_like(last_h))
        if self.return_sequences:
            outputs = tf.where(done[:, :, None] > 0, _read_steps(hs, done - 1), tf.zeros([], hs.dtype))
        else:
            outputs = last_output[:, None]
        return last_output, outputs, tf.where(count > 0, last_h, h), tf.where(count > 0, last_c, c)

    def fits_kernel(self, mask: Any, training: bool) -> bool:
        """Tell whether the kernel can do what is asked of the layer."""
        return (
            not self.stateful
            and not self.unroll
            and not (training and self.recurrent_dropout)
            and not (training and self.dropout and self.cell.implementation == 1)
            and self.activation is keras.activations.tanh
            and self.recurrent_activation is keras.activations.sigmoid
            and self.use_bias
            and self.use_cudnn is not True
            and not (self.zero_output_for_mask and mask is not None)
            and self.compute_dtype == "float32"
            and not tf.config.list_logical_devices("GPU")
        )


def run_in_shards(run: Callable[..., tuple[Any, ...]], parts: Sequence[Any], shards: int) -> tuple[Any, ...]:
    """Cut what has a row for each row of a batch into shards, run each, and put their results together again.

    The shards are padded with zeros to the same even number of rows: of an odd one the kernel copies each step, and says so
    in the log each time.
    """
    rows = tf.shape(parts[0])[0]
    missing = -rows % (2 * shards)
    padded = [tf.pad(part, [[0, missing], *[[0, 0]] * (len(part.shape) - 1)]) for part in parts]
    pieces = zip(*(tf.split(part, shards) for part in padded), strict=True)
    results = zip(*(run(*piece) for piece in pieces), strict=True)
    return tuple(tf.concat(result, 0)[:rows] for result in results)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _block_lstm(steps: Any, h: Any, c: Any, weights: Any, bias: Any) -> tuple[tuple[Any, Any], Any]:
    """Return the output and the cell state after each step, (steps, rows, units) each."""
    return _run_op(steps, h, c, weights, bias)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _block_lstm_end(steps: Any, h: Any, c: Any, weights: Any, bias: Any) -> tuple[tuple[Any, Any], Any]:
    """Return the output and the cell state after the last step, (rows, units) each."""
    (hs, cs), gradient = _run_op(steps, h, c, weights, bias)

    def gradient_of_end(h_grad: Any, c_grad: Any) -> tuple[Any, ...]:
        before = [[tf.shape(hs)[0] - 1, 0], [0, 0], [0, 0]]
        return gradient(tf.pad(h_grad[None], before), tf.pad(c_grad[None], before))

    return (hs[-1], cs[-1]), gradient_of_end


def _run_op(
    steps: Any, h: Any, c: Any, weights: Any, bias: Any
) -> tuple[tuple[Any, Any], Callable[[Any, Any], tuple[Any, ...]]]:
    """Return outputs and cell states, (steps, rows, units) each, and the function from their gradients to the inputs'.

    Takes `steps` (steps, rows, features), the states before the first step, and Keras's kernels one above the other: the
    gates' order i, f, c, o is the op's own.
    TensorFlow 2.21 registers for this op the gradient of its first version, whose gates have another order: a network
    trains with it without an error, and badly.
    """
    given = {"x": steps, "h_prev": h, "cs_prev": c, "w": weights, "b": bias}
    given["seq_len_max"] = tf.shape(steps, out_type=tf.int64)[0]
    given |= {"use_peephole": False, **dict.fromkeys(("wci", "wcf", "wco"), tf.zeros([h.shape[1]]))}
    i, cs, f, o, ci, co, hs = tf.raw_ops.BlockLSTMV2(**given, cell_clip=0.0)

    def gradient(h_grad: Any, cs_grad: Any) -> tuple[Any, ...]:
        found = tf.raw_ops.BlockLSTMGradV2(**given, i=i, cs=cs, f=f, o=o, ci=ci, co=co, h=hs, cs_grad=cs_grad, h_grad=h_grad)
        sums = (found.h_prev_grad, found.cs_prev_grad, found.w_grad, found.b_grad)
        # Of an empty piece the op leaves them as it found the memory.
        sums = tuple(tf.where(tf.size(steps) > 0, total, tf.zeros_like(total)) for total in sums)
        return found.x_grad, *sums

    return (hs, cs), gradient


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _swap_rows_and_steps(series: Any) -> tuple[Any, Any]:
    """Turn (rows, steps, n) into (steps, rows, n), or back."""

    def swap(series: Any) -> Any:
        # As integers: a transpose of floats is oneDNN's, which compiles itself anew for every number of steps.
        return tf.bitcast(tf.transpose(tf.bitcast(series, tf.int32), [1, 0, 2]), series.dtype)

    return swap(series), swap


def _real_steps_first(steps: Any, mask: Any, done: Any) -> Any:
    """Move each row's unmasked steps to its front, in order; what then stands behind them is any of its steps.

    `steps` is (steps, rows, features), `mask` (rows, steps); `done` (rows, steps) counts the unmasked steps up to each.
    """
    number = tf.shape(mask)[1]

    def move() -> Any:
        wanted = tf.broadcast_to(tf.range(1, number + 1), tf.shape(done))
        places = tf.minimum(tf.searchsorted(done, wanted), number - 1)
        return _swap_rows_and_steps(_read_steps(steps, places))

    in_front = tf.reduce_all(mask == tf.sequence_mask(done[:, -1], number))
    return tf.cond(in_front, lambda: steps, move)


def _read_steps(series: Any, steps: Any) -> Any:
    """Return (rows, n, units) of a time-major series (steps, rows, units) at each row's n steps, those below 0 read as 0."""
    rows = tf.broadcast_to(tf.range(tf.shape(steps)[0])[:, None], tf.shape(steps))
    return tf.gather_nd(series, tf.stack([tf.maximum(steps, 0), rows], axis=2))


class TrimmedNetwork(keras.Model):  # type: ignore[misc]
    """A network of Embedding, LSTM and Dense layers, over rows whose common padding was cut off, with a fused LSTM.

    It holds the very weights of the network that it is made of, and gives that network's results, to float32 rounding:
    training it trains the network. Where padding is masked, it is not read, wherever it stands. Where it is not masked, the
    LSTM starts from the state that the missing steps of padding lead to. All rows share it, so one row computes it.
    """

    signature = tf.TensorSpec([None, None], tf.uint16)
    """What `call` takes: ids (rows, width)."""

    def __init__(self, network: keras.Sequential, shards: int = SHARDS) -> None:
        """Take a built network from (rows, maxlen) ids, whose layers are an Embedding, an LSTM, and any that follow."""
        super().__init__(name=f"trimmed_{network.name}")
        self.embedding, lstm, *self.head = network.layers
        self.maxlen: int = network.input_shape[1]
        self.shards = shards
        self.lstm = _share_cell(lstm, shards=shards)
        self.padding_lstm = _share_cell(lstm, shards=1, return_state=True)
        self.built = True

    def call(self, ids: Any, training: bool = False) -> Any:
        """Return what the network returns for ids (rows, width <= maxlen) of any integer dtype, as `trim` gives them."""
        ids = tf.cast(ids, tf.int32)
        if self.embedding.mask_zero:
            ids = _in_front(ids, _first_real(ids))
            outputs = self._run_lstm(ids, self.lstm.get_initial_state(tf.shape(ids)[0]), ids != PADDING_ID, training)
        else:
            outputs = self._run_lstm(ids, self._state_after_padding(ids), None, training)
        for layer in self.head:
            outputs = layer(outputs)
        return outputs

    def _run_lstm(self, ids: Any, state: list[Any], mask: Any, training: bool) -> Any:
        if not self.lstm.fits_kernel(mask, training) or (training and self.lstm.dropout):
            return self.lstm(self._embed(ids), initial_state=state, mask=mask, training=training)

        def run(ids: Any, h: Any, c: Any, mask: Any = None) -> tuple[Any]:
            # The ids are turned, not what they stand for, which is many times as large.
            return self.lstm.run_steps(self._embed(tf.transpose(ids)), h, c, mask)[:1]

        return run_in_shards(run, [ids, *state, *([] if mask is None else [mask])], self.lstm.shards)[0]

    def trim(self, ids: npt.NDArray[Any], *_: None) -> npt.NDArray[Any]:
        """Cut off the columns of (rows, maxlen) ids that are padding in every row; one is left at the least.

        They are cut off both ends where padding is masked, and off the front alone where it is read.
        """
        first, last = _used_columns(ids)
        return ids[:, first : last if self.embedding.mask_zero else None]

    @staticmethod
    def arrange(ids: npt.NDArray[Any], *_: None) -> npt.NDArray[Any]:
        """Return ids as `call` takes them, untrimmed."""
        return ids

    def _embed(self, ids: Any) -> Any:
        return _look_up(tf.convert_to_tensor(self.embedding.embeddings), ids)

    def _state_after_padding(self, ids: Any) -> list[Any]:
        missing = self.maxlen - tf.shape(ids)[1]
        empty = self.padding_lstm.get_initial_state(1)

        def run() -> list[Any]:
            _, h, c = self.padding_lstm(self._embed(tf.fill([1, missing], PADDING_ID)))
            return [h, c]

        states = tf.cond(missing > 0, run, lambda: empty)
        return [tf.repeat(state, tf.shape(ids)[0], axis=0) for state in states]


class TrimmedNgramNetwork(keras.Model):  # type: ignore[misc]
    """A network that reads n-grams beside words in both directions, over rows whose padding was cut off, with fused LSTMs.

    As `TrimmedNetwork`, it holds the weights and gives the results of the network that it is made of, whose layers it knows by
    their names. Padding is masked.
    """

    def __init__(self, network: keras.Model, shards: int = SHARDS) -> None:
        """Take a built network from (rows, maxlen) ids, (rows, maxlen, longest) log ratios and (rows, 1) logits."""
        super().__init__(name=f"trimmed_{network.name}")
        self.network, self.shards = network, shards
        both = network.get_layer("lstm")
        self.forward_lstm, self.backward_lstm = (
            _share_cell(lstm, shards=shards, go_backwards=False) for lstm in (both.forward_layer, both.backward_layer)
        )
        longest = network.get_layer("log_ratios").output.shape[-1]
        self.signature = (
            tf.TensorSpec([None, None], tf.uint16),
            tf.TensorSpec([None, None, longest], tf.float16),
            tf.TensorSpec([None], tf.float32),
        )
        """What `call` takes: ids (rows, width), log ratios (rows, width, longest), logits (rows,)."""
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return what the network returns for ids, log ratios and logits, as `trim` gives them."""
        ids, log_ratios, logits = tf.cast(inputs[0], tf.int32), tf.cast(inputs[1], tf.float32), inputs[2]
        layer = self.network.get_layer
        first = _first_real(ids)
        ids, log_ratios = _in_front(ids, first), _in_front(log_ratios, first)
        mask = ids != PADDING_ID
        embedded = _look_up(tf.convert_to_tensor(layer("embedding").embeddings), ids)
        steps = tf.concat([layer("embedding_dropout")(embedded, training=training), log_ratios], axis=2)
        steps = layer("word_dropout")(steps, training=training)
        if self.forward_lstm.fits_kernel(None, training) and not (training and self.forward_lstm.dropout):
            lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
            mean = run_in_shards(self._mean_states, [steps, lengths], self.shards)[0]
        else:
            mean = layer("mean")(layer("lstm")(steps, mask=mask, training=training), mask=mask)
        state_logit = layer("state_logit")(layer("state_dropout")(mean, training=training))
        return layer("probability")(state_logit + layer("linear_weight")(logits[:, None]))

    def _mean_states(self, steps: Any, lengths: Any) -> tuple[Any]:
        """Return the mean of both LSTMs' outputs over each row's steps, (rows, 2 units), in a tuple."""
        real = tf.sequence_mask(lengths, tf.shape(steps)[1], dtype=steps.dtype)[:, :, None]
        means = []
        for lstm, read in ((self.forward_lstm, steps), (self.backward_lstm, tf.reverse_sequence(steps, lengths, seq_axis=1))):
            state = lstm.get_initial_state(tf.shape(steps)[0])
            outputs = lstm.run_steps(_swap_rows_and_steps(read), *state)[1]
            # A row that fills up a shard has no step; what would come of dividing by 0 would spoil every gradient.
            means.append(tf.reduce_sum(outputs * real, axis=1) / tf.maximum(tf.reduce_sum(real, axis=1), 1))
        return (tf.concat(means, axis=1),)

    @staticmethod
    def trim(ids: npt.NDArray[Any], log_ratios: npt.NDArray[Any], logits: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        """Cut off the columns, at both ends, that are padding in every row; one is left at the least."""
        first, last = _used_columns(ids)
        return ids[:, first:last], log_ratios[:, first:last], logits

    @staticmethod
    def arrange(*inputs: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        """Return ids, log ratios and logits as `call` takes them, untrimmed."""
        return inputs


Trimmed = TrimmedNetwork | TrimmedNgramNetwork


def trim_network(network: keras.Model, shards: int = SHARDS) -> Trimmed:
    """Return the twin, over trimmed rows, of a network of ids alone or of one of ids, log ratios and logits."""
    return (TrimmedNetwork if len(network.inputs) == 1 else TrimmedNgramNetwork)(network, shards)


def _used_columns(ids: npt.NDArray[Any]) -> tuple[int, int]:
    """Return the first column that is not padding in every row, and the one behind the last; never the same."""
    used = np.flatnonzero((ids != PADDING_ID).any(axis=0))
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (ids.shape[1] - 1, ids.shape[1])


def _share_cell(lstm: keras.layers.LSTM, **settings: Any) -> FusedLSTM:
    twin = FusedLSTM(**{**lstm.get_config(), **settings})
    twin.cell = lstm.cell
    twin.built = True
    return twin


def _first_real(ids: Any) -> Any:
    """Return the column, (rows,) int32, of each row's first id that is not padding."""
    return tf.argmax(ids != PADDING_ID, axis=1, output_type=tf.int32)


def _in_front(series: Any, first: Any) -> Any:
    """Turn each row of (rows, width, ...) so that what stands before its column `first` comes to stand behind."""
    width = tf.shape(series)[1]
    return tf.gather(series, (tf.range(width) + first[:, None]) % width, batch_dims=1)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _look_up(table: Any, ids: Any) -> tuple[Any, Any]:
    """Return the rows of a table (vocabulary, features) at ids (rows, steps), with a dense gradient."""

    def gradient(found: Any) -> tuple[Any, None]:
        # As a product with the one-hot matrix of ids: half the time of the scattered sum that TensorFlow would take.
        flat = tf.reshape(ids, [-1])
        places = tf.stack([tf.range(tf.size(flat), dtype=tf.int64), tf.cast(flat, tf.int64)], axis=1)
        shape = tf.stack([tf.size(flat), tf.shape(table)[0]])
        one_hot = tf.SparseTensor(places, tf.ones_like(flat, table.dtype), tf.cast(shape, tf.int64))
        rows = tf.reshape(found, [-1, table.shape[1]])
        return tf.sparse.sparse_dense_matmul(one_hot, rows, adjoint_a=True), None

    return tf.gather(table, ids), gradient
