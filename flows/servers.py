"""The MLflow and Prefect UIs as two child processes on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tasks.errors import InputError, RepriseError

HOST = "127.0.0.1"
START_SECONDS = 120


class Server(NamedTuple):
    """A running server."""

    name: str
    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def ui_servers(*, mlflow_port: int, prefect_port: int, log_folder: Path) -> Iterator[list[Server]]:
    """Start both UIs, yield them once they answer, and stop them with the block.

    Raises:
        InputError: a port is in use.
        RepriseError: a server ended, or did not answer in time; the message names its log.
    """
    from tasks.tracking import connect, store_folder, tracking_uri

    for port, option in ((mlflow_port, "--mlflow-port"), (prefect_port, "--prefect-port")):
        _require_free(port, option)
    connect()
    mlflow = ["-m", "mlflow", "server", "--host", HOST, "--port", str(mlflow_port), "--workers", "1"]
    mlflow += ["--backend-store-uri", tracking_uri(), "--default-artifact-root", (store_folder() / "artifacts").as_uri()]
    prefect = ["-m", "prefect", "server", "start", "--host", HOST, "--port", str(prefect_port)]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(_server("MLflow", mlflow, f"http://{HOST}:{mlflow_port}", log_folder)),
            stack.enter_context(_server("Prefect", prefect, f"http://{HOST}:{prefect_port}", log_folder)),
        ]
        for server, path in zip(servers, ("/health", "/api/health"), strict=True):
            _await_answer(server, path, log_folder)
        yield servers


def wait_for_end(servers: list[Server]) -> None:
    """Return when any of the servers has ended."""
    while all(server.process.poll() is None for server in servers):
        time.sleep(0.5)


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise InputError(f"port {port} is in use: choose another with {option}") from None


@contextmanager
def _server(name: str, arguments: list[str], url: str, log_folder: Path) -> Iterator[Server]:
    log_folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PREFECT_UI_API_URL": f"{url}/api"}
    with _log_path(log_folder, name).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter; no input of a user's but a port number)
            [sys.executable, *arguments], stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    try:
        yield Server(name, url, process)
    finally:
        # The whole group, since both servers have children; a session of its own keeps Ctrl-C for us alone.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _await_answer(server: Server, path: str, log_folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RepriseError(f"{server.name} ended while starting: see {_log_path(log_folder, server.name)}")
        try:
            with urllib.request.urlopen(server.url + path, timeout=2):  # noqa: S310 (loopback http)
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RepriseError(f"{server.name} did not answer within {START_SECONDS} s: see {_log_path(log_folder, server.name)}")


def _log_path(log_folder: Path, name: str) -> Path:
    return log_folder / f"{name.lower()}-server.log"
