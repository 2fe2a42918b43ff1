"""A real model server in this process, on versions that are real but for their training, and a client."""

import ssl
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from configs.serving import ServingConfig
from tasks.registration.ledger import Draft
from tasks.registration.promotion import promote, read_base
from tasks.serving.running import ModelServer, listen
from tests.flows.story import copy_database
from tests.registration.small_model import NAME, register_small_version, save_small_model

TOKEN = "a-token-of-24-characters"  # noqa: S105
SECONDS = 60
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients over plain HTTP, each of which would read the machine's certificates otherwise."""


class Running:
    """A server that answers at `url`, and a client that keeps its connections."""

    def __init__(self, url, token):
        self.url, headers = url, {} if token is None else {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=url, headers=headers, verify=NO_TLS, timeout=SECONDS)

    def predict(self, *texts):
        answer = self.client.post("/predict", json={"texts": texts})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def version(self):
        return self.client.get("/version").json()

    def await_version(self, **wanted):
        """Return /version once it has these values."""
        return self._await(lambda told: wanted.items() <= told.items())

    def await_trouble(self):
        """Return /version once it tells of trouble."""
        return self._await(lambda told: told["trouble"] is not None)

    def _await(self, met):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            told = self.version()
            if met(told):
                return told
            time.sleep(0.02)
        return pytest.fail(f"not met by {told}")

    def metric(self, name):
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition(" ")[0].partition("{")[0] == name)


@contextmanager
def running(token=None, **settings):
    """Serve the working folder's model from a thread, and yield the server once it is ready.

    Unless `poll_seconds` says so, it does not follow: each look at the registry takes this process's time.
    """
    ready = threading.Event()
    server = ModelServer(ServingConfig(**{"poll_seconds": 1e6, **settings}), NAME, token, ready.set)
    at = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=[at])
    thread.start()
    try:
        assert ready.wait(SECONDS)
        with (one := Running(f"http://127.0.0.1:{at.getsockname()[1]}", token)).client:
            yield one
    finally:
        server.stop()
        thread.join()
    assert server.ended


def make_champion(version):
    """Enter a version in the ledger as champion, and set the alias, whatever is wrong with it."""
    base = read_base(NAME, forced=True)
    promote(base, Draft(name=NAME, version=version, action="override", outcome="promote", reason="For a test."))


@pytest.fixture(scope="module")
def add_version(tmp_path_factory):
    """Register another version, of other weights for each seed, of words or of n-grams."""

    def add(seed, longest_ngram=0):
        folder = tmp_path_factory.mktemp("model") / str(seed)
        return register_small_version(*save_small_model(folder, seed, longest_ngram))

    return add


@pytest.fixture(scope="module", autouse=True)
def working_folder(tmp_path_factory, migrated_store, add_version):
    """A folder whose embedded store has one version, the champion."""
    folder = tmp_path_factory.mktemp("serving")
    (folder / "mlruns").mkdir()
    copy_database(migrated_store, folder / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", "")
        patch.delenv("MLFLOW_TRACKING_URI")
        make_champion(add_version(1).version)
        yield folder
