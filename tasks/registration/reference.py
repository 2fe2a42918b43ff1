"""The reference of a version, kept with its run: what new reviews are compared with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import ModelMismatch
from tasks.handles import ReviewProfile, TrackedRun
from tasks.registration.run_files import log_run_file, verified_run_file
from tasks.registration.versions import VersionDetails

ARTIFACT = "data/profile.parquet"
TAG = "data.reference"


def log_reference(run: TrackedRun, reference: ReviewProfile) -> dict[str, str]:
    """Log the reference of a run, and return the tag that its version is to carry.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    return log_run_file(run, reference.file("profile.parquet"), ARTIFACT, TAG)


@contextmanager
def verified_reference(version: VersionDetails) -> Iterator[Path]:
    """Yield the file of a version's reference, checked to be the one that was registered.

    Raises:
        ModelMismatch: the version has none, or it is gone or changed.
        RegistryError: MLflow could not be reached, or refused.
    """
    expected = version.tags.get(TAG)
    if expected is None:
        raise ModelMismatch(
            f"{version.summary.name} version {version.summary.version} keeps no reference to compare new reviews with: "
            "train it again"
        )
    with verified_run_file(version, ARTIFACT, expected, "what new reviews are compared with") as path:
        yield path
