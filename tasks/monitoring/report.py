"""What a comparison found, as Markdown for people and as rows of a table."""

from configs.monitoring import MonitoringConfig
from tasks.handles import Drift, NewReviews, TrackedRun
from tasks.markdown import in_cell, table


def write_report(drift: Drift, reviews: NewReviews, monitoring: MonitoringConfig, run: TrackedRun) -> str:
    """Return the report of a comparison as Markdown."""
    drawn = "" if reviews.rows == reviews.available else f", {reviews.rows:,} of them drawn by their content"
    lines = [
        f"# Monitoring of {drift.model} version {drift.version}: {drift.outcome}",
        "",
        in_cell(drift.sentence),
        "",
        f"- New reviews: {in_cell(reviews.source)}, {reviews.available:,} rows{drawn}, "
        f"{'with' if reviews.labelled else 'without'} labels",
        f"- Reference: {drift.reference_rows:,} gate rows of version {drift.version}",
        f"- MLflow run: {run.run_id} in {run.experiment}" + (f", [open]({run.url})" if run.url else ""),
    ]
    if drift.accuracy is not None and drift.detectable_drop is not None:
        bounds = f"{drift.accuracy.low:.2%} to {drift.accuracy.high:.2%}"
        lines += [
            f"- Accuracy on the new reviews: {drift.accuracy.value:.2%} ({monitoring.confidence:.0%} interval {bounds})",
            f"- Of so many rows, a drop of {100 * drift.detectable_drop:.1f} points is found in 4 of 5 samples or more",
        ]
    if drift.signals:
        rows = list_signals(drift)
        lines += ["", "## Signals", "", *table(list(rows[0]), [list(row.values()) for row in rows]), ""]
        lines += [
            f"A signal is drift where its p-value is at most {drift.signals[0].level:.3g} and its difference reaches the "
            f"threshold. All signals together alarm by chance in at most {monitoring.false_alarm_rate:.1%} of samples that are "
            "like the reference.",
        ]
    return "\n".join([*lines, ""])


def list_signals(drift: Drift) -> list[dict[str, str]]:
    """Return a row for each signal, figures as a person reads them."""
    return [
        {
            "signal": signal.name,
            "outcome": signal.outcome,
            "figure": signal.figure,
            "reference": f"{signal.reference:.4g}",
            "new": f"{signal.new:.4g}",
            "measure": signal.measure,
            "difference": f"{signal.size:.3g}",
            "threshold": f"{signal.threshold:g}",
            "p-value": f"{signal.p_value:.2g}",
        }
        for signal in drift.signals
    ]
