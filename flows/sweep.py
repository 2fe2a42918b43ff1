"""The sweep flow: ingest -> validate -> pad -> many trials side by side -> the best one trained, evaluated and registered."""

import logging
from collections.abc import Mapping

from prefect import flow, tags
from prefect.futures import as_completed
from prefect.runtime import flow_run

from configs.schema import Config
from configs.sweep import SweepConfig, with_values
from flows.publishing import publish_sweep
from flows.recovery import prefect_tags, recover_killed_runs
from flows.runners import task_runner
from flows.training import training
from tasks.handles import PaddedReviews, Reviews, TrackedRun, ValidationReport
from tasks.ingestion.task import ingest
from tasks.padding.task import pad_reviews
from tasks.progress import tell, working
from tasks.recording import log_datasets, log_result
from tasks.registration.sealing import refuse_opening
from tasks.report import SweepResult
from tasks.search.report import trial_line
from tasks.search.storage import study_alone
from tasks.search.task import conclude, open_trials, run_trial, settling_trials
from tasks.stage import recorded_stages
from tasks.tracking import training_run
from tasks.training.trial_training import stopping_trials
from tasks.validation.task import validate_padded, validate_reviews
from tasks.validation.verdict import require_passed

logger = logging.getLogger("reprise.sweep")


@flow(name="sweep", flow_run_name="sweep {sweep.name}")
def sweep(config: Config, sweep: SweepConfig) -> SweepResult:
    """Try values of the sweep's space, each trial a training that never opens the test split, and train with the best.

    Args:
        config: All that the trials have in common.
        sweep: What differs between them, and where they run.
    """
    recover_killed_runs()
    refuse_opening(config.registered_model, config.evaluation.audit_fraction)
    run_tags = {**prefect_tags(), "sweep": sweep.name}
    with (
        tags(*flow_run.tags),  # without them nobody would watch over the flows that this one calls
        study_alone(sweep),
        recorded_stages(),
        training_run(config, name=flow_run.name, tags=run_tags) as run,
    ):
        reviews = ingest(config.data)
        validation = validate_reviews(reviews, config.validation)
        log_datasets(run, reviews, validation)
        require_passed(validation)
        padded = pad_reviews(reviews, validation, config.padding)
        require_passed(validate_padded(padded))

        side_by_side = trials.with_options(task_runner=task_runner(sweep.runner))
        with settling_trials(sweep, config):
            while missing := open_trials(sweep, config, reviews):
                side_by_side(missing, sweep, config, reviews, validation, padded, run, run_tags)
        best = conclude(sweep, config, run)

        chosen = {"sweep": sweep.name, "sweep.run_id": run.run_id, "sweep.trial": str(best.number)}
        result = SweepResult(run, best, training(with_values(config, best.params), tags=chosen))
        log_result(run, tags={"sweep.version": result.training.version.version})
        publish_sweep(result, sweep)
    return result


@flow(name="trials", flow_run_name="trials of {sweep.name}")
def trials(
    number: int,
    sweep: SweepConfig,
    config: Config,
    reviews: Reviews,
    validation: ValidationReport,
    padded: PaddedReviews,
    run: TrackedRun,
    run_tags: Mapping[str, str],
) -> None:
    """Run so many trials, as many at once as the task runner takes."""
    with stopping_trials():
        running = [run_trial.submit(sweep, config, reviews, validation, padded, run, run_tags) for _ in range(number)]
        with working("trials", number, "trials"):
            for done, trial in enumerate(as_completed(running), 1):
                logger.info("%s", trial_line(trial.result(), sweep))
                tell("trials", done, number, "trials")
