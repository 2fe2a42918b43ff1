"""Both UIs, a served schedule and some trainings, each started by a `reprise` command as a user types it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from flows.servers import free_port

STOP_SECONDS = 120


class Trained(NamedTuple):
    """What a training told: its run, the run's address as it was printed, and the version that it registered."""

    run_id: str
    url: str
    experiment: str
    model: str
    version: str
    alias: str | None


class Workplace:
    """A folder in which commands run; with both UIs, once `show_pages` has started them, and a schedule that `serve` starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        elsewhere = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_HOME")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in elsewhere},
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONUNBUFFERED": "1",
            "REPRISE_HOME": str(folder / ".reprise"),
            "COLUMNS": "200",
            "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        }
        self.links: dict[str, str] = {}

    @contextmanager
    def show_pages(self) -> Iterator[None]:
        """Start both UIs, have later commands use their servers, and keep the addresses that were printed in `links`."""
        ports = [f"--mlflow-port={free_port()}", f"--prefect-port={free_port()}"]
        with self._running("ui", *ports, until="Ctrl-C ends it") as told:
            self.links |= dict(re.findall(r"^(MLflow|Prefect) +(http://\S+)", told, re.MULTILINE))
            self.environment["MLFLOW_TRACKING_URI"] = self.links["MLflow"].partition("/#")[0]
            self.environment["PREFECT_API_URL"] = self.links["Prefect"].replace("/runs", "/api")
            yield

    @contextmanager
    def serve(self, *arguments: str) -> Iterator[None]:
        """Serve a schedule, and keep the addresses of its deployments, by the flow's name, in `links`."""
        with self._running("schedule", *arguments, until="Serving.") as told:
            self.links |= dict(re.findall(r"^  (\w+)/\S+: .*\n    (http://\S+)", told, re.MULTILINE))
            yield

    def train(self, *arguments: str) -> Trained:
        """Train, and return what it told."""
        report = self.folder / "report.json"
        done = subprocess.run(
            self._command("train", *arguments, f"--report={report}"),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        run = json.loads(report.read_text())
        (url,) = re.findall(rf"^MLflow run {run['run_id']}: (http://\S+)$", done.stdout, re.MULTILINE)
        return Trained(run["run_id"], url, run["dataset"]["name"], run["model"], run["version"], run["alias"])

    @contextmanager
    def _running(self, *arguments: str, until: str) -> Iterator[str]:
        """Run a command, yield what it has printed up to a line, and end it by Ctrl-C, with all that it has started."""
        log = self.folder / f"{arguments[0]}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                self._command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            while until not in (told := log.read_text()):
                try:
                    process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    continue
                raise AssertionError(f"{arguments} ended: {log.read_text()}")
            yield told
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=STOP_SECONDS) == 0, log.read_text()
            _, alive = psutil.wait_procs(children, timeout=STOP_SECONDS)
            assert alive == []
        finally:
            process.kill()

    def _command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "flows.cli", *arguments]
