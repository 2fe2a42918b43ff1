"""The gate before a real MLflow server that is stopped, slow or answers with errors, and a champion that was tampered with."""

import contextlib
import math
import shutil
import sqlite3

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from tasks.errors import GateClosed, ModelMismatch, RegistryError
from tasks.evaluation.gate_rows import write_gate_rows
from tasks.handles import GateRows
from tasks.ingestion.task import ingest
from tasks.mlflow_store import connect
from tasks.registration.deciding import decide_on
from tasks.registration.ledger import Draft, append_entry, ensure_ledger, read_ledger, read_state
from tasks.registration.promotion import Base, promote, read_base
from tasks.registration.verification import find_champion_trouble
from tasks.registration.versions import read_aliases
from tests.mlflow_server import faulty_proxy
from tests.registration.small_model import register_small_version, save_small_model

MODEL = "slice-lstm"
SERVER_FAULT = "MLflow server stopped, slow or in error"


@pytest.fixture(scope="module")
def proxy(server):
    with faulty_proxy(server) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def registered(server, proxy, configure, tmp_path_factory):
    """A champion that the gate let through the proxy, and a challenger, both untrained; no gain is ever enough for that.

    Returns:
        What `decide_on` takes beside the model and the version.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        patch.setenv("REPRISE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{proxy.server_port}")
        config = configure("registration.gate.required_gain=0.9")
        reviews = ingest.__wrapped__(tmp_path_factory.mktemp("reviews"), config.data)
        folder = tmp_path_factory.mktemp("gate-rows")
        sha256, rows, audit_rows = write_gate_rows(
            reviews.file("reviews.parquet"), np.array([], np.int64), config.evaluation.audit_fraction, folder
        )
        gate_rows = GateRows(path=str(folder), sha256=sha256, rows=rows, audit_rows=audit_rows)
        given = {"reviews": reviews, "gate_rows": gate_rows, "config": config, "actor": "test"}
        champion, challenger = (save_small_model(tmp_path_factory.mktemp("small-model"), seed) for seed in (0, 1))
        run_id = register_small_version(*champion, name=MODEL, gate_rows=gate_rows).run_id
        connect().set_tag(run_id, "dataset.sha256", "0" * 64)  # as its version has it
        first = decide_on(MODEL, "1", **given)
        assert (first.outcome, first.champion) == ("promote", "1")
        register_small_version(*challenger, name=MODEL, gate_rows=gate_rows)
    return given


@pytest.fixture
def decide(registered, proxy, monkeypatch):
    """Ask the gate about the second version, with a client that soon gives up."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    yield lambda: decide_on(MODEL, "2", **registered)
    proxy.status, proxy.delay = 0, 0.0


@pytest.fixture
def champion_files(server, registered):
    """The folder in the server's store that holds the champion's files; whatever a test does to it is undone."""
    (path,) = server.folder.glob(f"artifacts/**/{mlflow_model_id(server)}/artifacts")
    saved = path.with_name("saved")
    shutil.copytree(path, saved)
    yield path
    shutil.rmtree(path, ignore_errors=True)
    saved.rename(path)


def mlflow_model_id(server):
    with contextlib.closing(sqlite3.connect(server.folder / "mlflow.db")) as database:
        return (
            database.execute("select source from model_versions where name = ? and version = 1", [MODEL])
            .fetchone()[0]
            .removeprefix("models:/")
        )


def outcomes():
    return [entry.outcome for entry in read_ledger(MODEL)]


@pytest.mark.long
@pytest.mark.fault(SERVER_FAULT)
def test_a_slow_server_is_waited_for(decide, proxy):
    proxy.delay = 0.05
    before = outcomes()
    assert decide().outcome == "keep"
    assert outcomes() == [*before, "keep"]


@pytest.mark.fault(SERVER_FAULT)
@pytest.mark.parametrize(
    ("status", "delay"), [(500, 0.0), pytest.param(401, 0.0, marks=pytest.mark.long), (403, 0.0), (404, 0.0), (0, 3.0)]
)
def test_a_server_that_does_not_answer_as_it_should_promotes_nothing(decide, proxy, status, delay):
    before = outcomes()
    proxy.status, proxy.delay = status, delay
    with pytest.raises(RegistryError, match="MLflow at http"):
        decide()
    with pytest.raises(RegistryError):
        read_aliases(MODEL)
    proxy.status, proxy.delay = 0, 0.0
    assert read_aliases(MODEL) == {"champion": "1", "challenger": "2"}
    assert outcomes() == before


@pytest.mark.long
@pytest.mark.fault(SERVER_FAULT)
def test_a_server_that_is_stopped_promotes_nothing_and_all_is_there_when_it_returns(decide, server):
    before = outcomes()
    server.stop()
    with pytest.raises(RegistryError, match="MLflow at http"):
        decide()
    server.start()
    assert read_aliases(MODEL) == {"champion": "1", "challenger": "2"}
    assert decide().outcome == "keep"
    assert outcomes() == [*before, "keep"]


@pytest.mark.parametrize("name", ["artifacts/model.keras", "artifacts/vocabulary.json", "MLmodel"])
def test_a_champion_whose_file_was_swapped_closes_the_gate(decide, champion_files, name):
    (champion_files / name).write_bytes((champion_files / name).read_bytes() + b" ")
    with pytest.raises(ModelMismatch, match=rf"version 1 of {MODEL} is not what was registered: '{name}' is changed"):
        decide()
    assert outcomes()[-1] == "refused"
    assert read_ledger(MODEL)[-1].champion_after == "1"
    assert name in find_champion_trouble(MODEL)


@pytest.mark.fault("champion's parts deleted by hand, mlflow gc")
def test_a_champion_whose_files_are_gone_closes_the_gate(decide, champion_files):
    shutil.rmtree(champion_files)
    with pytest.raises(ModelMismatch, match="slice-lstm/1"):
        decide()
    assert outcomes()[-1] == "refused"
    assert find_champion_trouble(MODEL) is not None


def test_a_server_keeps_a_ledger_as_the_embedded_store_does(server, monkeypatch):
    """Of a registered model that was made by hand, so without a ledger."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.port}")
    client = connect()
    client.create_registered_model("by-hand")
    for _ in range(3):
        client.create_model_version("by-hand", source="s3://none/none")
    for version in ("1", "2"):
        promote(read_base("by-hand"), draft(version, figures={"p": math.nan}))
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_param(ensure_ledger("by-hand"), "entry.000001", "{}")
    append_entry(draft("3"), read_state("by-hand"))
    assert read_base("by-hand") == Base(champion="3", number=3, alias="3")
    client.set_registered_model_alias("by-hand", "champion", "2")
    with pytest.raises(GateClosed, match="was moved by hand to version 2; its ledger says 3"):
        read_base("by-hand")
    entry = promote(read_base("by-hand", forced=True), draft("1", action="rollback"))
    assert read_base("by-hand") == Base(champion="1", number=entry.number, alias="1")
    client.delete_model_version("by-hand", "1")
    with pytest.raises(GateClosed, match="version 1 of 'by-hand', the champion, is gone"):
        read_base("by-hand")


def draft(version, **changes):
    given = {"name": "by-hand", "version": version, "action": "gate", "outcome": "promote", "reason": "It is better."}
    return Draft(**given | changes)
