"""The servers of docker/compose.yaml on PostgreSQL, with authentication: from a deployed training to a restored backup.

The tests share the servers and the champion, version 1; each leaves it champion.
"""

import json
import shutil
import urllib.parse

import pytest
import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tasks.errors import RegistryError
from tasks.mlflow_store import connect
from tasks.registration.ledger import Draft, read_ledger
from tasks.registration.promotion import promote, read_base
from tests.benchmarks.race import race
from tests.flows.conftest import command  # noqa: F401 (a fixture)
from tests.integration.prefect_client import client_of
from tests.integration.topology import VARIABLES, postgres_binaries, running_topology
from tests.registration.small_model import register_small_version, save_small_model

MODEL = "slice-lstm"
DEPLOYMENT = "training/slice"

pytestmark = pytest.mark.skipif(postgres_binaries() is None, reason="no PostgreSQL: apt-get install postgresql")


@pytest.fixture(scope="module")
def topology(tmp_path_factory):
    """PostgreSQL, MLflow, Prefect and a worker, each with what compose.yaml says."""
    with running_topology(tmp_path_factory.mktemp("topology") / "one", REPRISE_MODEL=MODEL) as topology:
        topology.start_database()
        topology.start("mlflow")
        topology.start("prefect")
        topology.wait_for("prefect")
        topology.start("worker")
        topology.wait_for("mlflow")
        topology.set_mlflow_user("worker", VARIABLES["MLFLOW_WORKER_PASSWORD"])
        topology.wait_for("worker")
        yield topology


@pytest.fixture(scope="module")
def prefect_client(topology):
    """Prefect in this process as the client of the topology's server."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

    settings = {PREFECT_API_URL: f"{topology.url('4200')}/api", PREFECT_API_AUTH_STRING: VARIABLES["PREFECT_AUTH"]}
    with client_of(settings):
        yield


@pytest.fixture(scope="module")
def training_run(topology, prefect_client, configure):
    """The flow run of a training that was deployed to the work pool, and that the worker carried out."""
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment
    from prefect.deployments.runner import EntrypointType
    from prefect.exceptions import ObjectNotFound

    from flows.training import training

    # A new worker is healthy before it has made its pool.
    for attempt in Retrying(retry=retry_if_exception_type(ObjectNotFound), wait=wait_fixed(0.5), stop=stop_after_delay(120)):
        with attempt, get_client(sync_client=True) as client:
            client.read_work_pool("reprise")
    config = configure("training.epochs=1").model_dump(mode="json")
    training.to_deployment(
        DEPLOYMENT.split("/")[1],
        work_pool_name="reprise",
        parameters={"config": config},
        entrypoint_type=EntrypointType.MODULE_PATH,
    ).apply()
    return run_deployment(DEPLOYMENT, timeout=240, poll_interval=0.5, as_subflow=False)


def set_user(patch, topology, name, password):
    patch.setenv("MLFLOW_TRACKING_URI", topology.url("5000"))
    patch.setenv("MLFLOW_TRACKING_USERNAME", name)
    patch.setenv("MLFLOW_TRACKING_PASSWORD", password)


@pytest.fixture
def reprise(command, topology, prefect_client, monkeypatch, tmp_path):  # noqa: F811
    """Run `reprise` with the topology's servers, in MLflow as the user `worker` unless a test says otherwise."""
    monkeypatch.chdir(tmp_path)
    set_user(monkeypatch, topology, "worker", VARIABLES["MLFLOW_WORKER_PASSWORD"])
    return lambda *arguments: json.loads(command(*arguments, "--json").stdout)


def test_a_deployed_training_makes_a_champion_and_all_is_in_postgresql(topology, training_run, reprise):
    assert training_run.state.is_completed(), topology.log("worker")[-3000:]
    version = next(one for one in reprise("models") if (one["name"], one["version"]) == (MODEL, "1"))
    assert version["aliases"] == ["champion"]
    for database, question, answer in (
        ("mlflow", "select name from model_versions where name = 'slice-lstm' and version = 1", MODEL),
        ("mlflow_auth", "select is_admin from users where username = 'worker'", "f"),
        ("prefect", "select distinct state_type from flow_run where name like '%slice-lstm seed 0'", "COMPLETED"),
    ):
        assert topology.query(database, question) == answer
    assert list(topology.folder.glob("artifacts/**/model.keras")), "artifacts do not lie in the server's folder"


@pytest.mark.long
def test_a_version_is_promoted_and_rolled_back_by_hand(topology, training_run, reprise, tmp_path):
    small = register_small_version(*save_small_model(tmp_path / "small"), name=MODEL)
    connect().set_tag(small.run_id, "dataset.sha256", "0" * 64)
    connect().log_text(small.run_id, "Untrained.", "card.md")
    entry = reprise("promote", small.version, "--model", MODEL, "--override", "--reason", "to see it")
    assert (entry["version"], entry["champion_before"], entry["champion_after"]) == ("2", "1", "2")
    entry = reprise("rollback", "--model", MODEL, "--reason", "seen")
    assert (entry["version"], entry["champion_before"], entry["champion_after"]) == ("1", "2", "1")
    aliases = {one["version"]: one["aliases"] for one in reprise("models") if one["name"] == MODEL}
    assert aliases == {"1": ["champion"], "2": []}


@pytest.mark.parametrize(
    ("name", "password", "refused"),
    [
        ("", "", "wants to know who asks"),
        ("worker", "wrong-secret", "does not take the user 'worker' with this password"),
        ("nobody", "wrong-secret", "does not take the user 'nobody' with this password"),
    ],
)
def test_who_is_not_known_is_refused_in_one_line_that_says_what_to_set(
    topology, training_run, reprise, monkeypatch, name, password, refused
):
    set_user(monkeypatch, topology, name, password)
    with pytest.raises(RegistryError) as refusal:
        reprise("models")
    wanted = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    assert str(refusal.value) == f"MLflow at {topology.url('5000')} {refused}: {wanted}"


def test_who_may_only_read_reads_and_promotes_nothing(topology, training_run, monkeypatch):
    assert topology.set_mlflow_user("reader", "first-password") == "user reader was made\n"
    assert topology.set_mlflow_user("reader", "reader-password") == "user reader was given its password\n"
    set_user(monkeypatch, topology, "reader", "reader-password")
    base, before = read_base(MODEL), read_ledger(MODEL)
    draft = Draft(name=MODEL, version="1", action="override", outcome="promote", reason="mine is better")
    with pytest.raises(RegistryError) as refusal:
        promote(base, draft)
    assert str(refusal.value).startswith(f"MLflow at {topology.url('5000')} does not allow that to the user 'reader': ")
    assert read_ledger(MODEL) == before


@pytest.mark.fault("two at once: trainings, promotions, prune")
def test_promotions_at_once_on_postgresql_have_one_winner(topology, training_run, monkeypatch, tmp_path):
    """Straight on the database: as many MLflow stores as promoters, with nothing but PostgreSQL between them.

    After the training: what is made so has no owner, and the first ledger makes the experiment of all.
    """
    monkeypatch.chdir(tmp_path)
    password = urllib.parse.quote(VARIABLES["MLFLOW_DATABASE_PASSWORD"], safe="")
    database = f"postgresql+psycopg://mlflow:{password}@127.0.0.1:{topology.ports['5432']}/mlflow"
    result = race(4, 3, database)
    assert (result["faults"], result["rounds"]) == ([], 4)


def test_the_model_server_scores_as_the_command_does(topology, training_run, reprise):
    review = "a film that i will not forget"
    topology.start("model")
    (scored,) = reprise("predict", review, "--model", MODEL)
    topology.wait_for("model")
    url, token = f"{topology.url('8080')}/predict", {"Authorization": f"Bearer {VARIABLES['MODEL_TOKEN']}"}
    answer = requests.post(url, json={"texts": [review]}, headers=token, timeout=30)
    stranger = requests.post(url, json={"texts": [review]}, timeout=30)
    topology.stop("model")
    (served,) = answer.json()["predictions"]
    assert served["probability"] == scored["probability"]
    assert stranger.status_code == 401


@pytest.mark.long
def test_a_backup_is_restored_whole_or_not_at_all(topology, training_run, reprise, monkeypatch, tmp_path):
    def tell():
        return [reprise(*words, "--model", MODEL) for words in (["verify", "1"], ["history"])]

    told = tell()
    backups = topology.folder / "backups"
    assert topology.script("backup", "first").stdout == f"{backups}/first\n"
    assert {path.name for path in (backups / "first").iterdir()} == {
        *("mlflow.dump", "mlflow_auth.dump", "prefect.dump", "artifacts.tar", "SHA256SUMS")
    }
    assert topology.script("backup", "first").stderr == f"backup: {backups}/first is there already\n"
    with running_topology(tmp_path / "two", REPRISE_BACKUPS=str(backups)) as other:
        other.start_database()
        artifacts = other.folder / "artifacts"
        for name, damage, line in (
            ("none", None, f"{backups}/none is no backup: it has no SHA256SUMS"),
            ("bytes", damage_byte, f"{backups}/bytes is damaged: mlflow.dump: FAILED"),
            ("file", remove_file, f"{backups}/file is damaged: artifacts.tar: FAILED open or read"),
            ("line", remove_line, f"{backups}/line/SHA256SUMS does not name prefect.dump"),
        ):
            if damage is not None:
                damage(shutil.copytree(backups / "first", backups / name))
            assert other.script("restore", name).stderr == f"restore: {line}\n"
        (artifacts / "mine").touch()
        assert other.script("restore", "first").stderr == f"restore: {artifacts} is not empty\n"
        (artifacts / "mine").unlink()
        other.query("mlflow_auth", "create table mine ()")
        refusal = "restore: the database mlflow_auth is not empty: it has 1 tables\n"
        assert other.script("restore", "first").stderr == refusal
        assert other.query("mlflow", "select count(*) from pg_tables where schemaname = 'public'") == "0"
        other.query("mlflow_auth", "drop table mine")
        restored = other.script("restore", "first")
        assert (restored.stdout, restored.stderr) == (f"{backups}/first is restored\n", "")
        assert other.script("restore", "first").stderr == f"restore: {artifacts} is not empty\n"
        other.start("mlflow")
        other.wait_for("mlflow")
        set_user(monkeypatch, other, "worker", VARIABLES["MLFLOW_WORKER_PASSWORD"])
        assert tell() == told
        runs = "select id, state_type from flow_run order by id"
        assert other.query("prefect", runs) == topology.query("prefect", runs) != ""


def damage_byte(backup):
    content = bytearray((backup / "mlflow.dump").read_bytes())
    content[len(content) // 2] ^= 1
    (backup / "mlflow.dump").write_bytes(content)


def remove_file(backup):
    (backup / "artifacts.tar").unlink()


def remove_line(backup):
    sums = backup / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if "prefect" not in line))


def test_no_secret_is_in_a_log_and_every_process_is_known(topology, training_run):
    logs = {path.stem: path.read_text(errors="replace") for path in topology.folder.glob("*.log")}
    assert logs.keys() >= {"database", "mlflow", "prefect", "worker"}
    secrets = [value for name, value in VARIABLES.items() if name.endswith(("PASSWORD", "KEY", "AUTH", "TOKEN"))]
    assert [(service, secret) for service, log in logs.items() for secret in secrets if secret in log] == []
    assert len(topology.left_processes()) >= 4  # what the end of the topology looks for is to be found
