"""MLflow and Prefect servers as child processes on loopback."""

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from configs.one_line import without_credentials
from tasks.disk_space import find_full_disk
from tasks.errors import InputError, RepriseError

HOST = "127.0.0.1"
OWN_API = "REPRISE_OWN_PREFECT_API"
"""The variable that tells this process and its children which API ends with this process."""
START_SECONDS = 120
STOP_SECONDS = 15


class Server(NamedTuple):
    """A server that was started; `health` is the path that answers once it is up."""

    name: str
    url: str
    health: str
    log_path: Path
    process: subprocess.Popen[bytes]


@contextmanager
def ui_servers(*, mlflow_port: int, prefect_port: int, log_folder: Path) -> Iterator[list[Server]]:
    """Start the UI of MLflow and of Prefect, yield them once they answer, and stop them with the block.

    One whose server the environment names (`MLFLOW_TRACKING_URI`, `PREFECT_API_URL`) has its UI there, and is not started.

    Raises:
        InputError: a port is in use.
        RepriseError: a server ended, or did not answer in time; the message names its log.
    """
    from tasks.mlflow_store import connect, server_url, store_folder, tracking_uri

    if mlflow_port == prefect_port:
        raise InputError(f"--mlflow-port and --prefect-port are both {mlflow_port}: give each UI a port of its own")
    ours = {"--mlflow-port": server_url() is None, "--prefect-port": not os.environ.get("PREFECT_API_URL")}
    for option, port in (("--mlflow-port", mlflow_port), ("--prefect-port", prefect_port)):
        if ours[option]:
            _require_free(port, option)
    connect()
    mlflow = ["mlflow", "server", "--host", HOST, "--port", str(mlflow_port), "--workers", "1"]
    mlflow += ["--default-artifact-root", (store_folder() / "artifacts").as_uri()]
    # Not as an argument, which every user of the machine may read: the URI of a database may hold its password.
    backend = {"MLFLOW_BACKEND_STORE_URI": tracking_uri()}
    prefect = ["prefect", "server", "start", "--host", HOST, "--port", str(prefect_port)]
    with ExitStack() as stack:
        servers = []
        if ours["--mlflow-port"]:
            servers.append(stack.enter_context(running_server("MLflow", mlflow, mlflow_port, "/health", log_folder, backend)))
        if ours["--prefect-port"]:
            servers.append(stack.enter_context(running_server("Prefect", prefect, prefect_port, "/api/health", log_folder)))
        for server in servers:
            await_answer(server)
        yield servers


def start_prefect_api(log_folder: Path) -> Server | None:
    """Start a Prefect API that lives as long as this process, or return None where `PREFECT_API_URL` names one.

    Prefect would start one by itself, but only when the first flow is called; this one starts while libraries are
    imported. Call it before Prefect is imported, and `await_answer` before the first flow.
    """
    if os.environ.get("PREFECT_API_URL"):
        return None
    port = free_port()
    # As Prefect's own temporary server: without the services that plan runs, which nobody would carry out, and without the
    # process of its command line, whose imports alone take seconds.
    command = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", HOST, "--port", str(port)]
    settings = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1", "PREFECT_UI_ENABLED": "0"}
    stack = ExitStack()
    server = stack.enter_context(running_server("Prefect-API", command, port, "/api/health", log_folder, settings))
    # Prefect sends its last log lines when the process exits; what is registered before Prefect is imported runs after that.
    atexit.register(stack.close)
    os.environ["PREFECT_API_URL"] = os.environ[OWN_API] = f"{server.url}/api"
    return server


def lasting_prefect_api() -> str | None:
    """Return the address of the Prefect API that outlives this process, without credentials, or None if it is its own."""
    url = os.environ.get("PREFECT_API_URL")
    return None if not url or url == os.environ.get(OWN_API) else without_credentials(url)


@contextmanager
def scheduling_server(port: int, log_folder: Path) -> Iterator[str]:
    """Yield the address of the Prefect API that `PREFECT_API_URL` names, or of a server that lives as long as the block.

    What it starts keeps its records in `PREFECT_HOME`. Enter the block before Prefect is imported.

    Raises:
        InputError: the port is in use.
        RepriseError: the server ended, or did not answer in time; the message names its log.
    """
    named = os.environ.get("PREFECT_API_URL")
    if named:
        yield named
        return
    _require_free(port, "--prefect-port, or name the server that listens there: PREFECT_API_URL")
    command = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    with running_server("Prefect", command, port, "/api/health", log_folder) as server:
        await_answer(server)
        os.environ["PREFECT_API_URL"] = f"{server.url}/api"
        yield os.environ["PREFECT_API_URL"]


def wait_for_end(servers: list[Server]) -> None:
    """Return when any of the servers has ended."""
    while all(server.process.poll() is None for server in servers):
        time.sleep(0.5)


def await_answer(server: Server) -> None:
    """Return once a server answers.

    Raises:
        RepriseError: it ended, or did not answer in time; the message names its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            full = find_full_disk([server.log_path, Path(os.environ.get("PREFECT_HOME", server.log_path))])
            raise RepriseError(f"{server.name} ended while starting: {full or f'see {server.log_path}'}")
        try:
            with urllib.request.urlopen(server.url + server.health, timeout=2):  # noqa: S310 (loopback http)
                return
        except OSError:
            time.sleep(0.1)
    raise RepriseError(f"{server.name} did not answer within {START_SECONDS} s: see {server.log_path}")


def free_port() -> int:
    """Return a port of loopback that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(
    name: str, module: Sequence[str], port: int, health: str, log_folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start a Python module as a server on a port of loopback, and end it, with all its children, with the block.

    Args:
        name: what messages and the log are named after.
        module: the module and its arguments.
        port: where it will listen.
        health: the path that answers once it is up; see `await_answer`.
        log_folder: where its output goes.
        settings: further environment variables.
    """
    url = f"http://{HOST}:{port}"
    log_folder.mkdir(parents=True, exist_ok=True)
    log_path = log_folder / f"{name.lower()}-server.log"
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PREFECT_UI_API_URL": f"{url}/api"}
    environment |= settings or {}
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter; no input of a user's but a port number)
            [sys.executable, "-m", *module],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    try:
        yield Server(name, url, health, log_path, process)
    finally:
        # The whole group, since both servers have children; a session of its own keeps Ctrl-C for us alone.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise InputError(f"port {port} is in use: choose another with {option}") from None


def _end_with_parent() -> None:
    """Have the kernel end this process when its parent is killed and can do it no more (prctl(2), PR_SET_PDEATHSIG = 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
