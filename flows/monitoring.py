"""The monitoring flow: new reviews -> as the champion sees them -> beside its reference -> report, and an event on drift."""

from prefect import flow
from prefect.runtime import flow_run

from configs.monitoring import Comparison, DataSource, MonitoringConfig
from flows.events import DRIFT_DETECTED, emit_model_event
from flows.publishing import flow_run_page, publish_drift
from flows.recovery import prefect_tags, recover_killed_runs
from tasks.handles import Drift
from tasks.monitoring.report import write_report
from tasks.monitoring.task import compare, fetch_reference, gather, observe, record
from tasks.registration.reproduction import read_recipe
from tasks.registration.versions import CHAMPION
from tasks.stage import recorded_stages
from tasks.tracking import training_run

USUAL = MonitoringConfig()


@flow(name="monitoring", flow_run_name="monitoring of {model}")
def monitoring(model: str, reviews: DataSource, monitoring: MonitoringConfig = USUAL) -> Drift:
    """Compare new reviews with those that a model's champion was evaluated on, and tell of drift.

    Args:
        model: The registered model.
        reviews: The new reviews, with or without labels.
        monitoring: What counts as drift.
    """
    recover_killed_runs()
    champion = read_recipe(model, CHAMPION)
    config = champion.config
    comparison = Comparison(
        reviews=reviews.as_data(config.data), monitoring=monitoring, tracking=config.tracking, trained_in=config.experiment
    )
    with recorded_stages() as stages, training_run(comparison, name=flow_run.name, tags=prefect_tags()) as run:
        reference = fetch_reference(model, champion.version, run)
        found = gather(comparison.reviews, monitoring.max_rows, run)
        observation = observe(model, champion.version, found, run)
        drift = compare(model, champion.version, reference, observation, monitoring, run)

        report = write_report(drift, found, monitoring, run)
        record(drift, found, report, stages, run)
        publish_drift(drift, report, run)
    if drift.outcome == "drift":
        told = {"version": drift.version, "sentence": drift.sentence, "link": run.url or flow_run_page()}
        emit_model_event(DRIFT_DETECTED, model, told)
    return drift
