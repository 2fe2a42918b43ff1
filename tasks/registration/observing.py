"""Texts as a registered version reads and scores them."""

from collections.abc import Sequence
from typing import NamedTuple

import mlflow
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.registration.model_files import blaming, verified_model
from tasks.scoring.scores import cut_chunks
from tasks.served_model import TextEncoder

VOCABULARY = "artifacts/vocabulary.json"


class Observed(NamedTuple):
    """Texts as the version's network reads them, and what it says of them.

    `ids` uint16 (rows, maxlen), `words` int32 (rows,) of the whole texts, `probabilities` float32 and `predicted` int8, each
    (rows,); `encoder` is the version's own.
    """

    ids: NDArray[np.uint16]
    words: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    predicted: NDArray[np.int8]
    encoder: TextEncoder


def observe_texts(name: str, version: str, texts: Sequence[str]) -> Observed:
    """Encode and score texts with a version whose files were found to be those that were registered.

    Raises:
        ModelMismatch: the version's files are not those that were registered, or gone, or the model fails at the texts.
        RegistryError: MLflow could not be reached, or refused.
    """
    predictions: list[tuple[float, int]] = []
    ids, lengths = [], []
    with verified_model(name, version) as folder, blaming(version):
        encoder = TextEncoder.load(folder / VOCABULARY)
        model = mlflow.pyfunc.load_model(str(folder))
        for chunk in cut_chunks(pa.array(texts, pa.large_string())):
            predictions += [(one.probability, one.label) for one in model.predict(chunk.to_pylist())]
    for chunk in cut_chunks(pa.array(texts, pa.large_string())):
        found, counts = encoder.encode(chunk.cast(pa.string()))
        ids.append(encoder.pad(found, counts))
        lengths.append(counts - np.int32(1))  # without the start marker
    return Observed(
        np.concatenate(ids) if ids else np.empty((0, encoder.maxlen), np.uint16),
        np.concatenate(lengths) if lengths else np.empty(0, np.int32),
        np.array([probability for probability, _ in predictions], dtype=np.float32),
        np.array([label for _, label in predictions], dtype=np.int8),
        encoder,
    )
