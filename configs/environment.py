"""Defaults of the environment that the libraries read; what the user has set stays as it is."""

import getpass
import os
import re
from pathlib import Path
from urllib.parse import unquote


def library_defaults() -> dict[str, str]:
    """Return what keeps the libraries quiet and off the network, wherever a flow runs."""
    return {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # its own default tries for minutes before it says that a server is down
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        # A server that keeps leases in memory frees none of them after its restart.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # The automation that ends silent runs counts on it; see configs/schedule.py.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        # Prefect's own lines go to its API and UI; the terminal has ours.
        "PREFECT_LOGGING_EXTRA_LOGGERS": "reprise",
        "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",  # a line for each event that cannot be sent to an API that is gone
        "PREFECT_CLIENT_MAX_RETRIES": "4",  # half a minute for each request: its own default, a whole one
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # most commands run none
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    }


def take_credentials_from_addresses() -> None:
    """Move user and password out of the servers' addresses into the variables that the libraries take them from.

    Addresses are shown, recorded and quoted in errors; what these variables hold is not.
    """
    user, password = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
    found = _take_user("MLFLOW_TRACKING_URI")
    if found is not None and user not in os.environ and password not in os.environ:
        os.environ[user], os.environ[password] = found
    found = _take_user("PREFECT_API_URL")
    if found is not None:
        os.environ.setdefault("PREFECT_API_AUTH_STRING", ":".join(found))


def _take_user(variable: str) -> tuple[str, str] | None:
    """Take user and password out of the HTTP address in a variable, and return them, or None where there are none."""
    address = re.fullmatch(r"(https?://)([^/\s]*)@(.*)", os.environ.get(variable, ""))
    if address is None:
        return None
    os.environ[variable] = address[1] + address[3]
    user, _, password = address[2].partition(":")
    return unquote(user), unquote(password)


def _nameless_user(workspace: Path) -> dict[str, str]:
    """Return a home and a name for a user who has neither, as in a container that runs as any number."""
    given = {}
    try:
        Path.home()
    except RuntimeError:
        given["HOME"] = str(workspace)
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the second since Python 3.13
        given["LOGNAME"] = str(os.getuid())
    return given


def set_library_defaults(workspace: Path) -> None:
    """Keep the libraries quiet, off the network, and within the workspace, which is made. Call it before they are imported."""
    take_credentials_from_addresses()
    defaults = {**library_defaults(), **_nameless_user(workspace), "PREFECT_HOME": str(workspace / "prefect")}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    workspace.mkdir(parents=True, exist_ok=True)  # Prefect makes its own folder, but not the one above
