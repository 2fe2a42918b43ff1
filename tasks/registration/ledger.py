"""The promotion ledger of a registered model: an MLflow run whose parameters are the entries, each written once.

MLflow refuses to give a run's parameter another value (`SqlAlchemyStore.log_param`: the key is in the table's primary key), on
SQLite, PostgreSQL and through a server alike. So no entry is ever changed through MLflow, and of all who write entry n exactly
one wins: writing it is the compare-and-set. The parameter `alias.<n>` says that the alias was set as entry n has it.
"""

import getpass
import hashlib
import json
import re
import socket
import textwrap
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE
from pydantic import Field
from tenacity import Retrying, retry_if_exception, stop_after_attempt

from tasks.errors import GateClosed, InputError
from tasks.handles import Handle, LedgerEntry
from tasks.mlflow_store import connect, ensure_experiment, every_page, mlflow_command, reaching_mlflow

EXPERIMENT = "promotions"
RUN_TAG = "ledger.run_id"
MODEL_TAG = "ledger.model"
MAX_REASON = 1000
_OWN_REASONS = ("gate", "audit")
# MLflow cuts a longer value off without an error (mlflow.utils.validation.MAX_PARAM_VAL_LENGTH).
MAX_ENTRY = 6000

# MLflow looks for a tag or alias before it inserts it: where two set a new one at once, the second is refused with this code.
set_again_on_collision = Retrying(
    retry=retry_if_exception(lambda error: getattr(error, "error_code", None) == ErrorCode.Name(BAD_REQUEST)),
    stop=stop_after_attempt(3),
    reraise=True,
)


class Draft(Handle):
    """What is to be entered of one decision on a version of the registered model `name`.

    `actor` is a flow run's name; without it, the entry names the user and the host.
    """

    name: str
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]
    action: Literal["gate", "audit", "override", "rollback"]
    outcome: Literal["promote", "keep", "undecided", "refused", "audited"]
    reason: str
    actor: str | None = None
    gate_sha256: str | None = None
    figures: dict[str, float] = Field(default_factory=dict)
    digests: dict[str, str] = Field(default_factory=dict)


class RegisteredState(NamedTuple):
    """A registered model's aliases and ledger.

    `run_id` is the ledger's run, None where there is no ledger or no model yet; `head_sha256` the digest of the last entry;
    `settled` the numbers of the entries whose alias was set.
    """

    run_id: str | None
    aliases: Mapping[str, str]
    entries: tuple[LedgerEntry, ...]
    head_sha256: str
    settled: frozenset[int]


def read_ledger(name: str) -> tuple[LedgerEntry, ...]:
    """Return the entries of a registered model's ledger, oldest first; none where there is no model or no ledger yet.

    Raises:
        GateClosed: the ledger's run is gone, or an entry is missing or was changed.
        RegistryError: MLflow could not be reached, or refused: never taken for an empty ledger.
    """
    return read_state(name).entries


def read_state(name: str) -> RegisteredState:
    """Return a registered model's aliases and ledger, both empty where there is no such model yet.

    Raises:
        GateClosed: the ledger's run is gone, or an entry is missing or was changed.
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        model = find_model(client, name)
        run_id = model and model.tags.get(RUN_TAG)
        aliases = {alias: str(version) for alias, version in model.aliases.items()} if model else {}
        params = _read_params(client, name, run_id) if run_id else {}
        if run_id is None:
            _refuse_stray(client, name)
    entries, head_sha256 = decode_ledger(name, params)
    settled = frozenset(number for number, _ in _numbered(params, "alias"))
    return RegisteredState(run_id, aliases, entries, head_sha256, settled)


def append_entry(draft: Draft, state: RegisteredState) -> LedgerEntry | None:
    """Write the entry that follows `state`, and return it; None where another writer wrote one first.

    After a RegistryError the entry may have been written, or not: reading the ledger tells.

    Raises:
        InputError: the reason is missing or too long, or the entry is larger than MLflow keeps.
        GateClosed: the ledger's run is gone, or an entry is missing or was changed.
        RegistryError: MLflow could not be reached, or refused.
    """
    entry = next_entry(draft, state.entries, state.head_sha256)
    key, text = _key("entry", entry.number), encode_entry(entry)
    client = connect()
    run_id = state.run_id or ensure_ledger(draft.name)
    with reaching_mlflow():
        try:
            client.log_param(run_id, key, text)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(INVALID_PARAMETER_VALUE):
                raise
            written = _read_params(client, draft.name, run_id).get(key)
            if written is None:
                raise
            # An attempt of the client's own whose answer was lost has succeeded: the claim tells it from another's.
            return entry if written == text else None
    return entry


def mark_settled(state: RegisteredState, entry: LedgerEntry) -> None:
    """Note that the alias was set as an entry has it: one that is found elsewhere later was moved by hand.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        client.log_param(state.run_id, _key("alias", entry.number), entry.version)


def next_entry(draft: Draft, entries: Sequence[LedgerEntry], head_sha256: str) -> LedgerEntry:
    """Return the entry that would follow `entries`, made now; its time is never before that of the last.

    Raises:
        InputError: the reason is missing or too long.
    """
    champion = champion_of(entries)
    now = datetime.now(UTC)
    return LedgerEntry(
        number=len(entries) + 1,
        claim=uuid.uuid4().hex,
        time=max(now, entries[-1].time) if entries else now,
        actor=draft.actor or f"{getpass.getuser()}@{socket.gethostname()}",
        action=draft.action,
        outcome=draft.outcome,
        version=draft.version,
        champion_before=champion,
        champion_after=draft.version if draft.outcome == "promote" else champion,
        # The gate's own are told in full elsewhere.
        reason=textwrap.shorten(draft.reason, MAX_REASON, placeholder=" ...")
        if draft.action in _OWN_REASONS
        else check_reason(draft.reason),
        gate_sha256=draft.gate_sha256,
        figures=draft.figures,
        digests=draft.digests,
        previous_sha256=head_sha256,
    )


def encode_entry(entry: LedgerEntry) -> str:
    """Return an entry as MLflow keeps it: JSON of the entry and its digest.

    Raises:
        InputError: it is larger than MLflow keeps.
    """
    fields = entry.model_dump(mode="json")
    text = _canonical_json({"entry": fields, "sha256": hash_entry(fields)})
    if len(text) > MAX_ENTRY:
        raise InputError(
            f"entry {entry.number} of the promotion ledger would have {len(text):,} characters, of {MAX_ENTRY:,} that MLflow "
            f"keeps: record fewer than {len(entry.figures)} figures and {len(entry.digests)} digests"
        )
    return text


def hash_entry(fields: Mapping[str, Any]) -> str:
    """Return the sha256 (hex) of an entry's canonical JSON."""
    return hashlib.sha256(_canonical_json(fields).encode()).hexdigest()


def decode_ledger(name: str, params: Mapping[str, str]) -> tuple[tuple[LedgerEntry, ...], str]:
    """Return the entries among a run's parameters, oldest first, and the digest of the last, "" where there is none.

    Raises:
        GateClosed: an entry is missing, or was changed: its digest, or that which the next one has of it, is another's.
    """
    entries: list[LedgerEntry] = []
    head_sha256 = ""
    for number, text in _numbered(params, "entry"):
        expected = len(entries) + 1
        mend = "restore MLflow's database from a backup"
        if number != expected:
            raise GateClosed(f"entry {expected} of the promotion ledger of {name!r} is missing: {mend}")
        try:
            fields, digest = (stored := json.loads(text))["entry"], stored["sha256"]
            entry = LedgerEntry.model_validate(fields)
        except (ValueError, KeyError, TypeError):
            raise GateClosed(f"entry {number} of the promotion ledger of {name!r} cannot be read: {mend}") from None
        if (digest, entry.number, entry.previous_sha256) != (hash_entry(fields), number, head_sha256):
            raise GateClosed(f"entry {number} of the promotion ledger of {name!r} is not what was written: {mend}")
        entries.append(entry)
        head_sha256 = digest
    return tuple(entries), head_sha256


def champion_of(entries: Sequence[LedgerEntry]) -> str | None:
    """Return the champion after the last entry."""
    return entries[-1].champion_after if entries else None


def entries_until(entries: Sequence[LedgerEntry], moment: datetime) -> tuple[LedgerEntry, ...]:
    """Return the entries that were made up to a moment, which is aware of its time zone."""
    return tuple(entry for entry in entries if entry.time <= moment)


def count_decisions(entries: Sequence[LedgerEntry], gate_sha256: str) -> int:
    """Return how many decisions the same gate rows have taken; refusals, which decide nothing, do not count."""
    return sum(entry.action == "gate" and entry.gate_sha256 == gate_sha256 and entry.outcome != "refused" for entry in entries)


def find_gate_entry(entries: Sequence[LedgerEntry], version: str) -> LedgerEntry | None:
    """Return the gate's last decision on a version, or None; a refusal decides nothing."""
    decided = (one for one in reversed(entries) if one.version == version and one.action == "gate" and one.outcome != "refused")
    return next(decided, None)


def ensure_ledger(name: str) -> str:
    """Return the run of a registered model's ledger; make the model, or the ledger, where there is none.

    Raises:
        GateClosed: there is a ledger of that name, and the model does not point to it.
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        bound = _bound_run(client, name)
        if bound is not None:
            return bound
        _refuse_stray(client, name)
        spare = _create_run(client, name)
        try:
            client.create_registered_model(name, tags={RUN_TAG: spare})
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
        bound = _bound_run(client, name) or _adopt(client, name, spare)
        if bound != spare:
            client.delete_run(spare)
        return bound


def is_missing(error: MlflowException) -> bool:
    """Tell whether MLflow says that something does not exist, which an unreachable or wrong server never does."""
    return bool(error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))


def _adopt(client: MlflowClient, name: str, spare: str) -> str:
    """Give a ledger to a registered model that was made without one.

    An experiment's name is unique, and its first tags come with it: so all who do this at once find the same run in them.
    """
    note = f"Says which run is the promotion ledger of the registered model `{name}`, which was made without one."
    experiment_id = ensure_experiment(client, f"{EXPERIMENT} of {name}", {RUN_TAG: spare, MLFLOW_RUN_NOTE: note})
    bound = str(client.get_experiment(experiment_id).tags[RUN_TAG])
    set_again_on_collision(client.set_registered_model_tag, name, RUN_TAG, bound)
    return bound


def _create_run(client: MlflowClient, name: str) -> str:
    note = (
        f"The promotion ledger of the registered model `{name}`: each parameter is an entry. Without it the gate stays closed."
    )
    tags = {MODEL_TAG: name, MLFLOW_RUN_NOTE: note, MLFLOW_SOURCE_NAME: "reprise", MLFLOW_SOURCE_TYPE: "LOCAL"}
    run_id = str(client.create_run(ensure_experiment(client, EXPERIMENT), run_name=name, tags=tags).info.run_id)
    client.update_run(run_id, RunStatus.to_string(RunStatus.FINISHED))
    return run_id


def list_ledgers() -> dict[str, str]:
    """Return the run of each ledger that has an entry, by the name of its registered model, which may be gone.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    with reaching_mlflow():
        return _list_ledgers(client)


def _list_ledgers(client: MlflowClient) -> dict[str, str]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = [] if experiment is None else every_page(client.search_runs, [experiment.experiment_id])
    return {run.data.tags[MODEL_TAG]: run.info.run_id for run in runs if MODEL_TAG in run.data.tags and run.data.params}


def _refuse_stray(client: MlflowClient, name: str) -> None:
    """Without this, who takes away a model's tag would have its history begin anew, with no champion to be compared with."""
    stray = _list_ledgers(client).get(name)
    if stray is None or _bound_run(client, name) is not None:  # another process made the model just now
        return
    anew = f"to begin a new history, delete the ledger: {mlflow_command(f'runs delete --run-id {stray}')}"
    if find_model(client, name) is None:
        raise GateClosed(
            f"the registered model {name!r} is gone, and its promotion ledger, run {stray}, is not: restore MLflow's database "
            f"from a backup or, {anew}"
        )
    raise GateClosed(
        f"the registered model {name!r} has lost its promotion ledger, run {stray}: set the model's tag {RUN_TAG} to that or, "
        f"{anew}"
    )


def find_model(client: MlflowClient, name: str) -> Any:
    """Return a registered model, or None where MLflow says that there is none; call it while `reaching_mlflow`."""
    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if is_missing(error):
            return None
        raise


def _bound_run(client: MlflowClient, name: str) -> str | None:
    model = find_model(client, name)
    run_id: str | None = model and model.tags.get(RUN_TAG)
    return run_id


def _read_params(client: MlflowClient, name: str, run_id: str) -> dict[str, str]:
    restore = mlflow_command(f"runs restore --run-id {run_id}")
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if is_missing(error):
            raise GateClosed(
                f"the promotion ledger of {name!r}, run {run_id}, is gone for good: restore MLflow's database from a backup "
                f"or, to begin a new history, delete the tag {RUN_TAG} of the registered model"
            ) from None
        raise
    if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        raise GateClosed(f"the promotion ledger of {name!r}, run {run_id}, is deleted: bring it back with {restore}")
    return dict(run.data.params)


def _numbered(params: Mapping[str, str], kind: str) -> list[tuple[int, str]]:
    return sorted((int(found[1]), text) for key, text in params.items() if (found := re.fullmatch(rf"{kind}\.(\d+)", key)))


def _key(kind: str, number: int) -> str:
    return f"{kind}.{number:06d}"


def _canonical_json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def check_reason(reason: str) -> str:
    """Return a person's reason without white space around it.

    Raises:
        InputError: it is empty, or longer than a ledger keeps.
    """
    kept = reason.strip()
    if not kept:
        raise InputError("the ledger needs a reason: --reason TEXT")
    if len(kept) > MAX_REASON:
        raise InputError(f"the reason has {len(kept):,} characters: at most {MAX_REASON:,} are kept")
    return kept
