"""A trained network as an MLflow model: raw text in, predictions out, and nothing of this project inside."""

import importlib.metadata
import sys
from pathlib import Path

import mlflow
from mlflow.models import Model

from tasks import served_model
from tasks.handles import PaddedReviews, TrackedRun, TrainedModel
from tasks.tracking import connect, reaching_mlflow

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
            artifacts={  # which MLflow takes for addresses, whatever they are
                "network": model.file("model.keras").as_uri(),
                "lstm": model.file("lstm.py").as_uri(),
                "vocabulary": padded.file("vocabulary.json").as_uri(),
            },
            model_config={"threshold": threshold},
            pip_requirements=pinned_requirements(),
            metadata={"weights_sha256": model.sha256, "python": sys.version.split()[0]},
        )
    return logged.model_id, f"models:/{logged.model_id}"
