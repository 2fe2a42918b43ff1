import socket
import time
from pathlib import Path

import mlflow
import pytest

from configs.loading import check_config, read_config
from tasks.circumstances import read_circumstances
from tasks.errors import RegistryError, TrainingDiverged
from tasks.journal import JOURNAL
from tasks.recording import log_epoch
from tasks.registration.versions import find_version, list_versions, read_aliases
from tasks.tracking import training_run


@pytest.fixture
def config():
    return check_config({**read_config("sample"), "tracking": {"system_metrics_seconds": 0.5}}, "sample")


def only_run(experiment="sample"):
    (run,) = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    return run


def test_a_run_records_its_configuration_its_code_and_its_packages(embedded_mlflow, config):
    with training_run(config, name="first", tags={"prefect.flow_run_id": "x"}) as tracked:
        log_epoch(tracked, 1, {"loss": 0.5, "val_loss": 0.6, "seconds": 2.0})
        log_epoch(tracked, 2, {"loss": 0.4, "val_loss": 0.5, "seconds": 2.0})
    run = only_run()
    assert (run.info.status, run.info.run_name, run.data.tags["prefect.flow_run_id"]) == ("FINISHED", "first", "x")
    assert (run.data.params["training.epochs"], run.data.params["data.source"]) == (str(config.training.epochs), "sample")
    assert run.data.tags["package.tensorflow"] == "2.21.0"
    assert {**run.data.tags, **read_circumstances()} == run.data.tags
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "epoch/train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.4)]
    assert run.data.metrics["epoch/validation_loss"] == 0.5
    assert run.data.metrics["time/total_seconds"] > 0
    resolved = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/config.yaml")
    assert "epochs:" in resolved


@pytest.mark.parametrize(
    ("error", "status"),
    [(TrainingDiverged("loss is nan"), "FAILED"), (ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")],
)
def test_a_run_that_dies_says_so_and_of_what(embedded_mlflow, config, error, status):
    with pytest.raises(type(error)), training_run(config, name="dies", tags={}):
        raise error
    run = only_run()
    assert run.info.status == status
    assert run.info.end_time is not None
    assert run.data.tags["error"] == f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("wanted", [True, False])
def test_system_metrics_follow_their_key(embedded_mlflow, config, wanted):
    settings = config.tracking.model_copy(update={"system_metrics": wanted})
    with training_run(config.model_copy(update={"tracking": settings}), name="x", tags={}) as run:
        until = time.monotonic() + (60 if wanted else 1.5)
        while "system/" not in (Path(run.folder) / JOURNAL).read_text() and time.monotonic() < until:
            time.sleep(0.05)
    assert any(name.startswith("system/") for name in only_run().data.metrics) is wanted


def test_an_unreachable_server_is_an_error_and_no_empty_registry(monkeypatch, config):
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        for ask in (lambda: read_aliases("imdb-lstm"), list_versions, lambda: find_version("imdb-lstm", "champion")):
            with pytest.raises(RegistryError, match=r"MLflow at http://127\.0\.0\.1:\d+ failed") as refusal:
                ask()
            assert "secret" not in str(refusal.value)
        with pytest.raises(RegistryError), training_run(config, name="x", tags={}):
            pytest.fail("the block must not run")


def test_a_registry_without_the_model_has_no_aliases(embedded_mlflow):
    assert read_aliases("imdb-lstm") == {}
    assert list_versions() == []
