"""MLflow's embedded database while another process has it locked, and while five processes use it first at once."""

import contextlib
import json
import logging
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest

from configs.loading import check_config, override, read_config
from tasks import mlflow_store
from tasks.errors import RegistryError
from tasks.mlflow_store import connect
from tasks.recording import log_epoch
from tasks.registration.ledger import ensure_ledger, list_ledgers, read_ledger
from tasks.registration.versions import list_versions
from tasks.tracking import settle, training_run
from tests.integration.topology import VARIABLES, postgres_binaries, running_topology

pytestmark = pytest.mark.fault("database locked, restarted or first used")


@pytest.fixture
def config():
    return configured()


def configured(*assignments):
    return check_config(override(read_config("sample"), ["tracking.system_metrics=false", *assignments]), "sample")


@contextlib.contextmanager
def locked(database, seconds):
    """Have a second connection hold the database for so many seconds, or until the block's end where that is None."""
    held, released = threading.Event(), threading.Event()

    def hold():
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("begin exclusive")
            held.set()
            released.wait(seconds)
            connection.execute("rollback")

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        yield
    finally:
        released.set()
        holder.join()


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.long)])
def test_a_locked_database_is_waited_for_by_what_needs_it_and_not_by_training(embedded_mlflow, config, caplog, seconds):
    caplog.set_level(logging.INFO, "reprise")
    connect()
    with locked(embedded_mlflow / "mlflow.db", seconds), training_run(config, name="waits to begin", tags={}) as run:
        assert caplog.text.count("is locked; waiting for at most 90 s") == 1
        settle(run.run_id, 60)
        with locked(embedded_mlflow / "mlflow.db", seconds):
            start = time.perf_counter()
            for epoch in range(1, 41):
                log_epoch(run, epoch, {"loss": 1 / epoch})
            assert time.perf_counter() - start < 1, "the run waited for the database"
            assert list_versions() == []  # waits
    found = mlflow.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    points = mlflow.MlflowClient().get_metric_history(run.run_id, "epoch/train_loss")
    assert [(point.step, point.value) for point in points] == [(epoch, 1 / epoch) for epoch in range(1, 41)]


def test_a_database_that_stays_locked_is_one_line_and_nothing_is_begun(embedded_mlflow, config, monkeypatch):
    monkeypatch.setattr(mlflow_store, "DATABASE_SECONDS", 1)
    connect()
    with (
        locked(embedded_mlflow / "mlflow.db", None),
        pytest.raises(RegistryError, match=r"^MLflow at sqlite:.*mlflow\.db failed: database is locked$"),
        training_run(config, name="never begins", tags={}),
    ):
        pytest.fail("the run began")
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []
    with training_run(config, name="the next", tags={}) as run:
        pass
    assert mlflow.get_run(run.run_id).info.status == "FINISHED"


def test_a_database_that_is_locked_is_registered_in_whole_or_not_at_all(embedded_mlflow, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_store, "DATABASE_SECONDS", 1)
        with locked(embedded_mlflow / "mlflow.db", None), pytest.raises(RegistryError, match="database is locked"):
            ensure_ledger("small")
    assert (list_ledgers(), list_versions()) == ({}, [])
    with locked(embedded_mlflow / "mlflow.db", 2):
        ledger = ensure_ledger("small")
    assert ensure_ledger("small") == ledger
    assert read_ledger("small") == ()


def begin_run(config):
    with training_run(config, name="begins while PostgreSQL starts", tags={}) as run:
        return run.run_id


@pytest.mark.long
@pytest.mark.skipif(postgres_binaries() is None, reason="no PostgreSQL: apt-get install postgresql")
def test_a_restarted_postgresql_costs_a_run_nothing(monkeypatch, tmp_path):
    """Behind an MLflow server, and asked by this process itself."""
    with running_topology(tmp_path / "topology") as topology:
        topology.start_database()
        topology.start("mlflow")
        topology.wait_for("mlflow")
        password = urllib.parse.quote(VARIABLES["MLFLOW_DATABASE_PASSWORD"], safe="")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", VARIABLES["MLFLOW_ADMIN_PASSWORD"])
        database = f"postgresql+psycopg://mlflow:{password}@127.0.0.1:{topology.ports['5432']}/mlflow"
        monkeypatch.chdir(tmp_path)
        for experiment, uri in (("through a server", topology.url("5000")), ("by itself", database)):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            config = configured(f"tracking.experiment={experiment}")
            with training_run(config, name="PostgreSQL is restarted", tags={}) as run:
                log_epoch(run, 1, {"loss": 1.0})
                settle(run.run_id, 60)
                topology.stop("database")
                start = time.perf_counter()
                for epoch in range(2, 11):
                    log_epoch(run, epoch, {"loss": 1 / epoch})
                assert time.perf_counter() - start < 1, "the run waited for the database"
                with pytest.raises(RegistryError, match="did not take all within 1 s") as told:
                    settle(run.run_id, 1)
                assert password not in str(told.value)
                topology.resume_database()
            client = connect()
            assert client.get_run(run.run_id).info.status == "FINISHED"
            assert [point.step for point in client.get_metric_history(run.run_id, "epoch/train_loss")] == list(range(1, 11))
            topology.stop("database")
            with ThreadPoolExecutor() as beside:
                begun = beside.submit(begin_run, config)
                with pytest.raises(TimeoutError):
                    begun.result(timeout=3)
                topology.resume_database()
            assert client.get_run(begun.result()).info.status == "FINISHED"


@pytest.mark.long
def test_five_processes_that_use_it_first_at_once_all_succeed(tmp_path, tries):
    code = (
        "import json; from tasks.tracking import connect, ensure_experiment; client = connect();"
        "experiment = ensure_experiment(client, 'imdb'); run = client.create_run(experiment);"
        "print(json.dumps([experiment, run.info.status]))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE) for _ in range(5)]
    told = [process.communicate(timeout=120)[0] for process in processes]
    survived = [json.loads(answer) for answer in told if answer]
    tries(5, len(survived))
    assert survived == [["1", "RUNNING"]] * 5
