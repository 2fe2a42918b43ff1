"""The real flow on real reviews, with a real Prefect API and a real MLflow store."""

import json
import logging
import time

import mlflow
import numpy as np
import pandas as pd
import pytest

from flows.terminal import print_result
from tasks.baseline_report import tell_gain
from tasks.errors import TrainingDiverged, ValidationFailed
from tasks.registration.model_files import verified_model
from tasks.registration.pages import read_record
from tasks.registration.versions import find_version, list_versions, read_aliases
from tasks.report import write_json
from tasks.version_page import record_as_json
from tasks.workspace import home, sha256_of_file

CACHED = ["ingestion", "validation", "padding", "padding validation", "gate rows", "baseline"]
RECORDED = [*CACHED, "training", "evaluation", "reference", "registration", "decision"]
STAGES = [*RECORDED, "pages"]


@pytest.fixture
def run(prefect_api, embedded_mlflow, configure):
    from flows.training import training

    def run(*assignments, force=False, **options):
        return training(configure(*assignments, **options), force=force)

    return run


def reused(result):
    assert [record.stage for record in result.stages] == STAGES
    return [record.stage for record in result.stages if record.reused]


def prefect_states(result):
    """The last state of each task of the run's flow, as the Prefect API has it once it has caught up."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    flow_run_id = mlflow.get_run(result.run.run_id).data.tags["prefect.flow_run_id"]
    with get_client(sync_client=True) as client:
        for _ in range(100):
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
            if len(tasks) == len(STAGES) and all(task.state and task.state.is_final() for task in tasks):
                return {task.name: task.state.name for task in tasks}, client.read_flow_run(flow_run_id)
            time.sleep(0.2)
    pytest.fail(f"the Prefect API never showed {len(STAGES)} ended tasks")


def test_runs_one_after_another(run, real_slice, configure, caplog, capsys, tmp_path):
    """All in one test, for the sake of few trainings: what is reused, what is decided, and what is recorded of it."""
    path = tmp_path / "reviews.csv"
    path.write_bytes(real_slice.read_bytes())

    other = run("training.seed=1", "training.epochs=1", "registration.floors={accuracy: 1.0}", path=path)
    assert reused(other) == []
    assert (other.decision.outcome, other.decision.alias) == ("keep", "challenger")  # it is below its floor
    assert read_aliases("slice-lstm") == {"challenger": "1"}

    first = run(path=path)
    assert reused(first) == CACHED
    states, flow_run = prefect_states(first)
    assert states == {stage: "Cached" if stage in CACHED else "Completed" for stage in STAGES}
    assert flow_run.name.endswith(" slice-lstm seed 0")
    assert first.model.sha256 != other.model.sha256
    assert first.decision.outcome == "promote"
    assert first.padded.rows == {"train": 480, "validation": 120, "test": 300}

    forced = run(path=path, force=True)
    assert reused(forced) == []
    assert set(prefect_states(forced)[0].values()) == {"Completed"}
    assert forced.model.sha256 == first.model.sha256
    assert forced.evaluation.sha256 == first.evaluation.sha256

    assert (forced.decision.outcome, forced.decision.champion, forced.version.version) == ("undecided", "2", "3")
    assert read_aliases("slice-lstm") == {"champion": "2", "challenger": "3"}

    forced.padded.file("ids_train.npy").write_bytes(b"damaged")
    mended = run(path=path)
    assert reused(mended) == ["ingestion", "validation", "padding validation", "gate rows", "baseline"]
    assert mended.padded.sha256 == first.padded.sha256
    assert mended.model.sha256 == first.model.sha256
    assert (len(other.model.history["loss"]), len(mended.model.history["loss"])) == (1, 2)

    check_prefect_artifacts(first)
    check_mlflow_run(first)
    check_registered_model(first._replace(reviews=mended.reviews))  # whose folder the forced run took away
    report = json.loads(json.dumps(write_json(first, configure())))
    assert {
        "run_id",
        "model",
        "version",
        "alias",
        "decision",
        "test",
        "parameters",
        "dataset",
        "seconds",
        "weights_sha256",
    } <= set(report)
    assert report["dataset"]["sha256"] == first.reviews.sha256
    check_what_is_told_of_the_linear_model(first, report, capsys)

    registered = list_versions()
    check_a_diverging_run(run, path, caplog)
    check_unfit_reviews(run, path)
    assert list_versions() == registered


def check_what_is_told_of_the_linear_model(result, report, capsys):
    """In the run, on the version's page, on the card, in both reports and at the command's end."""
    beside = result.evaluation.baseline
    told = tell_gain(beside)
    assert report["baseline"]["sentence"] == told
    assert report["baseline"]["gain"] == beside.accuracy.gain.model_dump()
    assert report["baseline"]["train_rows"] == report["baseline"]["learnt_rows"] == 480
    assert beside.accuracy.challenger == result.evaluation.metrics["accuracy"].value
    assert beside.accuracy.rows == result.evaluation.rows
    metrics = mlflow.get_run(result.run.run_id).data.metrics
    assert {name: metrics[f"test_baseline/{name}"] for name in ("accuracy", "roc_auc", "loss")} == beside.metrics
    gain = beside.accuracy.gain
    assert [metrics[f"test_baseline/{name}"] for name in ("gain", "gain_low", "gain_high")] == [gain.value, gain.low, gain.high]
    details = find_version("slice-lstm", "2")
    record = read_record("slice-lstm", "2")
    assert record.baseline == beside
    assert json.loads(json.dumps(record_as_json(record)))["baseline"]["ngrams"] == beside.ngrams
    artifacts = mlflow.get_run(result.run.run_id).info.artifact_uri
    written = [mlflow.artifacts.load_text(f"{artifacts}/{name}") for name in ("report.md", "card.md")]
    assert all(told in page for page in [*written, details.description])
    print_result(result)
    assert told in capsys.readouterr().out


def check_a_diverging_run(run, path, caplog):
    """With shorter rows, of which the stages that do not depend on their length are reused."""
    caplog.set_level(logging.INFO, "reprise")
    caplog.clear()
    with pytest.raises(TrainingDiverged):
        run("training.learning_rate=1.0e+38", "padding.maxlen=50", path=path)
    stages = [record.stage_record for record in caplog.records if hasattr(record, "stage_record")]
    assert {stage.stage: stage.reused for stage in stages} == {stage: not stage.startswith("padding") for stage in CACHED}
    assert newest_run().info.status == "FAILED"
    assert "TrainingDiverged" in newest_run().data.tags["error"]
    assert (home() / "stages" / "padding").is_dir()


def check_unfit_reviews(run, path):
    """New content at the path that was read before: it stops the run, which keeps its documents."""
    reviews = pd.read_csv(path)
    reviews.loc[[3, 7], "text"] = "   "
    reviews.to_csv(path, index=False)
    with pytest.raises(ValidationFailed, match=r"blank.*2 rows, first 3, 7"):
        run(path=path)
    failed = newest_run()
    assert failed.info.status == "FAILED"
    assert failed.data.tags["validation.reviews"].startswith("failed")
    assert "ValidationFailed" in failed.data.tags["error"]
    assert failed.data.tags["dataset"] == "slice"
    assert len(failed.inputs.dataset_inputs) == 3
    assert {"validation/reviews/summary.html", "validation/reviews/data_docs/index.html"} <= set(
        artifact_names(failed.info.run_id)
    )


def newest_run():
    return mlflow.search_runs(experiment_names=["slice"], output_format="list", max_results=1)[0]


def check_prefect_artifacts(result):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    flow_run_id = mlflow.get_run(result.run.run_id).data.tags["prefect.flow_run_id"]
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id])))
    artifacts = {artifact.key: artifact.data for artifact in found}
    assert set(artifacts) == {"training-report", "stage-seconds"}
    assert artifacts["training-report"].startswith("# slice-lstm version 2")
    assert result.run.run_id in artifacts["training-report"]
    assert "models:/slice-lstm/2" in artifacts["training-report"]
    stages = json.loads(artifacts["stage-seconds"])
    assert [(row["stage"], row["reused"]) for row in stages] == [(stage, stage in CACHED) for stage in STAGES]


def check_mlflow_run(result):
    run = mlflow.get_run(result.run.run_id)
    assert run.info.status == "FINISHED"
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "epoch/validation_accuracy")
    assert [(point.step, point.value) for point in history] == list(enumerate(result.model.history["val_accuracy"], start=1))
    metrics, tags = run.data.metrics, run.data.tags
    assert metrics["test/accuracy"] == result.evaluation.metrics["accuracy"].value
    assert metrics["test_interval/accuracy_low"] < metrics["test/accuracy"] < metrics["test_interval/accuracy_high"]
    for kind in ("seconds", "cpu_seconds"):
        assert {f"time/{stage.replace(' ', '_')}_{kind}" for stage in RECORDED} < set(metrics)
    assert 100 < metrics["system/peak_memory_mebibytes"] < 20_000
    assert (tags["weights_sha256"], tags["dataset.sha256"]) == (result.model.sha256, result.reviews.sha256)
    assert tags["decision.outcome"] == "promote"
    assert tags["mlflow.note.content"].startswith("slice-lstm version 2: test accuracy")
    inputs = {entry.tags[0].value: (entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs}
    assert {context: name for context, (name, _) in inputs.items()} == {
        "training": "slice-train",
        "validation": "slice-validation",
        "testing": "slice-test",
    }
    assert len({digest for _, digest in inputs.values()}) == 3
    names = set(artifact_names(run.info.run_id))
    assert {
        "config.yaml",
        "report.md",
        "summary.txt",
        "validation/reviews/summary.html",
        "validation/reviews/result.json",
        "validation/reviews/data_docs/index.html",
        "validation/padded/summary.html",
        "evaluation/predictions.parquet",
        "evaluation/mistakes.json",
        "figures/learning_curves.png",
        "figures/roc.png",
        "figures/precision_recall.png",
        "figures/calibration.png",
        "figures/confusion_matrix.png",
        "figures/score_histogram.png",
    } <= names


def check_registered_model(result):
    details = find_version("slice-lstm", "champion")
    assert details.summary.aliases == ("champion",)
    assert details.tags["weights_sha256"] == result.model.sha256
    assert details.tags["decision.reason"] == result.decision.reason
    assert details.tags["file.artifacts/lstm.py"] == sha256_of_file(result.model.file("lstm.py"))
    assert details.tags["data.padded"] == result.padded.sha256
    assert 100 < float(details.tags["load_check.peak_mebibytes"]) < 4096
    with verified_model("slice-lstm", details.summary.version) as folder:
        assert sha256_of_file(folder / "artifacts" / "model.keras") == sha256_of_file(result.model.file("model.keras"))
    card = mlflow.MlflowClient().get_registered_model("slice-lstm").description
    assert card.startswith("Tells whether a review is positive")
    assert "This page speaks of version 2." in card
    description = mlflow.MlflowClient().get_model_version("slice-lstm", "2").description
    assert description.startswith("Champion since")
    assert result.decision.reason in description

    model = mlflow.pyfunc.load_model("models:/slice-lstm@champion")
    assert model.metadata.signature.inputs.to_dict() == [{"type": "string", "required": True}]
    predictions = pd.read_parquet(result.evaluation.file("predictions.parquet"))
    texts = pd.read_parquet(result.reviews.file("reviews.parquet"))["text"]
    found = model.predict(texts[predictions["row"]].tolist())
    np.testing.assert_allclose([one.probability for one in found], predictions["probability"], atol=1e-6)
    assert {one.label for one in found} <= {0, 1}
    with pytest.raises(mlflow.exceptions.MlflowException):
        model.predict([None])
    requirements = mlflow.pyfunc.get_model_dependencies("models:/slice-lstm@champion")
    with open(requirements) as file:  # noqa: PTH123
        assert all("==" in line for line in file.read().split())


def artifact_names(run_id, path=None):
    for entry in mlflow.MlflowClient().list_artifacts(run_id, path):
        if entry.is_dir:
            yield from artifact_names(run_id, entry.path)
        else:
            yield entry.path
