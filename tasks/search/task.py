"""A sweep's stages: its study begun or continued, its trials, and what they found."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from configs.schema import Config, PaddingConfig
from configs.sweep import SweepConfig, with_values
from tasks.abandoned_runs import end_killed_runs
from tasks.errors import ConfigError, RepriseError, TrainingDiverged, TrialFailed, TrialPruned
from tasks.handles import PaddedReviews, Reviews, TrackedRun, TrialOutcome, ValidationReport
from tasks.padding.task import pad_reviews
from tasks.recording import log_epoch, log_result, log_sweep
from tasks.shared_results import localized
from tasks.stage import recorded_stages, stage, submitted_stage
from tasks.tracking import training_run
from tasks.training.trial_training import borrowed_trainer

OWN_FAULTS = (TrialPruned, TrainingDiverged, ConfigError, TrialFailed)
"""What ends one trial and leaves the others as they are."""

logger = logging.getLogger("reprise.search")


@contextmanager
def settling_trials(sweep: SweepConfig, config: Config) -> Iterator[None]:
    """Where the block is left by an exception, an interrupt say, queue again the trials that ended with the task runner.

    Those on a cluster that is there may go on: they are left to the sweep's next start.
    """
    try:
        yield
    except BaseException:
        if sweep.runner.address is None:
            try:
                _settle(sweep, config)
            except RepriseError as unreachable:  # must not hide what went wrong first
                logger.error("sweep %s: its trials are left to its next start: %s", sweep.name, unreachable)
        raise


@stage("study")
def open_trials(sweep: SweepConfig, config: Config, reviews: Reviews) -> int:
    """Begin the study or continue it, and return how many trials it lacks; those that were killed are to be run again.

    Raises:
        InputError: it began with another space, configuration or other reviews.
    """
    from tasks.search.study import count_missing, open_study, require_same

    study = open_study(sweep, config)
    require_same(study, sweep, config, reviews.sha256)
    _settle(sweep, config)
    missing = count_missing(study, sweep)
    logger.info("sweep %s: %d of %d trials to run", sweep.name, missing, sweep.trials)
    return missing


@submitted_stage("trial")
def run_trial(
    sweep: SweepConfig,
    config: Config,
    reviews: Reviews,
    validation: ValidationReport,
    padded: PaddedReviews,
    parent: TrackedRun,
    tags: Mapping[str, str],
) -> TrialOutcome:
    """Draw a trial, train it in a process of its own, and enter what became of it in the study.

    `padded` is what `config` says; a trial that searches how to pad has its own. It is an MLflow run below `parent`: FINISHED,
    KILLED where it was pruned, or FAILED where it alone is at fault.
    """
    from tasks.search.study import draw_trial, enter_error, enter_figure, open_study, outcome_of, reporter

    study = open_study(sweep, config)
    trial = draw_trial(study, sweep, config)
    try:
        chosen = with_values(config, trial.params)
        report = reporter(trial, sweep, chosen.training.epochs)
        unwatched = chosen.model_copy(update={"tracking": chosen.tracking.model_copy(update={"system_metrics": False})})
        name = f"{sweep.name} trial {trial.number}"
        with recorded_stages(), training_run(unwatched, name=name, tags=tags, parent=parent) as run:
            trial.set_user_attr("run_id", run.run_id)
            same = chosen.padding == config.padding
            own = padded if same else _pad(reviews, validation, chosen.padding)

            def on_epoch(epoch: int, figures: Mapping[str, float]) -> None:
                log_epoch(run, epoch, figures)
                report(epoch, figures)

            try:
                threads = sweep.threads or cores() // sweep.runner.workers or 1
                with localized(own) as local, borrowed_trainer(threads) as trainer:
                    found = trainer.train(local, chosen, on_epoch)
            except TrialPruned as pruned:
                log_result(run, tags={"pruned": str(pruned)})
                raise
            epoch = found.best_epoch if chosen.training.restore_best_weights else len(found.history["loss"])
            figure = found.history[sweep.metric][epoch - 1]
            log_result(run, figures={f"trial/{sweep.metric}": figure})
            # Before the run ends: whatever happens from here on, the study has it.
            enter_figure(study, sweep, trial, figure)
    except OWN_FAULTS as fault:
        enter_error(study, sweep, trial, fault)
    return outcome_of(study, sweep, trial.number)


def _pad(reviews: Reviews, validation: ValidationReport, padding: PaddingConfig) -> PaddedReviews:
    with localized(reviews) as read, localized(validation) as validated:
        return pad_reviews(read, validated, padding)


@stage("conclusion")
def conclude(sweep: SweepConfig, config: Config, run: TrackedRun) -> TrialOutcome:
    """Log all trials to the sweep's run, and return the best.

    Raises:
        TrialFailed: none is complete.
    """
    from tasks.search.figures import draw_figures
    from tasks.search.report import best_of, write_sweep
    from tasks.search.study import open_study, outcomes

    study = open_study(sweep, config)
    trials = outcomes(study, sweep)
    best = best_of(trials, sweep)
    figures = Path(run.folder) / "figures"
    draw_figures(study, sweep, figures)
    log_sweep(
        run,
        description=write_sweep(trials, best, sweep),
        figures=figures,
        metrics={f"best/{sweep.metric}": best.value or 0.0, "trials": len(trials)},
        tags={"sweep.best_trial": str(best.number), "sweep.best_run_id": best.run_id or ""},
    )
    return best


def _settle(sweep: SweepConfig, config: Config) -> None:
    from tasks.search.study import open_study, requeue_killed

    end_killed_runs(requeue_killed(open_study(sweep, config), sweep))


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
