"""New reviews to a new version by themselves: a real server, a served deployment, real trainings, counted at the end."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, DeploymentFilterName
from prefect.settings import PREFECT_API_URL

from configs.notification import NotificationConfig
from flows.automations import install, notification_automations, retraining_automation
from flows.events import DRIFT_DETECTED, emit_model_event
from flows.watching import watching
from tasks.ingestion.source import source_digest
from tests.integration.prefect_client import client_of

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[2]
SERVE = """
import json, sys
from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import EntrypointType
from flows.retraining import retraining

serve(retraining.to_deployment(
    "watched-slice",
    parameters={"config": json.loads(sys.argv[1])},
    concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
    entrypoint_type=EntrypointType.MODULE_PATH,
))
"""


@pytest.fixture
def served(prefect_server, receiver, embedded_mlflow, server_environment, configure, tmp_path, monkeypatch):
    """A configuration of reviews in parts, of which none is there, and a look at the runs of its served retraining."""
    monkeypatch.setenv("REPRISE_HOME", server_environment["REPRISE_HOME"])
    small = ("training.epochs=1", "padding.maxlen=20", "data.name=watched-slice", "validation.min_rows=50")
    config = configure(*small, path=tmp_path / "parts")
    environment = server_environment | {"PREFECT_RUNNER_POLL_FREQUENCY": "1", "PYTHONPATH": str(REPOSITORY)}
    with (
        client_of({PREFECT_API_URL: prefect_server}),
        get_client(sync_client=True) as client,
        (tmp_path / "serve.log").open("wb") as log,
    ):
        command = [sys.executable, "-c", SERVE, config.model_dump_json()]
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
        try:
            deployment = wait_for(find_deployment, client, process)
            install(retraining_automation(config.registered_model, deployment.id))
            blocks = [save_webhook(name, f"{receiver[0]}/{name}") for name in ("hanging", "alive")]
            for automation in notification_automations(
                config.registered_model, [deployment.id], NotificationConfig(notify=blocks)
            ):
                install(automation)
            yield config, lambda: runs_of(client, deployment)
        finally:
            process.terminate()
            process.wait(timeout=20)


def save_webhook(name, url):
    timeout = 0.5 if name == "hanging" else 30.0
    block = CustomWebhookNotificationBlock(name=name, url=url, json_data={"text": "{{subject}}\n{{body}}"}, timeout=timeout)
    block.save(f"watched-{name}", overwrite=True)
    return f"custom-webhook/watched-{name}"


def find_deployment(client, process):
    assert process.poll() is None
    found = client.read_deployments(deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["watched-slice"])))
    return found[0] if found else None


def wait_for(look, *arguments, seconds=300):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look(*arguments):
            return found
        time.sleep(1)  # what is waited for takes seconds, and the two cores
    pytest.fail(f"{look.__name__} found nothing in {seconds} s")


def runs_of(client, deployment):
    found = client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])))
    return sorted(found, key=lambda run: run.created)


def runs_if(runs_now, count, *, ended=False):
    runs = runs_now()
    return runs if len(runs) == count and (not ended or all(run.state.is_final() for run in runs)) else None


def trainings():
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list", order_by=["start_time ASC"])
    return [run for run in runs if "registered_model" in run.data.tags]


def ingested(count):
    runs = trainings()
    return len(runs) == count and "dataset.sha256" in runs[-1].data.tags and runs[-1].info.status == "RUNNING"


def look(config, **options):
    state = watching(config, **{"settle_seconds": 0.5} | options, return_state=True)
    return state.name, state.message


def test_new_reviews_are_trained_on_once_however_often_they_are_told_of(served, receiver, real_slice):
    config, runs_now = served
    folder = Path(config.data.path)
    reviews = pd.read_csv(real_slice)

    def write_part(number):
        reviews.iloc[number::4].to_csv(folder / f"part-{number}.csv", index=False)

    def write_burst():
        for number in range(3):
            time.sleep(0.4)
            write_part(number)

    assert look(config) == ("Unreadable", f"No training on {folder} for now: no such file: {folder}")
    folder.mkdir()
    burst = threading.Thread(target=write_burst)
    burst.start()
    wait_for(lambda: list(folder.glob("*.csv")))
    assert look(config, settle_seconds=1.5)[0] == "Data changed"
    assert not burst.is_alive()
    first = source_digest(config.data)
    assert wait_for(runs_if, runs_now, 1)[0].parameters["content"] == first

    wait_for(ingested, 1)
    assert look(config) == (
        "Nothing new",
        f"watched-slice-lstm has these reviews ({first[:12]}) from MLflow run {trainings()[0].info.run_id}.",
    )
    write_part(3)
    second = source_digest(config.data)
    assert look(config)[0] == "Data changed"
    waiting = wait_for(runs_if, runs_now, 2)[1]
    name, message = look(config)
    assert (name, waiting.name in message) == ("Waiting", True)
    emit_model_event(DRIFT_DETECTED, config.registered_model, {})
    wait_for(runs_if, runs_now, 3)

    runs = wait_for(lambda: runs_if(runs_now, 3, ended=True))
    assert sorted(run.state_name for run in runs) == ["Completed", "Completed", "Nothing new"]
    for part in folder.iterdir():
        os.utime(part, (1, 1))
        part.rename(part.with_suffix(".off")).rename(part)
    assert look(config)[0] == "Nothing new"
    assert len(runs_now()) == 3
    assert [(run.info.status, run.data.tags["dataset.source_sha256"]) for run in trainings()] == [
        ("FINISHED", first),
        ("FINISHED", second),
    ]

    messages = [post.payload["text"] for post in receiver[1] if post.place == "/alive"]
    (told,) = [message for message in messages if message.startswith("[reprise] watched-slice-lstm version 1: promote\n")]
    assert f"Look: {PREFECT_API_URL.value().removesuffix('/api')}/runs/flow-run/" in told
