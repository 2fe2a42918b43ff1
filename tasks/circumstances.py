"""What the weights of a training depend on besides its configuration and its data: code, packages, Python, processor."""

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path

import numpy as np

from tasks.workspace import code_version

CODE, COMMIT, DIRTY = "code.sha256", "mlflow.source.git.commit", "git.dirty"
"""Names of tags; MLflow shows the commit under its own."""
PACKAGE = "package."
# Those that compute first, then those that read and divide the reviews; the last three change no weight.
RECORDED_PACKAGES = (
    *("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow"),
    *("great-expectations", "prefect", "mlflow"),
)
# How TensorFlow cuts and orders its sums follows from these.
RECORDED_VARIABLES = (
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "TF_XLA_FLAGS",
    "TF_NUM_INTRAOP_THREADS",
    "OMP_NUM_THREADS",
)
ROOT = Path(__file__).parents[1]


def read_circumstances() -> dict[str, str]:
    """Return the circumstances of this process by the names of their tags; what cannot be found out is left out."""
    return {
        **_read_commit(),
        CODE: code_version(ROOT / "configs", ROOT / "flows", ROOT / "tasks"),
        **{f"{PACKAGE}{name}": importlib.metadata.version(name) for name in RECORDED_PACKAGES},
        "python": platform.python_version(),
        **_read_processor(),
        "environment": " ".join(f"{name}={os.environ[name]}" for name in RECORDED_VARIABLES if name in os.environ) or "usual",
    }


def _read_commit() -> dict[str, str]:
    try:
        import git  # fails where there is no git command
    except ImportError:
        return {DIRTY: "unknown"}
    try:
        repository = git.Repo(ROOT, search_parent_directories=True)
        dirty = str(repository.is_dirty(untracked_files=True)).lower()
        return {COMMIT: repository.head.commit.hexsha, DIRTY: dirty}
    except (git.GitError, ValueError):
        # Installed without its repository, a repository without a commit, or one of another user's, which git refuses.
        return {DIRTY: "unknown"}


def _read_processor() -> dict[str, str]:
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    # TensorFlow makes as many threads as the process may use cores, and cuts its sums by them.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return {
        "cpu.model": processor_name(Path("/proc/cpuinfo")) or platform.processor() or platform.machine(),
        "cpu.features": " ".join(sorted({*extensions["baseline"], *extensions.get("found", [])})),
        "cpu.cores": str(cores),
    }


def processor_name(cpuinfo: Path) -> str | None:
    """Return the processor's name as Linux tells it, or None where it does not."""
    if not cpuinfo.is_file():
        return None
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    return found and found[1]
