"""The one owner of the MLflow URI, the experiment and the run: every figure of a training enters MLflow through here."""

import getpass
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported

import mlflow  # noqa: TID251
import pandas as pd
import yaml
from mlflow import MlflowClient  # noqa: TID251
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus, RunTag  # noqa: TID251
from mlflow.exceptions import MlflowException  # noqa: TID251
from mlflow.protos.databricks_pb2 import (  # noqa: TID251
    PERMISSION_DENIED,
    RESOURCE_ALREADY_EXISTS,
    UNAUTHENTICATED,
    ErrorCode,
)
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # noqa: TID251
from mlflow.utils.mlflow_tags import (  # noqa: TID251
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from configs.loading import flatten
from configs.schema import Config, TrackingConfig
from tasks.circumstances import read_circumstances
from tasks.disk_space import tell_full_disk
from tasks.errors import RegistryError, StoreFull, TrialPruned
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
from tasks.results import RUNS
from tasks.workspace import flush_to_disk, home, in_use, is_in_use, sha256_of_file

logger = logging.getLogger("reprise.tracking")

STARTING_SECONDS = 10
REGISTERED_MODEL = "registered_model"
"""The tag of the runs that train a candidate for a registered model."""
DATASET_CONTEXTS: dict[Split, str] = {"train": "training", "validation": "validation", "test": "testing"}
HISTORY_NAMES = {
    "loss": "train/loss",
    "accuracy": "train/accuracy",
    "val_loss": "validation/loss",
    "val_accuracy": "validation/accuracy",
}


class RecordedConfig(Protocol):
    """What a run records, whole: a training's configuration, or another's."""

    @property
    def experiment(self) -> str:
        """The name of the run's experiment."""

    @property
    def tracking(self) -> TrackingConfig:
        """What is recorded beside it."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return all of it as a tree."""


def store_folder() -> Path:
    """Return the folder of the embedded store: `mlruns` in the working folder."""
    return Path("mlruns").absolute()


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`, or the embedded store's SQLite."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store_folder() / 'mlflow.db'}"


def server_url() -> str | None:
    """Return the address of the tracking server, or None where the store is embedded."""
    uri = tracking_uri()
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) else None


def is_embedded() -> bool:
    """Tell whether the store is a file of this machine, so that a lock beside it keeps all its users apart."""
    return tracking_uri().startswith("sqlite:")


@contextmanager
def reaching_mlflow() -> Iterator[None]:
    """Turn what MLflow and its database raise in the block into one line.

    Raises:
        StoreFull: the disk of the embedded store has no room left.
        RegistryError: MLflow could not be reached, or refused.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        store = store_folder()
        told = tell_full_disk(error, store, "what a run records in", below=[store / "artifacts"]) if is_embedded() else None
        if told is not None:
            raise StoreFull(told) from error
        raise RegistryError(_without_password(f"MLflow at {tracking_uri()} {_tell_failure(error)}")) from error


def _tell_failure(error: Exception) -> str:
    first_line = str(error).strip().split("\n", 1)[0]
    code, user = getattr(error, "error_code", None), os.environ.get("MLFLOW_TRACKING_USERNAME")
    if code == ErrorCode.Name(UNAUTHENTICATED):
        refused = f"does not take the user {user!r} with this password" if user else "wants to know who asks"
        return f"{refused}: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if code == ErrorCode.Name(PERMISSION_DENIED) and user:
        return f"does not allow that to the user {user!r}: {first_line}"
    return f"failed: {first_line}"


def shown_tracking_uri() -> str:
    """Return the tracking URI as it may be shown, without a password."""
    return _without_password(tracking_uri())


def connect() -> MlflowClient:
    """Return a client; on the first use of an embedded store, make its database.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    uri = tracking_uri()
    # What it logs of an error of the database, with a traceback, it raises, too.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with reaching_mlflow():
        mlflow.set_tracking_uri(uri)
        if server_url() is not None:
            return MlflowClient()
        store_folder().mkdir(exist_ok=True)
        # Two processes that both migrate a new SQLite break it.
        with FileLock(store_folder() / ".migration.lock"):
            if is_embedded():
                _ensure_database(Path(make_url(uri).database or "").absolute())
            client = MlflowClient()
            client.search_experiments(max_results=1)
        return client


def _ensure_database(path: Path) -> None:
    """Make a database that is not there yet under another name: MLflow cannot go on with one whose making was cut off."""
    if path.name == ":memory:" or (path.is_file() and path.stat().st_size):
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: TID251 (a server's user does without)

    draft = path.with_name(f".{path.name}.unfinished")
    for leftover in path.parent.glob(f"{draft.name}*"):  # with SQLite's journal
        leftover.unlink()
    SqlAlchemyStore(f"sqlite:///{draft}", (path.parent / "artifacts").as_uri())._dispose_engine()
    flush_to_disk(draft)
    draft.rename(path)


def ensure_experiment(client: MlflowClient, name: str, tags: Mapping[str, str] | None = None) -> str:
    """Return the id of the experiment `name`, which is made, with these tags, where there is none."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None if server_url() else (store_folder() / "artifacts" / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=dict(tags or {})))
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
        experiment = client.get_experiment_by_name(name)  # another process made it just now
    return str(experiment.experiment_id)


def every_page(search: Callable[..., Any], *arguments: object) -> Iterator[Any]:
    """Yield all that one of the client's searches finds, page after page."""
    token = None
    while True:
        page = search(*arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def training_run(
    config: RecordedConfig, *, name: str, tags: Mapping[str, str], parent: TrackedRun | None = None
) -> Iterator[TrackedRun]:
    """Yield a new MLflow run with the configuration and its circumstances recorded.

    The run ends FINISHED with the block, FAILED with its error as the tag `error`, or KILLED by an interrupt or a pruner.

    Args:
        config: what is recorded as the run's parameters.
        name: the run's.
        tags: further tags.
        parent: the run that this one is shown below.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    start = time.perf_counter()
    source = {MLFLOW_SOURCE_NAME: "reprise", MLFLOW_SOURCE_TYPE: "LOCAL", MLFLOW_USER: getpass.getuser()}
    all_tags = {**source, **read_circumstances(), **tags}
    with reaching_mlflow():
        if parent is not None:
            client.get_run(parent.run_id)  # a worker elsewhere may have been told of another store, or of none
            all_tags[MLFLOW_PARENT_RUN_ID] = parent.run_id
        experiment_id = ensure_experiment(client, config.experiment)
        run_id = client.create_run(experiment_id, run_name=name, tags=all_tags).info.run_id
    try:
        folder = run_folder(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        with in_use(folder), _system_metrics(run_id, config.tracking):
            tree = config.model_dump(mode="json")
            with reaching_mlflow():
                client.log_batch(run_id, params=[Param(key, str(value)) for key, value in flatten(tree).items()])
                client.log_text(run_id, yaml.safe_dump(tree, sort_keys=False), "config.yaml")
            yield TrackedRun(
                run_id=run_id,
                experiment_id=experiment_id,
                experiment=config.experiment,
                name=name,
                folder=str(folder),
                url=run_link(experiment_id, run_id),
            )
            # In the block: a run whose folder nobody holds, and that has not ended, counts as killed.
            with reaching_mlflow():
                client.log_metric(run_id, "seconds/total", time.perf_counter() - start)
                client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))
    except BaseException as error:
        failed = isinstance(error, Exception) and not isinstance(error, TrialPruned)
        status = RunStatus.to_string(RunStatus.FAILED if failed else RunStatus.KILLED)
        try:
            _end_run(client, run_id, status, f"{type(error).__name__}: {error}")
        except RegistryError as unreachable:  # must not hide what went wrong first
            logger.error("run %s could not be ended as %s: %s", run_id, status, unreachable)
        raise


def find_running_runs() -> dict[str, dict[str, str]]:
    """Return the tags of all runs that are RUNNING, by their id; without those that have only just begun.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    # A run that began just now may not have come to lock its folder yet.
    begun = int((time.time() - STARTING_SECONDS) * 1000)
    condition = f"attributes.status = 'RUNNING' and attributes.start_time < {begun}"
    with reaching_mlflow():
        experiments = [experiment.experiment_id for experiment in every_page(client.search_experiments)]
        found = every_page(client.search_runs, experiments, condition)
        return {run.info.run_id: dict(run.data.tags) for run in found}


def end_abandoned_runs() -> list[dict[str, str]]:
    """End as FAILED the runs whose process, on this machine and workspace, was killed before it could.

    Returns:
        The tags of those that are no other run's child: a child's flow run may well go on.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    abandoned = []
    for run_id, tags in find_running_runs().items():
        folder = run_folder(run_id)
        lost = folder.is_dir() and not is_in_use(folder) and end_lost_run(run_id, "its process was killed")
        if lost and MLFLOW_PARENT_RUN_ID not in tags:
            abandoned.append(tags)
    return abandoned


def end_killed_runs(run_ids: Iterable[str]) -> None:
    """End as KILLED the runs that are known to have lost their process, where they have not ended.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    for run_id in run_ids:
        _end_running(run_id, RunStatus.KILLED, "its process was killed")


def end_lost_run(run_id: str, error: str) -> bool:
    """End as FAILED a run that nobody carries on, and tell whether it was still running; `error` becomes its tag of that name.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    ended = _end_running(run_id, RunStatus.FAILED, error)
    if ended:
        logger.warning("run %s could not end itself and is now FAILED: %s", run_id, error)
    return ended


def find_training(config: Config, source_sha256: str) -> str | None:
    """Return the id of a training of the configuration's model on this content that is FINISHED or RUNNING, or None.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    trained_on = f"tags.`dataset.source_sha256` = '{source_sha256}'"
    with reaching_mlflow():
        experiment = client.get_experiment_by_name(config.experiment)
        if experiment is None:
            return None
        for run in every_page(client.search_runs, [experiment.experiment_id], trained_on):
            # A model's name may hold what would end a string of the search's.
            if run.data.tags.get(REGISTERED_MODEL) == config.registered_model and run.info.status in ("FINISHED", "RUNNING"):
                return str(run.info.run_id)
    return None


def run_folder(run_id: str) -> Path:
    """Return the local folder for what a run makes; the run's process holds it in use."""
    return home() / RUNS / run_id


def _end_running(run_id: str, status: int, error: str) -> bool:
    """End a run that has not ended by itself since it was listed, and tell whether it had not."""
    client = connect()
    with reaching_mlflow():
        running = bool(client.get_run(run_id).info.status == RunStatus.to_string(RunStatus.RUNNING))
    if running:
        _end_run(client, run_id, RunStatus.to_string(status), error)
    return running


def _end_run(client: MlflowClient, run_id: str, status: str, error: str) -> None:
    with reaching_mlflow():
        client.set_terminated(run_id, status)
        client.set_tag(run_id, "error", error)


@contextmanager
def _system_metrics(run_id: str, tracking: TrackingConfig) -> Iterator[None]:
    if not tracking.system_metrics:
        yield
        return
    monitor = SystemMetricsMonitor(run_id, sampling_interval=tracking.system_metrics_seconds)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def run_link(experiment_id: str, run_id: str) -> str | None:
    """Return the address of a run in the MLflow UI, or None where the store is embedded."""
    server = server_url()
    return server and f"{_without_password(server)}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def log_validation(run: TrackedRun, report: ValidationReport, name: str) -> None:
    """Log a validation's Data Docs, JSON result and summary under `validation/<name>`, its figures as `<name>/...`."""
    with reaching_mlflow():
        MlflowClient().log_artifacts(run.run_id, report.path, f"validation/{name}")
        _log_metrics(run, {f"{name}/{figure}": value for figure, value in report.measured.items()})
        verdict = "passed" if report.passed else "failed"
        _set_tags(run, {f"validation.{name}": f"{verdict}, warnings: {len(report.warnings)}"})


def log_datasets(run: TrackedRun, reviews: Reviews, report: ValidationReport) -> None:
    """Log each split as a dataset input whose digest is of the canonical Parquet, the split, and the rows left out of it."""

    def digest(split: Split) -> str:
        left_out = sha256_of_file(report.file("excluded_rows.npy")) if split == "test" and report.excluded_rows else ""
        return hashlib.sha256(f"{reviews.sha256} {split} {left_out}".encode()).hexdigest()[:36]

    inputs = [
        DatasetInput(
            Dataset(
                name=f"{reviews.dataset}-{split}",
                digest=digest(split),
                source_type="local",
                source=json.dumps({"uri": reviews.source, "sha256": reviews.source_sha256}),
                profile=json.dumps({"rows": rows - (report.excluded_rows if split == "test" else 0)}),
            ),
            tags=[InputTag("mlflow.data.context", DATASET_CONTEXTS[split])],
        )
        for split, rows in reviews.rows.items()
    ]
    with reaching_mlflow():
        MlflowClient().log_inputs(run.run_id, inputs)
        sources = {"dataset.source": reviews.source, "dataset.source_sha256": reviews.source_sha256}
        _set_tags(run, {"dataset": reviews.dataset, "dataset.sha256": reviews.sha256, **sources})


def log_padding(run: TrackedRun, padded: PaddedReviews) -> None:
    """Log what padding did to each split, in shares."""
    shares = {
        "truncated_share": padded.truncated_share,
        "out_of_vocabulary_share": padded.out_of_vocabulary_share,
        "padding_share": padded.padding_share,
    }
    figures = {f"padding/{name}_{split}": share for name, by_split in shares.items() for split, share in by_split.items()}
    with reaching_mlflow():
        _log_metrics(run, figures)


def log_epoch(run: TrackedRun, epoch: int, figures: Mapping[str, float]) -> None:
    """Log an epoch's figures at the step that is its number, from 1."""
    with reaching_mlflow():
        _log_metrics(
            run, {HISTORY_NAMES.get(name, f"train/{name}_per_epoch"): value for name, value in figures.items()}, step=epoch
        )


def log_training(run: TrackedRun, model: TrainedModel) -> None:
    """Log the network's summary, its parameter count and the digest of its weights."""
    with reaching_mlflow():
        MlflowClient().log_artifact(run.run_id, str(model.file("summary.txt")))
        _log_metrics(run, {"model/parameters": model.parameters, "train/best_epoch": model.best_epoch})
        _set_tags(run, {"weights_sha256": model.sha256})


def log_evaluation(run: TrackedRun, evaluation: Evaluation, *, step: int) -> None:
    """Log test metrics with their intervals, slices, figures, predictions and the table of mistakes."""
    bounds = {
        f"test_{side}/{name}": getattr(figure, side) for name, figure in evaluation.metrics.items() for side in ("low", "high")
    }
    figures = {f"test/{name}": figure.value for name, figure in evaluation.metrics.items()}
    slices = {f"test_slices/accuracy_{part.name.replace(' ', '_')}": part.accuracy.value for part in evaluation.slices}
    client = MlflowClient()
    with reaching_mlflow():
        _log_metrics(run, figures | bounds | slices, step=step)
        client.log_artifacts(run.run_id, str(evaluation.file("figures")), "figures")
        client.log_artifact(run.run_id, str(evaluation.file("predictions.parquet")), "evaluation")
        client.log_table(run.run_id, pd.read_parquet(evaluation.file("mistakes.parquet")), "evaluation/mistakes.json")


def log_drift(run: TrackedRun, drift: Drift, figures: Path) -> None:
    """Log each signal's figures under `drift/...`, and the folder of figures where one was drawn."""
    metrics: dict[str, float] = {"drift/alarms": sum(signal.outcome == "drift" for signal in drift.signals)}
    for signal in drift.signals:
        name = signal.name.replace(" ", "_")
        metrics |= {f"drift/{name}": signal.size, f"drift_p_value/{name}": signal.p_value}
        metrics |= {f"new/{name}": signal.new, f"reference/{name}": signal.reference}
    with reaching_mlflow():
        _log_metrics(run, {**metrics, "new/rows": drift.rows, "reference/rows": drift.reference_rows})
        if figures.is_dir():
            MlflowClient().log_artifacts(run.run_id, str(figures), "figures")


def log_outcome(
    run: TrackedRun, *, texts: Mapping[str, str], description: str, stages: Sequence[StageRecord], tags: Mapping[str, str]
) -> None:
    """Log texts that a person reads, by their file's name, the run's description, and what each stage took."""
    with reaching_mlflow():
        for name, text in texts.items():
            MlflowClient().log_text(run.run_id, text, name)
        _log_metrics(run, {f"seconds/{record.stage.replace(' ', '_')}": record.seconds for record in stages})
        _log_metrics(run, {f"cpu_seconds/{record.stage.replace(' ', '_')}": record.cpu_seconds for record in stages})
        _log_metrics(run, {"memory/peak_mebibytes": max(record.peak_mebibytes for record in stages)})
        reused = ", ".join(record.stage for record in stages if record.reused)
        _set_tags(run, {MLFLOW_RUN_NOTE: description, "stages.reused": reused or "none", **tags})


def log_result(run: TrackedRun, *, figures: Mapping[str, float] | None = None, tags: Mapping[str, str] | None = None) -> None:
    """Log what came of a run."""
    with reaching_mlflow():
        _log_metrics(run, figures or {})
        _set_tags(run, tags or {})


def log_sweep(
    run: TrackedRun, *, description: str, figures: Path, metrics: Mapping[str, float], tags: Mapping[str, str]
) -> None:
    """Log a sweep's description, the folder of its figures, and its best trial."""
    with reaching_mlflow():
        MlflowClient().log_artifacts(run.run_id, str(figures), "figures")
        MlflowClient().log_text(run.run_id, description, "report.md")
        _log_metrics(run, metrics)
        _set_tags(run, {MLFLOW_RUN_NOTE: description, **tags})


def _log_metrics(run: TrackedRun, figures: Mapping[str, float], step: int = 0) -> None:
    now = int(time.time() * 1000)
    MlflowClient().log_batch(run.run_id, metrics=[Metric(name, float(value), now, step) for name, value in figures.items()])


def _set_tags(run: TrackedRun, tags: Mapping[str, str]) -> None:
    MlflowClient().log_batch(run.run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def _without_password(text: str) -> str:
    return re.sub(r"://[^/\s]*@", "://", text)
