"""`reprise serve` as a process: how it starts, what it writes, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from tasks.errors import ConfigError, InputError, ModelMismatch
from tasks.serving.running import ModelServer, listen
from tests.flows.conftest import command  # noqa: F401 (a fixture)
from tests.registration.small_model import NAME
from tests.serving.conftest import NO_TLS, SECONDS, TOKEN, make_champion

SECRET = "a review that nobody else may read"  # noqa: S105


@pytest.fixture
def process(working_folder, tmp_path):
    """The command, which listens at `process.url`."""
    environment = {**os.environ, "REPRISE_SERVE_TOKEN": TOKEN, "REPRISE_HOME": str(tmp_path / "home"), "COLUMNS": "40"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "serve", "--port", str(port)], stdout=out, stderr=err, env=environment
        )
    process.url, process.port, process.out, process.err = f"http://127.0.0.1:{port}", port, tmp_path / "out", tmp_path / "err"
    yield process
    process.kill()
    process.wait()


def await_ready(process, client):
    deadline = time.monotonic() + 3 * SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(process.err.read_text())


def test_what_has_begun_is_answered_before_it_ends_and_nothing_of_it_is_kept(process, tmp_path):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=process.url, headers=headers, verify=NO_TLS, timeout=SECONDS) as client:
        await_ready(process, client)
        assert client.post("/predict", json={"texts": [SECRET]}).status_code == 200
        assert client.post("/predict", json={"texts": [[SECRET]]}).status_code == 422
        assert client.post("/predict", json={"texts": ["a"]}, headers={"Authorization": f"Bearer {SECRET}"}).status_code == 401
    body = json.dumps({"texts": [SECRET]}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", process.port))
        connection.sendall(body[10:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert process.wait(SECONDS) == 0
    out, err = process.out.read_text(), process.err.read_text()
    lines = [json.loads(line) for line in out.splitlines()]
    asked = [(line["status"], line.get("texts"), line.get("version")) for line in lines if line.get("path") == "/predict"]
    assert asked == [(200, 1, "1"), (422, None, None), (401, None, None), (200, 1, "1")]
    assert err.splitlines() == ["Starting ...", f"Serving {NAME} on {process.url}. Ctrl-C ends it.", "Stopped."]
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in left
    assert TOKEN.encode() not in left


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "other"], "no registered model 'other'"),
        (["--version", "7"], "no version or alias '7'"),
        (["--version", "nobody"], "no version or alias 'nobody'"),
        (["--batch-texts", "0"], "batch_texts"),
        (["--poll-seconds", "nan"], "poll_seconds"),
        (["--token-file", "nowhere"], "--token-file nowhere: No such file"),
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
    ],
)
def test_what_cannot_be_served_is_told_in_a_line(command, arguments, told):  # noqa: F811
    with pytest.raises((InputError, ConfigError), match=told):
        command("serve", *arguments)


def test_a_port_that_is_taken_is_named(command):  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}: Address already in use: choose others by --host and --port"):
            command("serve", "--port", port)


def test_a_first_version_that_is_not_what_was_registered_is_not_served(add_version, working_folder):
    from configs.serving import ServingConfig

    bad = add_version(9).version
    network = max(working_folder.rglob("model.keras"), key=lambda path: path.stat().st_mtime_ns)
    network.write_bytes(network.read_bytes()[:-1] + b"x")
    make_champion(bad)
    server = ModelServer(ServingConfig(), NAME, None, lambda: pytest.fail("it is served"))
    with listen("127.0.0.1", 0) as at, pytest.raises(ModelMismatch, match=r"model\.keras"):
        server.run(at)
    make_champion("1")
