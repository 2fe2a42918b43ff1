"""Scoring texts with a registered version."""

from collections.abc import Sequence
from typing import Any

import mlflow

from tasks.registration.versions import VersionSummary, download_model


def score_texts(version: VersionSummary, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the `probability` and `label` that a version gives for each text.

    Raises:
        RegistryError: MLflow could not be reached, or holds the version's files no more.
    """
    model = mlflow.pyfunc.load_model(str(download_model(f"models:/{version.name}/{version.version}")))
    return [prediction.model_dump() for prediction in model.predict(list(texts))]
