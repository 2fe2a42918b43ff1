"""Scoring texts with a registered version."""

from collections.abc import Sequence
from typing import Any

import mlflow

from tasks.registration.model_files import verified_model
from tasks.registration.versions import VersionSummary


def score_texts(version: VersionSummary, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the `probability` and `label` that a version gives for each text.

    Raises:
        ModelMismatch: the version's files are not those that were registered, or gone.
        RegistryError: MLflow could not be reached, or refused.
    """
    with verified_model(version.name, version.version) as folder:
        model = mlflow.pyfunc.load_model(str(folder))
        return [prediction.model_dump() for prediction in model.predict(list(texts))]
