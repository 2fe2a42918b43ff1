"""From raw text to probability: the one path that padding, evaluation, scoring and every registered version share.

This file is itself what MLflow stores as a version's code, so it imports nothing of this project: a version keeps the
tokenization and the padding that it was trained with, whatever becomes of them here.
"""

import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import mlflow  # noqa: TID251
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from mlflow.pyfunc import PythonModel, PythonModelContext  # noqa: TID251
from pydantic import BaseModel

PADDING_ID, START_ID, UNKNOWN_ID, FIRST_WORD_ID = 0, 1, 2, 4
"""The ids of `keras.datasets.imdb.load_data`: the word of rank 1 has id 4, so id 3 is never used."""

# The characters that Keras's Tokenizer takes for white space.
SEPARATORS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
_SEPARATOR_PATTERN = f"[{re.escape(SEPARATORS)}]"

BLOCK_ROWS = 16
"""Rows that a processor's vector instructions multiply at once, at the most: AVX-512 has 16 numbers in a register."""

Ids = npt.NDArray[np.uint16]
Lengths = npt.NDArray[np.int32]


def tokenize(texts: pa.Array) -> tuple[pa.Array, Lengths]:
    """Split texts into lower-case words as Keras's Tokenizer does.

    Args:
        texts: (rows,) string; a null counts as an empty text.

    Returns:
        All words one after the other, (words,) string, and the number of words of each text, (rows,) int32.
    """
    spaced = pc.replace_substring_regex(pc.utf8_lower(pc.fill_null(texts, "")), pattern=_SEPARATOR_PATTERN, replacement=" ")
    pieces = pc.split_pattern(spaced, " ")
    words = pieces.flatten()
    kept = pc.not_equal(words, "")
    kept_before = np.concatenate([[0], np.cumsum(kept.to_numpy(zero_copy_only=False), dtype=np.int64)])
    offsets = pieces.offsets.to_numpy() - pieces.offsets[0].as_py()
    return words.filter(kept), np.diff(kept_before[offsets]).astype(np.int32)


def pad(
    ids: npt.NDArray[Any],
    lengths: npt.NDArray[Any],
    *,
    maxlen: int,
    padding: Literal["pre", "post"],
    truncating: Literal["pre", "post"],
) -> npt.NDArray[Any]:
    """Cut and pad rows to one width; equal to `keras.utils.pad_sequences` with value 0.

    Args:
        ids: all rows' ids one after the other, (ids,) of any integer dtype.
        lengths: (rows,) integer; they sum to the number of ids.
        maxlen: width of the result.
        padding: the side on which short rows are filled.
        truncating: the side on which long rows are cut.

    Returns:
        (rows, maxlen) of the dtype of `ids`.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    ends = np.cumsum(lengths)
    kept = np.minimum(lengths, maxlen)
    first = ends - kept if truncating == "pre" else ends - lengths
    kept_before = np.cumsum(kept) - kept
    columns = np.arange(maxlen)
    filled = columns >= maxlen - kept[:, None] if padding == "pre" else columns < kept[:, None]
    padded = np.full((len(lengths), maxlen), PADDING_ID, dtype=ids.dtype)
    padded[filled] = ids[np.repeat(first - kept_before, kept) + np.arange(kept.sum())]
    return padded


@dataclass(frozen=True)
class TextEncoder:
    """Turns texts into rows of ids.

    `words` are the vocabulary by rank, from rank 1 on; only those whose id is below `vocabulary_size` are known.
    """

    words: tuple[str, ...]
    vocabulary_size: int
    maxlen: int
    padding: Literal["pre", "post"] = "pre"
    truncating: Literal["pre", "post"] = "pre"

    def __post_init__(self) -> None:
        """Forget the words that have no id."""
        object.__setattr__(self, "words", tuple(self.words[: self.vocabulary_size - FIRST_WORD_ID]))

    def encode(self, texts: pa.Array) -> tuple[Ids, Lengths]:
        """Return the ids of all texts one after the other, (ids,) uint16, and their numbers, (rows,) int32.

        Each text begins with the start marker, so no row is empty.
        """
        words, lengths = tokenize(texts)
        ranks = pc.index_in(words, value_set=pa.array(self.words, pa.string()))
        word_ids = pc.fill_null(pc.add(ranks, FIRST_WORD_ID), UNKNOWN_ID).to_numpy().astype(np.uint16)
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        return np.insert(word_ids, starts, START_ID), lengths + np.int32(1)

    def pad(self, ids: Ids, lengths: Lengths) -> Ids:
        """Return encoded texts as (rows, maxlen) uint16."""
        return pad(ids, lengths, maxlen=self.maxlen, padding=self.padding, truncating=self.truncating)

    def encode_padded(self, texts: Sequence[str]) -> Ids:
        """Return texts as (rows, maxlen) uint16; unpaired surrogates count as unknown characters."""
        return self.pad(
            *self.encode(pa.array([text.encode(errors="replace") for text in texts], pa.binary()).cast(pa.string()))
        )

    def save(self, path: Path) -> None:
        """Write the encoder as JSON."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=0), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "TextEncoder":
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


class Predictor:
    """A `.keras` network as a compiled function from padded ids to probabilities."""

    def __init__(self, model_path: Path, lstm_path: Path) -> None:
        """Load the network, without running any code that its file may carry.

        Args:
            model_path: the `.keras` file.
            lstm_path: the `lstm.py` that came with it and runs it; each predictor has a module of its own of it.
        """
        import keras  # noqa: TID251
        import tensorflow as tf  # noqa: TID251

        spec = importlib.util.spec_from_file_location("lstm", lstm_path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{lstm_path} is no Python file")
        lstm = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(lstm)
        network = lstm.TrimmedNetwork(keras.models.load_model(model_path, compile=False, safe_mode=True))
        self._trim = network.trim
        # A row's last bits depend on whether it is multiplied in a full block of rows or in what is left over at the end, and
        # hundreds of steps make 1e-6 of that: so every shard gets full blocks, and a score does not depend on its company.
        self._block = BLOCK_ROWS * network.lstm.shards
        # One signature for every shape: without it each new one is traced again.
        ids = tf.TensorSpec([None, None], tf.uint16)
        self._score = tf.function(lambda ids: network(ids, training=False), [ids], autograph=False)

    def probabilities(self, ids: npt.NDArray[Any], batch_size: int = 512) -> npt.NDArray[np.float32]:
        """Return the probability of label 1 for each row, in the order of the rows; a row's is the same whatever others come.

        Args:
            ids: (rows, maxlen) uint16, which may be memory-mapped.
            batch_size: rows per call of the network; they are taken in order of their length.

        Returns:
            (rows,) float32.
        """
        order = np.argsort(np.count_nonzero(ids != PADDING_ID, axis=1), kind="stable")
        probabilities = np.empty(len(ids), np.float32)
        for rows in np.split(order, range(batch_size, len(order), batch_size)):
            filled = np.append(rows, np.repeat(rows[-1:], -len(rows) % self._block))
            probabilities[rows] = self._score(self._trim(ids[filled]))[: len(rows), 0]
        return probabilities


class Prediction(BaseModel):
    """What the model says of one text: the probability of label 1, and the label."""

    probability: float
    label: int


class ReviewClassifier(PythonModel):  # type: ignore[misc]
    """The registered model: raw texts in, predictions out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the encoder, the network and the code that runs it, all three files of the version's own."""
        self.encoder = TextEncoder.load(Path(context.artifacts["vocabulary"]))
        self.predictor = Predictor(Path(context.artifacts["network"]), Path(context.artifacts["lstm"]))
        self.threshold = float(context.model_config["threshold"])

    def predict(self, model_input: list[str]) -> list[Prediction]:
        """Score texts; a text of label 1 has a probability of at least the threshold."""
        probabilities = self.predictor.probabilities(self.encoder.encode_padded(model_input))
        return [Prediction(probability=float(p), label=int(p >= self.threshold)) for p in probabilities]


mlflow.models.set_model(ReviewClassifier())
