"""Trainings that run by themselves on a real Prefect server: served by one process, by a worker, and after a kill -9."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import mlflow
import psutil
import pytest
import yaml
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
from prefect.events import ResourceSpecification, emit_event
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.states import Pending

from configs.loading import check_config, check_section, read_config
from configs.schedule import HeartbeatConfig, ScheduleConfig, TrainingSchedule
from flows.automations import heartbeat_automation
from flows.deployments import build_deployment, code_version, ensure_pool, hand_to_pool, plan_deployments, withdraw_unplanned
from tasks.mlflow_store import connect
from tasks.registration.versions import read_aliases
from tests.integration.prefect_client import client_of

ROOT = Path(__file__).parents[2]
HOLD = (
    "import logging, sys, time\nfrom flows.exclusive import only_training\n"
    "logging.basicConfig(level='INFO', format='%(message)s', stream=sys.stdout)\n"
    "with only_training('held'):\n print('held', flush=True); time.sleep(float(sys.argv[1]))\n"
)


@pytest.fixture
def client(prefect_server, monkeypatch):
    """A client of the real server, which this process uses too."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    with client_of({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def start(server_environment, embedded_mlflow):
    """Start a Python module in the folder of an empty MLflow store; what still runs at the end is killed."""
    connect()  # which tells MLflow in this process where the store is
    started = []

    def start(*arguments, folder=embedded_mlflow.parent, **environment):
        log = (embedded_mlflow.parent / f"process-{len(started)}.log").open("w+")
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env={**server_environment, "PYTHONUNBUFFERED": "1", "PREFECT_RUNNER_POLL_FREQUENCY": "2", **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        process.log = Path(log.name)
        started.append(process)
        return process

    yield start
    for process in started:
        kill_all(process)


def kill_all(process):
    """Kill a process and all that it started, as a machine that loses its power does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid)
        for one in [*family.children(recursive=True), family]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


def wait_for(condition, what, seconds=300):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.3)
    pytest.fail(f"it never came to this: {what() if callable(what) else what}")


def wait_for_line(process, line):
    wait_for(lambda: line in process.log.read_text(), lambda: f"{line!r} in {process.log.read_text()}")


def write(config, path):
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return path


def flow_run_process(parent, flow_run_id):
    """The process that runs a flow run, somewhere below another."""
    for child in psutil.Process(parent.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.environ().get("PREFECT__FLOW_RUN_ID") == str(flow_run_id) and "engine" in " ".join(child.cmdline()):
                return child
    return None


class Watch:
    """What Prefect and MLflow say of runs."""

    def __init__(self, client):
        self.client = client

    def run(self, name, config, **changes):
        deployment = self.client.read_deployment_by_name(name)
        parameters = {"config": {**config.model_dump(mode="json"), **changes}}
        return self.client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id

    def state(self, flow_run_id):
        return self.client.read_flow_run(flow_run_id).state

    def wait_for_state(self, flow_run_id, name):
        wait_for(lambda: self.state(flow_run_id).name == name, lambda: f"{name}, but it is {self.state(flow_run_id)!r}")

    def tracked(self, flow_run_id):
        found = mlflow.search_runs(
            search_all_experiments=True,
            filter_string=f"tags.`prefect.flow_run_id` = '{flow_run_id}'",
            output_format="list",
        )
        return found[0] if found else None

    def wait_for_training(self, flow_run_id):
        """Wait until a training has come as far as its own MLflow run, ten seconds ago."""
        wait_for(lambda: self.tracked(flow_run_id), lambda: f"a training, but: {self.state(flow_run_id)!r}")


def champion(name):
    return read_aliases(name).get("champion")


@pytest.mark.long
def test_runs_are_served_and_worked_and_none_outlives_a_kill(client, start, configure, tmp_path):
    """All in one test, so that its waits overlap: a lease alone lasts a minute."""
    watch = Watch(client)
    ended = configure("data.name=ended")
    endless = {"training": ended.training.model_copy(update={"epochs": 100_000}).model_dump(mode="json")}
    served, worked = configure("training.epochs=1"), configure("data.name=worked", "training.epochs=1")

    holder = start("-c", HOLD, 600)
    wait_for_line(holder, "held\n")
    kill_all(holder)
    waiter = start("-c", HOLD, 0, REPRISE_HOME=str(tmp_path / "another machine"))

    timetable = "schedule.training.timetable={cron: 0 3 * * *, timezone: Asia/Tokyo}"
    settings = ("--schedule", "on-demand", "--set", "schedule.recovery.every_seconds=30", "--set", timetable)
    server = start("-m", "flows.cli", "schedule", "--config", write(served, tmp_path / "served.yaml"), *settings)
    wait_for_line(server, "Serving.")
    told = server.log.read_text()
    assert re.search(r"retraining/slice-lstm: cron 0 3 \* \* \* \(Asia/Tokyo\), next \d{4}-\d\d-\d\d 03:00:00 JST", told)
    assert f"Prefect UI {os.environ['PREFECT_API_URL'].removesuffix('/api')}" in told
    check_deployment(client, watch, served)

    killed = watch.run("retraining/slice-lstm", ended, **endless)

    pool = start(
        "-m", "flows.cli", "schedule", "--pool", "team", "--config", write(worked, tmp_path / "worked.yaml"), *settings
    )
    assert pool.wait(timeout=180) == 0, pool.log.read_text()
    (elsewhere := tmp_path / "elsewhere").mkdir()
    command = ("-m", "prefect", "worker", "start", "--pool", "team", "--type", "process")
    worker = start(*command, folder=elsewhere, PREFECT_WORKER_QUERY_SECONDS="2")
    by_worker = watch.run("retraining/worked-lstm", worked)

    watch.wait_for_training(killed)
    queued = watch.run("retraining/slice-lstm", served)
    watch.wait_for_state(queued, "AwaitingConcurrencySlot")
    flow_run_process(server, killed).kill()
    watch.wait_for_state(killed, "Crashed")
    wait_for(lambda: watch.tracked(killed).info.status == "FAILED", "the killed training FAILED in MLflow")
    watch.wait_for_state(queued, "Completed")
    watch.wait_for_state(by_worker, "Completed")
    assert (champion("slice-lstm"), champion("worked-lstm")) == ("1", "1")

    lost = watch.run("retraining/worked-lstm", ended, **endless)
    watch.wait_for_training(lost)
    assert watch.state(lost).name == "Running"
    kill_all(worker)
    shutil.rmtree(tmp_path / ".reprise/runs" / watch.tracked(lost).info.run_id)  # as for a machine that cannot see it
    shorter = let_silence_last(client, lost, seconds=10)
    watch.wait_for_state(lost, "Crashed")
    shorter.delete()
    assert "No heartbeat" in watch.state(lost).message
    wait_for(lambda: watch.tracked(lost).info.status == "FAILED", "the lost training FAILED in MLflow")
    assert watch.tracked(lost).data.tags["error"] == "its Prefect run is Crashed"
    assert client.read_deployment_by_name("retraining/worked-lstm").global_concurrency_limit.active_slots == 0

    server.terminate()
    assert server.wait(timeout=60) == 0
    assert "Stopped; the timetables are paused." in server.log.read_text()
    assert client.read_deployment_by_name("retraining/slice-lstm").paused
    wait_for_line(waiter, "held\n")
    assert "this training waits for another training of held on this Prefect server" in waiter.log.read_text()
    Automation.read(name=heartbeat_automation(HeartbeatConfig()).name).delete()


def check_deployment(client, watch, config):
    deployment = client.read_deployment_by_name("retraining/slice-lstm")
    assert (deployment.version, deployment.work_pool_name, deployment.paused) == (code_version(), None, False)
    planned = FlowRunFilter.model_validate(
        {"deployment_id": {"any_": [deployment.id]}, "state": {"name": {"any_": ["Scheduled"]}}}
    )
    wait_for(lambda: len(client.read_flow_runs(flow_run_filter=planned)) >= 3, "the cron line's next runs")
    wrong = {"training": {**config.training.model_dump(mode="json"), "epochs": "five"}}
    with pytest.raises(PrefectHTTPStatusError, match=r"config\.training\.epochs"):
        watch.run("retraining/slice-lstm", config, **wrong)


def let_silence_last(client, flow_run_id, seconds):
    """Have a dead run's silence count from its last sign of life on, repeated now, and for less than the real 90 s."""
    automation = Automation.read(name=heartbeat_automation(HeartbeatConfig()).name)
    assert automation.trigger.within == timedelta(seconds=90)
    resource = f"prefect.flow-run.{flow_run_id}"
    automation.id, automation.name, automation.trigger.within = None, "shorter", timedelta(seconds=seconds)
    automation.trigger.match = ResourceSpecification({"prefect.resource.id": [resource]})
    automation.create()
    wanted = {"event": {"name": sorted(automation.trigger.after)}, "resource": {"id": [resource]}}
    answer = client.request("POST", "/events/filter", json={"filter": wanted})
    last = answer.json()["events"][0]
    emit_event(last["event"], resource=last["resource"], related=last["related"])
    return automation


@pytest.mark.parametrize(("strategy", "outcome"), [("ENQUEUE", "AwaitingConcurrencySlot"), ("CANCEL_NEW", "Cancelled")])
def test_a_second_training_waits_or_is_cancelled(client, configure, strategy, outcome):
    schedule = ScheduleConfig(training=TrainingSchedule(collision_strategy=strategy))
    planned, *_ = plan_deployments(configure(f"data.name={strategy.lower()}"), schedule)
    deployment_id = build_deployment(planned, "1").apply()
    runs = [client.create_flow_run_from_deployment(deployment_id) for _ in range(2)]
    states = [client.set_flow_run_state(run.id, Pending()).state.name for run in runs]
    assert states == ["Pending", outcome]
    client.delete_deployment(deployment_id)


@pytest.mark.long
def test_prefect_yaml_deploys_what_reprise_schedule_does(client, server_environment, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = check_config(read_config("imdb"), "imdb")
    schedule = check_section(read_config("nightly", "schedules"), "nightly", ScheduleConfig)
    pool = ensure_pool("reprise")
    names = []
    for planned in plan_deployments(config, schedule):
        deployment = hand_to_pool(build_deployment(planned, code_version()), pool, schedule.heartbeat)
        deployment.apply()
        names.append(deployment.full_name)
    ours = {name: content(client.read_deployment_by_name(name)) for name in names}
    assert withdraw_unplanned("imdb-lstm", plan_deployments(config, ScheduleConfig())) == ["watching/imdb-lstm"]
    for name in [one for one in names if not one.startswith("watching/")]:
        client.delete_deployment(client.read_deployment_by_name(name).id)

    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(command, cwd=ROOT, env=server_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    of_pool = WorkPoolFilter.model_validate({"name": {"any_": ["reprise"]}})
    assert sorted(one.name for one in client.read_deployments(work_pool_filter=of_pool)) == ["imdb-lstm"] * 6
    for name in names:
        assert content(client.read_deployment_by_name(name)) == ours[name]
        client.delete_deployment(client.read_deployment_by_name(name).id)


def content(deployment):
    """What a deployment is, without what each has of its own."""
    kept = (
        *("name", "version", "description", "tags", "parameters", "parameter_openapi_schema", "enforce_parameter_schema"),
        *("entrypoint", "pull_steps", "work_pool_name", "job_variables", "concurrency_options", "paused"),
    )
    found = deployment.model_dump(mode="json", include=set(kept))
    schedules = [(one.active, one.schedule.model_dump(mode="json")) for one in deployment.schedules]
    limit = deployment.global_concurrency_limit
    return {**found, "schedules": schedules, "limit": limit and limit.limit}
