"""A reader's shell: runs a page's command blocks in turn, keeps folder and variables, and ends servers as Ctrl-C does."""

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

from flows.servers import free_port
from tests.documentation.pages import ROOT, Block, read_blocks

SECONDS = 600
"""The longest that a block may take, and a server to say that it is up."""
UP = "Ctrl-C"
LINKED = ("Makefile", "pyproject.toml", "requirements.lock", ".venv", "configs", "docker", "flows", "tasks", "tests")
STOPPED = (0, 130)
SERVER = re.compile(r"reprise (ui|serve)\b|reprise schedule\b(?!.*--pool)")
VARIABLES, EXEC = re.compile(r"^((?:[A-Z_]+=\S+ +)*)"), r"\1exec "
PORTS = {"reprise ui": {"--mlflow-port": 5000, "--prefect-port": 4200}, "reprise schedule": {"--prefect-port": 4200}}
PORTS["reprise serve"] = {"--port": 8000}
# A target of make only has to be there: tests run in `make test`, and set nothing up.
PROLOGUE = f"""
set -euo pipefail
make() {{ command make --directory {ROOT} --dry-run "$@" > /dev/null; }}
"""
EPILOGUE = "\nexport -p > {state}/variables; pwd > {state}/folder\n"


class Shell:
    """A shell in a folder that looks like a clone of the project; what the blocks make stays in it and beside it.

    Args:
        folder: an empty folder.
        variables: further environment variables.
        replaced: what stands in the pages for what a user has, and what a test has in its place.
    """

    def __init__(self, folder: Path, *, variables: dict[str, str], replaced: dict[str, str]) -> None:
        self.clone, self._state, self._replaced = folder / "reprise", folder / "state", replaced
        self._state.mkdir()
        self.clone.mkdir()
        for name in LINKED:
            (self.clone / name).symlink_to(ROOT / name)
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            "TERM": "dumb",
            "HOME": str(folder),
            **variables,
        }
        for name in ("REPRISE_HOME", "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_HOME"):
            self._environment.pop(name, None)
        self._ports = {port: free_port() for port in (5000, 4200, 8000)}
        self._servers: list[tuple[Block, subprocess.Popen[str]]] = []

    def run(self, command: str) -> None:
        """Run a command in the clone's folder."""
        self._begin(self.clone)
        self._run(Block(Path("before"), 0, 0, command, ""))

    def run_page(self, page: Path, folder: Path | None = None) -> None:
        """Run a page's blocks from its top to its end, from the clone's folder on.

        A server runs until its section ends, or another of its kind is started; then it has to end well.

        Raises:
            AssertionError: a block ended otherwise than well; the message holds what it printed.
        """
        self._begin(folder or self.clone)
        section = None
        try:
            for block in read_blocks(page):
                if block.section != section:
                    self._stop_servers()
                section = block.section
                if not block.untested:
                    self._run(block)
            self._stop_servers()
        finally:
            for _, server in self._servers:
                os.killpg(server.pid, signal.SIGKILL)

    def _begin(self, folder: Path) -> None:
        (self._state / "folder").write_text(f"{folder}\n")
        (self._state / "variables").write_text("")

    def _run(self, block: Block) -> None:
        text = self._prepare(block.text)
        folder = (self._state / "folder").read_text().strip()
        before = PROLOGUE + (self._state / "variables").read_text()
        if SERVER.search(text):
            self._stop_servers(SERVER.search(text)[0])
            head, _, last = text.rstrip().rpartition("\n")
            assert SERVER.search(last), f"{block}: what follows a server in its block is never reached"
            self._serve(block, f"{before}{head}\n{VARIABLES.sub(EXEC, last, count=1)}\n", folder)
            return
        process = self._start(before + text + EPILOGUE.format(state=self._state), folder)
        try:
            told, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            told = f"{process.communicate()[0]}\nstill running after {SECONDS} s"
        assert process.returncode == 0, f"{block} ended with {process.returncode}:\n{block.text}\n{told}"

    def _prepare(self, text: str) -> str:
        text = text.replace("\\\n", " ")
        for placeholder, there in self._replaced.items():
            text = re.sub(rf"(?<![\w/.]){re.escape(placeholder)}(?![\w/.-])", there, text)
        for command, ports in PORTS.items():
            options = " ".join(f"{option} {port}" for option, port in ports.items())
            text = re.sub(rf"({command}\b(?!.*--pool)[^\n]*)", rf"\1 {options}", text)
        return re.sub(r"\b(5000|4200|8000)\b", lambda found: str(self._ports[int(found[0])]), text)

    def _start(self, script: str, folder: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _serve(self, block: Block, script: str, folder: str) -> None:
        process = self._start(script, folder)
        self._servers.append((block, process))
        told: list[str] = []
        heard = threading.Event()

        def listen() -> None:
            for line in process.stdout or ():
                told.append(line)
                if UP in line:
                    heard.set()
            heard.set()

        threading.Thread(target=listen, daemon=True).start()
        heard.wait(SECONDS)
        assert UP in "".join(told), f"{block} did not come up:\n{''.join(told)}"

    def _stop_servers(self, command: str = "") -> None:
        for block, process in [one for one in self._servers if command in one[0].text]:
            process.send_signal(signal.SIGINT)
            ended = process.wait(timeout=SECONDS)
            self._servers.remove((block, process))
            assert ended in STOPPED, f"{block} ended with {ended} after Ctrl-C"
