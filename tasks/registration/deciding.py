"""A version before the gate: compared with the champion as it is now, decided on, and the decision carried out and recorded."""

import logging
import math
from collections.abc import Sequence

from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_attempt

from configs.schema import Config
from tasks.errors import InputError, ModelMismatch, RepriseError, StaleBase
from tasks.handles import Comparison, Decision, GateRows, HighWaterMark, Interval, LedgerEntry, Reviews, Verdict
from tasks.registration.champion_line import best_of_line
from tasks.registration.comparing import audit_version, compare_versions
from tasks.registration.gate import judge
from tasks.registration.ledger import Draft, count_decisions, read_ledger
from tasks.registration.manifest import DIGEST_TAG
from tasks.registration.noise import read_noise
from tasks.registration.promotion import promote, read_base, record
from tasks.registration.versions import CHALLENGER, CHAMPION, VersionDetails, find_version, record_decision

ATTEMPTS = 3
DIGESTS = {"weights": "weights_sha256", "dataset": "dataset.sha256", "files": DIGEST_TAG}
logger = logging.getLogger("reprise.registration")


def decide_on(name: str, version: str, *, reviews: Reviews, gate_rows: GateRows, config: Config, actor: str) -> Decision:
    """Compare a version with the champion on the gate rows, and promote it if the gate lets it.

    Where another version becomes champion meanwhile, it is compared with that one. What stops the gate is entered in the
    ledger as refused, and raised.

    Args:
        name: the registered model.
        version: a version's number.
        reviews: the reviews that the gate rows are of.
        gate_rows: the rows that decide.
        config: of the version.
        actor: who or what asks.

    Raises:
        GateClosed: the champion is gone, its alias was moved by hand, or the ledger is damaged.
        DataError: no gate row is left, or all are of one class.
        ModelMismatch: a version is not what was registered, or cannot be loaded.
        StaleBase: other promotions came first, several times.
        RegistryError: MLflow could not be reached, or refused; the champion is then what it was.
    """
    challenger = find_version(name, version)
    retrying = Retrying(
        retry=retry_if_exception_type(StaleBase),
        stop=stop_after_attempt(ATTEMPTS),
        before_sleep=before_sleep_log(logger, logging.WARNING),
        reraise=True,
    )
    try:
        decision: Decision = retrying(_decide, challenger, reviews, gate_rows, config, actor)
    except RepriseError as error:
        logger.error("the gate is closed to %s version %s: %s", name, version, error)
        try:
            record(_draft(challenger, "refused", str(error), actor, gate_rows))
        except RepriseError as unrecorded:  # must not hide what went wrong first
            logger.error("that could not be entered in the ledger: %s", unrecorded)
        raise
    record_decision(name, version, decision)
    return decision


def _decide(challenger: VersionDetails, reviews: Reviews, gate_rows: GateRows, config: Config, actor: str) -> Decision:
    name, version = challenger.summary.name, challenger.summary.version
    base = read_base(name)
    if base.champion == version:
        raise InputError(f"version {version} of {name!r} is the champion already")
    entries = read_ledger(name)
    champion = find_version(name, base.champion) if base.champion else None
    best, recorded_mark = _find_marks(name, entries)
    for one in (challenger, *([champion] if champion else []), *best):
        check_entered(one, entries)
    comparison = compare_versions(
        challenger,
        champion,
        best,
        reviews=reviews,
        gate_rows=gate_rows,
        config=config,
        decided_before=count_decisions(entries, gate_rows.sha256),
        recorded_mark=recorded_mark,
        noise=read_noise(name),
    )
    verdict = judge(comparison, floors=config.registration.floors, gate=config.registration.gate)
    audit = None
    draft = _draft(challenger, verdict.outcome, verdict.reason, actor, gate_rows, comparison)
    if verdict.outcome == "promote":
        if gate_rows.audit_rows:
            audit = audit_version(challenger, reviews, gate_rows, config.registration.gate.confidence)
            figures = {"audit_accuracy": audit.value, "audit_low": audit.low, "audit_high": audit.high}
            draft = draft.model_copy(update={"figures": draft.figures | figures})
        promote(base, draft)
    else:
        record(draft)
    return _decision(verdict, comparison, audit, version, base.champion)


def _find_marks(name: str, entries: tuple[LedgerEntry, ...]) -> tuple[list[VersionDetails], HighWaterMark | None]:
    """Return the versions that may hold the high-water mark, and what is on record of one that is there no more."""
    found, gone = [], []
    for version, accuracy in best_of_line(entries).items():
        try:
            found.append(find_version(name, version))
        except InputError:
            gone.append(HighWaterMark(version=version, accuracy=accuracy))
    return found, max(gone, key=lambda mark: mark.accuracy, default=None)


def _draft(
    challenger: VersionDetails,
    outcome: str,
    reason: str,
    actor: str,
    gate_rows: GateRows,
    comparison: Comparison | None = None,
) -> Draft:
    return Draft.model_validate(
        {
            "name": challenger.summary.name,
            "version": challenger.summary.version,
            "action": "gate",
            "outcome": outcome,
            "reason": reason,
            "actor": actor,
            "gate_sha256": gate_rows.sha256,
            "figures": _figures(comparison) if comparison else {},
            "digests": version_digests(challenger),
        }
    )


def check_entered(version: VersionDetails, entries: Sequence[LedgerEntry]) -> None:
    """See that a version has the digests with which the ledger's entries on it knew it.

    Raises:
        ModelMismatch: one of its tags was changed since.
    """
    present = version_digests(version)
    for entry in entries:
        for digest, entered in entry.digests.items() if entry.version == version.summary.version else ():
            if present.get(digest) != entered:
                raise ModelMismatch(
                    f"version {entry.version} of {version.summary.name} is not what was registered: its tag {DIGESTS[digest]} "
                    f"was {entered} in entry {entry.number} of the ledger and is {present.get(digest, 'gone')}"
                )


def version_digests(version: VersionDetails) -> dict[str, str]:
    """Return the digests by which a ledger's entry knows a version: of its weights, its data and its files."""
    return {name: version.tags[tag] for name, tag in DIGESTS.items() if tag in version.tags}


def _figures(comparison: Comparison) -> dict[str, float]:
    challenger, champion, pair = comparison.challenger, comparison.champion, comparison.accuracy
    figures: dict[str, float | None] = {
        **challenger.metrics,
        "calibration_error": challenger.calibration_error,
        "latency_milliseconds": challenger.latency_milliseconds,
        "bytes": challenger.bytes,
        "rows": comparison.rows,
        "overlap_rows": comparison.overlap_rows,
        "decided_before": comparison.decided_before,
        "champion_accuracy": champion.metrics["accuracy"] if champion else None,
        "p_value": comparison.p_value,
        "high_water": comparison.high_water.accuracy if comparison.high_water else None,
        "noise_spread": comparison.noise.spread if comparison.noise else None,
    }
    if pair is not None:
        figures |= {"gain": pair.gain.value, "gain_low": pair.gain.low, "gain_high": pair.gain.high}
    # What is not finite closes the gate and stands in its reason; JSON has no number for it.
    return {name: round(value, 6) for name, value in figures.items() if value is not None and math.isfinite(value)}


def _decision(verdict: Verdict, comparison: Comparison, audit: Interval | None, version: str, champion: str | None) -> Decision:
    promoted = verdict.outcome == "promote"
    return Decision(
        outcome=verdict.outcome,
        reason=verdict.reason,
        alias=CHAMPION if promoted else CHALLENGER,
        champion=version if promoted else champion,
        replaced=champion if promoted else None,
        checks=verdict.checks,
        comparison=comparison,
        audit=audit,
    )
