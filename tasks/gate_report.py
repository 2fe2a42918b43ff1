"""What the gate found, as Markdown: the two versions side by side, slice by slice, and each condition."""

from tasks.handles import Comparison, Decision, Interval, LedgerEntry, PairedAccuracy
from tasks.markdown import in_cell, table
from tasks.titles import METRIC_TITLES

MARKS = {True: "passed", False: "FAILED", None: "open"}


def gate_lines(decision: Decision) -> list[str]:
    """Return a decision's comparison and conditions as lines."""
    comparison, audit = decision.comparison, decision.audit
    decisions = "1 decision" if comparison.decided_before == 1 else f"{comparison.decided_before} decisions"
    overlap = comparison.overlap_rows
    left_out = f"; {overlap:,} more left out, since a version was trained on their text" if overlap else ""
    rows = f"{comparison.rows:,} gate rows (`{comparison.gate_sha256[:12]}`)"
    return [
        f"**{decision.outcome}** on {rows}, which had taken {decisions} before{left_out}.",
        "",
        *_standings(comparison),
        *_slices(comparison),
        "",
        *table(
            ["condition", "", "why"],
            [[check.name, MARKS[check.passed], in_cell(check.sentence)] for check in decision.checks],
        ),
        *(["", f"Accuracy on the sealed audit rows, opened for the promotion: {tell_share(audit)}"] if audit else []),
    ]


def tell_share(share: Interval) -> str:
    """Return a share and its interval in per cent."""
    return f"{share.value:.2%} [{share.low:.2%}, {share.high:.2%}]"


def tell_change(entry: LedgerEntry) -> str:
    """Return the champion before and after an entry, or the one it left."""
    if entry.champion_before == entry.champion_after:
        return entry.champion_after or "none"
    return f"{entry.champion_before or 'none'} -> {entry.champion_after}"


def gain_in_points(pair: PairedAccuracy) -> str:
    """Return a gain and its interval in percentage points."""
    gain = pair.gain
    return f"{100 * gain.value:+.2f} [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]"


def _standings(comparison: Comparison) -> list[str]:
    versions = [comparison.challenger, *([comparison.champion] if comparison.champion else [])]
    figures = [
        *([METRIC_TITLES[name], *(f"{one.metrics[name]:.4f}" for one in versions)] for name in comparison.challenger.metrics),
        ["Calibration error", *(f"{one.calibration_error:.4f}" for one in versions)],
        ["Latency, one text", *(f"{one.latency_milliseconds:.1f} ms" for one in versions)],
        ["Size", *(f"{one.bytes / 2**20:.2f} MiB" for one in versions)],
    ]
    return table(["on the gate rows", *(f"version {one.version}" for one in versions)], figures)


def _slices(comparison: Comparison) -> list[str]:
    if comparison.accuracy is None:
        return []
    pairs = (comparison.accuracy, *comparison.slices)
    rows = [
        [pair.name, f"{pair.rows:,}", f"{pair.challenger:.2%}", f"{pair.champion:.2%}", gain_in_points(pair)] for pair in pairs
    ]
    return ["", *table(["accuracy on", "rows", "challenger", "champion", "gain in points, with interval"], rows)]
