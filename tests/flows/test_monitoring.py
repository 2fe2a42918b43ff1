"""New real reviews beside the reference of a real champion, by the real flow, with a real Prefect API and MLflow store."""

import json
import time
from pathlib import Path

import httpx
import mlflow
import pandas as pd
import pytest

from tasks.errors import ConfigError, InputError, ModelMismatch
from tasks.registration.versions import find_version
from tasks.workspace import sha256_of_file

NAME = "slice-lstm"
FIGURES = {"figures/lengths.png", "figures/unknown_words.png", "figures/scores.png", "figures/vocabulary.png"}


@pytest.fixture
def trained(prefect_api, embedded_mlflow, configure):
    """The result of a training, which made version 1 the champion."""
    from flows.training import training

    return training(configure())


@pytest.fixture(scope="module")
def new_reviews(real_imdb):
    """160 real test reviews that are not in the slice that the champion knows."""
    reviews = pd.read_parquet(real_imdb / "test.parquet", columns=["text", "label"]).drop_duplicates("text")
    return pd.concat([reviews[reviews["label"] == label].iloc[200:280] for label in (0, 1)])


def test_new_reviews_are_compared_with_what_the_champion_keeps(trained, new_reviews, command, tmp_path):
    """All in one test, for the sake of one training."""
    check_the_reference(trained)
    new_reviews.to_csv(tmp_path / "new.csv", index=False)
    check_like_reviews(command, tmp_path / "new.csv")
    long = new_reviews.assign(text=[" ".join([text] * 3) for text in new_reviews["text"]])
    long[["text"]].to_json(tmp_path / "long.jsonl", orient="records", lines=True)
    check_drift(tmp_path / "long.jsonl")
    check_what_is_refused(command, trained, tmp_path / "new.csv")


def check_the_reference(trained):
    file = Path(trained.run.folder) / "reference" / "profile.parquet"
    assert find_version(NAME, "champion").tags["data.reference"] == sha256_of_file(file)
    assert trained.gate_rows.rows > 200
    assert len(pd.read_parquet(file)["label"].explode()) == trained.gate_rows.rows


def check_like_reviews(command, path):
    told = command("monitor", path, "--set", "monitoring.stability_index=0.3", "--set", "monitoring.label_balance=0.2")
    assert "no drift in 160 new reviews: length (population stability index" in " ".join(told.stdout.split())
    (run,) = mlflow.search_runs(experiment_names=["slice-monitoring"], output_format="list")
    assert (run.info.status, run.data.tags["drift.outcome"], run.data.tags["monitoring.of"]) == (
        "FINISHED",
        "no drift",
        f"{NAME}/1",
    )
    assert run.data.params["monitoring.stability_index"] == "0.3"
    assert run.data.params["reviews.path"] == str(path)
    metrics = run.data.metrics
    assert (metrics["drift/alarms"], metrics["new/rows"]) == (0, 160)
    assert {"drift/length", "drift/vocabulary", "drift_p_value/accuracy", "reference/label_balance"} < set(metrics)
    client = mlflow.MlflowClient()
    assert {entry.path for entry in client.list_artifacts(run.info.run_id, "figures")} == FIGURES
    report = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/report.md")
    assert report.startswith(f"# Monitoring of {NAME} version 1: no drift\n")
    assert f"{path}, 160 rows, with labels" in report
    assert "a drop of" in report


def check_drift(path):
    from flows.monitoring import DataSource, monitoring

    drift = monitoring(NAME, DataSource(path=str(path)))
    drifted = {signal.name for signal in drift.signals if signal.outcome == "drift"}
    assert (drift.outcome, drift.rows, "length" in drifted) == ("drift", 160, True)
    assert len(drift.signals) == 4, "it has no labels"
    assert drift.sentence.startswith("drift in 160 new reviews: length (median words ")
    newest = mlflow.search_runs(experiment_names=["slice-monitoring"], output_format="list", max_results=1)[0]
    assert newest.data.tags["mlflow.note.content"] == drift.sentence
    artifacts = read_artifacts(newest.data.tags["prefect.flow_run_id"])
    assert set(artifacts) == {"drift-report", "drift-signals"}
    assert drift.sentence in artifacts["drift-report"]
    assert [row["signal"] for row in json.loads(artifacts["drift-signals"])] == [signal.name for signal in drift.signals]
    event = wait_for_event("reprise.drift.detected")
    assert event["resource"]["prefect.resource.id"] == f"reprise.model.{NAME}"
    assert (event["payload"]["sentence"], event["payload"]["version"]) == (drift.sentence, "1")


def check_what_is_refused(command, trained, path):
    with pytest.raises(InputError, match="no registered model 'other'"):
        command("monitor", path, "--model", "other")
    with pytest.raises(ConfigError, match=r"reprise monitor: monitoring\.threshold: unknown key"):
        command("monitor", path, "--set", "monitoring.threshold=1")
    kept = Path(mlflow.get_run(trained.run.run_id).info.artifact_uri.removeprefix("file://")) / "data" / "profile.parquet"
    with kept.open("ab") as file:
        file.write(b" ")
    with pytest.raises(ModelMismatch, match=rf"version 1 of {NAME}: data/profile\.parquet of run \w+ is not what was"):
        command("monitor", path)
    mlflow.MlflowClient().delete_model_version_tag(NAME, "1", "data.reference")
    with pytest.raises(ModelMismatch, match=f"{NAME} version 1 keeps no reference to compare new reviews with: train it again"):
        command("monitor", path)
    (failed, *_) = mlflow.search_runs(experiment_names=["slice-monitoring"], output_format="list")
    assert failed.info.status == "FAILED"


def read_artifacts(flow_run_id):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id])))
    return {artifact.key: artifact.data for artifact in found}


def wait_for_event(name):
    """The newest event of this name, as the Prefect API has it once it has caught up."""
    from prefect.settings import PREFECT_API_URL

    wanted = {"filter": {"event": {"name": [name]}}}
    for _ in range(100):
        found = httpx.post(f"{PREFECT_API_URL.value()}/events/filter", json=wanted).raise_for_status().json()["events"]
        if found:
            return found[0]
        time.sleep(0.2)
    pytest.fail(f"the Prefect API never had {name}")
