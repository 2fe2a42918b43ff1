"""Versions' pages and the registered model's card, written from what MLflow holds, whoever took the decision."""

from typing import Any

import mlflow
import yaml

from tasks.errors import InputError
from tasks.handles import Decision, LedgerEntry
from tasks.registration.ledger import read_ledger
from tasks.registration.promotion import base_of
from tasks.registration.versions import DECISION_TAG, VersionDetails, describe_model, describe_version, find_version
from tasks.tracking import connect, reaching_mlflow
from tasks.version_page import VersionRecord, write_page

CARD = "card.md"


def read_record(name: str, version_or_alias: str) -> VersionRecord:
    """Return all that MLflow holds of a version.

    Raises:
        InputError: there is no such version.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    details = find_version(name, version_or_alias)
    version = details.summary.version
    ledger = read_ledger(name)
    own = [entry for entry in ledger if entry.version == version]
    rival = next((entry.champion_before for entry in reversed(own) if entry.champion_before != version), None)
    client = connect()
    with reaching_mlflow():
        run = client.get_run(details.summary.run_id)
    decision = details.tags.get(DECISION_TAG)
    return VersionRecord(
        name=name,
        version=version,
        champion=base_of(ledger).champion,
        run_id=details.summary.run_id,
        tags=details.tags,
        run_tags=run.data.tags,
        metrics=run.data.metrics,
        config=_read_config(details),
        decision=None if decision is None else Decision.model_validate_json(decision),
        entries=tuple(entry for entry in ledger if entry in own or _ended(entry, version)),
        compared=None if rival is None else (rival, _read_config_of(name, rival)),
    )


def publish_pages(name: str, *versions: str) -> None:
    """Write each version's page into its description, and the champion's card into that of the registered model.

    Raises:
        InputError: there is no such version.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    for version in versions:
        describe_version(name, version, write_page(read_record(name, version)))
    champion = base_of(read_ledger(name)).champion
    shown = find_version(name, champion or versions[-1])
    with reaching_mlflow():
        card = mlflow.artifacts.load_text(f"runs:/{shown.summary.run_id}/{CARD}")
    describe_model(name, card)


def _ended(entry: LedgerEntry, version: str) -> bool:
    return entry.champion_before == version and entry.champion_after != version


def _read_config(details: VersionDetails) -> dict[str, Any]:
    with reaching_mlflow():
        text = mlflow.artifacts.load_text(f"runs:/{details.summary.run_id}/config.yaml")
    tree: dict[str, Any] = yaml.safe_load(text)
    return tree


def _read_config_of(name: str, version: str) -> dict[str, Any] | None:
    try:
        return _read_config(find_version(name, version))
    except InputError:  # the version was deleted since
        return None
