"""The services of docker/compose.yaml as processes of this machine.

Commands, environments and health checks are those of the file; changed are only what a container has to itself: ports, names
of hosts and folders. PostgreSQL is Debian's, started as its image's entry point does it.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from flows.servers import free_port
from tests.containers.compose_file import DOCKER, interpolate, read_compose
from tests.containers.test_dockerfile import dockerfile_environment

HOST = "127.0.0.1"
READY_SECONDS = 180
STOP_SECONDS = 8  # Prefect waits for the event streams of its clients, of which this process is one
VARIABLES = {
    "POSTGRES_PASSWORD": "superuser's secret",
    "MLFLOW_DATABASE_PASSWORD": "mlflow's: s@cr/t",
    "PREFECT_DATABASE_PASSWORD": "prefect's: s@cr/t",
    "MLFLOW_ADMIN_PASSWORD": "administrator-secret",
    "MLFLOW_WORKER_PASSWORD": "worker-secret-of-12",
    "MLFLOW_SECRET_KEY": "signing-secret",
    "PREFECT_AUTH": "reprise:prefect-secret",
    "MODEL_TOKEN": "token-of-the-model-server",
    "MLFLOW_WORKERS": "1",
}
PORTS = ("5432", "5000", "4200", "8080", "8081")
MARK = "REPRISE_TOPOLOGY"


def postgres_binaries() -> Path | None:
    """Return the folder with the programs of Debian's newest PostgreSQL, or of the one in PATH; None where there is none."""
    of_debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = of_debian[-1] if of_debian else shutil.which("initdb")
    return Path(found).parent if found else None


class Topology:
    """The services of one Compose project, each started when asked for, in a folder of its own."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        """Read the file; `folder` gets a folder for each named volume, and a log for each service."""
        self.folder = folder
        self.variables = VARIABLES | {"REPRISE_DATA": str(folder), "REPRISE_BACKUPS": str(folder / "backups")} | variables
        self.services = interpolate(read_compose(), self.variables)["services"]
        self.ports = {port: free_port() for port in PORTS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for volume in ("artifacts", "backups", "prefect", "workspace"):
            (folder / volume).mkdir(parents=True)

    def environment(self, service: str) -> dict[str, str]:
        """Return the variables of a service's container, and those of this machine."""
        given = {name: self._translate(service, value) for name, value in self.services[service].get("environment", {}).items()}
        path = f"{Path(sys.executable).parent}:{postgres_binaries()}:{os.environ['PATH']}"
        image = {name: self._translate(service, value) for name, value in dockerfile_environment().items()}
        own = {"PGPORT": str(self.ports["5432"]), MARK: str(self.folder), "PATH": path, "HOME": str(self.folder)}
        return {**os.environ, **image, **given, **own}

    def url(self, port: str) -> str:
        """Return the address at which the container's port is reached."""
        return f"http://{HOST}:{self.ports[port]}"

    def start(self, service: str) -> None:
        """Start a service; `wait_for` returns once it is healthy."""
        command = [self._translate(service, part) for part in self.services[service]["command"]]
        self._spawn(service, command, env=self.environment(service))

    def start_database(self) -> None:
        """Make a new PostgreSQL, start it, and run init.sql, as the entry point of the image does."""
        home = Path(tempfile.mkdtemp(prefix="reprise-pg-"))  # a socket's path has at most 107 characters
        (self.folder / "database").symlink_to(home)
        user = _database_user(home)
        if "user" in user:
            shutil.chown(home, "postgres", "postgres")
        environment = self.environment("database")
        binaries = postgres_binaries()
        initialize = [binaries / "initdb", "--username=postgres", environment["POSTGRES_INITDB_ARGS"], "--no-sync"]
        with tempfile.NamedTemporaryFile("w", dir=home) as password:
            password.write(environment["POSTGRES_PASSWORD"])
            password.flush()
            if "user" in user:
                shutil.chown(password.name, user["user"])
            command = [*initialize, f"--pgdata={home}/data", f"--pwfile={password.name}"]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True, **user)
        self.resume_database()
        self.superuser("psql", "--no-psqlrc", "--quiet", "--file", DOCKER / "init.sql", service="database")

    def resume_database(self) -> None:
        """Start the PostgreSQL that was made, and stopped, and return once it is healthy."""
        home = (self.folder / "database").resolve()
        binaries = postgres_binaries()
        assert binaries is not None
        server = [binaries / "postgres", "-D", f"{home}/data", "-p", str(self.ports["5432"]), "-h", HOST, "-k", home]
        command = [*map(str, server), "-c", "fsync=off"]
        self._spawn("database", command, env=self.environment("database"), **_database_user(home))
        self.wait_for("database")

    def superuser(self, *command: object, service: str = "backup", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as PostgreSQL's superuser, with the environment of a service."""
        environment = self.environment(service) | {"PGHOST": HOST, "PGUSER": "postgres"}
        environment["PGPASSWORD"] = self.variables["POSTGRES_PASSWORD"]
        return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=check)

    def query(self, database: str, statement: str) -> str:
        """Return what psql prints of a statement's result."""
        command = ("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--command", statement, database)
        return self.superuser(*command).stdout.strip()

    def script(self, service: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run backup.sh or restore.sh as the service of that name does."""
        return self.superuser("bash", DOCKER / f"{service}.sh", *arguments, service=service, check=False)

    def set_mlflow_user(self, name: str, password: str) -> str:
        """Make a user of MLflow as the service `mlflow-user` makes `worker`, and return what that says."""
        *command, worker = self.services["mlflow-user"]["command"]
        command = [self._translate("mlflow-user", part) for part in command]
        environment = self.environment("mlflow-user") | {"MLFLOW_NEW_PASSWORD": password}
        assert worker == "worker"
        return subprocess.run([*command, name], env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    def wait_for(self, service: str) -> None:
        """Return once a service is healthy by its own check.

        Raises:
            RuntimeError: it ended, or was not healthy in time; the message has the end of its log.
        """
        kind, *test = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        test = [self._translate(service, part) for part in test]
        if service == "database":
            test.append(f"--port={self.ports['5432']}")
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.processes[service].poll() is None:
            if subprocess.run(test, env=self.environment(service), capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.5)  # most checks are a Python process, whose start takes from the service's
        raise RuntimeError(f"{service} is not healthy:\n{self.log(service)[-3000:]}")

    def log(self, service: str) -> str:
        """Return what a service has printed."""
        return (self.folder / f"{service}.log").read_text(errors="replace")

    def stop(self, *services: str) -> None:
        """End these services at once, or all: the database last, as Compose does."""
        for group in [services] if services else [self.processes.keys() - {"database"}, self.processes.keys() & {"database"}]:
            ended = {service: self.processes.pop(service) for service in group}
            # SIGTERM has PostgreSQL wait for its clients; SIGINT is what its image declares as its stop signal.
            for service, process in ended.items():
                _signal_group(process, signal.SIGINT if service == "database" else signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            for process in ended.values():
                try:
                    process.wait(timeout=max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    _signal_group(process, signal.SIGKILL)
                    process.wait()

    def left_processes(self) -> list[str]:
        """Return the processes of this topology that still run, wherever they hang."""
        mark = {MARK: str(self.folder)}
        return [
            " ".join(process.info["cmdline"] or [])
            for process in psutil.process_iter(["cmdline", "environ"])
            if mark.items() <= (process.info["environ"] or {}).items()
        ]

    def _spawn(self, service: str, command: list[str], **options: Any) -> None:
        with (self.folder / f"{service}.log").open("wb") as log:
            self.processes[service] = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
                **{"cwd": self.folder} | options,
            )

    def _translate(self, service: str, text: str) -> str:
        """Return a string of the file with the container's folders, ports and hosts replaced by ours."""
        folders = {"/opt/reprise/servers": DOCKER, "/workspace": self.folder / "workspace", "/tmp": self.folder / "tmp"}  # noqa: S108
        for volume in self.services[service].get("volumes", []):
            source, target = volume.split(":")[:2]
            folders[target] = self.folder / source
        inside = rf"(?:(?<=^)|(?<==))({'|'.join(folders)})(?=/|$)"
        text = re.sub(inside, lambda folder: str(folders[folder[0]]), text)
        text = re.sub(rf"\b({'|'.join(PORTS)})\b", lambda port: str(self.ports[port[0]]), text)
        return re.sub(r"(?<=//)(mlflow|prefect)(?=:\d)|^mlflow(?=:\d)|\b0\.0\.0\.0\b|^database$", HOST, text)


def _database_user(home: Path) -> dict[str, Any]:
    """Return the options of a process that works in PostgreSQL's folder, as a user that it takes: it refuses root."""
    as_postgres = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    return {"cwd": home, **as_postgres}


@contextmanager
def running_topology(folder: Path, **variables: str) -> Iterator[Topology]:
    """Yield a topology of which nothing runs yet, and end all of it with the block.

    Raises:
        RuntimeError: a process is left.
    """
    topology = Topology(folder, variables)
    try:
        yield topology
    finally:
        topology.stop()
        if (folder / "database").exists():
            shutil.rmtree((folder / "database").resolve())
    left = topology.left_processes()
    if left:
        raise RuntimeError(f"processes are left: {left}")


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)


def _end_with_parent() -> None:
    """Have the kernel end this process when the tests are killed (prctl(2), PR_SET_PDEATHSIG = 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)
