"""Runs that record to a real MLflow server while it is stopped, slow or answers with errors, and what their journals keep."""

import json
import logging
import re
import time

import mlflow
import pytest

from configs.loading import check_config, override, read_config
from tasks.abandoned_runs import end_abandoned_runs
from tasks.errors import RegistryError
from tasks.journal import DELIVERED, JOURNAL, Datasets, Files, RecordedDataset
from tasks.mlflow_store import connect
from tasks.recording import log_epoch, log_result
from tasks.registration.ledger import ensure_ledger
from tasks.registration.versions import create_version
from tasks.resumption import resumable_run
from tasks.tracking import delivery_of, run_folder, settle, training_run
from tests.mlflow_server import faulty_proxy

FAULT = "MLflow server stopped, slow or in error"
EPOCHS = 40
pytestmark = pytest.mark.fault(FAULT)


@pytest.fixture
def proxy(server, monkeypatch, caplog):
    """The server's proxy, which this process is told of; its client gives up at once, so that the journal is what waits."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    caplog.set_level(logging.INFO, "reprise")
    with faulty_proxy(server) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{proxy.server_port}")
        yield proxy


def configured(*assignments):
    return check_config(override(read_config("sample"), ["tracking.system_metrics=false", *assignments]), "sample")


def record_epochs(run, first=1, count=EPOCHS):
    """Record epochs, and return the longest that one took, in seconds."""
    longest = 0.0
    for epoch in range(first, first + count):
        start = time.perf_counter()
        log_epoch(run, epoch, {"loss": 1 / epoch, "val_loss": float("nan") if epoch == 7 else 2 / epoch})
        longest = max(longest, time.perf_counter() - start)
    return longest


def recorded(run_id):
    """The metrics' points in the journal: name, step, value as text (for NaN) and time."""
    lines = [json.loads(line) for line in (run_folder(run_id) / JOURNAL).read_text().splitlines()]
    metrics = [line for line in lines if line["kind"] == "metrics"]
    return sorted((name, line["step"], str(value), line["time"]) for line in metrics for name, value in line["values"].items())


def delivered(run_id):
    """The same in MLflow, point by point."""
    client = mlflow.MlflowClient()
    return sorted(
        (name, point.step, str(point.value), point.timestamp)
        for name in client.get_run(run_id).data.metrics
        for point in client.get_metric_history(run_id, name)
    )


def assert_whole(run_id, epochs=EPOCHS):
    points = delivered(run_id)
    assert points == recorded(run_id)
    assert [step for name, step, *_ in points if name == "epoch/train_loss"] == list(range(1, epochs + 1))


@pytest.mark.long
def test_a_server_that_is_stopped_for_good_and_one_that_returns(server, proxy, caplog):
    runs = {}

    def train_until_the_server_is_gone(back):
        with resumable_run(configured("tracking.wait_seconds=0.5"), name="for good", tags={}) as gone:
            for run in (back, gone):
                record_epochs(run, count=5)
                settle(run.run_id, 60)
            server.stop()
            runs["longest epoch"] = max(record_epochs(run, first=6, count=EPOCHS - 5) for run in (back, gone))
            runs["gone"] = gone
            log_result(gone, tags={"note": "of the time without a server"})
            settle(gone.run_id, 0.5)

    with training_run(configured(), name="until it is back", tags={}) as back:
        with pytest.raises(RegistryError, match=r"did not take all within 0\.5 s") as told:
            train_until_the_server_is_gone(back)
        gone = runs["gone"]
        assert runs["longest epoch"] < 0.5, "the run waited for MLflow"
        assert str(run_folder(gone.run_id) / JOURNAL) in str(told.value)
        assert str(told.value).endswith(f"`reprise train --resume` goes on with run {gone.run_id}, from its first epoch on")
        with pytest.raises(RegistryError), training_run(configured(), name="too early", tags={}):
            pytest.fail("a run began without MLflow")
        server.start()
    assert mlflow.get_run(back.run_id).info.status == "FINISHED"
    assert_whole(back.run_id)
    lines = [record.getMessage() for record in caplog.records if back.run_id in record.getMessage()]
    assert ["the run goes on" in line for line in lines].count(True) == 1
    assert ["answers again" in line for line in lines].count(True) == 1

    assert mlflow.get_run(gone.run_id).info.status == "RUNNING"
    end_abandoned_runs()
    run = mlflow.get_run(gone.run_id)
    assert (run.info.status, run.data.tags["note"]) == ("FAILED", "of the time without a server")
    assert f"RegistryError: {told.value}".startswith(f"{run.data.tags['error']}; `reprise train --resume`")
    assert_whole(gone.run_id)
    requests = proxy.requests
    end_abandoned_runs()
    assert proxy.requests - requests <= 3, "it was sent again"


@pytest.mark.parametrize(
    ("status", "delay", "told"),
    [(500, 0.0, "failed"), (503, 0.0, "failed"), (401, 0.0, "wants to know who asks"), (0, 2.0, "")],
)
def test_a_server_that_errs_or_is_slow_for_a_while(proxy, caplog, status, delay, told):
    with training_run(configured(), name="faulty", tags={}) as run:
        settle(run.run_id, 60)
        proxy.status, proxy.delay = status, delay
        longest = record_epochs(run)
        if status:
            with pytest.raises(RegistryError, match=told):
                settle(run.run_id, 1)
        proxy.status, proxy.delay = 0, 0.0
    assert longest < 0.5, "the run waited for MLflow"
    assert mlflow.get_run(run.run_id).info.status == "FINISHED"
    assert_whole(run.run_id)
    assert ("the run goes on" in caplog.text) is bool(status)


def test_on_a_slow_server_what_is_recorded_meanwhile_is_not_waited_for(proxy):
    often = configured("tracking.system_metrics=true", "tracking.system_metrics_seconds=0.5")
    with training_run(often, name="slow", tags={}) as run:
        settle(run.run_id, 60)
        proxy.delay = 1.0
        record_epochs(run, count=3)
        settle(run.run_id, 30)
        assert [step for name, step, *_ in delivered(run.run_id) if name == "epoch/train_loss"] == [1, 2, 3]
        proxy.delay = 0.0


def test_a_version_whose_registration_was_not_answered_is_there_once(proxy, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    ensure_ledger("unanswered")
    with training_run(configured(), name="unanswered", tags={}) as run:
        settle(run.run_id, 60)
        proxy.lost = 1
        version = create_version("unanswered", run, model_id="", model_uri="s3://none/none", weights_sha256="0", tags={})
    assert proxy.lost == 0
    assert [one.version for one in mlflow.MlflowClient().search_model_versions("name='unanswered'")] == [version.version]


def test_what_a_server_took_without_saying_so_is_there_once(proxy):
    with training_run(configured(), name="lost answers", tags={}) as run:
        settle(run.run_id, 60)
        proxy.lost = 3
        record_epochs(run)
        settle(run.run_id, 60)
    assert proxy.lost == 0
    assert_whole(run.run_id)


def test_what_was_delivered_and_not_marked_so_is_there_once_when_it_is_sent_again(proxy, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "one.txt").write_text("1")
    dataset = RecordedDataset(name="reviews", digest="0" * 36, source="{}", profile="{}", context="training")
    with training_run(configured(), name="sent twice", tags={}) as run:
        record_epochs(run)
        for entry in (Files(path=str(tmp_path / "figures"), to="figures"), Datasets(datasets=(dataset,))):
            delivery_of(run).append(entry)
    before = mlflow.get_run(run.run_id).to_dictionary()
    assert len(before["inputs"]["dataset_inputs"]) == 1
    (run_folder(run.run_id) / DELIVERED).unlink()
    end_abandoned_runs()
    assert mlflow.get_run(run.run_id).to_dictionary() == before
    assert [one.path for one in mlflow.MlflowClient().list_artifacts(run.run_id, "figures")] == ["figures/one.txt"]
    assert_whole(run.run_id)


def test_what_mlflow_refuses_for_good_ends_the_run_and_is_told(proxy, caplog):
    begun = []

    def train():
        with training_run(configured(), name="refused", tags={}) as run:
            begun.append(run.run_id)
            log_result(run, figures={"kept": 1.0}, tags={"x" * 300: "too long a name"})
            settle(run.run_id, 60)

    with pytest.raises(RegistryError, match="exceed") as told:
        train()
    found = mlflow.get_run(begun[0])
    assert (found.info.status, found.data.tags["error"]) == ("FAILED", f"RegistryError: {told.value}")
    for _ in range(2):
        end_abandoned_runs()
    assert caplog.text.count("a part of what it recorded is given up") == 1
    assert mlflow.get_run(begun[0]).data.metrics["kept"] == 1.0


def test_a_file_that_is_gone_before_it_was_delivered_is_told(proxy, tmp_path):
    def train():
        with training_run(configured(), name="file gone", tags={}) as run:
            delivery_of(run).append(Files(path=str(tmp_path / "figure.png")))

    with pytest.raises(RegistryError, match=r"figure\.png, which was to become an artifact of run \w+, is gone"):
        train()


@pytest.mark.long
def test_a_training_whose_server_is_gone_for_good_trains_to_its_end_and_says_how_to_finish(server, workplace, monkeypatch):
    workplace.environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    config = workplace.write_config("tracking.wait_seconds=1", "training.epochs=12")
    with faulty_proxy(server) as proxy:
        uri = workplace.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{proxy.server_port}"
        training = workplace.start("train", "--config", config)
        journal = wait_for_epoch(workplace.folder, training)
    _, errors = training.communicate(timeout=120)
    (error,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert training.returncode == 1
    assert re.fullmatch(
        rf"error: MLflow at {uri} failed: .*, and did not take all within 1 s: what run \w+ recorded is kept in "
        rf"{re.escape(str(journal))}; `reprise train --resume` goes on with run {journal.parent.name}, after epoch 12 of 12",
        error,
    )
    monkeypatch.setenv("REPRISE_HOME", str(workplace.folder / ".reprise"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run_id = journal.parent.name
    assert [step for name, step, *_ in recorded(run_id) if name == "epoch/train_loss"] == list(range(1, 13))
    with faulty_proxy(server, proxy.server_port):
        workplace.run("train", "--config", config)
        connect()
        assert mlflow.get_run(run_id).info.status == "FINISHED"
        assert_whole(run_id, epochs=12)
        assert [version.run_id for version in mlflow.MlflowClient().search_model_versions("name='slice-lstm'")] == [run_id]


def wait_for_epoch(folder, process):
    """Return the journal of the one training in a workplace, once it has an epoch in it."""
    while process.poll() is None:
        for path in folder.glob(f".reprise/runs/*/{JOURNAL}"):
            if "epoch/train_loss" in path.read_text():
                return path
        time.sleep(0.05)
    pytest.fail(process.communicate()[1])
