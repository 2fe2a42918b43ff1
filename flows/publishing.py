"""What a run shows in the Prefect UI: its name, its report, its stages and its links."""

from datetime import UTC, datetime

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from configs.schema import Config
from configs.sweep import SweepConfig
from flows.events import DECISION_PROMOTE, DECISION_UNDECIDED, ModelEvent, emit_model_event
from tasks.handles import Drift, TrackedRun
from tasks.monitoring.report import list_signals
from tasks.report import RunResult, SweepResult, headline, write_report

DECISION_EVENTS: dict[str, ModelEvent] = {"promote": DECISION_PROMOTE, "undecided": DECISION_UNDECIDED}


def name_training_run() -> str:
    """Return the name of the present flow run: when, in UTC, what it trains, and its seed."""
    config = Config.model_validate(flow_run.parameters["config"])
    return f"{_now()} {config.registered_model} seed {config.training.seed}"


def name_retraining_run() -> str:
    """Return the name of the present flow run: when, in UTC, and what it retrains."""
    config = Config.model_validate(flow_run.parameters["config"])
    return f"{_now()} {config.registered_model} retraining"


def name_watching_run() -> str:
    """Return the name of the present flow run: when, in UTC, and whose reviews it looks at."""
    config = Config.model_validate(flow_run.parameters["config"])
    return f"{_now()} {config.registered_model} watching"


def _now() -> str:
    # First in a name: lists cut names at their end, where they would all look alike.
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


def flow_run_page() -> str:
    """Return the address of the present flow run's page, or "" where no server shows it."""
    # Not `flow_run.ui_url`, which names a path that the UI has no more (3.8.8).
    return url_for("flow-run", obj_id=flow_run.id) or ""


def emit_decision(model: str, version: str, outcome: str, reason: str, link: str | None = None) -> None:
    """Tell the Prefect server what was decided on a version, where that is more than to keep the champion.

    Args:
        model: the registered model.
        version: its number.
        outcome: promote, keep or undecided.
        reason: why, in one sentence.
        link: where to read on; by default the page of the present flow run.
    """
    event = DECISION_EVENTS.get(outcome)
    if event is not None:
        emit_model_event(event, model, {"version": version, "reason": reason, "link": link or flow_run_page()})


def publish_result(result: RunResult, config: Config) -> None:
    """Publish a run's report, its stages' seconds and, where MLflow is a server, the link to its run."""
    create_markdown_artifact(write_report(result, config), key="training-report", description=result.decision.reason)
    create_table_artifact(
        [{"stage": record.stage, "seconds": round(record.seconds, 2), "reused": record.reused} for record in result.stages],
        key="stage-seconds",
        description=f"{sum(record.seconds for record in result.stages):.1f} s in all",
    )
    if result.run.url is not None:
        create_link_artifact(
            result.run.url, link_text=f"MLflow run {result.run.name}", key="mlflow-run", description=headline(result)
        )


def publish_sweep(result: SweepResult, sweep: SweepConfig) -> None:
    """Publish the trial that a sweep chose, and the version that was trained with its values."""
    version = result.training.version
    create_table_artifact(
        [{"key": key, "value": value} for key, value in result.best.params.items()],
        key="best-trial",
        description=f"Trial {result.best.number} of sweep {sweep.name}, {sweep.metric} {result.best.value}: "
        f"{version.name} version {version.version}",
    )


def publish_drift(drift: Drift, report: str, run: TrackedRun) -> None:
    """Publish a comparison's report, its signals and, where MLflow is a server, the link to its run."""
    create_markdown_artifact(report, key="drift-report", description=drift.sentence)
    create_table_artifact(list_signals(drift), key="drift-signals", description=drift.sentence)
    if run.url is not None:
        create_link_artifact(run.url, link_text=f"MLflow run {run.name}", key="mlflow-run", description=drift.sentence)
