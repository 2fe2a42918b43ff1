"""The real flow and the real command with a real, untrained version: the scores are its own, whatever happens midway."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest

from configs.scoring import ScoringConfig
from tasks.errors import InputError
from tasks.mlflow_store import connect
from tasks.registration.scoring import score_texts
from tasks.registration.versions import CHAMPION
from tasks.workspace import home
from tests.flows.pseudo_terminal import draw, run_in_terminal
from tests.registration.small_model import NAME, register_small_version, save_small_model

PART = 50


@pytest.fixture
def versions(tmp_path, embedded_mlflow):
    """Two versions, of which the first is champion."""
    found = [register_small_version(*save_small_model(tmp_path / f"model-{seed}", seed)) for seed in (0, 1)]
    connect().set_registered_model_alias(NAME, CHAMPION, found[0].version)
    return found


@pytest.fixture
def reviews(real_slice, tmp_path):
    """900 real reviews as CSV, one of them blank."""
    frame = pd.read_csv(real_slice).drop(columns="label")
    frame.loc[7, "text"] = " "
    frame.to_csv(tmp_path / "reviews.csv", index=False)
    return tmp_path / "reviews.csv"


def expected(version, reviews):
    texts = pd.read_csv(reviews)["text"].tolist()
    scores = score_texts(version, texts)
    return [None if not text.strip() else score["probability"] for text, score in zip(texts, scores, strict=True)]


def test_the_flow_gives_the_models_own_scores_and_one_version_whatever_is_promoted_meanwhile(
    prefect_api, versions, reviews, tmp_path, monkeypatch
):
    from flows.scoring import scoring
    from tasks.scoring.job import Job

    parameters = {"input": str(reviews), "output": str(tmp_path / "out.parquet"), "rows_per_part": 300}
    parameters = json.loads(ScoringConfig.model_validate(parameters).model_dump_json())
    is_done = Job.is_done

    def promote_meanwhile(job, part):
        connect().set_registered_model_alias(NAME, CHAMPION, versions[1].version)
        return is_done(job, part)

    monkeypatch.setattr(Job, "is_done", promote_meanwhile)
    result = scoring(config=parameters)
    assert (result.model, result.version, result.rows, result.errors, result.parts) == (NAME, "1", 900, 1, 3)
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["probability"].to_pylist() == expected(versions[0], reviews)
    assert set(found["model_version"].to_pylist()) == {f"{NAME}/1"}

    again = scoring(config={**parameters, "output": str(tmp_path / "again.parquet"), "rows_per_part": 1000})
    assert (again.version, again.parts) == ("2", 1)
    assert pq.read_table(tmp_path / "again.parquet")["probability"].to_pylist() == expected(versions[1], reviews)
    with pytest.raises(InputError, match="no version or alias '9'"):
        scoring(config={**parameters, "version": "9"})


@pytest.fixture
def start(embedded_mlflow):
    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "score", *map(str, arguments)],
            cwd=embedded_mlflow.parent,
            env={**os.environ, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.mark.long
@pytest.mark.fault("kill -9 while a checkpoint, a stage folder or a download is being written")
def test_after_a_kill_the_same_command_scores_what_is_missing_and_another_runner_gives_the_same(
    start, versions, reviews, tmp_path
):
    output = tmp_path / "scored.csv"
    killed = start(reviews, output, "--rows-per-part", PART, "--workers", 1)
    try:
        parts = home() / "stages" / "scoring"
        while not list(parts.glob(f"*/000000000*-{PART}/manifest.json")):
            assert killed.poll() is None, killed.stderr.read()
            time.sleep(0.01)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    assert not output.exists()
    kept = len(list(parts.glob(f"*/000000000*-{PART}/manifest.json")))
    assert 1 <= kept < 900 // PART

    resumed = start(reviews, output, "--rows-per-part", PART, "--runner", "processes", "--workers", 1, "--json")
    told, errors = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, errors
    result = json.loads(told)
    assert (result["parts"], result["reused_parts"], result["rows"], result["errors"]) == (900 // PART, kept, 900, 1)
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    probabilities = [float(row["probability"]) if row["probability"] else None for row in rows]
    assert probabilities == expected(versions[0], reviews)
    assert [number for number, row in enumerate(rows) if row["error"]] == [7]
    assert list(parts.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir() if "scored" in path.name} == {"scored.csv"}
    check_terminal(reviews, tmp_path / "again.csv", output)


def check_terminal(reviews, output, expected):
    """A bar with the time left, of which one line stays; and the same scores."""
    command = [sys.executable, "-m", "flows.cli", "score", reviews, output, "--rows-per-part", PART]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    options = {"cwd": output.parent, "env": {**environment, "TERM": "xterm-256color"}}
    status, written = run_in_terminal([*map(str, command)], columns=100, **options)
    assert status == 0, written
    assert re.search(r"scoring .*\d+/900 rows .*0:\d\d:\d\d left", written)
    (line,) = draw(written)
    assert line.startswith(f"900 rows scored with {NAME} version 1, 1 with an error instead, in ")
    assert output.read_bytes() == expected.read_bytes()


REFUSALS = {
    ("none.csv", "out.csv"): "no such file: none.csv",
    ("reviews.csv", "reviews.csv"): "reviews.csv is the input: write to another file",
    ("reviews.csv", "out.csv", "--version", "9"): "no version or alias '9' of 'small-lstm'",
    ("reviews.csv", "out.csv", "--model", "other"): "no registered model 'other'",
    ("reviews.csv", "out.csv", "--address", "tcp://127.0.0.1:1"): "runner: address is of a Dask or Ray cluster",
    ("reviews.csv", "s3://user:secret@bucket/out.csv"): "output: a user, password or query in a URL would be recorded",
}


def test_the_command_refuses_before_anything_starts(command, versions, reviews):
    for arguments, message in REFUSALS.items():
        with pytest.raises(InputError, match=message):
            command("score", *arguments)
