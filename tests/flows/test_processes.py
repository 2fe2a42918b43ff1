"""The command in processes of its own, one after another in one folder, as a user runs it."""

import json
import os
import re
import signal
import subprocess
import sys

import mlflow
import psutil
import pytest

from tests.flows.pseudo_terminal import draw, run_in_terminal

CACHED = ["ingestion", "validation", "padding", "padding validation", "gate rows", "baseline"]
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
ENDLESS = ("train", "--config", "sample", "--set", "training.epochs=1000")


@pytest.fixture
def start(embedded_mlflow, migrated_home):
    """Start the command in a folder of its own, whose MLflow store is empty."""

    def start(*arguments, stdin=None):
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            cwd=embedded_mlflow.parent,
            env={**os.environ, "COLUMNS": "200"},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def store(embedded_mlflow):
    return mlflow.MlflowClient(f"sqlite:///{embedded_mlflow}/mlflow.db")


def finish(process, *, text=None, code=0):
    output, errors = process.communicate(text, timeout=300)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return output, errors


def read_to_second_epoch(training):
    lines = []
    for line in training.stdout:
        lines.append(line)
        if line.startswith("Epoch 2/"):
            return lines
    pytest.fail(f"the training ended by itself: {training.stderr.read()}")


def stop(training, ending, store):
    """Tell a training to stop; it leaves no run running, and no server."""
    children = psutil.Process(training.pid).children(recursive=True)
    training.send_signal(ending)
    finish(training, code=130)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    (experiment,) = store.search_experiments(filter_string="name = 'sample'")
    assert store.search_runs([experiment.experiment_id], max_results=1)[0].info.status == "KILLED"


def test_from_a_stopped_training_to_predictions_and_an_empty_cache(
    start, store, prefect_api, command, embedded_mlflow, tmp_path
):
    training = start(*ENDLESS)
    plain = read_to_second_epoch(training)
    assert not CONTROL.search("".join(plain))
    assert [line.split("  ")[0] for line in plain if line.startswith("✓")] == [f"✓ {stage}" for stage in CACHED]
    kept = command("cache", "prune", "--older-than", "0h").stdout
    assert "0 removed" in kept
    for name in [*CACHED, "runs"]:
        assert f"Kept, since a running training uses it: {name} " in kept
    stop(training, signal.SIGTERM, store)

    report = check_training(embedded_mlflow.parent, tmp_path / "run.json")
    shown = json.loads(command("show", "champion", "--json").stdout)
    assert shown["tags"]["weights_sha256"] == report["weights_sha256"]
    assert report["reused"] == CACHED
    check_commands(command)
    check_prediction(start, command)
    check_reproduction(command, store, report)

    pruned = json.loads(command("cache", "prune", "--older-than", "0h", "--json").stdout)
    assert sorted(one["group"] for one in pruned["removed"]) == sorted([*CACHED, *["runs"] * 3])
    assert pruned["in_use"] == []


def check_training(folder, path):
    """On a narrow terminal, with bars: what stays of them is a line for each epoch."""
    command = [sys.executable, "-m", "flows.cli", "train", "--config", "sample", "--set", "training.epochs=2", "--report", path]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    status, written = run_in_terminal(command, columns=60, cwd=folder, env={**environment, "TERM": "xterm-256color"})
    assert status == 0, written
    lines = draw(written)
    output = "\n".join(lines)
    assert lines[0] == lines[-1] == "Data: the generated sample."
    assert "Test results - Loss: 0." in output
    assert [line[:12] for line in lines if "val_accuracy" in line] == ["Epoch 1/2 - ", "Epoch 2/2 - "]
    assert re.search(r"[12]/2 epochs +0:\d\d:\d\d left", written)
    assert "/80 batches" in written
    assert "━ " not in output
    report = json.loads(path.read_text())
    assert (report["model"], report["version"], report["alias"]) == ("sample-lstm", "1", "champion")
    assert " predict --model sample-lstm --version 1" in output
    assert "absl" not in output
    return report


def check_commands(command):
    listed = json.loads(command("models", "--json").stdout)
    assert [(row["name"], row["version"], row["aliases"]) for row in listed] == [("sample-lstm", "1", ["champion"])]
    assert "sample-lstm" in command("models").stdout
    assert "**Champion** since" in command("show", "1").stdout


def check_prediction(start, command):
    reviews = "A wonderful film.\n\nA dreadful bore.\n"
    output, _ = finish(start("predict", "--json", stdin=subprocess.PIPE), text=reviews)
    scores = json.loads(output)
    assert [row["text"] for row in scores] == ["A wonderful film.", "A dreadful bore."]
    assert all(0 < row["probability"] < 1 for row in scores)
    assert "probability" in command("predict", "A wonderful film.").stdout


def check_reproduction(command, store, report):
    """One shows both: the weights are those of the other process again, and another digest in the registry exits 1."""
    store.set_model_version_tag("sample-lstm", "1", "weights_sha256", "other")
    reproduced = command("reproduce", "champion", "--json")
    assert reproduced.code == 1
    answer = json.loads(reproduced.stdout)
    assert (answer["weights_sha256"], answer["expected_sha256"]) == (report["weights_sha256"], "other")
    assert answer["differs"] == "nothing that was recorded differs"
