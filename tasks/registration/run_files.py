"""Files that a version's run keeps for it, each known by its sha256, which is a tag of the version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tasks.errors import ModelMismatch
from tasks.handles import TrackedRun
from tasks.mlflow_store import connect, reaching_mlflow
from tasks.registration.sources import find_run
from tasks.registration.versions import VersionDetails
from tasks.workspace import sha256_of_file


def log_run_file(run: TrackedRun, file: Path, artifact: str, tag: str) -> dict[str, str]:
    """Log a file, whose name must be that of the artifact's path, and return the tag that the run's version is to carry.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        client.log_artifact(run.run_id, str(file), str(Path(artifact).parent))
    return {tag: sha256_of_file(file)}


@contextmanager
def verified_run_file(version: VersionDetails, artifact: str, expected: str, what: str) -> Iterator[Path]:
    """Yield a copy of a file of a version's run, checked to be the one that was logged.

    Args:
        version: the version.
        artifact: the file's path in the run.
        expected: its sha256, by the version's tag.
        what: what it is, for errors.

    Raises:
        ModelMismatch: it is gone or changed.
        RegistryError: MLflow could not be reached, or refused.
    """
    with fetched_run_file(version, artifact, what) as path:
        if sha256_of_file(path) != expected:
            raise ModelMismatch(f"{_tell(version, artifact)} is not what was registered")
        yield path


@contextmanager
def fetched_run_file(version: VersionDetails, artifact: str, what: str) -> Iterator[Path]:
    """Yield a copy of a file of a version's run, such as it is.

    Args:
        version: the version.
        artifact: the file's path in the run.
        what: what it is, for errors.

    Raises:
        ModelMismatch: it, or the run, is gone.
        RegistryError: MLflow could not be reached, or refused.
    """
    run = find_run(version)
    folder, client = PurePosixPath(artifact).parent.as_posix(), connect()
    with TemporaryDirectory() as private:
        with reaching_mlflow():
            listed = client.list_artifacts(run.info.run_id, None if folder == "." else folder)
            if all(one.path != artifact for one in listed):
                raise ModelMismatch(
                    f"{_tell(version, artifact)}, {what}, is gone from {run.info.artifact_uri}: restore it from a backup"
                )
            path = Path(client.download_artifacts(run.info.run_id, artifact, private))
        yield path


def _tell(version: VersionDetails, artifact: str) -> str:
    return f"version {version.summary.version} of {version.summary.name}: {artifact} of run {version.summary.run_id}"
