"""Versions' pages and the registered model's card, written from what MLflow holds, whoever took the decision."""

import logging
from typing import Any

from configs.loading import parse_config
from tasks.errors import InputError, ModelMismatch
from tasks.handles import BaselineComparison, Decision, LedgerEntry, TrackedRun
from tasks.mlflow_store import connect, reaching_mlflow
from tasks.registration.ledger import read_ledger
from tasks.registration.promotion import base_of
from tasks.registration.run_files import fetched_run_file
from tasks.registration.sources import find_run
from tasks.registration.versions import (
    BASELINE_TAG,
    DECISION_TAG,
    VersionDetails,
    describe_model,
    describe_version,
    find_version,
    list_versions,
)
from tasks.version_page import VersionRecord, write_page

logger = logging.getLogger("reprise.registration")

GAP = "\u2003\u200b"
"""Ends a cell: MLflow leaves no room between columns, and drops white space that nothing follows."""

CARD = "card.md"
MAX_DESCRIPTION = 5000
"""Characters of the column in MLflow's registry (mlflow.store.model_registry.dbmodels), which PostgreSQL enforces."""


def read_record(name: str, version_or_alias: str) -> VersionRecord:
    """Return all that MLflow holds of a version: without what its run told, where that is gone.

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
    lost, run_tags, metrics, config = None, {}, {}, {}
    try:
        run = find_run(details)
        run_tags, metrics = run.data.tags, run.data.metrics
        config = _read_config(details)
    except ModelMismatch as error:
        lost = str(error)
    decision, baseline = details.tags.get(DECISION_TAG), details.tags.get(BASELINE_TAG)
    return VersionRecord(
        name=name,
        version=version,
        champion=base_of(ledger).champion,
        run_id=details.summary.run_id,
        tags=details.tags,
        lost=lost,
        run_tags=run_tags,
        metrics=metrics,
        config=config,
        decision=None if decision is None else Decision.model_validate_json(decision),
        baseline=None if baseline is None else BaselineComparison.model_validate_json(baseline),
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
    for one in sorted({version, *({before} & present if before else ())}):
        page = lay_out(write_page(read_record(name, one)))
        describe_version(name, one, fit_description(page, f"`reprise show {one} --model {name}`"))
    champion = base_of(read_ledger(name)).champion
    try:
        with fetched_run_file(find_version(name, champion or version), CARD, "its model card") as path:
            card = path.read_text(encoding="utf-8")
    except ModelMismatch as error:  # must not undo a rollback to a version that can still be served
        card = f"The card of this model's champion, version {champion or version}, is lost. {error}"
        logger.warning("%s", error)
    describe_model(name, fit_description(lay_out(card), f"{CARD} of the run"))


def lay_out(page: str) -> str:
    """Return a page as MLflow shows it best: without the heading, which its own page has, and with room in and below tables."""
    lines = page.split("\n")
    if lines[0].startswith("# "):
        lines = lines[2:]
        lines[0] = lines[0].replace("**", "")  # lists of versions show this line as it is
    laid_out = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        in_table = line.startswith("| ")
        laid_out.append(line.replace(" | ", f"{GAP} | ") if in_table and not line.startswith("| ---") else line)
        if in_table and not following:
            laid_out += ["", "<br>"]
    return "\n".join(laid_out)


def fit_description(page: str, command: str) -> str:
    """Return a page cut to what a description may hold, with the command that shows it whole."""
    if len(page) <= MAX_DESCRIPTION:
        return page
    note = f"\n\nCut here: {command} shows it whole.\n"
    return page[: MAX_DESCRIPTION - len(note)].rsplit("\n", 1)[0] + note


def _ended(entry: LedgerEntry, version: str) -> bool:
    return entry.champion_before == version and entry.champion_after != version


def _read_config(details: VersionDetails) -> dict[str, Any]:
    with fetched_run_file(details, "config.yaml", "its configuration") as path:
        return parse_config(path.read_text(encoding="utf-8"), f"config.yaml of the run {details.summary.run_id}")


def _read_config_of(name: str, version: str) -> dict[str, Any] | None:
    try:
        return _read_config(find_version(name, version))
    except (InputError, ModelMismatch):  # the version, or its run, was deleted since
        return None
