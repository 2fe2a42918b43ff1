"""What the project starts takes connections on loopback alone; the UIs' servers are looked at in test_ui.py.

Ray does not: docs/sweeps.md says what listens where.
"""

import subprocess
import sys

import pytest

from tests.integration.listening import listening_addresses

PREFECT_API = """
import os, sys
from pathlib import Path
os.environ.pop("PREFECT_API_URL", None)
from flows.servers import await_answer, start_prefect_api
await_answer(start_prefect_api(Path("logs")))
print("answers", flush=True)
sys.stdin.read()
"""
DASK = """
import sys
if __name__ == "__main__":
    from configs.runners import RunnerConfig
    from flows.runners import task_runner
    from distributed import LocalCluster

    runner = task_runner(RunnerConfig(kind="dask", workers=1))
    with LocalCluster(**runner.cluster_kwargs):
        print("answers", flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("program", [PREFECT_API, DASK], ids=["the Prefect API of a command", "a Dask cluster"])
def test_what_a_command_starts_listens_on_loopback(tmp_path, program):
    (tmp_path / "program.py").write_text(program)
    with subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "answers\n"
        assert listening_addresses(process.pid) == {"127.0.0.1"}
        process.stdin.close()
        assert process.wait(timeout=60) == 0
