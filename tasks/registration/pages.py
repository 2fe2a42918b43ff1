"""Versions' pages and the registered model's card, written from what MLflow holds, whoever took the decision."""

from typing import Any

import mlflow
import yaml

from tasks.errors import InputError
from tasks.handles import Decision, LedgerEntry, TrackedRun
from tasks.registration.ledger import read_ledger
from tasks.registration.promotion import base_of
from tasks.registration.versions import (
    DECISION_TAG,
    VersionDetails,
    describe_model,
    describe_version,
    find_version,
    list_versions,
)
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


def log_card(run: TrackedRun, card: str) -> None:
    """Keep with a run the model card for when its version is champion.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        client.log_text(run.run_id, card, CARD)


def publish_pages(name: str, version: str, before: str | None = None) -> None:
    """Write the page of a version, and of the one before it if it is still there, and the champion's card.

    Raises:
        InputError: there is no such version.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    present = {one.version for one in list_versions() if one.name == name}
    for one in (version, *([before] if before is not None and before in present else [])):
        describe_version(name, one, write_page(read_record(name, one)))
    champion = base_of(read_ledger(name)).champion
    shown = find_version(name, champion or version)
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
