"""docker/compose.yaml as Compose reads it, and what it must hold to."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

DOCKER = Path(__file__).parents[2] / "docker"
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<text>[^}]*))?\}")
SECRET = re.compile(r"PASSWORD|SECRET|AUTH_STRING|TOKEN|_KEY")


def read_compose(path: Path = DOCKER / "compose.yaml") -> dict[str, Any]:
    """Return the file with its anchors merged and its variables as they stand."""
    return yaml.safe_load(path.read_text())


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a value with `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in its strings replaced, as Compose does it.

    Raises:
        KeyError: a variable that must be set is not, or is empty.
    """
    if isinstance(value, dict):
        return {key: interpolate(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolate(one, variables) for one in value]

    def replace(found: re.Match[str]) -> str:
        given = variables.get(found["name"], "")
        if not given and found["kind"] != ":-":
            raise KeyError(f"{found['name']}: {found['text']}")
        return given or found["text"]

    return VARIABLE.sub(replace, value) if isinstance(value, str) else value


def find_faults(compose: dict[str, Any]) -> list[str]:
    """Return what breaks our rules for containers, one line each."""
    return [
        f"{name}: {fault}"
        for name, service in compose["services"].items()
        for fault in _service_faults(service, compose["services"])
    ]


def _service_faults(service: dict[str, Any], services: dict[str, Any]) -> Iterator[str]:
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"port {port} is not of 127.0.0.1 alone"
    image = service.get("image", "")
    if not re.search(r":\d+\.\d+[\w.-]*$|@sha256:[0-9a-f]{64}$", image):
        yield f"the image {image!r} is not pinned"
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", str(service.get("user"))):
        yield "it runs as root"
    if not service.get("read_only"):
        yield "its root can be written"
    if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in service.get("security_opt", []):
        yield "it keeps privileges"
    if service.get("privileged") or "docker.sock" in str(service.get("volumes")) or service.get("network_mode") == "host":
        yield "it reaches the host"
    if "max-size" not in service.get("logging", {}).get("options", {}):
        yield "its log has no limit"
    if "restart" not in service:
        yield "it says not whether to restart"
    if service.get("restart") != "no" and not service.get("healthcheck", {}).get("test"):
        yield "it has no health check"
    for name, condition in service.get("depends_on", {}).items():
        ends = services[name]["restart"] == "no"
        if condition["condition"] != ("service_completed_successfully" if ends else "service_healthy"):
            yield f"it does not wait for {name}"
    for name, value in service.get("environment", {}).items():
        if SECRET.search(name) and not re.fullmatch(r"\$\{\w+:\?[^}]+\}", str(value)):
            yield f"{name} is not a variable that must be set"
    if re.search(r"://[^/@\s]*:[^/@\s]*@", str(service)):
        yield "an address holds a password"
