"""A model's files in a folder of their own, where nobody else changes them, and checked to be those that were registered."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository

from configs.one_line import one_line
from tasks.errors import ModelMismatch, RegistryError
from tasks.mlflow_store import connect, reaching_mlflow
from tasks.registration.identity import check_entered
from tasks.registration.ledger import read_ledger
from tasks.registration.manifest import DIGEST_TAG, check_files, check_mlmodel, manifest_digest, read_manifest
from tasks.registration.versions import find_version

DOWNLOAD_MARK = "registered_model_meta"


@contextmanager
def downloaded_model(model_uri: str) -> Iterator[Path]:
    """Yield a copy of a model's files, by its MLflow URI, in a new folder that only this user can read, and remove it.

    Two things that whoever loads a model in place leaves in an embedded store are not in the copy: the file in which MLflow
    notes what it downloaded, and Python's compiled code, which Python would run in place of the source that was checked.

    Raises:
        ModelMismatch: the files are gone.
        RegistryError: MLflow could not be reached, or refused.
    """
    connect()
    # Of a fetch that failed, other threads may write a moment longer.
    with tempfile.TemporaryDirectory(prefix="reprise-model-", ignore_cleanup_errors=True) as private:
        try:
            with reaching_mlflow():
                folder = Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=private))
        except RegistryError as error:
            raise RegistryError(f"the files of {model_uri} could not be fetched: {error}") from error
        (folder / DOWNLOAD_MARK).unlink(missing_ok=True)
        for cache in [path for path in folder.rglob("__pycache__") if path.is_dir()]:
            shutil.rmtree(cache)
        if not any(folder.iterdir()):  # MLflow takes a folder that is gone for an empty one
            with reaching_mlflow():
                place = ModelsArtifactRepository.get_underlying_uri(model_uri)
            raise ModelMismatch(f"the files of {model_uri} are gone from {place}: restore them from a backup")
        yield folder


@contextmanager
def blaming(version: str) -> Iterator[None]:
    """Turn whatever a version's own code raises in the block into one line.

    Raises:
        ModelMismatch: it raised.
    """
    try:
        yield
    except Exception as error:  # whatever a model's own code may raise
        message = next(iter(str(error).strip().splitlines()), "no message")
        raise ModelMismatch(f"version {version} cannot be used: {type(error).__name__}: {one_line(message)}") from error


@contextmanager
def verified_model(name: str, version: str) -> Iterator[Path]:
    """Yield a private copy of a version's files that was checked against what the version's tags say they were.

    Raises:
        InputError: there is no such version.
        ModelMismatch: a file is changed, missing or new, all are gone, or the record of them is, or is another's.
        GateClosed: the ledger, which has a digest of them, is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    details = find_version(name, version)
    check_entered(details, read_ledger(name))
    tags = details.tags
    manifest = read_manifest(tags)
    if not manifest:
        raise ModelMismatch(
            f"version {version} of {name} has no record of its files, so nobody can tell whether they are its own: "
            "register the model again with `reprise train`"
        )
    if manifest_digest(manifest) != tags.get(DIGEST_TAG):
        raise ModelMismatch(
            f"version {version} of {name} has another record of its files than at its registration ({DIGEST_TAG})"
        )
    with downloaded_model(f"models:/{name}/{version}") as folder:
        try:
            check_files(folder, manifest)
            check_mlmodel(folder)
        except ModelMismatch as mismatch:
            raise ModelMismatch(f"version {version} of {name} is not what was registered: {mismatch}") from None
        yield folder
