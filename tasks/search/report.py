"""A sweep as Markdown, and the trial that it chose. Pure functions of handles."""

from collections.abc import Sequence

from configs.sweep import SweepConfig
from tasks.errors import TrialFailed
from tasks.handles import TrialOutcome
from tasks.markdown import in_cell, table


def best_of(trials: Sequence[TrialOutcome], sweep: SweepConfig) -> TrialOutcome:
    """Return the complete trial with the best value, the earliest of several.

    Raises:
        TrialFailed: none is complete.
    """
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    if not complete:
        errors = [trial.error for trial in trials if trial.error]
        raise TrialFailed(f"sweep {sweep.name}: none of {len(trials)} trials is complete; {(errors or ['no error'])[0]}")
    sign = 1 if sweep.metric == "val_loss" else -1
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def write_sweep(trials: Sequence[TrialOutcome], best: TrialOutcome, sweep: SweepConfig) -> str:
    """Return the sweep's trials and its best one."""
    counts = ", ".join(f"{sum(trial.state == state for trial in trials)} {state}" for state in ("complete", "pruned", "failed"))
    keys = list(sweep.space)
    rows = [
        [
            f"**{trial.number}**" if trial == best else str(trial.number),
            trial.state,
            "" if trial.value is None else f"{trial.value:.4f}",
            str(trial.epochs),
            *(format_value(trial.params.get(key)) for key in keys),
            in_cell(trial.error or ""),
        ]
        for trial in trials
    ]
    return "\n".join(
        [
            f"# Sweep {sweep.name}",
            "",
            f"**Trial {best.number}** is best, with {sweep.metric} {best.value:.4f}: "
            + ", ".join(f"`{key}` {format_value(value)}" for key, value in best.params.items()),
            "",
            f"{counts}; sampler {sweep.sampler}, pruner {sweep.pruner}.",
            "",
            *table(["trial", "state", sweep.metric, "epochs", *keys, "remark"], rows),
        ]
    )


def trial_line(trial: TrialOutcome, sweep: SweepConfig) -> str:
    """Return what became of a trial in one line."""
    found = trial.error or f"{sweep.metric} {trial.value:.4f} after {trial.epochs} epochs"
    values = ", ".join(f"{key.split('.')[-1]} {format_value(value)}" for key, value in trial.params.items())
    return f"trial {trial.number} {trial.state}: {found} ({values})"


def format_value(value: object) -> str:
    """Return a value as a table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
