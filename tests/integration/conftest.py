import os

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
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running_server("Prefect", command, port, "/api/health", folder, settings) as server:
        await_answer(server)
        yield f"{server.url}/api"


@pytest.fixture
def server_environment(prefect_server, tmp_path):
    """The environment of a process that works with the real Prefect server, in a workspace of its own."""
    return {**os.environ, "PREFECT_API_URL": prefect_server, "REPRISE_HOME": str(tmp_path / ".reprise"), "COLUMNS": "200"}
