"""Audit rows stay sealed: no training of a registered model may open what an earlier one had sealed."""

from tasks.errors import InputError
from tasks.registration.ledger import ensure_ledger
from tasks.registration.versions import read_model_tags
from tasks.tracking import connect, reaching_mlflow

TAG = "audit_fraction"


def keep_sealed(name: str, audit_fraction: float) -> None:
    """Note with a registered model, which is made where there is none, the share of test rows that is sealed for it.

    Raises:
        InputError: more was sealed for it before, and some of that would be opened now.
        GateClosed: the model has lost its ledger.
        RegistryError: MLflow could not be reached, or refused.
    """
    sealed = float(read_model_tags(name).get(TAG, "0"))
    if audit_fraction < sealed:
        raise InputError(
            f"evaluation.audit_fraction {audit_fraction:g} would open test rows that are sealed for {name}: give {sealed:g} or "
            "more, or another registration.model_name"
        )
    if audit_fraction > sealed:
        ensure_ledger(name)
        client = connect()
        with reaching_mlflow():
            client.set_registered_model_tag(name, TAG, repr(audit_fraction))
