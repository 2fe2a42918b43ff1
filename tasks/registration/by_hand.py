"""A champion put in place by a person: an override of the gate, or a rollback. The files must be sound all the same."""

from typing import Literal

from configs.schema import RegistrationConfig
from tasks.errors import InputError, ModelMismatch
from tasks.evaluation.scores import check_probabilities
from tasks.handles import LedgerEntry
from tasks.registration.champion_line import previous_champion
from tasks.registration.identity import version_digests
from tasks.registration.ledger import Draft, check_reason, read_ledger
from tasks.registration.load_check import score_afresh
from tasks.registration.model_files import verified_model
from tasks.registration.promotion import Base, promote, read_base
from tasks.registration.versions import find_version

PROBES = ("A wonderful film, one of the best of the year.", "A dreadful bore from beginning to end.", "")


def prove_usable(name: str, version: str, bounds: RegistrationConfig) -> None:
    """Load a version in a process of its own, from the packages that it pins, and have it score some texts.

    Raises:
        InputError: there is no such version.
        ModelMismatch: its files are not what was registered, or it cannot be used within the bounds of time and memory.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    with verified_model(name, version) as folder:
        seconds, mebibytes = bounds.load_check_seconds, bounds.load_check_mebibytes
        try:
            found = score_afresh(folder, PROBES, seconds=seconds, mebibytes=mebibytes)
            check_probabilities(found.probabilities, len(PROBES))
        except ModelMismatch as error:
            raise ModelMismatch(f"version {version} of {name}: {error}") from error


def refuse_champion(name: str, version: str) -> None:
    """Refuse a version that is the champion already, before anything is done for its promotion.

    Raises:
        InputError: it is.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    _refuse_in_place(read_base(name, forced=True), name, version)


def begin_override(name: str, version: str, reason: str) -> Base:
    """Return what an override begins from: it is stale if another version becomes champion before it is done.

    Raises:
        InputError: there is no such version, it is the champion already, or the reason is missing or too long.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    check_reason(reason)
    find_version(name, version)
    base = read_base(name, forced=True)
    _refuse_in_place(base, name, version)
    return base


def begin_rollback(name: str, version: str, reason: str) -> Base:
    """Return what a rollback begins from, as `begin_override` does.

    Raises:
        InputError: as there, or the version was never champion.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    if all(entry.champion_after != version for entry in read_ledger(name)):
        raise InputError(f"version {version} of {name!r} was never champion: reprise promote {version} --model {name}")
    return begin_override(name, version, reason)


def put_in_place(name: str, version: str, base: Base, action: Literal["override", "rollback"], reason: str) -> LedgerEntry:
    """Make a version champion without asking the gate, and enter by what right.

    Raises:
        StaleBase: another version became champion since `base` was read.
        GateClosed: the ledger is damaged, or the alias was moved by hand since.
        UnsettledAlias: the version is champion by the ledger, and its alias could not be set.
        RegistryError: MLflow could not be reached, or refused.
    """
    digests = version_digests(find_version(name, version))
    return promote(base, Draft(name=name, version=version, action=action, outcome="promote", reason=reason, digests=digests))


def rollback_target(name: str) -> str:
    """Return the version that was champion before the present one took over.

    Raises:
        InputError: there is none.
        GateClosed: the ledger is damaged.
        RegistryError: MLflow could not be reached, or refused.
    """
    version = previous_champion(read_ledger(name))
    if version is None:
        raise InputError(f"{name!r} had no champion before this one: name a version that was champion with --to")
    return version


def _refuse_in_place(base: Base, name: str, version: str) -> None:
    if base.champion == base.alias == version:
        raise InputError(f"version {version} of {name!r} is the champion already")
