"""The lint rules that hold the borders between rooms, tried on breaches."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint(path, line):
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", path, "-"]
    return subprocess.run(command, cwd=ROOT, input=f"{line}\n", capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("tasks/padding/arrays.py", "import tensorflow as tf"),
        ("tasks/evaluation/metrics.py", "from keras import ops"),
        ("tasks/training/fitting.py", "import mlflow"),
        ("tasks/ingestion/npz.py", "from prefect import task"),
        ("tasks/training/task.py", "import great_expectations"),
        ("flows/training.py", "import mlflow"),
        ("tasks/report.py", "import mlflow"),
        ("flows/sweep.py", "import optuna"),
        ("tasks/training/trainer.py", "import optuna"),
        ("tasks/search/study.py", "import mlflow"),
    ],
)
def test_a_breach_is_refused(path, line):
    assert "TID251" in lint(path, line).stdout


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("tasks/training/network.py", "import keras"),
        ("tasks/registration/packaging.py", "import mlflow"),
        ("tasks/validation/reviews_suite.py", "import great_expectations"),
        ("flows/training.py", "from prefect import flow"),
        ("tasks/search/study.py", "import optuna"),
    ],
)
def test_a_room_may_import_its_own_library(path, line):
    assert lint(path, line).returncode == 0
