"""Both UIs, started, asked and stopped as a user does it."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil
import pytest

from tests.integration.listening import listening_addresses


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_both_uis_answer_and_no_ending_leaves_a_server_behind(tmp_path, ending, code):
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
    command.send_signal(ending)
    assert command.wait(timeout=60) == code
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
