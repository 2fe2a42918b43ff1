"""Audit rows stay sealed: no training of a registered model may open what an earlier one had sealed."""

from tasks.errors import InputError
from tasks.mlflow_store import connect, reaching_mlflow
from tasks.registration.versions import read_model_tags

TAG = "audit_fraction"


def refuse_opening(name: str, audit_fraction: float) -> None:
    """See that no test row would be opened that is sealed for a registered model.

    Raises:
        InputError: one would.
        RegistryError: MLflow could not be reached, or refused.
    """
    sealed = _read_sealed(name)
    if audit_fraction < sealed:
        raise InputError(
            f"evaluation.audit_fraction {audit_fraction:g} would open test rows that are sealed for {name}: give {sealed:g} or "
            "more, or another registration.model_name"
        )


def keep_sealed(name: str, audit_fraction: float) -> None:
    """Note with a registered model the share of test rows that is sealed for it from now on, if it was less before.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    if audit_fraction > _read_sealed(name):
        client = connect()
        with reaching_mlflow():
            client.set_registered_model_tag(name, TAG, repr(audit_fraction))


def _read_sealed(name: str) -> float:
    return float(read_model_tags(name).get(TAG, "0"))
