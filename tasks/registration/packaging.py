"""A trained network as an MLflow model: raw text in, predictions out, and nothing of this project inside."""

import importlib.metadata
import sys
from pathlib import Path

import mlflow
from mlflow.models import Model

from tasks import served_model
from tasks.errors import ModelMismatch
from tasks.handles import PaddedReviews, TrackedRun, TrainedModel
from tasks.mlflow_store import connect, reaching_mlflow
from tasks.workspace import sha256_of_file

SERVED_PACKAGES = ("tensorflow", "keras", "mlflow", "numpy", "pandas", "pyarrow", "pydantic")


def pinned_requirements() -> list[str]:
    """Return `package==version` for all that a served model imports, as installed here."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in SERVED_PACKAGES]


def log_model(run: TrackedRun, model: TrainedModel, padded: PaddedReviews, *, threshold: float, step: int) -> tuple[str, str]:
    """Log the served model's code, the `.keras` file and the vocabulary as one MLflow model of the run.

    Args:
        run: the run that trained it.
        model: the trained network.
        padded: what it was trained on, for its encoder.
        threshold: the probability from which on a text has label 1.
        step: the step of the run's metrics that are copied to the model.

    Returns:
        The model's id and its URI, `models:/<id>`.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        logged = client.create_logged_model(run.experiment_id, name="model", source_run_id=run.run_id, model_type="classifier")
        Model.log(
            artifact_path=None,
            name="model",
            flavor=mlflow.pyfunc,
            run_id=run.run_id,
            model_id=logged.model_id,
            step=step,
            python_model=str(Path(served_model.__file__)),
            # As addresses, which MLflow takes them for whatever they are.
            artifacts={name: file.as_uri() for name, file in _artifacts(model, padded).items()},
            model_config={"threshold": threshold},
            pip_requirements=pinned_requirements(),
            metadata={"weights_sha256": model.sha256, "python": sys.version.split()[0]},
        )
    return logged.model_id, f"models:/{logged.model_id}"


def delete_logged_models(run: TrackedRun) -> None:
    """Delete the models that a run logged before it was cut off; call it while none of them is registered.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        found = client.search_logged_models([run.experiment_id], filter_string=f"source_run_id = '{run.run_id}'")
        for logged in found:
            client.delete_logged_model(logged.model_id)


def check_logged(folder: Path, model: TrainedModel, padded: PaddedReviews) -> None:
    """See that a logged model's code and artifacts are those that were given to `log_model`, before anything of it is loaded.

    Args:
        folder: the logged model's files.
        model: the trained network.
        padded: what it was trained on.

    Raises:
        ModelMismatch: a file was changed on the way, or since.
    """
    originals = {f"artifacts/{file.name}": file for file in _artifacts(model, padded).values()}
    for name, original in {**originals, "served_model.py": Path(served_model.__file__)}.items():
        if not (folder / name).is_file() or sha256_of_file(folder / name) != sha256_of_file(original):
            raise ModelMismatch(f"{name} of the logged model is not what was logged: it was changed in MLflow's store")


def _artifacts(model: TrainedModel, padded: PaddedReviews) -> dict[str, Path]:
    return {
        "network": model.file("model.keras"),
        "lstm": model.file("lstm.py"),
        "vocabulary": padded.file("vocabulary.json"),
        **({"ngrams": padded.file("ngrams.npz")} if padded.longest_ngram else {}),
    }
