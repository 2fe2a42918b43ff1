"""Texts as a registered version reads and scores them."""

from collections.abc import Sequence
from typing import NamedTuple

import mlflow
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.registration.model_files import blaming, verified_model
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
    with verified_model(name, version) as folder, blaming(version):
        encoder = TextEncoder.load(folder / VOCABULARY)
        predictions = mlflow.pyfunc.load_model(str(folder)).predict(list(texts))
        probabilities = np.array([prediction.probability for prediction in predictions], dtype=np.float32)
        predicted = np.array([prediction.label for prediction in predictions], dtype=np.int8)
    ids, lengths = encoder.encode(pa.array(texts, pa.string()))
    return Observed(
        encoder.pad(ids, lengths),
        lengths - np.int32(1),  # without the start marker
        probabilities,
        predicted,
        encoder,
    )
