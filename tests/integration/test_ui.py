"""Both UIs, started, asked and killed; `tests/pages` looks at them, and ends them by Ctrl-C."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil

from tests.integration.listening import listening_addresses


def test_both_uis_answer_and_a_kill_leaves_no_server_behind(tmp_path):
    ports = [f"--mlflow-port={_free_port()}", f"--prefect-port={_free_port()}"]
    command = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "ui", *ports],
        cwd=tmp_path,
        env={**os.environ, "REPRISE_HOME": str(tmp_path / ".reprise"), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in command.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    links = dict(re.findall(r"^(MLflow|Prefect) +(http://127\.0\.0\.1:\d+)", "".join(lines), re.MULTILINE))
    assert set(links) == {"MLflow", "Prefect"}, lines
    for link in links.values():
        with urllib.request.urlopen(link) as page:  # noqa: S310
            assert b"<html" in page.read().lower()
    children = psutil.Process(command.pid).children(recursive=True)
    assert len(children) >= 2
    assert listening_addresses(command.pid) == {"127.0.0.1"}
    command.kill()
    assert command.wait(timeout=60) == -signal.SIGKILL
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
