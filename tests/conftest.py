import gc
import os
import shutil
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from filelock import FileLock

from configs.environment import set_library_defaults

DATA = Path(os.environ.get("REPRISE_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared/data/imdb")

# By measured seconds; one that is missing here costs time alone.
LONGEST = (
    *("integration/test_event_driven_retraining", "flows/test_promotion", "faults/test_kill", "integration/test_servers"),
    *("flows/test_training", "flows/test_processes", "integration/test_registry_faults", "training/test_fitting"),
)


def pytest_configure(config):
    """Tests keep to a workspace of their own, and ask no server that the user's environment names."""
    gc.set_threshold(100_000)  # as the command does
    from hypothesis import settings

    # A busy machine makes no test fail, and `make test` says the same of the same code; every other run tries new examples.
    settings.register_profile("unhurried", deadline=None, derandomize="not long" in config.option.markexpr)
    settings.load_profile("unhurried")
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "REPRISE_HOME", "REPRISE_LOCAL", "PREFECT_HOME"):
        os.environ.pop(name, None)


def pytest_collection_modifyitems(items):
    """The longest files come first, then others that start processes and servers: no worker is left with one at the end."""
    items.sort(key=lambda item: _place(item.path))
    for item in items:
        if mark := item.get_closest_marker("fault"):  # for `pytest_terminal_summary`
            item.user_properties.append(("fault", mark.args[0]))


def _place(path):
    name = f"{path.parent.name}/{path.stem}"
    if name in LONGEST:
        return LONGEST.index(name)
    return len(LONGEST) + (path.parent.name not in ("integration", "flows", "faults"))


@pytest.fixture
def tries(record_property):
    """Tell how often a test has injected its fault so far, and how often it was survived; without it, a test is one try."""

    def tell(injected, survived):
        record_property("tries", (injected, survived))

    return tell


def pytest_terminal_summary(terminalreporter):
    """Print what became of each fault that was injected."""
    counts = {}
    kinds = ("passed", "failed", "error", "skipped")
    for report in (report for kind in kinds for report in terminalreporter.stats.get(kind, [])):
        told = dict(report.user_properties)
        if "fault" in told and (report.when == "call" or not report.passed):
            injected, survived = (0, 0) if report.skipped else told.get("tries", (1, int(report.passed)))
            before = counts.get(told["fault"], (0, 0, 0))
            counts[told["fault"]] = (before[0] + injected, before[1] + survived, before[2] + report.skipped)
    if not counts:
        return
    width = max(map(len, counts))
    terminalreporter.section("faults")
    terminalreporter.line(f"{'fault':<{width}}  tries  survived  lost  tests skipped")
    for fault, (injected, survived, skipped) in sorted(counts.items()):
        terminalreporter.line(f"{fault:<{width}}  {injected:>5}  {survived:>8}  {injected - survived:>4}  {skipped:>13}")


@pytest.fixture(autouse=True)
def _workspace_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRISE_HOME", str(tmp_path / "reprise-home"))
    # MLflow keeps the URI that it is given in this variable: set and deleted here, it is undone after the test.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture(scope="session", autouse=True)
def _quiet_libraries(tmp_path_factory):
    set_library_defaults(tmp_path_factory.mktemp("libraries"))


@pytest.fixture(scope="session")
def real_imdb():
    """The folder of the real imdb.npz, its word index, and the raw texts as train.parquet and test.parquet."""
    if not (DATA / "imdb.npz").is_file():
        pytest.skip(f"no real IMDB in {DATA} (REPRISE_TEST_DATA names another folder)")
    return DATA


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Have one of the session's workers make a folder that all of them read."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def made_once(name, make):
        folder = shared / name
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                unfinished = tmp_path_factory.mktemp(name)
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return made_once


@pytest.fixture(scope="session")
def migrated_store(made_once):
    """A new MLflow database, migrated once for all tests that copy it."""
    from tasks.mlflow_store import connect

    def migrate(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("MLFLOW_TRACKING_URI", "")
            connect()

    return made_once("mlflow-store", migrate) / "mlruns" / "mlflow.db"


@pytest.fixture(scope="session")
def migrated_prefect(made_once):
    """A new database of Prefect's, likewise: its migrations take longer than its server's start."""

    def migrate(folder):
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env={**os.environ, "PREFECT_HOME": str(folder)}, check=True)

    return made_once("prefect-home", migrate) / "prefect.db"


@pytest.fixture
def embedded_mlflow(migrated_store, tmp_path, monkeypatch):
    """A working folder with an empty embedded MLflow store."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(migrated_store, tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mlruns"


@pytest.fixture(scope="module")
def server(tmp_path_factory, migrated_store):
    """A real MLflow server on a store of its own, which a test may stop and start again."""
    from tests.mlflow_server import Server

    folder = tmp_path_factory.mktemp("server")
    shutil.copy(migrated_store, folder / "mlflow.db")
    server = Server(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def unreachable_mlflow(monkeypatch):
    """An MLflow server that refuses every connection."""
    with socket.socket() as taken:  # bound and not listening
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        yield


@pytest.fixture(scope="session")
def s3_server():
    """A real S3 server on loopback: the variables by which a process reaches it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "key-that-is-never-shown",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    server.stop()


@pytest.fixture
def s3_bucket(s3_server, monkeypatch):
    """The URL of a new, empty bucket."""
    from s3fs import S3FileSystem

    # fsspec keeps the filesystem of whoever opened one first, and with it the server of that test's environment.
    S3FileSystem.clear_instance_cache()
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    url = f"s3://team-{uuid.uuid4().hex[:8]}"
    S3FileSystem().mkdir(url)
    yield url
    S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium, Debian's own. Of one module: Playwright's event loop would hinder whoever starts one here."""
    from playwright.sync_api import sync_playwright

    from tests.pages.browser import launch_chromium

    with sync_playwright() as playwright:
        try:
            browser = launch_chromium(playwright)
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A new tab, 1400 x 900, in a browser context of its own; an error in its console fails the test."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB", timezone_id="UTC")
    page = context.new_page()
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def migrated_home(migrated_prefect):
    """The test's workspace, as if Prefect had been started there before."""
    home = Path(os.environ["REPRISE_HOME"])
    (home / "prefect").mkdir(parents=True)
    shutil.copy(migrated_prefect, home / "prefect")
    return home


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory, migrated_prefect):
    """A real Prefect server on SQLite, with the services that schedule runs and act on events: its API's address."""
    from flows.servers import await_answer, free_port, running_server

    folder = tmp_path_factory.mktemp("prefect-server")
    shutil.copy(migrated_prefect, folder)
    port = free_port()
    settings = {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "2",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    server_command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running_server("Prefect", server_command, port, "/api/health", folder, settings) as server:
        await_answer(server)
        yield f"{server.url}/api"


@pytest.fixture(scope="session")
def prefect_api(prefect_server):
    """Have all flows of this process, for the rest of the session, run against that server."""
    from prefect.settings import PREFECT_API_URL

    from tests.integration.prefect_client import client_of

    with client_of({PREFECT_API_URL: prefect_server}):
        yield


@pytest.fixture
def server_environment(prefect_server, tmp_path):
    """The environment of a process that works with the real Prefect server, in a workspace of its own."""
    return {**os.environ, "PREFECT_API_URL": prefect_server, "REPRISE_HOME": str(tmp_path / ".reprise"), "COLUMNS": "200"}


@pytest.fixture(scope="session")
def real_slice(real_imdb, tmp_path_factory):
    """A CSV of 900 real reviews, 600 of train and 300 of test, both classes alike, with a split column."""
    import pandas as pd

    parts = []
    for split, rows in (("train", 300), ("test", 150)):
        reviews = pd.read_parquet(real_imdb / f"{split}.parquet", columns=["text", "label"]).drop_duplicates("text")
        parts += [reviews[reviews["label"] == label].head(rows).assign(split=split) for label in (0, 1)]
    path = tmp_path_factory.mktemp("slice") / "reviews.csv"
    pd.concat(parts).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def configure(real_slice):
    """Make the configuration of a training on 900 real reviews that takes seconds; assignments come last."""
    from configs.loading import check_config, override, read_config

    def configure(*assignments, path=real_slice):
        small = [
            *("data.source=table", f"data.path={path}", "data.split_column=split", "data.name=slice"),
            *("validation.min_rows=100", "padding.vocabulary_size=500", "padding.maxlen=60"),
            *("training.epochs=2", "training.batch_size=32", "evaluation.bootstrap_samples=100"),
            *("registration.floors={accuracy: 0.2}", "tracking.system_metrics=false"),
            *("registration.gate.max_calibration_error=1.0", "registration.gate.max_latency_ratio=100.0"),
        ]
        return check_config(override(read_config("imdb"), [*small, *assignments]), "test")

    return configure
