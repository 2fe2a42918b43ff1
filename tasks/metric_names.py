"""Names under which a run's MLflow metrics are both written and read.

MLflow's UI makes a section of charts of what comes before the slash, and shows the sections in alphabetical order; what begins
with `system/` has a tab of its own.
"""

from collections.abc import Iterable

TIME = "time/"
SECONDS, CPU_SECONDS = "_seconds", "_cpu_seconds"
PEAK_MEMORY = "system/peak_memory_mebibytes"


def seconds_metric(stage: str) -> str:
    """Return the name of what a stage took, in seconds."""
    return f"{TIME}{stage.replace(' ', '_')}{SECONDS}"


def cpu_seconds_metric(stage: str) -> str:
    """Return the name of what a stage took on all cores together, in seconds."""
    return f"{TIME}{stage.replace(' ', '_')}{CPU_SECONDS}"


def timed_stages(metrics: Iterable[str]) -> list[str]:
    """Return the stages whose seconds are among metrics, in their order; `total` is the whole run."""
    timed = [name for name in metrics if name.startswith(TIME) and name.endswith(SECONDS) and not name.endswith(CPU_SECONDS)]
    return [name.removeprefix(TIME).removesuffix(SECONDS).replace("_", " ") for name in timed]


def interval_metrics(name: str) -> tuple[str, str]:
    """Return the names of a test metric's bounds, the lower one first."""
    return f"test_interval/{name}_low", f"test_interval/{name}_high"
