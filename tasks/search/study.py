"""An Optuna study: made or continued, its trials drawn, reported, and counted.

A trial is drawn from what the study holds, the sweep's seed and its number, so that another process that continues the study
draws as the first would have. One whose process was killed stays RUNNING until it is queued again; it then fails without an
error, which tells it from one that failed by itself.
"""

import json
from collections.abc import Callable, Mapping

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from configs.schema import Config
from configs.sweep import SweepConfig
from tasks.errors import InputError, TrialPruned
from tasks.handles import TrialOutcome
from tasks.search.space import distributions
from tasks.search.storage import open_storage, reaching_storage

IDENTITY = "identity"
RUN_ID = "run_id"
REPEATS = "repeats"
ERROR = "error"

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(sweep: SweepConfig, config: Config) -> Study:
    """Return the sweep's study, made where it is not there yet.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    storage = open_storage(sweep)
    direction = "minimize" if sweep.metric == "val_loss" else "maximize"
    with reaching_storage(sweep):
        return optuna.create_study(
            storage=storage,
            study_name=sweep.name,
            direction=direction,
            pruner=make_pruner(sweep, config.training.epochs),
            load_if_exists=True,
        )


def require_same(study: Study, sweep: SweepConfig, config: Config, reviews_sha256: str) -> None:
    """Have the study go on as it began: with the same space, rules, configuration and reviews; or begin it.

    Raises:
        InputError: it began with others, which the message names.
    """
    rules = {"metric", "sampler", "seed", "pruner", "startup_trials", "warmup_epochs", "space"}
    shared = {"validation", "padding", "model", "training"}
    wanted = {**sweep.model_dump(mode="json", include=rules), **config.model_dump(mode="json", include=shared)}
    del wanted["training"]["verbosity"]
    wanted["reviews"] = reviews_sha256
    with reaching_storage(sweep):
        found = study.user_attrs.get(IDENTITY)
        if found is None:
            study.set_user_attr(IDENTITY, json.dumps(wanted))
            return
    before = json.loads(found)
    if changed := sorted(key for key in wanted if wanted[key] != before.get(key)):
        raise InputError(
            f"sweep {sweep.name} began with another {', '.join(changed)}: trials of both cannot be compared; give another name"
        )


def requeue_killed(study: Study, sweep: SweepConfig) -> list[str]:
    """Mark as failed the trials that never ended, since their process was killed, and have their values tried again.

    Call it only while nobody runs trials of the study.

    Returns:
        The MLflow runs of those trials.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    with reaching_storage(sweep):
        waiting = {trial.user_attrs.get(REPEATS) for trial in study.get_trials(states=(TrialState.WAITING,))}
        killed = study.get_trials(states=(TrialState.RUNNING,))
        for trial in killed:
            # In this order: killed itself in between, this process leaves the trial to the next one, and no values are lost.
            if trial.params and trial.number not in waiting and ERROR not in trial.user_attrs:
                study.enqueue_trial(trial.params, user_attrs={REPEATS: trial.number})
            study.tell(trial.number, state=TrialState.FAIL)
        return [trial.user_attrs[RUN_ID] for trial in killed if RUN_ID in trial.user_attrs]


def count_missing(study: Study, sweep: SweepConfig) -> int:
    """Return how many trials the study lacks; one that was killed does not count as one that it has.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    with reaching_storage(sweep):
        return max(0, sweep.trials - len(ended_trials(study)))


def ended_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials that ended by themselves: complete, pruned or failed."""
    by_itself = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial for trial in study.get_trials() if trial.state in by_itself or is_failure(trial)]


def is_failure(trial: FrozenTrial) -> bool:
    """Tell whether a trial failed by itself, and was not killed."""
    return trial.state == TrialState.FAIL and ERROR in trial.user_attrs


def draw_trial(study: Study, sweep: SweepConfig, config: Config) -> Trial:
    """Return a new trial with a value for each key of the space, or one that waits to be run again.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    with reaching_storage(sweep):
        trial = study.ask()
        study.sampler = make_sampler(sweep, trial.number)
        for key, distribution in distributions(sweep.space, config).items():
            _suggest(trial, key, distribution)
        return trial


def make_sampler(sweep: SweepConfig, number: int) -> BaseSampler:
    """Return the sampler of one trial, whose draws follow from the sweep's seed and the trial's number."""
    seed = int(np.random.SeedSequence([sweep.seed, number]).generate_state(1)[0])
    if sweep.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=sweep.startup_trials)


def make_pruner(sweep: SweepConfig, epochs: int) -> BasePruner:
    """Return the pruner, for trials of at most `epochs` epochs."""
    if sweep.pruner == "median":
        return MedianPruner(n_startup_trials=sweep.startup_trials, n_warmup_steps=sweep.warmup_epochs)
    if sweep.pruner == "hyperband":
        return HyperbandPruner(min_resource=sweep.warmup_epochs, max_resource=max(epochs, sweep.warmup_epochs))
    return NopPruner()


def reporter(trial: Trial, sweep: SweepConfig, epochs: int) -> Callable[[int, Mapping[str, float]], None]:
    """Return what reports each epoch of a trial of `epochs` epochs, and ends it where the pruner says so.

    What is returned raises TrialPruned; never at the last epoch, after which there is nothing left to spare.
    """

    def report(epoch: int, figures: Mapping[str, float]) -> None:
        with reaching_storage(sweep):
            trial.report(figures[sweep.metric], epoch)
            if epoch < epochs and trial.should_prune():
                raise TrialPruned(f"pruned at epoch {epoch}, {sweep.metric} {figures[sweep.metric]:.4f}")

    return report


def enter_figure(study: Study, sweep: SweepConfig, trial: Trial, figure: float) -> None:
    """Enter a trial's figure, with which it is complete.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    with reaching_storage(sweep):
        study.tell(trial, figure)


def enter_error(study: Study, sweep: SweepConfig, trial: Trial, error: Exception) -> None:
    """Enter that a trial was pruned, or why it failed.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    with reaching_storage(sweep):
        trial.set_user_attr(ERROR, str(error) if isinstance(error, TrialPruned) else f"{type(error).__name__}: {error}")
        study.tell(trial, state=TrialState.PRUNED if isinstance(error, TrialPruned) else TrialState.FAIL)


def outcomes(study: Study, sweep: SweepConfig) -> tuple[TrialOutcome, ...]:
    """Return what became of the trials that ended by themselves, by number.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    with reaching_storage(sweep):
        return tuple(_outcome(trial) for trial in ended_trials(study))


def outcome_of(study: Study, sweep: SweepConfig, number: int) -> TrialOutcome:
    """Return what became of one trial that has ended.

    Raises:
        RepriseError: the storage could not be reached, or refused.
    """
    with reaching_storage(sweep):
        return _outcome(study.get_trials()[number])


def _outcome(trial: FrozenTrial) -> TrialOutcome:
    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    return TrialOutcome(
        number=trial.number,
        state=states[trial.state],
        value=trial.value,
        params=trial.params,
        epochs=trial.last_step or 0,
        run_id=trial.user_attrs.get(RUN_ID),
        error=trial.user_attrs.get(ERROR),
    )


def _suggest(trial: Trial, key: str, distribution: BaseDistribution) -> None:
    match distribution:
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(key, choices)
        case IntDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_int(key, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_float(key, low, high, step=step, log=log)
