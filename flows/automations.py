"""The automations that the Prefect server carries out for Reprise, and their installation."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_UI_URL

from configs.notification import NotificationConfig
from configs.schedule import HeartbeatConfig
from flows.events import DATA_CHANGED, DECISION_PROMOTE, DECISION_UNDECIDED, DRIFT_DETECTED, model_resource
from tasks.errors import ConfigError

RUN_TAG = "reprise"
"""Stands on every run of ours, so that automations leave the runs of others on the same server alone."""
FAILURES = ("prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut")
DECISIONS = {"promote": DECISION_PROMOTE, "undecided": DECISION_UNDECIDED}
WHEN = "{{ event.occurred.strftime('%Y-%m-%d %H:%M:%S UTC') }}"
# The first line, cut: a state's message may be a whole traceback.
ERROR = "{{ (flow_run.state.message or 'no message').splitlines() | first | truncate(500) }}"


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


def install_notifications(model: str, deployment_ids: Sequence[UUID], notification: NotificationConfig) -> None:
    """Install what `notification_automations` returns, and remove what was installed before and is not among it.

    Raises:
        ConfigError: a name has no notification block behind it.
    """
    wanted = {one.name: one for one in notification_automations(model, deployment_ids, notification)}
    with get_client(sync_client=True) as client:
        for name in {failures_of(model), decisions_on(model)} - wanted.keys():
            for present in client.read_automations_by_name(name):
                client.delete_automation(present.id)
    for automation in wanted.values():
        install(automation)


def heartbeat_automation(heartbeat: HeartbeatConfig) -> Automation:
    """Return the automation that has Prefect call a run Crashed once it has missed its heartbeats.

    Any other event of the run counts as a sign of life, and so do the states that it ends in.
    """
    silence = heartbeat.seconds * heartbeat.missed
    return Automation(
        name="Reprise: a run without a heartbeat has crashed",
        description=f"A run of Reprise that was not heard of for {silence} s.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Running", "prefect.flow-run.heartbeat"},
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


def retraining_automation(model: str, deployment_id: UUID) -> Automation:
    """Return what runs a deployment of the flow `retraining` when a model's reviews have changed, or drift was found."""
    only_new = {"only_new": True, "content": "{{ event.payload.sha256 | default('') }}"}
    return Automation(
        name=f"Reprise: retrain {model}",
        description="Retrains when there are new reviews, or when the reviews that are scored have drifted.",
        trigger=EventTrigger(
            expect={DATA_CHANGED, DRIFT_DETECTED},
            match={"prefect.resource.id": model_resource(model)},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[RunDeployment(deployment_id=deployment_id, parameters=only_new)],
    )


def notification_automations(model: str, deployment_ids: Sequence[UUID], notification: NotificationConfig) -> list[Automation]:
    """Return what tells of a model's decisions and of the failed, crashed and timed-out runs of deployments.

    The server sends the messages, not the runs: a run that was killed is told of too, and none waits for a receiver.

    Args:
        model: the registered model.
        deployment_ids: of all its deployments.
        notification: who is told of what.

    Raises:
        ConfigError: a name has no notification block behind it.
    """
    blocks = [_notification_block(name) for name in notification.notify]
    automations = []
    if blocks and "failure" in notification.occasions and deployment_ids:
        automations.append(_failure_automation(model, deployment_ids, blocks, notification.quiet_minutes))
    decisions = {event for occasion, event in DECISIONS.items() if occasion in notification.occasions}
    if blocks and decisions:
        automations.append(_decision_automation(model, decisions, blocks))
    return automations


def failures_of(model: str) -> str:
    """Return the name of the automation that tells of a model's failed runs."""
    return f"Reprise: failures of {model}"


def decisions_on(model: str) -> str:
    """Return the name of the automation that tells of the decisions on a model's versions."""
    return f"Reprise: decisions on {model}"


def _failure_automation(model: str, deployment_ids: Sequence[UUID], blocks: Sequence[UUID], quiet_minutes: float) -> Automation:
    lines = [
        f"Model: {model}",
        f"Run: {{{{ flow_run.name }}}} of the flow {{{{ flow.name }}}}, {{{{ flow_run.state.name | lower }}}} at {WHEN}",
        f"Error: {ERROR}",
        f"Look: {_flow_run_page()}",
    ]
    return Automation(
        name=failures_of(model),
        description="Tells of runs that failed, crashed or took too long.",
        trigger=EventTrigger(
            expect=set(FAILURES),
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.role": "deployment",
                "prefect.resource.id": [f"prefect.deployment.{deployment_id}" for deployment_id in deployment_ids],
            },
            for_each={"related:deployment:prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(minutes=quiet_minutes),
        ),
        actions=_messages(blocks, f"{model}: {{{{ flow.name }}}} {{{{ flow_run.state.name | lower }}}}", lines),
    )


def _decision_automation(model: str, decisions: set[str], blocks: Sequence[UUID]) -> Automation:
    lines = [
        f"Model: {model} version {{{{ event.payload.version }}}}",
        f"Run: {{{{ flow_run.name }}}}, at {WHEN}",
        "Decision: {{ event.payload.reason }}",
        "Look: {{ event.payload.link }}",
    ]
    outcome = "{{ event.event.split('.') | last }}"
    return Automation(
        name=decisions_on(model),
        description="Tells which version became champion, and on which version a person must decide.",
        trigger=EventTrigger(
            expect=decisions,
            match={"prefect.resource.id": model_resource(model)},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=_messages(blocks, f"{model} version {{{{ event.payload.version }}}}: {outcome}", lines),
    )


def _messages(blocks: Sequence[UUID], subject: str, lines: Sequence[str]) -> list[SendNotification]:
    body = "\n".join(lines)
    return [SendNotification(block_document_id=block, subject=f"[reprise] {subject}", body=body) for block in blocks]


def _flow_run_page() -> str:
    # Of the one who installs, since a server need not know under which address others see it.
    return f"{PREFECT_UI_URL.value()}/runs/flow-run/{{{{ flow_run.id }}}}"


def _notification_block(name: str) -> UUID:
    kind, _, document = name.partition("/")
    with get_client(sync_client=True) as client:
        try:
            block = client.read_block_document_by_name(document, kind, include_secrets=False)
        except ObjectNotFound:
            raise ConfigError(
                f"notify: there is no block {name} on the Prefect server; `prefect block ls` shows those that are, as TYPE/NAME"
            ) from None
    if block.block_schema is None or "notify" not in block.block_schema.capabilities:
        raise ConfigError(f"notify: the block {name} sends no notifications")
    return block.id


def _content(automation: AutomationCore) -> dict[str, Any]:
    return automation.model_dump(mode="json", exclude={"id": True, "owner_resource": True, "trigger": {"id"}})
