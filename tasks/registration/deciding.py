"""A version before the gate: compared with the champion as it is now, decided on, and the decision carried out and recorded."""

import logging
import math
from pathlib import Path

from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_attempt

from configs.schema import Config
from tasks.errors import (
    DataError,
    GateClosed,
    InputError,
    ModelMismatch,
    RegistryError,
    RepriseError,
    StaleBase,
    UnsettledAlias,
)
from tasks.gate_report import tell_share
from tasks.handles import Comparison, Decision, GateRows, HighWaterMark, Interval, LedgerEntry, Reviews, Verdict
from tasks.registration.champion_line import champion_line, mark_candidates
from tasks.registration.comparing import audit_version, compare_versions
from tasks.registration.gate import judge
from tasks.registration.identity import version_digests
from tasks.registration.ledger import Draft, count_decisions, find_gate_entry, read_ledger
from tasks.registration.model_files import verified_model
from tasks.registration.noise import read_noise
from tasks.registration.promotion import promote, read_base, record
from tasks.registration.sources import check_sources
from tasks.registration.training_texts import read_training_texts
from tasks.registration.versions import CHALLENGER, CHAMPION, VersionDetails, find_version, record_decision
from tasks.workspace import write_whole

ATTEMPTS = 3
logger = logging.getLogger("reprise.registration")


def decide_on(
    name: str,
    version: str,
    *,
    reviews: Reviews,
    gate_rows: GateRows,
    config: Config,
    actor: str | None,
    kept: Path | None = None,
) -> Decision:
    """Compare a version with the champion on the gate rows, and promote it if the gate lets it.

    Where another version becomes champion meanwhile, it is compared with that one. What stops the gate is entered in the
    ledger as refused, and raised. The audit rows are scored once the version is champion.

    Args:
        name: the registered model.
        version: a version's number.
        reviews: the reviews that the gate rows are of.
        gate_rows: the rows that decide.
        config: of the version.
        actor: what asks, where it is not the user.
        kept: a file that the decision is kept in before it is carried out. Where it is there and the ledger has the decision
            on the version, that is not taken again, and what is left of it is done.

    Raises:
        GateClosed: the champion is gone, its alias was moved by hand, or the ledger is damaged.
        DataError: no gate row is left, or all are of one class.
        ModelMismatch: a version is not what was registered, or cannot be loaded.
        StaleBase: other promotions came first, several times.
        InputError: the version is the champion.
        UnsettledAlias: the version is champion by the ledger, and its alias could not be set.
        RegistryError: MLflow could not be reached, or refused.
    """
    challenger = find_version(name, version)
    retrying = Retrying(
        retry=retry_if_exception_type(StaleBase),
        stop=stop_after_attempt(ATTEMPTS),
        before_sleep=before_sleep_log(logger, logging.WARNING),
        reraise=True,
    )
    try:
        decision = _find_decided(challenger, kept) or retrying(_decide, challenger, reviews, gate_rows, config, actor, kept)
    except (GateClosed, ModelMismatch, DataError, StaleBase, RegistryError) as error:
        if not isinstance(error, UnsettledAlias):
            _refuse(challenger, error, actor, gate_rows)
        raise
    record_decision(name, version, decision)
    if decision.outcome == "promote":
        audit = audit_version(challenger, reviews, gate_rows, config.registration.gate.confidence)
        if audit is not None:
            audited = kept and any((entry.version, entry.action) == (version, "audit") for entry in read_ledger(name))
            if not audited:
                _enter_audit(challenger, audit, actor, gate_rows)
            decision = decision.model_copy(update={"audit": audit})
            record_decision(name, version, decision)
    return decision


def _find_decided(challenger: VersionDetails, kept: Path | None) -> Decision | None:
    if kept is None or not kept.is_file():
        return None
    name, version = challenger.summary.name, challenger.summary.version
    decision = Decision.model_validate_json(kept.read_text(encoding="utf-8"))
    entry = find_gate_entry(read_ledger(name), version)
    if entry is None or entry.outcome != decision.outcome:  # cut off before it was entered, or decided again by hand since
        return None
    read_base(name)  # a promotion that was cut off before the alias was set is finished there
    logger.info("the gate has decided on %s version %s: %s", name, version, entry.outcome)
    return decision


def _decide(
    challenger: VersionDetails,
    reviews: Reviews,
    gate_rows: GateRows,
    config: Config,
    actor: str | None,
    kept: Path | None,
) -> Decision:
    name, version = challenger.summary.name, challenger.summary.version
    base = read_base(name)
    if base.champion == version:
        raise InputError(f"version {version} of {name!r} is the champion already")
    champion = find_version(name, base.champion) if base.champion else None
    check_sources(challenger)
    if champion is not None:
        check_sources(champion)
        read_training_texts(champion)
    entries = read_ledger(name)
    best, recorded_marks = _find_marks(name, entries, gate_rows.sha256)
    comparison = compare_versions(
        challenger,
        champion,
        best,
        reviews=reviews,
        gate_rows=gate_rows,
        config=config,
        decided_before=count_decisions(entries, gate_rows.sha256),
        recorded_marks=recorded_marks,
        noise=read_noise(name),
    )
    verdict = judge(comparison, floors=config.registration.floors, gate=config.registration.gate)
    draft = _draft(challenger, "gate", verdict.outcome, verdict.reason, actor, gate_rows)
    figures = _figures(comparison) | {"confidence": config.registration.gate.confidence}
    digests = draft.digests | {"gate_config": config.registration.gate.digest()}
    draft = draft.model_copy(update={"figures": figures, "digests": digests})
    decision = _decision(verdict, comparison, version, base.champion)
    if kept is not None:
        write_whole(kept, decision.model_dump_json())
    if verdict.outcome == "promote":
        promote(base, draft)
    else:
        record(draft)
    return decision


def _refuse(challenger: VersionDetails, error: RepriseError, actor: str | None, gate_rows: GateRows) -> None:
    logger.error("the gate is closed to %s version %s: %s", challenger.summary.name, challenger.summary.version, error)
    try:
        record(_draft(challenger, "gate", "refused", str(error), actor, gate_rows))
    except RepriseError as unrecorded:  # must not hide what went wrong first
        logger.error("that could not be entered in the ledger: %s", unrecorded)


def _enter_audit(challenger: VersionDetails, audit: Interval, actor: str | None, gate_rows: GateRows) -> None:
    reason = (
        f"Version {challenger.summary.version}, promoted, has the accuracy {tell_share(audit)} on the sealed audit rows, "
        f"of which {gate_rows.audit_rows:,} were opened for it."
    )
    figures = {"accuracy_on_audit_rows": audit.value, "low": audit.low, "high": audit.high}
    rounded = {name: round(value, 6) for name, value in figures.items()}
    record(_draft(challenger, "audit", "audited", reason, actor, gate_rows).model_copy(update={"figures": rounded}))


def _find_marks(
    name: str, entries: tuple[LedgerEntry, ...], gate_sha256: str
) -> tuple[list[VersionDetails], list[HighWaterMark]]:
    """Return the versions that may hold the high-water mark, and what is on record of those that can be scored no more."""
    found, recorded = [], []
    *_, champion = (None, *(entry.version for entry in champion_line(entries)))
    for version, accuracy in mark_candidates(entries, gate_sha256).items():
        try:
            details = find_version(name, version)
            if version != champion:  # whose files must be sound: they are looked at when it is scored
                check_sources(details)
                read_training_texts(details)
                with verified_model(name, version):
                    pass
            found.append(details)
        except (InputError, ModelMismatch) as error:
            if accuracy is None:
                logger.warning("the high-water mark leaves out version %s, once the best: %s", version, error)
            else:
                recorded.append(HighWaterMark(version=version, accuracy=accuracy))
    return found, recorded


def _draft(challenger: VersionDetails, action: str, outcome: str, reason: str, actor: str | None, gate_rows: GateRows) -> Draft:
    return Draft.model_validate(
        {
            "name": challenger.summary.name,
            "version": challenger.summary.version,
            "action": action,
            "outcome": outcome,
            "reason": reason,
            "actor": actor,
            "gate_sha256": gate_rows.sha256,
            "digests": version_digests(challenger),
        }
    )


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


def _decision(verdict: Verdict, comparison: Comparison, version: str, champion: str | None) -> Decision:
    promoted = verdict.outcome == "promote"
    return Decision(
        outcome=verdict.outcome,
        reason=verdict.reason,
        alias=CHAMPION if promoted else CHALLENGER,
        champion=version if promoted else champion,
        replaced=champion if promoted else None,
        checks=verdict.checks,
        comparison=comparison,
        audit=None,
    )
