"""What Reprise deploys on a Prefect server: each flow with its name, timetable, parameters, tags and limit."""

import asyncio
import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, WorkPool
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner.storage import LocalStorage
from prefect.schedules import Cron, Interval, Schedule
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.types.entrypoint import EntrypointType

from configs.environment import library_defaults
from configs.loading import check_config, check_section, read_config
from configs.schedule import CollisionStrategy, HeartbeatConfig, ScheduleConfig, Timetable
from configs.schema import Config
from configs.sweep import PRESETS, SweepConfig
from flows.automations import RUN_TAG
from flows.monitoring import monitoring
from flows.recovery import recovery
from flows.retraining import retraining
from flows.scoring import scoring
from flows.sweep import sweep
from flows.watching import watching
from tasks.circumstances import COMMIT, read_circumstances
from tasks.errors import ConfigError

ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)
"""Intervals are counted from here, so that a new deployment does not shift them: every 3600 s is on the hour."""
FLOWS = (retraining, watching, scoring, monitoring, sweep, recovery)


class Planned(NamedTuple):
    """A flow as it is to be deployed for a registered model, whose name it gets.

    With a `collision` strategy it has one run at a time, which loses its turn if it is not running after `grace_seconds`.
    """

    flow: Flow[..., Any]
    model: str
    parameters: Mapping[str, Any]
    timetable: Timetable | None
    collision: CollisionStrategy | None
    grace_seconds: int = 300


def plan_deployments(config: Config, schedule: ScheduleConfig) -> list[Planned]:
    """Return what is deployed for a model's configuration and a schedule; the training comes first.

    Raises:
        ConfigError: there is no such sweep.
    """
    model = config.registered_model
    trained = {"config": config.model_dump(mode="json")}
    request = schedule.scoring.request
    scored = {} if request is None else {"config": {**request.model_dump(mode="json"), "model": request.model or model}}
    compared = schedule.monitoring.model_dump(mode="json", exclude={"timetable"}, exclude_none=True)
    study = check_section(read_config(schedule.sweep.study, PRESETS), f"sweep {schedule.sweep.study}", SweepConfig)
    searched = {**trained, "sweep": {**study.model_dump(mode="json"), "name": _study_name(model, study.name)}}
    collision = schedule.training.collision_strategy
    planned = [
        Planned(retraining, model, trained, schedule.training.timetable, collision),
        Planned(scoring, model, scored, schedule.scoring.timetable, None),
        Planned(monitoring, model, {"model": model, **compared}, schedule.monitoring.timetable, None),
        Planned(sweep, model, searched, None, "ENQUEUE"),
        # One that was killed before it ran must not hold up those that follow.
        Planned(recovery, model, {}, _every(schedule.recovery.every_seconds), "CANCEL_NEW", grace_seconds=60),
    ]
    if schedule.watching is not None:
        watched = {**trained, "settle_seconds": schedule.watching.settle_seconds}
        every = _every(schedule.watching.every_seconds)
        planned.append(Planned(watching, model, watched, every, "CANCEL_NEW", grace_seconds=60))
    return planned


def build_deployment(planned: Planned, version: str) -> RunnerDeployment:
    """Return a deployment that the process which calls `flows.serving.serve` carries out.

    Raises:
        ConfigError: the timetable's cron line is none.
    """
    limit = planned.collision and ConcurrencyLimitConfig(
        limit=1,
        collision_strategy=ConcurrencyLimitStrategy(planned.collision),
        grace_period_seconds=planned.grace_seconds,
    )
    deployment = RunnerDeployment.from_flow(
        planned.flow,
        name=planned.model,
        schedules=[_prefect_schedule(planned.timetable)] if planned.timetable else [],
        parameters=dict(planned.parameters),
        tags=[RUN_TAG, planned.model],
        version=version,
        concurrency_limit=limit,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    # Said outright, so that a deployment that was a pool's before is no more.
    deployment.work_pool_name = deployment.work_queue_name = None
    return deployment


def hand_to_pool(deployment: RunnerDeployment, pool: WorkPool, heartbeat: HeartbeatConfig) -> RunnerDeployment:
    """Make a deployment one that a work pool's workers carry out; those of a process pool in the present folder."""
    deployment.work_pool_name = pool.name
    deployment.job_variables = {"env": worker_environment(heartbeat)}
    if pool.type == "process":
        deployment.storage = LocalStorage(str(Path.cwd()))
    return deployment


def worker_environment(heartbeat: HeartbeatConfig) -> dict[str, str]:
    """Return what a run needs in its environment where no `reprise` command sets it."""
    return {**library_defaults(), "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(heartbeat.seconds)}


def ensure_pool(name: str) -> WorkPool:
    """Return the work pool of this name, which is made, of type process, where there is none."""
    with get_client(sync_client=True) as client:
        try:
            return client.read_work_pool(name)
        except ObjectNotFound:
            return client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def withdraw_unplanned(model: str, planned: Iterable[Planned]) -> list[str]:
    """Delete the deployments of a model that an earlier schedule planned and this one does not, and return their names."""
    gone = []
    with get_client(sync_client=True) as client:
        for name in {f"{one.name}/{model}" for one in FLOWS} - {f"{one.flow.name}/{one.model}" for one in planned}:
            with suppress(ObjectNotFound):
                client.delete_deployment(client.read_deployment_by_name(name).id)
                gone.append(name)
    return gone


def skip_missed_runs(deployment_id: UUID) -> int:
    """Delete the runs that a timetable planned for times at which nobody served it, and return how many there were."""
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    late = FlowRunFilter.model_validate({"state": {"name": {"any_": ["Late"]}}})
    skipped = 0
    with get_client(sync_client=True) as client:
        while runs := [
            run for run in client.read_flow_runs(flow_run_filter=late, deployment_filter=wanted) if run.auto_scheduled
        ]:
            for run in runs:
                client.delete_flow_run(run.id)
            skipped += len(runs)
    return skipped


def next_start(timetable: Timetable) -> datetime:
    """Return when a timetable starts a run next, in its own time zone."""
    if timetable.cron is not None:
        dates = CronSchedule(cron=timetable.cron, timezone=timetable.timezone).get_dates(1)
    else:
        interval = timedelta(seconds=timetable.every_seconds or 0)
        dates = IntervalSchedule(interval=interval, anchor_date=ANCHOR, timezone=timetable.timezone).get_dates(1)
    return asyncio.run(dates)[0].astimezone(ZoneInfo(timetable.timezone))


def code_version() -> str:
    """Return the version of the package and, where it is known, the commit of its code."""
    commit = read_circumstances().get(COMMIT)
    return importlib.metadata.version("reprise") + (f"+g{commit[:12]}" if commit else "")


def describe_deployments(config: str, schedule: str) -> dict[str, Any]:
    """Return what `prefect.yaml` fills in, as the step that it runs before it deploys.

    Args:
        config: preset or file of the training's configuration.
        schedule: preset or file of the schedule.
    """
    trained = check_config(read_config(config), config)
    scheduled = check_section(read_config(schedule, "schedules"), schedule, ScheduleConfig)
    return {
        "version": code_version(),
        "parameters": {one.flow.name: dict(one.parameters) for one in plan_deployments(trained, scheduled)},
        "environment": worker_environment(scheduled.heartbeat),
        "directory": str(Path.cwd()),
    }


def _study_name(model: str, name: str) -> str:
    """Return a study's name that no other model of the workspace has, of the letters that one may have."""
    return re.sub("[^a-z0-9_-]", "-", f"{model}-{name}".lower())


def _every(seconds: float) -> Timetable:
    return Timetable(every_seconds=seconds)


def _prefect_schedule(timetable: Timetable) -> Schedule:
    if timetable.cron is None:
        return Interval(timedelta(seconds=timetable.every_seconds or 0), anchor_date=ANCHOR, timezone=timetable.timezone)
    try:
        CronSchedule(cron=timetable.cron)
    except ValueError:
        raise ConfigError(f"timetable.cron: {timetable.cron!r} is no cron line: minute hour day month weekday") from None
    return Cron(timetable.cron, timezone=timetable.timezone)
