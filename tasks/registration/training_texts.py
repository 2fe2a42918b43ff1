"""What a version was trained on, kept with its run as one digest for each text of train and validation."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import ModelMismatch
from tasks.handles import GateRows, TrackedRun
from tasks.registration.run_files import log_run_file, verified_run_file
from tasks.registration.versions import VersionDetails
from tasks.workspace import sha256_of_file

ARTIFACT = "data/training.parquet"
TAG = "data.training"


def log_training_texts(run: TrackedRun, gate_rows: GateRows) -> dict[str, str]:
    """Log the digests of the texts that a run was trained on, and return the tag that its version is to carry.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    return log_run_file(run, gate_rows.file("training.parquet"), ARTIFACT, TAG)


def read_training_texts(version: VersionDetails, present: GateRows | None = None) -> pa.Array:
    """Return the digests of the texts that a version was trained on, (texts,) binary of 16 bytes.

    Args:
        version: the version.
        present: where the same digests may lie at hand, if the version was trained on these reviews.

    Raises:
        ModelMismatch: the version does not tell what it was trained on, or its record is gone or changed.
        RegistryError: MLflow could not be reached, or refused.
    """
    expected = version.tags.get(TAG)
    if expected is None:
        raise ModelMismatch(f"{_name(version)} does not tell which texts it was trained on: train it again")
    if present is not None and sha256_of_file(present.file("training.parquet")) == expected:
        return _read(present.file("training.parquet"))
    with verified_run_file(version, ARTIFACT, expected, "what it was trained on") as path:
        return _read(path)


def _name(version: VersionDetails) -> str:
    return f"{version.summary.name} version {version.summary.version}"


def _read(path: Path) -> pa.Array:
    return pq.read_table(path)["digest"].combine_chunks()
