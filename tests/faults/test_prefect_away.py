"""A training whose Prefect server is killed while it trains."""

import os
import signal
import time

import pytest

from flows.servers import await_answer, free_port, running_server
from tasks.journal import JOURNAL

pytestmark = [pytest.mark.fault("Prefect API gone"), pytest.mark.long]


@pytest.fixture
def doomed_server(tmp_path):
    """A Prefect server of the test's own, and a function that kills it."""
    port = free_port()
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running_server(
        "Prefect", command, port, "/api/health", tmp_path, {"PREFECT_HOME": str(tmp_path / "prefect")}
    ) as server:
        await_answer(server)
        yield f"{server.url}/api", lambda: os.killpg(server.process.pid, signal.SIGKILL)


def test_a_training_ends_in_time_with_one_line_and_the_next_works(workplace, doomed_server):
    lasting = workplace.environment["PREFECT_API_URL"]
    api, kill_server = doomed_server
    # The client's own patience, half a minute a request, is of no interest here.
    workplace.environment |= {"PREFECT_API_URL": api, "PREFECT_CLIENT_MAX_RETRIES": "1"}
    config = workplace.write_config("training.epochs=12")
    training = workplace.start("train", "--config", config)
    while training.poll() is None and not any(
        "epoch/train_loss" in path.read_text() for path in workplace.folder.glob(f".reprise/runs/*/{JOURNAL}")
    ):
        time.sleep(0.05)
    kill_server()
    killed = time.monotonic()
    _, errors = training.communicate(timeout=180)
    assert time.monotonic() - killed < 90
    assert training.returncode == 1
    lost = f"the Prefect API at {api} does not answer any more"
    (run,) = workplace.store.search_runs([one.experiment_id for one in workplace.store.search_experiments()])
    told = f"{lost}; `reprise train --resume` goes on with run {run.info.run_id}, after epoch 12 of 12"
    assert errors.splitlines() == [f"error: {told}"]
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", f"OrchestrationError: {lost}")
    steps = [point.step for point in workplace.store.get_metric_history(run.info.run_id, "epoch/train_loss")]
    assert steps == list(range(1, 13))
    assert workplace.store.search_model_versions() == []

    workplace.environment["PREFECT_API_URL"] = lasting
    workplace.run("train", "--config", config)
    (version,) = workplace.store.search_model_versions()
    assert version.run_id == run.info.run_id
    assert workplace.store.get_run(version.run_id).info.status == "FINISHED"
