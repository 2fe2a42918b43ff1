"""A training that is told to stop."""

import os
import signal
import subprocess
import sys

import mlflow
import psutil
import pytest


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_leaves_no_run_running_and_no_server(embedded_mlflow, ending):
    arguments = ["--config", "sample", "--set", "training.epochs=1000"]
    command = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "train", *arguments],
        cwd=embedded_mlflow.parent,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in command.stdout:
        if line.startswith("Epoch 2/"):
            break
    children = psutil.Process(command.pid).children(recursive=True)
    command.send_signal(ending)
    _, errors = command.communicate(timeout=120)
    assert command.returncode == 130
    assert "Traceback" not in errors
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    mlflow.set_tracking_uri(f"sqlite:///{embedded_mlflow}/mlflow.db")
    (run,) = mlflow.search_runs(experiment_names=["sample"], output_format="list")
    assert run.info.status == "KILLED"
