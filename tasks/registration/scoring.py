"""Scoring texts with a registered version."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import mlflow
import pyarrow as pa

from tasks.errors import ModelMismatch
from tasks.handles import Handle
from tasks.registration.manifest import DIGEST_TAG
from tasks.registration.model_files import blaming, verified_model
from tasks.registration.versions import VersionSummary, choose_model, find_version
from tasks.scoring.json_columns import replace_halves
from tasks.scoring.scores import score

_loading = Lock()
_loaded: dict["PinnedVersion", Any] = {}


class PinnedVersion(Handle):
    """A version by its number, whatever becomes of its aliases, and the digest of its files."""

    name: str
    version: str
    files_sha256: str


def score_texts(version: VersionSummary, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the `probability` and `label` that a version gives for each text, or the `error` for which it gives none.

    Raises:
        ModelMismatch: the version's files are not those that were registered, or gone, or the model fails at the texts.
        RegistryError: MLflow could not be reached, or refused.
    """
    with verified_model(version.name, version.version) as folder, blaming(f"{version.version} of {version.name}"):
        model = mlflow.pyfunc.load_model(str(folder))
        rows = pa.array(map(replace_halves, texts), pa.string())
        found: list[dict[str, Any]] = score(rows, pa.nulls(len(rows), pa.string()), model.predict).to_pylist()
        return found


def pin_version(model: str | None, version: str) -> PinnedVersion:
    """Return the version that a number or an alias of a model means now; None is the only model there is.

    Raises:
        InputError: there is no such model, version or alias, or there are several models to choose from.
        ModelMismatch: the version has no record of its files.
        RegistryError: MLflow could not be reached, or refused.
    """
    details = find_version(choose_model(model), version)
    name, number = details.summary.name, details.summary.version
    if DIGEST_TAG not in details.tags:
        raise ModelMismatch(f"version {number} of {name} has no record of its files: register the model again")
    return PinnedVersion(name=name, version=number, files_sha256=details.tags[DIGEST_TAG])


def load_pinned(version: PinnedVersion) -> Any:
    """Return a version's pyfunc, from files that were checked.

    Raises:
        ModelMismatch: the version's files are not those that were pinned, or gone, or cannot be loaded.
        RegistryError: MLflow could not be reached, or refused.
    """
    if pin_version(version.name, version.version) != version:
        raise ModelMismatch(f"version {version.version} of {version.name} has other files than when scoring began")
    with verified_model(version.name, version.version) as folder, blaming(f"{version.version} of {version.name}"):
        return mlflow.pyfunc.load_model(str(folder))


def loaded_model(version: PinnedVersion) -> Any:
    """Return the same, loaded once in this process."""
    with _loading:
        if version not in _loaded:
            model = load_pinned(version)
            _loaded.clear()  # a long-lived worker keeps one
            _loaded[version] = model
        return _loaded[version]
