"""The spread between seeds, kept with the registered model."""

import math
from collections.abc import Sequence

import numpy as np

from tasks.handles import SeedNoise
from tasks.mlflow_store import connect, reaching_mlflow
from tasks.registration.ledger import ensure_ledger
from tasks.registration.versions import read_model_tags

TAG = "seed_noise"


def spread_of_difference(accuracies: Sequence[float]) -> float:
    """Return the standard deviation of the difference of two accuracies, of a sample of two or more: sqrt(2) times its own."""
    return math.sqrt(2) * float(np.std(accuracies, ddof=1))


def record_noise(name: str, noise: SeedNoise) -> None:
    """Keep the spread with a registered model, which is made where there is none; it replaces an earlier one.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    ensure_ledger(name)
    client = connect()
    with reaching_mlflow():
        client.set_registered_model_tag(name, TAG, noise.model_dump_json())


def read_noise(name: str) -> SeedNoise | None:
    """Return the spread that was measured last, if one was.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    found = read_model_tags(name).get(TAG)
    return None if found is None else SeedNoise.model_validate_json(found)
