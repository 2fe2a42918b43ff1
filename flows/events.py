"""The Prefect events that tell what happened to a registered model, for automations to act on."""

from collections.abc import Mapping
from typing import Final, Literal

from prefect.events import emit_event

DATA_CHANGED: Final = "reprise.data.changed"
"""There are reviews that the model was not trained on."""
DRIFT_DETECTED: Final = "reprise.drift.detected"
"""New reviews are not like those that the champion was trained on."""
DECISION_PROMOTE: Final = "reprise.decision.promote"
DECISION_UNDECIDED: Final = "reprise.decision.undecided"

ModelEvent = Literal["reprise.data.changed", "reprise.drift.detected", "reprise.decision.promote", "reprise.decision.undecided"]


def model_resource(model: str) -> str:
    """Return the id by which events and automations name a registered model."""
    return f"reprise.model.{model}"


def emit_model_event(event: ModelEvent, model: str, payload: Mapping[str, str | float]) -> None:
    """Tell the Prefect server what happened to a registered model; it is sent in the background and never raises."""
    emit_event(event, resource={"prefect.resource.id": model_resource(model)}, payload=dict(payload))
