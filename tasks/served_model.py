"""From raw text to probability: the one path that padding, evaluation, scoring and every registered version share.

This file is itself what MLflow stores as a version's code, so it imports nothing of this project: a version keeps the
tokenization and the padding that it was trained with, whatever becomes of them here.
"""

import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
        ids: all rows' ids one after the other, (ids,) of any integer dtype; or what goes with them, (ids, n) of any dtype.
        lengths: (rows,) integer; they sum to the number of ids.
        maxlen: width of the result.
        padding: the side on which short rows are filled.
        truncating: the side on which long rows are cut.

    Returns:
        (rows, maxlen), or (rows, maxlen, n), of the dtype of `ids`.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    ends = np.cumsum(lengths)
    kept = np.minimum(lengths, maxlen)
    first = ends - kept if truncating == "pre" else ends - lengths
    kept_before = np.cumsum(kept) - kept
    columns = np.arange(maxlen)
    filled = columns >= maxlen - kept[:, None] if padding == "pre" else columns < kept[:, None]
    padded = np.full((len(lengths), maxlen, *ids.shape[1:]), PADDING_ID, dtype=ids.dtype)
    padded[filled] = ids[np.repeat(first - kept_before, kept) + np.arange(kept.sum())]
    return padded


def ngram_keys(ids: Ids, lengths: npt.NDArray[Any], n: int) -> npt.NDArray[np.uint64]:
    """Return a number for the n-gram that ends at each word, by which it is known; 0 where there is none.

    Those that would begin before their text does, and those with a word that is not in the vocabulary, are none.

    Args:
        ids: all texts' ids one after the other, (ids,) uint16.
        lengths: (rows,) integer; they sum to the number of ids.
        n: words of an n-gram, 1 to 4.

    Returns:
        (ids,) uint64: the words' ids from the last to the first, 16 bits each.
    """
    known = ids >= FIRST_WORD_ID
    column = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    keys, whole = ids.astype(np.uint64), known & (column >= n - 1)
    for back in range(1, n):
        keys |= np.roll(ids, back).astype(np.uint64) << np.uint64(16 * back)
        whole &= np.roll(known, back)
    return np.where(whole, keys, np.uint64(0))


class NgramFigures(NamedTuple):
    """What n-grams say of texts.

    `log_ratios` float16 (ids, longest) are those of the n-grams that end at each word, `logits` float32 (rows,) the linear
    model's.
    """

    log_ratios: npt.NDArray[np.float16]
    logits: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NgramModel:
    """What n-grams told of the labels of the train split, and a linear model of them.

    `keys` uint64 (ngrams,) are those of all lengths up to `longest`, each length's in rising order, and `ends` int64 (longest,)
    the number of keys up to each; `log_ratios` float32 (ngrams,) are the logarithms of how much more often than in texts of
    label 0 an n-gram stands in those of label 1. A text's logit is the intercept plus the `weights` float32 (ngrams,) of its
    n-grams, each counted once.
    """

    keys: npt.NDArray[np.uint64]
    ends: npt.NDArray[np.int64]
    log_ratios: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    intercept: npt.NDArray[np.float32]

    @property
    def longest(self) -> int:
        """The length of the longest n-grams, in words."""
        return len(self.ends)

    def find(self, ids: Ids, lengths: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Return the number of the n-gram of each length that ends at each word, (ids, longest) int32, or -1."""
        found = np.full((len(ids), self.longest), -1, np.int32)
        for column, (start, end) in enumerate(pairwise([0, *self.ends])):
            keys = self.keys[start:end]
            if len(keys):
                wanted = ngram_keys(ids, lengths, column + 1)
                # In rising order, for neighbours are then found in memory that is at hand: of many words in half the time.
                order = np.argsort(wanted)
                wanted = wanted[order]
                places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
                found[order, column] = np.where(keys[places] == wanted, start + places, -1)
        return found

    def measure(self, ids: Ids, lengths: npt.NDArray[Any]) -> NgramFigures:
        """Return what the n-grams of texts say of them; an unknown n-gram has the log ratio 0.

        Args:
            ids: all texts' ids one after the other, (ids,) uint16.
            lengths: (rows,) integer; they sum to the number of ids.
        """
        found = self.find(ids, lengths)
        log_ratios = np.where(found >= 0, self.log_ratios[found], np.float32(0)).astype(np.float16)
        rows, ngrams = present_ngrams(found, lengths)
        sums = np.bincount(rows, self.weights[ngrams], minlength=len(lengths))
        return NgramFigures(log_ratios, (sums + self.intercept).astype(np.float32))

    def save(self, path: Path) -> None:
        """Write the model as an npz."""
        np.savez(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> "NgramModel":
        """Read what `save` wrote, without unpickling."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def present_ngrams(
    found: npt.NDArray[np.int32], lengths: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows and the n-grams, (pairs,) int64 each, such that an n-gram stands in a row, each pair once and in order.

    Args:
        found: what `NgramModel.find` returns, (ids, longest).
        lengths: (rows,) integer, the number of ids of each row.
    """
    known = found >= 0
    rows = np.repeat(np.repeat(np.arange(len(lengths)), lengths), known.sum(axis=1))
    # Not np.unique: without the sort it hashes, which takes twenty times as long.
    pairs = np.sort(rows << 32 | found[known])
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    return pairs >> 32, pairs & 0xFFFFFFFF


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

    @cached_property
    def _vocabulary(self) -> pa.StringArray:
        return pa.array(self.words, pa.string())

    def encode(self, texts: pa.Array) -> tuple[Ids, Lengths]:
        """Return the ids of all texts one after the other, (ids,) uint16, and their numbers, (rows,) int32.

        Each text begins with the start marker, so no row is empty.
        """
        words, lengths = tokenize(texts)
        ranks = pc.index_in(words, value_set=self._vocabulary)
        word_ids = pc.fill_null(pc.add(ranks, FIRST_WORD_ID), UNKNOWN_ID).to_numpy().astype(np.uint16)
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        return np.insert(word_ids, starts, START_ID), lengths + np.int32(1)

    def pad(self, ids: npt.NDArray[Any], lengths: Lengths) -> npt.NDArray[Any]:
        """Return encoded texts as (rows, maxlen), or what goes with their ids, (ids, n), as (rows, maxlen, n)."""
        return pad(ids, lengths, maxlen=self.maxlen, padding=self.padding, truncating=self.truncating)

    def read(self, texts: Sequence[str], ngrams: NgramModel | None = None) -> "Inputs":
        """Return texts as a network reads them; unpaired surrogates count as unknown characters."""
        encoded = pa.array([text.encode(errors="replace") for text in texts], pa.binary()).cast(pa.string())
        return self.arrange(*self.encode(encoded), ngrams)

    def arrange(self, ids: Ids, lengths: Lengths, ngrams: NgramModel | None) -> "Inputs":
        """Return encoded texts as a network reads them, one with n-grams where those are given."""
        if ngrams is None:
            return Inputs(self.pad(ids, lengths))
        figures = ngrams.measure(ids, lengths)
        return Inputs(self.pad(ids, lengths), self.pad(figures.log_ratios, lengths), figures.logits)

    def save(self, path: Path) -> None:
        """Write the encoder as JSON."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=0), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "TextEncoder":
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


class Inputs(NamedTuple):
    """What a network reads, memory-mapped or not: `ids` uint16 (rows, maxlen), and more where it reads n-grams.

    Those are `log_ratios` float16 (rows, maxlen, longest), and `logits` float32 (rows,) of the linear model.
    """

    ids: Ids
    log_ratios: npt.NDArray[np.float16] | None = None
    logits: npt.NDArray[np.float32] | None = None

    def take(self, rows: npt.NDArray[Any]) -> "Inputs":
        """Return the inputs of some rows, by their numbers."""
        log_ratios, logits = (None if part is None else part[rows] for part in self[1:])
        return Inputs(self.ids[rows], log_ratios, logits)


class Predictor:
    """A `.keras` network as a compiled function from what it reads to probabilities."""

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
        network = lstm.trim_network(keras.models.load_model(model_path, compile=False, safe_mode=True))
        self._trim = network.trim
        # A row's last bits depend on whether it is multiplied in a full block of rows or in what is left over at the end, and
        # hundreds of steps make 1e-6 of that: so every shard gets full blocks, and a score does not depend on its company.
        self._block = BLOCK_ROWS * network.shards
        # One signature for every shape: without it each new one is traced again.
        self._score = tf.function(lambda inputs: network(inputs, training=False), [network.signature], autograph=False)

    def probabilities(self, inputs: Inputs, batch_size: int = 512) -> npt.NDArray[np.float32]:
        """Return the probability of label 1 for each row, in the order of the rows; a row's is the same whatever others come.

        Args:
            inputs: of the rows.
            batch_size: rows per call of the network; they are taken in order of their length.

        Returns:
            (rows,) float32.
        """
        order = np.argsort(np.count_nonzero(inputs.ids != PADDING_ID, axis=1), kind="stable")
        probabilities = np.empty(len(order), np.float32)
        for rows in np.split(order, range(batch_size, len(order), batch_size)):
            filled = np.append(rows, np.repeat(rows[-1:], -len(rows) % self._block))
            probabilities[rows] = self._score(self._trim(*inputs.take(filled)))[: len(rows), 0]
        return probabilities


class Prediction(BaseModel):
    """What the model says of one text: the probability of label 1, and the label."""

    probability: float
    label: int


class ReviewClassifier(PythonModel):  # type: ignore[misc]
    """The registered model: raw texts in, predictions out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the encoder, the network, the code that runs it, and the n-grams if it reads any: files of the version's own."""
        self.encoder = TextEncoder.load(Path(context.artifacts["vocabulary"]))
        ngrams = context.artifacts.get("ngrams")
        self.ngrams = None if ngrams is None else NgramModel.load(Path(ngrams))
        self.predictor = Predictor(Path(context.artifacts["network"]), Path(context.artifacts["lstm"]))
        self.threshold = float(context.model_config["threshold"])

    def predict(self, model_input: list[str]) -> list[Prediction]:
        """Score texts; a text of label 1 has a probability of at least the threshold."""
        probabilities = self.predictor.probabilities(self.encoder.read(model_input, self.ngrams))
        return [Prediction(probability=float(p), label=int(p >= self.threshold)) for p in probabilities]


mlflow.models.set_model(ReviewClassifier())
