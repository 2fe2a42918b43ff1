"""The promotion flows: a version before the gate by hand, past it by an override, or an earlier champion put back."""

from prefect import flow

from tasks.evaluation.task import choose_gate_rows
from tasks.handles import Decision, LedgerEntry
from tasks.ingestion.task import ingest
from tasks.registration.by_hand import rollback_target
from tasks.registration.reproduction import read_recipe
from tasks.registration.task import decide, override, prove, publish, restore
from tasks.stage import recorded_stages
from tasks.validation.task import validate_reviews
from tasks.validation.verdict import require_passed


@flow(name="promotion", flow_run_name="promotion of {name} version {version}")
def promotion(name: str, version: str, actor: str) -> Decision:
    """Compare a registered version with the champion on the gate rows as they are now, and promote it if the gate lets it.

    Args:
        name: of the registered model.
        version: its number.
        actor: who asks.
    """
    recipe = read_recipe(name, version)
    config = recipe.config
    with recorded_stages():
        prove(name, version, config.registration)
        reviews = ingest(config.data)
        validation = validate_reviews(reviews, config.validation)
        require_passed(validation)
        gate_rows = choose_gate_rows(reviews, validation, config.evaluation.audit_fraction)
        decision = decide(name, version, reviews, gate_rows, config, actor)
        publish(name, version, before=decision.replaced)
    return decision


@flow(name="override", flow_run_name="override for {name} version {version}")
def override_promotion(name: str, version: str, reason: str) -> LedgerEntry:
    """Make a version champion without asking the gate, once it has proved usable.

    Args:
        name: of the registered model.
        version: its number.
        reason: why, for the ledger.
    """
    prove(name, version, read_recipe(name, version).config.registration)
    entry = override(name, version, reason)
    publish(name, version, before=entry.champion_before)
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
    prove(name, target, read_recipe(name, target).config.registration)
    entry = restore(name, target, reason)
    publish(name, target, before=entry.champion_before)
    return entry
