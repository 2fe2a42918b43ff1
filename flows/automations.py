"""The automations that the Prefect server carries out for Reprise, and their installation."""

from datetime import timedelta
from typing import Any

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from configs.schedule import HeartbeatConfig

RUN_TAG = "reprise"
"""Stands on every run of ours, so that automations leave the runs of others on the same server alone."""


def install(automation: Automation) -> None:
    """Make an automation of this name on the Prefect server, or make the one that is there what this one is.

    One that is there as it should be is not touched: with an update Prefect forgets what it has seen and is waiting for.
    """
    with get_client(sync_client=True) as client:
        present = client.read_automations_by_name(automation.name)
    if present:
        if _content(present[0]) == _content(automation):
            return
        automation.id = present[0].id
        automation.update()
    else:
        automation.create()


def heartbeat_automation(heartbeat: HeartbeatConfig) -> Automation:
    """Return the automation that has Prefect call a run Crashed once it has missed its heartbeats.

    Any other event of the run counts as a sign of life, and so do the states that it ends in.
    """
    silence = heartbeat.seconds * heartbeat.missed
    return Automation(
        name="reprise: a run without a heartbeat has crashed",
        description=f"A run of Reprise that was not heard of for {silence} s.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": ["tag"], "prefect.resource.id": [f"prefect.tag.{RUN_TAG}"]}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=silence),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"No heartbeat for {silence} s: its process is dead.")],
    )


def _content(automation: AutomationCore) -> dict[str, Any]:
    return automation.model_dump(mode="json", exclude={"id": True, "owner_resource": True, "trigger": {"id"}})
