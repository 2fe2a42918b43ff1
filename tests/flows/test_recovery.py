"""Runs whose process was killed, found and ended by the next one."""

import time

import mlflow
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Crashed, Running

from flows.recovery import end_orphaned_runs, recover_killed_runs
from tasks.abandoned_runs import STARTING_SECONDS
from tasks.mlflow_store import connect
from tasks.results import UNFINISHED
from tasks.tracking import run_folder
from tasks.workspace import in_use


@pytest.fixture
def start_run(prefect_api, embedded_mlflow):
    """Start a run in both records as a training does, some seconds ago, and leave it so."""

    @flow(name="killed")
    def killed() -> None:
        pass

    def start(seconds_ago=STARTING_SECONDS + 1):
        with get_client(sync_client=True) as client:
            flow_run = client.create_flow_run(killed, state=Running())
        began = int((time.time() - seconds_ago) * 1000)
        run = connect().create_run("0", start_time=began, tags={"prefect.flow_run_id": str(flow_run.id)})
        run_folder(run.info.run_id).mkdir(parents=True)
        return run.info.run_id, flow_run.id

    return start


def states(run_id, flow_run_id):
    with get_client(sync_client=True) as client:
        return mlflow.get_run(run_id).info.status, client.read_flow_run(flow_run_id).state.name


def test_a_killed_run_is_failed_in_mlflow_and_crashed_in_prefect(start_run):
    killed = start_run()
    assert states(*killed) == ("RUNNING", "Running")
    recover_killed_runs()
    assert states(*killed) == ("FAILED", "Crashed")
    assert mlflow.get_run(killed[0]).data.tags["error"] == "its process was killed"


def test_a_run_in_progress_elsewhere_or_only_just_begun_is_left_alone(start_run):
    held, young, foreign = start_run(), start_run(seconds_ago=0), start_run()
    run_folder(foreign[0]).rmdir()
    with in_use(run_folder(held[0])):
        recover_killed_runs()
        assert [states(*run) for run in (held, young, foreign)] == [("RUNNING", "Running")] * 3


def test_a_run_that_was_killed_at_once_after_it_had_marked_its_folder_is_ended_at_once(start_run):
    killed = start_run(seconds_ago=0)
    (run_folder(killed[0]) / UNFINISHED).touch()
    recover_killed_runs()
    assert states(*killed) == ("FAILED", "Crashed")


def test_a_killed_run_of_another_prefect_server_is_still_failed_in_mlflow(start_run):
    run_id, flow_run_id = start_run()
    with get_client(sync_client=True) as client:
        client.delete_flow_run(flow_run_id)
    recover_killed_runs()
    assert mlflow.get_run(run_id).info.status == "FAILED"


@pytest.mark.parametrize("state", [Crashed(), Completed()])
def test_a_run_of_another_machine_whose_prefect_run_is_over_is_failed(start_run, state):
    over, running = start_run(), start_run()
    for run_id, _ in (over, running):
        run_folder(run_id).rmdir()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(over[1], state, force=True)
    assert end_orphaned_runs() == 1
    assert states(*over) == ("FAILED", state.name)
    assert mlflow.get_run(over[0]).data.tags["error"] == f"its Prefect run is {state.name}"
    assert states(*running) == ("RUNNING", "Running")


def test_a_run_whose_prefect_run_was_deleted_is_failed_if_this_server_knew_it(start_run, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect:4200/api")
    known, foreign = start_run(), start_run()
    connect().set_tag(known[0], "prefect.api", "http://prefect:4200/api")
    connect().set_tag(foreign[0], "prefect.api", "http://elsewhere:4200/api")
    with get_client(sync_client=True) as client:
        for run_id, flow_run_id in (known, foreign):
            run_folder(run_id).rmdir()
            client.delete_flow_run(flow_run_id)
    assert end_orphaned_runs() == 1
    assert mlflow.get_run(known[0]).info.status == "FAILED"
    assert mlflow.get_run(foreign[0]).info.status == "RUNNING"
