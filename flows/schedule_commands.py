"""`reprise schedule`: deploys the flows with their timetables, and carries them out or hands them to a work pool."""

import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, NamedTuple, TextIO, cast

import typer

from configs.loading import check_section, override, read_config
from configs.schedule import ScheduleConfig, Timetable
from flows.configuring import resolve_config
from flows.options import AsJson, ConfigName, Data, complete_presets
from flows.servers import scheduling_server
from flows.terminal import out, print_json
from tasks.errors import InputError
from tasks.workspace import home

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from prefect.deployments.runner import RunnerDeployment

    from configs.schema import Config
    from flows.deployments import Planned

PREFIX = "schedule."


def schedule(
    config: ConfigName = None,
    data: Data = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value, or schedule.section.key=value, as often as needed.")
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(help="A preset (nightly, on-demand) or a YAML file.", autocompletion=complete_presets("schedules")),
    ] = "nightly",
    pool: Annotated[str | None, typer.Option(help="Hand the runs to the workers of this work pool, and return.")] = None,
    prefect_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the Prefect server, where PREFECT_API_URL names none.")
    ] = 4200,
    as_json: AsJson = False,
) -> None:
    """Train on a timetable, and end what was killed: in this process until Ctrl-C, or by the workers of a pool.

    Example: reprise schedule --config imdb --set schedule.training.timetable.cron="0 3 * * *"
    """
    assignments = set_ or []
    resolved, note = resolve_config(config, data, [one for one in assignments if not one.startswith(PREFIX)])
    tree = override(
        read_config(schedule, "schedules"), [one.removeprefix(PREFIX) for one in assignments if one.startswith(PREFIX)]
    )
    scheduled = check_section(tree, f"schedule {schedule}", ScheduleConfig)
    if pool is not None and not os.environ.get("PREFECT_API_URL"):
        raise InputError("--pool needs the Prefect server that the workers ask: name it in PREFECT_API_URL")
    os.environ["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] = str(scheduled.heartbeat.seconds)
    answer = sys.stdout if as_json else None
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        out.print(note, soft_wrap=True)
        _deploy(resolved, scheduled, pool, prefect_port, answer)


def _deploy(resolved: "Config", scheduled: ScheduleConfig, pool: str | None, prefect_port: int, answer: TextIO | None) -> None:
    """Deploy, and serve where no pool is named; what is deployed is told as JSON to `answer`, where that is given."""
    if not os.environ.get("PREFECT_API_URL"):
        out.print("Starting the Prefect server ...")
    with scheduling_server(prefect_port, home() / "logs") as api:
        from flows.automations import (
            heartbeat_automation,
            install,
            install_notifications,
            notification_automations,
            retraining_automation,
        )
        from flows.deployments import (
            build_deployment,
            code_version,
            ensure_pool,
            hand_to_pool,
            plan_deployments,
            withdraw_unplanned,
        )
        from flows.recovery import end_orphaned_runs, recover_killed_runs

        recover_killed_runs()
        end_orphaned_runs()
        install(heartbeat_automation(scheduled.heartbeat))
        planned = plan_deployments(resolved, scheduled)
        version = code_version()
        deployments = [build_deployment(one, version) for one in planned]
        if pool is not None:
            workers = ensure_pool(pool)
            deployments = [hand_to_pool(one, workers, scheduled.heartbeat) for one in deployments]
        # Before anything is deployed, so that a block that is not there is told first.
        notification_automations(resolved.registered_model, [], scheduled.notification)
        deployed = _apply(planned, deployments, version, serving=pool is None)
        deployment_ids = [one.id for one in deployed]
        for name in withdraw_unplanned(resolved.registered_model, planned):
            out.print(f"Withdrawn, since it is not planned any more: {name}", soft_wrap=True)
        install(retraining_automation(resolved.registered_model, deployment_ids[0]))
        install_notifications(resolved.registered_model, deployment_ids, scheduled.notification)
        if answer is not None:
            print_json({"version": version, "pool": pool, "deployments": [one._asdict() for one in deployed]}, answer)
        if pool is not None:
            out.print(
                f"Work pool {pool}, of type {workers.type}, has them. Workers: prefect worker start --pool {pool}",
                soft_wrap=True,
            )
            return
        from prefect.settings import PREFECT_UI_URL

        from flows.serving import serve

        out.print(f"Prefect UI {PREFECT_UI_URL.value()}/runs, of the server {api}", soft_wrap=True)
        out.print("Serving. Ctrl-C ends it and pauses the timetables until it is started again.")
        serve(deployments, home() / "logs" / "native.log")
    out.print("Stopped; the timetables are paused.")


class Deployed(NamedTuple):
    """A deployment, its page, and when it runs next: None where it has no timetable."""

    name: str
    id: "UUID"
    url: str | None
    timetable: str
    next: "datetime | None"


def _apply(planned: "list[Planned]", deployments: "list[RunnerDeployment]", version: str, *, serving: bool) -> list[Deployed]:
    from prefect.utilities.urls import url_for

    from flows.deployments import next_start, skip_missed_runs

    out.print(f"Deployed, version {version}:")
    deployed = []
    for one, deployment in zip(planned, deployments, strict=True):
        deployment_id = cast("UUID", deployment.apply())  # no coroutine where no event loop runs
        name, url, told = deployment.full_name, url_for("deployment", obj_id=deployment_id), _describe(one.timetable)
        start = None if one.timetable is None else next_start(one.timetable)
        deployed.append(Deployed(name, deployment_id, url, told, start))
        when = "" if start is None else f", next {start:%Y-%m-%d %H:%M:%S %Z}"
        out.print(f"  {name}: {told}{when}", soft_wrap=True)
        out.print(f"    {url}", soft_wrap=True)
        if serving and (skipped := skip_missed_runs(deployment_id)):
            out.print(f"    skipped, since nobody served when they were due: {skipped}", soft_wrap=True)
    return deployed


def _describe(timetable: Timetable | None) -> str:
    if timetable is None:
        return "by hand and by events alone"
    when = f"cron {timetable.cron}" if timetable.cron else f"every {timetable.every_seconds:g} s"
    return f"{when} ({timetable.timezone})"
