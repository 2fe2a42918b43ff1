"""The promotion flows: a version before the gate by hand, past it by an override, or an earlier champion put back."""

from prefect import flow

from configs.schema import RegistrationConfig
from flows.publishing import emit_decision
from tasks.evaluation.task import choose_gate_rows
from tasks.handles import Decision, LedgerEntry
from tasks.ingestion.task import ingest
from tasks.registration.by_hand import begin_override, begin_rollback, refuse_champion, rollback_target
from tasks.registration.reproduction import read_recipe
from tasks.registration.sealing import refuse_opening
from tasks.registration.task import decide, prove, publish, put_in_place
from tasks.stage import recorded_stages
from tasks.validation.task import validate_reviews
from tasks.validation.verdict import require_passed


@flow(name="promotion", flow_run_name="promotion of {name} version {version}")
def promotion(name: str, version: str) -> Decision:
    """Compare a registered version with the champion on the gate rows as they are now, and promote it if the gate lets it.

    Args:
        name: of the registered model.
        version: its number.
    """
    config = read_recipe(name, version).config
    refuse_champion(name, version)
    refuse_opening(name, config.evaluation.audit_fraction)
    with recorded_stages():
        prove(name, version, config.registration)
        reviews = ingest(config.data)
        validation = validate_reviews(reviews, config.validation)
        require_passed(validation)
        gate_rows = choose_gate_rows(reviews, validation, config.evaluation.audit_fraction)
        decision = decide(name, version, reviews, gate_rows, config, actor=None)
        publish(name, version, before=decision.replaced)
    emit_decision(name, version, decision.outcome, decision.reason)
    return decision


@flow(name="override", flow_run_name="override for {name} version {version}")
def override(name: str, version: str, reason: str) -> LedgerEntry:
    """Make a version champion without asking the gate, once it has proved usable.

    Args:
        name: of the registered model.
        version: its number.
        reason: why, for the ledger.
    """
    base = begin_override(name, version, reason)
    prove(name, version, RegistrationConfig())
    entry = put_in_place(name, version, base, "override", reason)
    publish(name, version, before=entry.champion_before)
    emit_decision(name, version, "promote", f"override: {reason}")
    return entry


@flow(name="rollback", flow_run_name="rollback of {name}")
def rollback(name: str, version: str | None, reason: str) -> LedgerEntry:
    """Make an earlier champion the champion again, once it has proved usable.

    Args:
        name: of the registered model.
        version: its number; without one, the champion before the present one.
        reason: why, for the ledger.
    """
    target = version or rollback_target(name)
    base = begin_rollback(name, target, reason)
    prove(name, target, RegistrationConfig())
    entry = put_in_place(name, target, base, "rollback", reason)
    publish(name, target, before=entry.champion_before)
    emit_decision(name, target, "promote", f"rollback: {reason}")
    return entry
