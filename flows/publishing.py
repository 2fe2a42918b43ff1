"""What a run shows in the Prefect UI: its name, its report, its stages and its links."""

from datetime import UTC, datetime

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run

from configs.schema import Config
from tasks.handles import Drift, TrackedRun
from tasks.monitoring.report import list_signals
from tasks.report import RunResult, write_report


def name_training_run() -> str:
    """Return the name of the present flow run: what it trains, its seed, and when, in UTC."""
    config = Config.model_validate(flow_run.parameters["config"])
    return f"{config.registered_model} seed {config.training.seed} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


def publish_result(result: RunResult, config: Config) -> None:
    """Publish a run's report, its stages' seconds and, where MLflow is a server, the link to its run."""
    create_markdown_artifact(write_report(result, config), key="training-report", description=result.decision.reason)
    create_table_artifact(
        [{"stage": record.stage, "seconds": round(record.seconds, 2), "reused": record.reused} for record in result.stages],
        key="stage-seconds",
        description=result.run.name,
    )
    if result.run.url is not None:
        create_link_artifact(result.run.url, link_text=f"MLflow run {result.run.name}", key="mlflow-run")


def publish_drift(drift: Drift, report: str, run: TrackedRun) -> None:
    """Publish a comparison's report, its signals and, where MLflow is a server, the link to its run."""
    create_markdown_artifact(report, key="drift-report", description=drift.sentence)
    create_table_artifact(list_signals(drift), key="drift-signals", description=drift.sentence)
    if run.url is not None:
        create_link_artifact(run.url, link_text=f"MLflow run {run.name}", key="mlflow-run")
