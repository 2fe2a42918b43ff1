"""A champion put in place by a person: an override of the gate, or a rollback. The files must be sound all the same."""

from configs.schema import RegistrationConfig
from tasks.errors import InputError, ModelMismatch
from tasks.evaluation.scores import check_probabilities
from tasks.handles import LedgerEntry
from tasks.registration.champion_line import previous_champion
from tasks.registration.deciding import check_entered, version_digests
from tasks.registration.ledger import Draft, read_ledger
from tasks.registration.load_check import score_afresh
from tasks.registration.model_files import verified_model
from tasks.registration.promotion import promote, read_base
from tasks.registration.versions import CHAMPION, find_version, read_aliases

PROBES = ("A wonderful film, one of the best of the year.", "A dreadful bore from beginning to end.", "")


def prove_usable(name: str, version: str, bounds: RegistrationConfig) -> None:
    """Load a version in a process of its own, from the packages that it pins, and have it score some texts.

    Raises:
        InputError: there is no such version.
        ModelMismatch: its files are not what was registered, or it cannot be used within the bounds of time and memory.
        RegistryError: MLflow could not be reached, or refused.
    """
    with verified_model(name, version) as folder:
        seconds, mebibytes = bounds.load_check_seconds, bounds.load_check_mebibytes
        try:
            found = score_afresh(folder, PROBES, seconds=seconds, mebibytes=mebibytes)
            check_probabilities(found.probabilities, len(PROBES))
        except ModelMismatch as error:
            raise ModelMismatch(f"version {version} of {name}: {error}") from error


def override_gate(name: str, version: str, reason: str) -> LedgerEntry:
    """Make a version champion without asking the gate, and enter that as an override.

    Raises:
        InputError: there is no such version, it is the champion already, or the reason is missing or too long.
        ModelMismatch: the version is not what the ledger knows it as.
        GateClosed: the ledger is damaged.
        StaleBase: another promotion came first.
        RegistryError: MLflow could not be reached, or refused.
    """
    return _put_in_place(name, version, "override", reason)


def roll_back(name: str, version: str, reason: str) -> LedgerEntry:
    """Make an earlier champion the champion again, and enter that as a rollback.

    Raises:
        As `override_gate`; InputError as well where the version was never champion.
    """
    if all(entry.champion_after != version for entry in read_ledger(name)):
        raise InputError(f"version {version} of {name!r} was never champion: reprise promote {version} --model {name}")
    return _put_in_place(name, version, "rollback", reason)


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


def _put_in_place(name: str, version: str, action: str, reason: str) -> LedgerEntry:
    found = find_version(name, version)
    check_entered(found, read_ledger(name))
    base = read_base(name, forced=True)
    if base.champion == version and read_aliases(name).get(CHAMPION) == version:
        raise InputError(f"version {version} of {name!r} is the champion already")
    draft = {"name": name, "version": found.summary.version, "action": action, "outcome": "promote", "reason": reason}
    return promote(base, Draft.model_validate({**draft, "digests": version_digests(found)}))
