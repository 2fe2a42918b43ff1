"""What is recorded of each stage: every figure of a training enters its run's journal through here, and MLflow from there."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tasks.delivery import milliseconds_now
from tasks.handles import (
    Drift,
    Evaluation,
    PaddedReviews,
    Reviews,
    Split,
    StageRecord,
    TrackedRun,
    TrainedModel,
    ValidationReport,
)
from tasks.journal import Datasets, Files, Metrics, RecordedDataset, Tags, Text
from tasks.metric_names import PEAK_MEMORY, cpu_seconds_metric, interval_metrics, seconds_metric
from tasks.tracking import delivery_of
from tasks.workspace import sha256_of_file

DESCRIPTION, TABLES = "mlflow.note.content", "mlflow.loggedArtifacts"
"""Tags of MLflow's own: what its UI shows as the run's description, and which artifacts it shows as tables."""
DATASET_CONTEXTS: dict[Split, str] = {"train": "training", "validation": "validation", "test": "testing"}
HISTORY_NAMES = {
    "loss": "train_loss",
    "accuracy": "train_accuracy",
    "val_loss": "validation_loss",
    "val_accuracy": "validation_accuracy",
}
MEASURED_GROUPS = {"reviews": "texts", "padded": "words"}


def log_validation(run: TrackedRun, report: ValidationReport, name: str) -> None:
    """Log a validation's Data Docs, JSON result and summary under `validation/<name>`, and what it measured."""
    _log_files(run, Path(report.path), f"validation/{name}")
    _log_metrics(run, {f"{MEASURED_GROUPS[name]}/{figure}": value for figure, value in report.measured.items()})
    verdict = "passed" if report.passed else "failed"
    _set_tags(run, {f"validation.{name}": f"{verdict}, warnings: {len(report.warnings)}"})


def log_datasets(run: TrackedRun, reviews: Reviews, report: ValidationReport) -> None:
    """Log each split as a dataset input whose digest is of the canonical Parquet, the split, and the rows left out of it."""

    def digest(split: Split) -> str:
        left_out = sha256_of_file(report.file("excluded_rows.npy")) if split == "test" and report.excluded_rows else ""
        return hashlib.sha256(f"{reviews.sha256} {split} {left_out}".encode()).hexdigest()[:36]

    datasets = tuple(
        RecordedDataset(
            name=f"{reviews.dataset}-{split}",
            digest=digest(split),
            source=json.dumps({"uri": reviews.source, "sha256": reviews.source_sha256}),
            profile=json.dumps({"rows": rows - (report.excluded_rows if split == "test" else 0)}),
            context=DATASET_CONTEXTS[split],
        )
        for split, rows in reviews.rows.items()
    )
    delivery_of(run).append(Datasets(datasets=datasets))
    sources = {"dataset.source": reviews.source, "dataset.source_sha256": reviews.source_sha256}
    _set_tags(run, {"dataset": reviews.dataset, "dataset.sha256": reviews.sha256, **sources})


def log_padding(run: TrackedRun, padded: PaddedReviews) -> None:
    """Log what padding did to each split, in shares."""
    shares = {
        "truncated_share": padded.truncated_share,
        "out_of_vocabulary_share": padded.out_of_vocabulary_share,
        "padding_share": padded.padding_share,
    }
    figures = {f"words/{name}_{split}": share for name, by_split in shares.items() for split, share in by_split.items()}
    _log_metrics(run, figures)


def log_epoch(run: TrackedRun, epoch: int, figures: Mapping[str, float]) -> None:
    """Log an epoch's figures at the step that is its number, from 1."""
    _log_metrics(run, {f"epoch/{HISTORY_NAMES.get(name, name)}": value for name, value in figures.items()}, step=epoch)


def log_training(run: TrackedRun, model: TrainedModel) -> None:
    """Log the network's summary, its parameter count and the digest of its weights."""
    _log_files(run, model.file("summary.txt"))
    _log_metrics(run, {"model/parameters": model.parameters, "model/best_epoch": model.best_epoch})
    _set_tags(run, {"weights_sha256": model.sha256})


def log_evaluation(run: TrackedRun, evaluation: Evaluation, *, step: int) -> None:
    """Log test metrics with their intervals, slices, the linear model's, figures, predictions and the table of mistakes."""
    bounds = {
        bound: value
        for name, figure in evaluation.metrics.items()
        for bound, value in zip(interval_metrics(name), (figure.low, figure.high), strict=True)
    }
    figures = {f"test/{name}": figure.value for name, figure in evaluation.metrics.items()}
    beside = evaluation.baseline
    baseline = {f"test_baseline/{name}": value for name, value in beside.metrics.items()} | {
        "test_baseline/gain": beside.accuracy.gain.value,
        "test_baseline/gain_low": beside.accuracy.gain.low,
        "test_baseline/gain_high": beside.accuracy.gain.high,
    }
    slices = {f"test_slices/accuracy_{part.name.replace(' ', '_')}": part.accuracy.value for part in evaluation.slices}
    _log_metrics(run, figures | bounds | slices | baseline, step=step)
    _log_files(run, evaluation.file("figures"), "figures")
    _log_files(run, evaluation.file("predictions.parquet"), "evaluation")
    _log_table(run, pd.read_parquet(evaluation.file("mistakes.parquet")), "evaluation/mistakes.json")


def log_drift(run: TrackedRun, drift: Drift, figures: Path) -> None:
    """Log each signal's figures under `drift/...`, and the folder of figures where one was drawn."""
    metrics: dict[str, float] = {"drift/alarms": sum(signal.outcome == "drift" for signal in drift.signals)}
    for signal in drift.signals:
        name = signal.name.replace(" ", "_")
        metrics |= {f"drift/{name}": signal.size, f"drift_p_value/{name}": signal.p_value}
        metrics |= {f"new/{name}": signal.new, f"reference/{name}": signal.reference}
    _log_metrics(run, {**metrics, "new/rows": drift.rows, "reference/rows": drift.reference_rows})
    if figures.is_dir():
        _log_files(run, figures, "figures")


def log_outcome(
    run: TrackedRun, *, texts: Mapping[str, str], description: str, stages: Sequence[StageRecord], tags: Mapping[str, str]
) -> None:
    """Log texts that a person reads, by their file's name, the run's description, and what each stage took."""
    for name, text in texts.items():
        delivery_of(run).append(Text(name=name, text=text))
    _log_metrics(run, {seconds_metric(record.stage): round(record.seconds, 3) for record in stages})
    _log_metrics(run, {cpu_seconds_metric(record.stage): round(record.cpu_seconds, 3) for record in stages})
    _log_metrics(run, {PEAK_MEMORY: round(max(record.peak_mebibytes for record in stages), 1)})
    reused = ", ".join(record.stage for record in stages if record.reused)
    _set_tags(run, {DESCRIPTION: description, "stages.reused": reused or "none", **tags})


def log_result(run: TrackedRun, *, figures: Mapping[str, float] | None = None, tags: Mapping[str, str] | None = None) -> None:
    """Log what came of a run."""
    _log_metrics(run, figures or {})
    _set_tags(run, tags or {})


def log_sweep(
    run: TrackedRun, *, description: str, figures: Path, metrics: Mapping[str, float], tags: Mapping[str, str]
) -> None:
    """Log a sweep's description, the folder of its figures, and its best trial."""
    _log_files(run, figures, "figures")
    delivery_of(run).append(Text(name="report.md", text=description))
    _log_metrics(run, metrics)
    _set_tags(run, {DESCRIPTION: description, **tags})


def _log_metrics(run: TrackedRun, figures: Mapping[str, float], step: int = 0) -> None:
    values = {name: float(value) for name, value in figures.items()}
    delivery_of(run).append(Metrics(time=milliseconds_now(), step=step, values=values))


def _set_tags(run: TrackedRun, tags: Mapping[str, str]) -> None:
    delivery_of(run).append(Tags(values=dict(tags)))


def _log_files(run: TrackedRun, path: Path, to: str = "") -> None:
    delivery_of(run).append(Files(path=str(path), to=to))


def _log_table(run: TrackedRun, table: pd.DataFrame, name: str) -> None:
    # As MLflow writes one; its own call adds the rows to those of a table that is there already.
    delivery_of(run).append(Text(name=name, text=table.to_json(orient="split", index=False, date_format="iso")))
    _set_tags(run, {TABLES: json.dumps([{"path": name, "type": "table"}])})
