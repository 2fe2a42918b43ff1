"""Promotion as compare-and-set: the ledger's next entry is won by one writer, and the alias `champion` follows it."""

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from filelock import FileLock
from mlflow.exceptions import MlflowException

from tasks.errors import GateClosed, InputError, RegistryError, StaleBase, UnsettledAlias
from tasks.handles import Handle, LedgerEntry
from tasks.mlflow_store import connect, is_embedded, reaching_mlflow, store_folder
from tasks.registration.ledger import (
    Draft,
    RegisteredState,
    append_entry,
    champion_of,
    is_missing,
    mark_settled,
    read_state,
    set_again_on_collision,
)
from tasks.registration.versions import CHALLENGER, CHAMPION, find_version

logger = logging.getLogger("reprise.registration")

SECOND_LOOK_SECONDS = 1.0
MEND = (
    "`reprise rollback --to VERSION --reason ...` or `reprise promote VERSION --override --reason ...` puts a champion in place"
)


class Base(Handle):
    """The champion that a challenger is compared with, by the ledger, and what a promotion must find unchanged.

    `number` is that of the entry that made it champion, 0 without one; `alias` the version that the alias was at, which is
    another one only where a person has moved it and another takes its place by force.
    """

    champion: str | None
    number: int
    alias: str | None


def read_base(name: str, *, forced: bool = False) -> Base:
    """Return the champion of a registered model, by its ledger and its alias alike.

    A promotion that was cut off between the two is finished here.

    Args:
        name: the registered model.
        forced: for a person's override or rollback: where ledger and alias disagree, return what the ledger says.

    Raises:
        GateClosed: the champion is gone, its alias was moved or removed by hand, or its ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    connect()
    with _one_at_a_time():
        seen = None
        while True:
            state = read_state(name)
            base, alias, unsettled = base_of(state.entries), state.aliases.get(CHAMPION), _unsettled(state)
            if alias == base.champion:
                if unsettled is not None:
                    mark_settled(state, unsettled)
                return base
            if forced:
                return base.model_copy(update={"alias": alias})
            if unsettled is not None and alias == unsettled.champion_before:
                logger.warning(
                    "entry %d of the ledger of %s made version %s champion, but the alias was not set: setting it now",
                    *(unsettled.number, name, unsettled.version),
                )
                settle(name)
            elif is_embedded() or (alias, state.head_sha256) == seen:
                raise GateClosed(_tell_disagreement(state, name))
            else:  # another machine may be between its entry and its alias: what is still so in a moment was done by hand
                seen = alias, state.head_sha256
                time.sleep(SECOND_LOOK_SECONDS)


def find_disagreement(name: str) -> str | None:
    """Return how ledger and alias disagree on the champion, or None; nothing is mended.

    Raises:
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    state = read_state(name)
    return None if state.aliases.get(CHAMPION) == champion_of(state.entries) else _tell_disagreement(state, name)


def promote(base: Base, draft: Draft) -> LedgerEntry:
    """Make a version champion if no other became champion since `base` was read, and return the entry that says so.

    After a RegistryError the version may be champion, or not: `read_base` tells, and finishes what was begun.

    Raises:
        StaleBase: another version became champion since.
        InputError: there is no such version, or the reason is missing or too long.
        GateClosed: the ledger is damaged, the alias was moved by hand since, or the version was deleted meanwhile.
        UnsettledAlias: the version is champion by the ledger, and its alias could not be set.
        RegistryError: MLflow could not be reached, or refused.
    """
    if draft.outcome != "promote":
        raise ValueError(f"{draft.outcome} promotes nothing")
    find_version(draft.name, draft.version)
    with _one_at_a_time():
        entry = None
        while entry is None:
            state = read_state(draft.name)
            present = base_of(state.entries)
            if (present.champion, present.number) != (base.champion, base.number):
                raise StaleBase(_tell_stale(base, draft, state.entries))
            if state.aliases.get(CHAMPION) != base.alias:
                raise GateClosed(_tell_disagreement(state, draft.name))
            entry = append_entry(draft, state)
        try:
            settle(draft.name)
        except RegistryError as error:
            raise UnsettledAlias(
                f"version {entry.version} of {draft.name!r} is champion by entry {entry.number} of its ledger, but its alias "
                f"may not be set, which the next promotion or training will do: {error}"
            ) from error
    return entry


def record(draft: Draft) -> LedgerEntry:
    """Enter a decision that moves nothing: keep, undecided or refused.

    Raises:
        InputError: there is no such version, or the reason is missing or too long.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    if draft.outcome == "promote":
        raise ValueError("a promotion goes through promote")
    find_version(draft.name, draft.version)
    entry = None
    while entry is None:
        entry = append_entry(draft, read_state(draft.name))
    return entry


def settle(name: str) -> None:
    """Set the alias `champion` to what the newest entry says, until that is so, and take `challenger` from that version.

    Whoever sets the alias looks at the ledger again after it: so the one who sets it last leaves it right.

    Raises:
        GateClosed: the ledger is damaged, or the champion's version was deleted.
        RegistryError: MLflow could not be reached, or refused.
    """
    client = connect()
    state = read_state(name)
    while (change := _last_change(state.entries)) is not None:
        with reaching_mlflow():
            try:
                set_again_on_collision(client.set_registered_model_alias, name, CHAMPION, change.version)
            except MlflowException as error:
                if is_missing(error):
                    raise GateClosed(f"version {change.version} of {name!r}, the champion, is gone: {MEND}") from None
                raise
        state = read_state(name)
        if state.aliases.get(CHAMPION) == champion_of(state.entries):
            break
    settled = _unsettled(state)
    if settled is not None:
        mark_settled(state, settled)
    if CHALLENGER in state.aliases and state.aliases[CHALLENGER] == champion_of(state.entries):
        with reaching_mlflow():
            client.delete_registered_model_alias(name, CHALLENGER)


def base_of(entries: Sequence[LedgerEntry]) -> Base:
    """Return the champion that a ledger's entries make, and the entry that made it."""
    change = _last_change(entries)
    champion = champion_of(entries)
    return Base(champion=champion, number=change.number if change else 0, alias=champion)


def _one_at_a_time() -> AbstractContextManager[object]:
    """Return a lock between the processes of an embedded store: a second look is spared, safety does not rest on it."""
    return FileLock(store_folder() / ".promotion.lock") if is_embedded() else nullcontext()


def _last_change(entries: Sequence[LedgerEntry]) -> LedgerEntry | None:
    return next((entry for entry in reversed(entries) if entry.outcome == "promote"), None)


def _unsettled(state: RegisteredState) -> LedgerEntry | None:
    change = _last_change(state.entries)
    return None if change is None or change.number in state.settled else change


def _tell_disagreement(state: RegisteredState, name: str) -> str:
    champion, alias = champion_of(state.entries), state.aliases.get(CHAMPION)
    if champion is None:
        return f"the alias champion of {name!r} is at version {alias}, which no entry of its ledger made champion: {MEND}"
    if alias is not None:
        return f"the alias champion of {name!r} was moved by hand to version {alias}; its ledger says {champion}: {MEND}"
    try:
        find_version(name, champion)
    except InputError:
        return f"version {champion} of {name!r}, the champion, is gone: {MEND}"
    return f"the alias champion of {name!r} was removed by hand; its ledger says version {champion}: {MEND}"


def _tell_stale(base: Base, draft: Draft, entries: Sequence[LedgerEntry]) -> str:
    change = _last_change(entries)
    if change is None:
        return f"stale base: {draft.name!r} has no champion now: run the gate again"
    compared = f"version {draft.version} was compared with {f'version {base.champion}' if base.champion else 'no champion'}"
    return (
        f"stale base: version {change.version} of {draft.name!r} became champion (entry {change.number} of its ledger, by "
        f"{change.actor}) after {compared}: run the gate again"
    )
