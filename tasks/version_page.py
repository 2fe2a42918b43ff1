"""The page that tells why a version is what it is: the same in the terminal and as its description in MLflow."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from configs.loading import flatten
from tasks.baseline_report import baseline_lines
from tasks.gate_report import gate_lines, tell_change
from tasks.handles import BaselineComparison, Decision, LedgerEntry
from tasks.markdown import in_cell, table
from tasks.metric_names import PEAK_MEMORY, cpu_seconds_metric, interval_metrics, seconds_metric, timed_stages
from tasks.titles import METRIC_TITLES


class VersionRecord(NamedTuple):
    """All that MLflow holds of a version.

    `tags` are the version's, `run_tags`, `metrics` and `config` its run's; `decision` is the gate's last on it, `baseline`
    what it was beside the linear model, None where there was none; `entries` are the ledger's on it or on its end as champion;
    `compared` is the champion it was compared with or took over from, and that one's configuration, None where it is gone.
    `lost` says why the run tells nothing, or not all, any more.
    """

    name: str
    version: str
    champion: str | None
    run_id: str
    lost: str | None
    tags: Mapping[str, str]
    run_tags: Mapping[str, str]
    metrics: Mapping[str, float]
    config: Mapping[str, Any]
    decision: Decision | None
    baseline: BaselineComparison | None
    entries: tuple[LedgerEntry, ...]
    compared: tuple[str, Mapping[str, Any] | None] | None


def write_page(record: VersionRecord) -> str:
    """Return a version's page as Markdown."""
    return "\n".join(
        [
            f"# {record.name} version {record.version}",
            "",
            _standing(record),
            "",
            *([f"**Lost.** {record.lost}", ""] if record.lost else []),
            *_ledger(record),
            *_section("Gate", gate_lines(record.decision) if record.decision else []),
            *_section("Test metrics on the gate rows, as trained", _metrics(record.metrics)),
            *_section("Beside a linear model", _baseline(record)),
            *_section("Data", _data(record)),
            *_section("Configuration", _differences(record)),
            *_section("Receipts", _receipts(record)),
        ]
    )


def record_as_json(record: VersionRecord) -> dict[str, Any]:
    """Return a version's record as JSON values."""
    return {
        **record._asdict(),
        "decision": None if record.decision is None else record.decision.model_dump(mode="json"),
        "baseline": None if record.baseline is None else record.baseline.model_dump(mode="json"),
        "entries": [entry.model_dump(mode="json") for entry in record.entries],
    }


def compare_configs(present: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the key, the value and the other value of each leaf in which two configurations differ."""
    one, two = flatten(present), flatten(other)
    keys = [*one, *(key for key in two if key not in one)]

    def shown(tree: Mapping[str, Any], key: str) -> str:
        return str(tree[key]) if key in tree else "absent"

    return [(key, shown(one, key), shown(two, key)) for key in keys if key not in one or key not in two or one[key] != two[key]]


def _standing(record: VersionRecord) -> str:
    moves = [entry for entry in record.entries if entry.champion_after != entry.champion_before]
    if record.version == record.champion:
        return f"**Champion** since {moves[-1].time:%Y-%m-%d %H:%M} UTC. {moves[-1].reason}" if moves else "**Champion.**"
    if not record.entries:
        return "**Not the champion.** No decision was taken on this one."
    last = record.entries[-1]
    return f"**Not the champion.** The last word on this one, by {last.action}: {last.reason}"


def _ledger(record: VersionRecord) -> list[str]:
    rows = [
        [
            f"{entry.time:%Y-%m-%d %H:%M:%S} UTC",
            in_cell(entry.actor),
            entry.action,
            entry.outcome,
            tell_change(entry),
            in_cell(entry.reason),
        ]
        for entry in record.entries
    ]
    return _section("Decisions", table(["when", "who", "by", "outcome", "champion", "reason"], rows) if rows else [])


def _metrics(metrics: Mapping[str, float]) -> list[str]:
    rows = [
        [title, f"{metrics[f'test/{name}']:.4f}", _interval(metrics, name)]
        for name, title in METRIC_TITLES.items()
        if f"test/{name}" in metrics
    ]
    return table(["metric", "value", "interval"], rows) if rows else []


def _baseline(record: VersionRecord) -> list[str]:
    tested = {name.removeprefix("test/"): value for name, value in record.metrics.items() if name.startswith("test/")}
    return [] if record.baseline is None else baseline_lines(record.baseline, tested)


def _interval(metrics: Mapping[str, float], name: str) -> str:
    bounds = [f"{metrics[bound]:.4f}" for bound in interval_metrics(name) if bound in metrics]
    return " to ".join(bounds) or "not recorded"


def _data(record: VersionRecord) -> list[str]:
    tags = record.tags
    return [
        f"- Dataset `{tags.get('dataset')}` from `{record.run_tags.get('dataset.source')}`",
        f"- sha256 of the reviews: `{tags.get('dataset.sha256')}`",
        f"- sha256 of the gate rows: `{tags.get('gate.sha256')}`",
    ]


def _differences(record: VersionRecord) -> list[str]:
    if record.compared is None:
        return ["There was no champion to differ from."]
    version, config = record.compared
    if not record.config:
        return ["It is lost."]
    if config is None:
        return [f"That of version {version} is gone."]
    rows = [[f"`{key}`", f"`{value}`", f"`{other}`"] for key, value, other in compare_configs(record.config, config)]
    if not rows:
        return [f"The same as that of version {version}."]
    return table(["key", f"version {record.version}", f"version {version}"], rows)


def _receipts(record: VersionRecord) -> list[str]:
    reused = record.run_tags.get("stages.reused", "").split(", ")
    rows = [
        [
            stage,
            f"{record.metrics[seconds_metric(stage)]:.1f}",
            _cpu_seconds(record.metrics, stage),
            "reused" if stage in reused else "",
        ]
        for stage in sorted(timed_stages(record.metrics), key=lambda stage: stage == "total")
    ]
    peak = record.metrics.get(PEAK_MEMORY)
    return [
        *table(["stage", "seconds", "CPU seconds", ""], rows),
        "",
        f"- Peak memory: {peak:,.0f} MiB" if peak is not None else "- Peak memory: not recorded",
        f"- Run `{record.run_id}`, commit `{record.run_tags.get('mlflow.source.git.commit', 'unknown')}`",
        f"- sha256 of the weights: `{record.tags.get('weights_sha256')}`",
        f"- sha256 over all files: `{record.tags.get('files.sha256')}`",
        f"- Reproduced: {record.tags.get('reproduced', 'not tried')}",
    ]


def _cpu_seconds(metrics: Mapping[str, float], stage: str) -> str:
    value = metrics.get(cpu_seconds_metric(stage))
    return "" if value is None else f"{value:.1f}"


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []
