import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from flows.servers import await_answer, free_port, running_server


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory):
    """A real Prefect server on SQLite, with the services that schedule runs and act on events: its API's address."""
    folder = tmp_path_factory.mktemp("prefect-server")
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


@pytest.fixture
def server_environment(prefect_server, tmp_path):
    """The environment of a process that works with the real Prefect server, in a workspace of its own."""
    return {**os.environ, "PREFECT_API_URL": prefect_server, "REPRISE_HOME": str(tmp_path / ".reprise"), "COLUMNS": "200"}


class Post(NamedTuple):
    """What a receiver got: where, with which token, and what."""

    place: str
    token: str | None
    payload: object


@pytest.fixture(scope="module")
def receiver():
    """An HTTP server that keeps what is posted; it answers 500 at /broken, and not at all at /hanging."""
    posts, end = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            posts.append(Post(self.path, self.headers.get("authorization"), json.loads(body)))
            if self.path == "/hanging":
                end.wait(60)
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", posts
    end.set()
    server.shutdown()
    server.server_close()
