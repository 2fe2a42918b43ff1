"""The interface as OpenAPI tells it, tried by schemathesis with what it allows and what it does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.conftest import TOKEN, running

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


# A body beyond the limit is refused for that, whatever else is wrong with it.
REFUSALS = "[checks.negative_data_rejection]\nexpected-statuses = [401, 405, 413, 415, 422]\n"


def explore(server, folder, *options):
    (folder / "schemathesis.toml").write_text(REFUSALS)
    command = [
        SCHEMATHESIS,
        "--config-file",
        folder / "schemathesis.toml",
        "run",
        f"{server.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {TOKEN}",
        "--no-color",
    ]
    return subprocess.run(
        [*command, "--checks", "all", "--mode", "all", "--seed", "1", *options], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--phases", "examples,coverage,fuzzing", "--max-examples", "8"], id="a little"),
        pytest.param(["--max-examples", "300"], id="much", marks=pytest.mark.long),
    ],
)
def test_schemathesis_finds_nothing(options, tmp_path):
    with running(TOKEN, explained_words=500) as server:
        run = explore(server, tmp_path, *options)
    assert run.returncode == 0, run.stdout
    assert "No issues found" in run.stdout


def test_what_may_be_answered_is_declared():
    with running(TOKEN) as server:
        paths = server.client.get("/openapi.json").json()["paths"]
    answers = {
        path: {status for operation in methods.values() for status in operation["responses"]} for path, methods in paths.items()
    }
    scoring = {"200", "401", "408", "413", "415", "422", "500", "503"}
    assert answers == {
        "/predict": scoring,
        "/explain": scoring,
        "/health": {"200"},
        "/ready": {"200", "503"},
        "/version": {"200", "401", "503"},
        "/metrics": {"200", "401"},
    }
    guarded = {path for path, methods in paths.items() for operation in methods.values() if "security" in operation}
    assert guarded == {"/predict", "/explain", "/version", "/metrics"}
