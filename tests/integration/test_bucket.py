"""Machines that share a bucket: trainings with folders and workspaces of their own, and data and reports in the bucket."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import yaml
from s3fs import S3FileSystem

CACHED = ["ingestion", "validation", "padding", "padding validation", "gate rows", "baseline"]


@pytest.fixture
def start(s3_bucket, prefect_server, configure, real_slice, tmp_path):
    """Start a training on a machine of that name; the machines have a Prefect server in common."""
    S3FileSystem().put_file(str(real_slice), f"{s3_bucket}/data/reviews.csv")
    config = configure("training.epochs=1", path=f"{s3_bucket}/data/reviews.csv")
    (tmp_path / "slice.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))

    def start(machine):
        folder = tmp_path / machine
        folder.mkdir()
        home = {"REPRISE_HOME": f"{s3_bucket}/home", "REPRISE_LOCAL": str(folder / "here")}
        prefect = {"PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(folder / "prefect")}
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "flows.cli", "train", "--config", str(tmp_path / "slice.yaml")),
                *("--report", f"{s3_bucket}/reports/{machine}.json"),
            ],
            cwd=folder,
            env={**os.environ, **home, **prefect, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def finish(s3_bucket, tmp_path):
    """Wait for a training to end, and return its report; it has told nobody of the credentials."""

    def finish(process, machine):
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        for text in (output, errors, *(path.read_text(errors="replace") for path in (tmp_path / machine).rglob("*.log"))):
            assert os.environ["AWS_SECRET_ACCESS_KEY"] not in text
        return json.loads(S3FileSystem().cat_file(f"{s3_bucket}/reports/{machine}.json"))

    return finish


@pytest.mark.long
def test_two_that_start_at_once_agree_and_a_third_builds_nothing_again(start, finish, s3_bucket):
    processes = {machine: start(machine) for machine in ("one", "two")}
    one, two = (finish(process, machine) for machine, process in processes.items())
    assert one["weights_sha256"] == two["weights_sha256"]
    assert one["gate_rows"] == two["gate_rows"]
    assert one["dataset"]["source"] == f"{s3_bucket}/data/reviews.csv"
    counted = count_results(s3_bucket)
    assert counted == {stage: (1, 1) for stage in CACHED}

    third = start("three")
    told = {}
    for line in third.stdout:
        if match := re.match("✓ ([a-z ]+?)  +(.*)", line):
            told[match[1]] = match[2]
        if "baseline" in told:  # the last that is kept: what follows is the same on every machine, and takes its time
            break
    third.send_signal(signal.SIGINT)
    third.communicate(timeout=300)
    assert third.returncode in (0, 130)  # where an import takes the signal for its own, the training goes on to its end
    assert list(told) == CACHED
    assert all("reused" in line for line in told.values())
    assert count_results(s3_bucket) == counted


def count_results(s3_bucket):
    """The number of entries, and of folders, of each stage."""
    filesystem = S3FileSystem()
    filesystem.invalidate_cache()
    folders = {tuple(file.split("/")[2:5]) for file in filesystem.find(f"{s3_bucket}/home")}
    return {
        stage: tuple(sum(one[:2] == (area, stage) for one in folders) for area in ("stage-results", "stage-files"))
        for stage in {stage for _, stage, _ in folders}
    }
