"""docker/compose.yaml: valid, and true to our rules, each of which is shown to find its fault."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.containers.compose_file import DOCKER, VARIABLE, find_faults, interpolate, read_compose


def check_schema(path):
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_is_of_the_schema_of_compose():
    assert check_schema(DOCKER / "compose.yaml").returncode == 0


@pytest.mark.parametrize(("old", "new"), [("healthcheck:", "health_check:"), ("interval: 5s", "interval: [5]")])
def test_the_schema_finds_a_wrong_key_and_a_wrong_type(tmp_path, old, new):
    text = (DOCKER / "compose.yaml").read_text()
    assert old in text
    (tmp_path / "compose.yaml").write_text(text.replace(old, new, 1))
    assert check_schema(tmp_path / "compose.yaml").returncode == 1


def test_it_keeps_to_the_rules():
    assert find_faults(read_compose()) == []


@pytest.mark.parametrize(
    ("service", "key", "value", "fault"),
    [
        ("mlflow", "ports", ["5000:5000"], "mlflow: port 5000:5000 is not of 127.0.0.1 alone"),
        ("prefect", "ports", ["0.0.0.0:4200:4200"], "prefect: port 0.0.0.0:4200:4200 is not of 127.0.0.1 alone"),
        ("database", "image", "postgres:latest", "database: the image 'postgres:latest' is not pinned"),
        ("database", "image", "postgres:15", "database: the image 'postgres:15' is not pinned"),
        ("worker", "user", None, "worker: it runs as root"),
        ("worker", "user", "0:0", "worker: it runs as root"),
        ("model", "read_only", False, "model: its root can be written"),
        ("model", "cap_drop", [], "model: it keeps privileges"),
        ("worker", "volumes", ["/var/run/docker.sock:/var/run/docker.sock"], "worker: it reaches the host"),
        ("backup", "logging", {}, "backup: its log has no limit"),
        ("worker", "healthcheck", {"disable": True}, "worker: it has no health check"),
        ("worker", "depends_on", {"prefect": {"condition": "service_started"}}, "worker: it does not wait for prefect"),
        ("mlflow", "environment", {"PGPASSWORD": "mlflow"}, "mlflow: PGPASSWORD is not a variable that must be set"),
        ("mlflow", "environment", {"PGPASSWORD": "${P:-x}"}, "mlflow: PGPASSWORD is not a variable that must be set"),
        ("mlflow", "command", ["mlflow", "--x=postgresql://a:b@c/d"], "mlflow: an address holds a password"),
    ],
)
def test_each_rule_finds_its_fault(service, key, value, fault):
    compose = copy.deepcopy(read_compose())
    compose["services"][service][key] = value
    assert find_faults(compose) == [fault]


def test_a_variable_that_must_be_set_is_asked_for_and_the_example_names_it():
    text = (DOCKER / "compose.yaml").read_text()
    wanted = {found["name"] for found in VARIABLE.finditer(text) if found["kind"] == ":?"}
    optional = {found["name"] for found in VARIABLE.finditer(text) if found["kind"] == ":-"}
    example = (DOCKER / "env.example").read_text()
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == wanted  # and none has a value, which would be used
    assert set(re.findall(r"^#(\w+)=", example, re.MULTILINE)) == optional
    with pytest.raises(KeyError, match=r"POSTGRES_PASSWORD: set it in docker/\.env"):
        interpolate(yaml.safe_load(text), {name: "x" for name in wanted} | {"POSTGRES_PASSWORD": ""})


def test_what_a_service_mounts_is_there():
    mounts = re.findall(r"- \./(\S+?):", (DOCKER / "compose.yaml").read_text())
    assert len(mounts) == 3
    assert all((DOCKER / name).is_file() for name in mounts)
