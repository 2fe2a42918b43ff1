"""Defaults of the environment that the libraries read; what the user has set stays as it is."""

import getpass
import os
from pathlib import Path


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
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # most commands run none
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    }


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
    defaults = {**library_defaults(), **_nameless_user(workspace), "PREFECT_HOME": str(workspace / "prefect")}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    workspace.mkdir(parents=True, exist_ok=True)  # Prefect makes its own folder, but not the one above
