"""Real pairs: versions that differ by the seed of their training alone, and what the gate says of each beside each other.

`reprise train` registers the seeds one after another in one empty store, so that the gate decides on each for real. Then every
version is loaded and scored as the gate does it, and each pair is compared and judged in both orders: without and with the seed
noise that these seeds themselves have. The sealed audit rows, which chose nothing, tell whether a promotion was right.
"""

import argparse
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Group
from rich.table import Table

from configs.schema import RegistrationConfig
from tasks.evaluation.comparison import compare_accuracy, compare_slices, expected_calibration_error, mcnemar
from tasks.evaluation.metrics import measure_points
from tasks.handles import Comparison, GateRows, HighWaterMark, Reviews, SeedNoise, StageOutput, Standing, Verdict
from tasks.registration.comparing import LATENCY_CALLS, Rows, Scored, load_version, measure_latencies, read_rows
from tasks.registration.gate import judge
from tasks.registration.ledger import read_ledger
from tasks.registration.noise import spread_of_difference
from tasks.registration.training_texts import read_training_texts
from tasks.registration.versions import find_version
from tests.benchmarks.simulation import BANDS, OUTCOMES
from tests.benchmarks.speed import out, train
from tests.benchmarks.workplace import working_in

REGISTRATION = RegistrationConfig()
STAGES = ("gate rows", "decision", "pages")
Output = TypeVar("Output", bound=StageOutput)


class Candidate(NamedTuple):
    """A registered version: how it stands on the gate rows, and what it says of them and of the audit rows."""

    standing: Standing
    gate: Scored
    audit: Scored


def measure_pairs(arguments: argparse.Namespace) -> tuple[dict[str, Any], Group]:
    """Train the seeds, and judge every pair of them."""
    workspace = Path.cwd() / "seeds"
    reports = []
    for seed in range(arguments.seeds):
        reports.append(train(arguments.data, workspace, f"training.seed={seed}"))
        accuracy, decision = reports[-1]["test"]["accuracy"], reports[-1]["decision"]
        out.print(f"seed {seed}: accuracy {accuracy:.4f}, {decision['outcome']}")
    with working_in(workspace):
        rows, audit_rows, candidates = read_candidates(reports)
        entries = read_ledger(reports[0]["model"])
    pairs = judge_pairs(rows, audit_rows, candidates)
    measured = {
        **summarize(pairs, candidates),
        "rows": len(rows.labels),
        "audit_rows": len(audit_rows.labels),
        "pairs": pairs,
        "ledger": [
            entry.model_dump(mode="json", include={"version", "champion_before", "outcome", "reason", "figures"})
            for entry in entries
        ],
        "seconds": [report["seconds"] for report in reports],
    }
    return measured, Group(tabulate_pairs(measured), tabulate_ledger(measured))


def read_candidates(reports: Sequence[dict[str, Any]]) -> tuple[Rows, Rows, list[Candidate]]:
    """Return the gate rows and the audit rows that none was trained on, and the versions scored on both, as the gate does."""
    reviews, gate_rows = find_handle("ingestion", Reviews), find_handle("gate rows", GateRows)
    versions = [find_version(report["model"], report["version"]) for report in reports]
    learned = pc.unique(pa.concat_arrays([read_training_texts(version, gate_rows) for version in versions]))
    rows, audit_rows = (read_rows(reviews, gate_rows.file(name), learned) for name in ("gate.parquet", "audit.parquet"))
    loaded = [load_version(version) for version in versions]
    latencies = measure_latencies([one.predict for one in loaded], rows.texts[:LATENCY_CALLS])
    candidates = []
    for one, latency in zip(loaded, latencies, strict=True):
        gate, audit = one.score(rows.texts), one.score(audit_rows.texts)
        standing = Standing(
            version=one.version,
            metrics=measure_points(rows.labels, gate.labels, gate.probabilities),
            calibration_error=expected_calibration_error(rows.labels, gate.probabilities),
            latency_milliseconds=latency,
            bytes=one.bytes,
        )
        candidates.append(Candidate(standing, gate, audit))
    return rows, audit_rows, candidates


def find_handle(stage: str, kind: type[Output]) -> Output:
    """Return the only result of a stage in the working folder's workspace."""
    (path,) = Path(".reprise/stages", stage).glob("*/handle.json")
    return kind.model_validate_json(path.read_text()).model_copy(update={"path": str(path.parent)})


def judge_pairs(rows: Rows, audit_rows: Rows, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Judge every ordered pair of versions, without and with the noise of them all, and see what the audit rows say of it."""
    accuracies = tuple(candidate.standing.metrics["accuracy"] for candidate in candidates)
    noise = SeedNoise(accuracies=accuracies, spread=spread_of_difference(accuracies), gate_sha256="", config_sha256="")
    floors, gate = REGISTRATION.floors, REGISTRATION.gate
    pairs = []
    for challenger, champion in permutations(candidates, 2):
        comparison = compare_candidates(rows, challenger, champion)
        told = [judge(comparison.model_copy(update={"noise": known}), floors=floors, gate=gate) for known in (None, noise)]
        accuracy = comparison.accuracy
        audit = compare_accuracy("audit", audit_rows.labels, challenger.audit.labels, champion.audit.labels, gate.confidence)
        pairs.append(
            {
                "challenger": challenger.standing.version,
                "champion": champion.standing.version,
                "gain": accuracy.gain.model_dump(),
                "p_value": comparison.p_value,
                "discordant": (accuracy.only_challenger + accuracy.only_champion) / accuracy.rows,
                "worst_slice_gain": min(part.gain.value for part in comparison.slices),
                "audit_gain": audit.gain.model_dump(),
                **{
                    kind: {"outcome": verdict.outcome, "first_failing": first_failing(verdict), "reason": verdict.reason}
                    for kind, verdict in zip(("without_noise", "with_noise"), told, strict=True)
                },
            }
        )
    return pairs


def compare_candidates(rows: Rows, challenger: Candidate, champion: Candidate) -> Comparison:
    """Compare two versions as the gate does where the champion is the best so far."""
    gate = REGISTRATION.gate
    ours, theirs = challenger.gate.labels, champion.gate.labels
    accuracy = compare_accuracy("all", rows.labels, ours, theirs, gate.confidence)
    test, p_value = mcnemar(accuracy.only_challenger, accuracy.only_champion)
    return Comparison(
        gate_sha256="",
        rows=accuracy.rows,
        overlap_rows=rows.overlap,
        decided_before=0,
        gate_changed=False,
        challenger=challenger.standing,
        champion=champion.standing,
        accuracy=accuracy,
        test=test,
        p_value=p_value,
        slices=compare_slices(rows.labels, rows.words, ours, theirs, bands=BANDS, confidence=gate.confidence),
        high_water=HighWaterMark(version=champion.standing.version, accuracy=accuracy.champion),
        noise=None,
    )


def first_failing(verdict: Verdict) -> str | None:
    """Return the name of the check that gave the reason, None of a promotion."""
    ordered = sorted((check for check in verdict.checks if not check.passed), key=lambda check: check.passed is None)
    return ordered[0].name if ordered else None


def summarize(pairs: Sequence[dict[str, Any]], candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Count the outcomes and their reasons, and tell how far seeds lie apart."""
    accuracies = [candidate.standing.metrics["accuracy"] for candidate in candidates]
    summary: dict[str, Any] = {
        "accuracies": accuracies,
        "standard_deviation": statistics.stdev(accuracies),
        "spread_of_difference": spread_of_difference(accuracies),
        "discordant": spread([pair["discordant"] for pair in pairs]),
        "size_of_gain": spread([abs(pair["gain"]["value"]) for pair in pairs]),
        "largest_loss_of_a_slice": spread([-pair["worst_slice_gain"] for pair in pairs]),
    }
    for kind in ("without_noise", "with_noise"):
        promoted = [pair for pair in pairs if pair[kind]["outcome"] == "promote"]
        summary[kind] = {
            "outcomes": {outcome: sum(pair[kind]["outcome"] == outcome for pair in pairs) for outcome in OUTCOMES},
            "first_failing": dict(Counter(pair[kind]["first_failing"] for pair in pairs if pair[kind]["first_failing"])),
            "promoted_gain": spread([pair["gain"]["value"] for pair in promoted]),
            "promoted_audit_gain": spread([pair["audit_gain"]["value"] for pair in promoted]),
            "audit_agrees": sum(pair["audit_gain"]["value"] > 0 for pair in promoted),
        }
    return summary


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return the least, the median and the greatest of values, None of none."""
    return {"least": min(values), "median": statistics.median(values), "most": max(values)} if values else None


def tabulate_pairs(measured: dict[str, Any]) -> Table:
    """Return a table of what the gate said of the pairs, and of how seeds differ."""
    pairs, count = measured["pairs"], len(measured["accuracies"])
    title = (
        f"{len(pairs)} ordered pairs of {count} seeds on {measured['rows']:,} gate rows; accuracy "
        f"{min(measured['accuracies']):.2%} to {max(measured['accuracies']):.2%}, standard deviation "
        f"{100 * measured['standard_deviation']:.2f} points, of a difference {100 * measured['spread_of_difference']:.2f}"
    )
    table = Table("", "seed noise not known", "known", title=title, title_justify="left")
    kinds = [measured[kind] for kind in ("without_noise", "with_noise")]
    for outcome in OUTCOMES:
        table.add_row(outcome, *(str(kind["outcomes"][outcome]) for kind in kinds))
    for check in sorted({check for kind in kinds for check in kind["first_failing"]}):
        table.add_row(f"  because of {check}", *(str(kind["first_failing"].get(check, 0)) for kind in kinds))
    table.add_row("promoted: audit rows agree", *(f"{kind['audit_agrees']} of {kind['outcomes']['promote']}" for kind in kinds))
    for name in ("promoted_gain", "promoted_audit_gain"):
        table.add_row(f"{name.replace('_', ' ')}, points", *(tell_spread(kind[name]) for kind in kinds))
    table.add_section()
    for name in ("discordant", "size_of_gain", "largest_loss_of_a_slice"):
        table.add_row(f"{name.replace('_', ' ')}, % or points", tell_spread(measured[name]), "")
    return table


def tabulate_ledger(measured: dict[str, Any]) -> Table:
    """Return a table of what the gate decided while the seeds were trained, and of the seconds that it took."""
    title = f"The ledger of the trainings, and the seconds and the share that {', '.join(STAGES)} took of each"
    table = Table("version", "champion", "accuracy", "gain", "outcome", *STAGES, "all", "%", title=title, title_justify="left")
    for entry, seconds in zip(measured["ledger"], measured["seconds"], strict=True):
        figures = entry["figures"]
        gain = f"{100 * figures['gain']:+.2f}" if "gain" in figures else ""
        taken = [seconds[stage] for stage in STAGES]
        whole = sum(seconds.values())
        told = (entry["version"], entry["champion_before"], f"{figures['accuracy']:.2%}", gain, entry["outcome"])
        table.add_row(*told, *(f"{number:.1f}" for number in (*taken, whole)), f"{100 * sum(taken) / whole:.0f}")
    return table


def tell_spread(values: dict[str, float] | None) -> str:
    """Return the least, the median and the greatest of shares in percent."""
    return " / ".join(f"{100 * value:.2f}" for value in values.values()) if values else ""
