"""Files that a version's run keeps for it, each known by its sha256, which is a tag of the version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.errors import ModelMismatch
from tasks.handles import TrackedRun
from tasks.registration.versions import VersionDetails
from tasks.tracking import connect, reaching_mlflow
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
    title, run_id = f"{version.summary.name} version {version.summary.version}", version.summary.run_id
    client = connect()
    with TemporaryDirectory() as folder:
        with reaching_mlflow():
            if all(one.path != artifact for one in client.list_artifacts(run_id, str(Path(artifact).parent))):
                raise ModelMismatch(f"{title}: {artifact} of run {run_id}, {what}, is gone")
            path = Path(client.download_artifacts(run_id, artifact, folder))
        if sha256_of_file(path) != expected:
            raise ModelMismatch(f"{title}: {artifact} of run {run_id} is not what was registered")
        yield path
