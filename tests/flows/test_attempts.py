"""What counts as trained, tried in vain and waiting: real records in MLflow and Prefect, and no training."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.states import AwaitingConcurrencySlot, Cancelled, Completed, Crashed, Failed, Late, Pending, Running, Scheduled

from flows.attempts import RETRAINING, reason_not_to_train, waiting_retraining
from tasks.mlflow_store import connect, ensure_experiment

CONTENT = "c0ffee" * 10 + "cafe"


@flow(name=RETRAINING)
def attempt() -> None:
    pass


@pytest.fixture
def config(prefect_api, embedded_mlflow, configure):
    """A configuration of a model that nothing is recorded of."""
    return configure(f"data.name=m{uuid4().hex[:12]}")


def start_attempt(config, *states, content=CONTENT):
    parameters = {"config": config.model_dump(mode="json"), "only_new": True, "content": content}
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(attempt, parameters=parameters, state=states[0])
        for state in states[1:]:
            client.set_flow_run_state(run.id, state, force=True)
    return run.name


def log_run(config, status, content=CONTENT, **tags):
    client = connect()
    tags = {"registered_model": config.registered_model, "dataset.source_sha256": content} | tags
    run_id = client.create_run(ensure_experiment(client, config.experiment), tags=tags).info.run_id
    client.update_run(run_id, status=status)
    return run_id


@pytest.mark.parametrize("status", ["FINISHED", "RUNNING"])
def test_what_a_run_has_trained_on_or_is_training_on_is_not_new(config, status):
    run_id = log_run(config, status)
    assert reason_not_to_train(config, CONTENT) == (
        f"{config.registered_model} has these reviews ({CONTENT[:12]}) from MLflow run {run_id}."
    )
    assert reason_not_to_train(config, "0" * 64) is None


def test_what_another_model_or_a_failed_run_has_seen_is_new(config):
    log_run(config, "FINISHED", registered_model="another-lstm")
    log_run(config, "FAILED")
    log_run(config, "KILLED")
    assert reason_not_to_train(config, CONTENT) is None


@pytest.mark.parametrize("state", [Failed(), Failed(name="TimedOut"), Cancelled()])
def test_what_failed_is_tried_again_only_once_the_reviews_or_the_configuration_change(config, state):
    name = start_attempt(config, Running(), state)
    reason = reason_not_to_train(config, CONTENT)
    assert name in reason
    assert "once they or the configuration change" in reason
    assert reason_not_to_train(config, "0" * 64) is None
    changed = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 3})})
    assert reason_not_to_train(changed, CONTENT) is None


def test_a_crash_is_tried_again_twice(config):
    for crashes in (1, 2):
        start_attempt(config, Running(), Crashed())
        assert reason_not_to_train(config, CONTENT) is None, crashes
    start_attempt(config, Running(), Crashed())
    assert "failed before" in reason_not_to_train(config, CONTENT)


def test_an_attempt_that_runs_or_had_no_content_to_name_is_no_failure(config):
    start_attempt(config, Running())
    start_attempt(config, Completed())
    start_attempt(config, Running(), Failed(), content=None)
    start_attempt(config, Pending(), Cancelled())  # as CANCEL_NEW does
    assert reason_not_to_train(config, CONTENT) is None


@pytest.mark.parametrize("state", [Scheduled(), Late(), AwaitingConcurrencySlot(), Pending()])
def test_a_run_that_has_not_begun_waits_for_its_own_model_alone(config, configure, state):
    name = start_attempt(config, state)
    assert waiting_retraining(config) == name
    assert waiting_retraining(configure("data.name=other")) is None


def test_a_run_whose_process_never_began_it_does_not_wait_for_ever(config, monkeypatch):
    start_attempt(config, Pending())
    assert waiting_retraining(config) is not None
    monkeypatch.setattr("flows.attempts.PENDING_SECONDS", 0)
    assert waiting_retraining(config) is None


@pytest.mark.parametrize("state", [Running(), Completed(), Failed()])
def test_a_run_that_has_begun_does_not_wait(config, state):
    start_attempt(config, state)
    assert waiting_retraining(config) is None


def test_runs_that_a_schedule_has_planned_do_not_wait_before_they_are_due(config):
    due = datetime.now(UTC) - timedelta(minutes=1)
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(
            flow_id=client.create_flow(attempt),
            name=config.registered_model,
            parameters={"config": config.model_dump(mode="json")},
            schedules=[DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(days=1), anchor_date=due))],
        )

        def plan(start, end):
            times = {"start_time": start.isoformat(), "end_time": end.isoformat()}
            client._client.post(
                f"/deployments/{deployment}/schedule", json=times | {"min_runs": 1, "max_runs": 1}
            ).raise_for_status()

        plan(due + timedelta(hours=1), due + timedelta(days=2))
        assert waiting_retraining(config) is None
        plan(due - timedelta(seconds=1), due + timedelta(minutes=1))
        assert waiting_retraining(config) is not None
