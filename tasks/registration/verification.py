"""Whether the record holds: the ledger, the champion's alias, and the files of every version."""

from typing import NamedTuple

from tasks.errors import GateClosed, InputError, ModelMismatch
from tasks.progress import tell, working
from tasks.registration.model_files import verified_model
from tasks.registration.promotion import read_base
from tasks.registration.sources import check_sources, find_run
from tasks.registration.training_texts import read_training_texts
from tasks.registration.versions import VersionDetails, find_version, list_versions


class Finding(NamedTuple):
    """One thing that was looked at, and what is wrong with it, or None."""

    subject: str
    trouble: str | None


def verify_model(name: str, version_or_alias: str | None = None) -> list[Finding]:
    """Check a registered model's ledger, its champion, and one version or all.

    Raises:
        InputError: there is no such version.
        RegistryError: MLflow could not be reached, or refused.
    """
    if version_or_alias is not None:
        versions = [find_version(name, version_or_alias).summary.version]
    else:
        versions = [version.version for version in list_versions() if version.name == name]
    findings = [Finding("ledger and alias", find_champion_trouble(name))]
    with working("verification"):
        for number, version in enumerate(versions):
            tell("verification", number, len(versions), "versions", f"version {version}")
            findings.append(Finding(f"version {version}", find_version_trouble(name, version)))
    return findings


def find_champion_trouble(name: str) -> str | None:
    """Return what is wrong with a model's ledger, its champion's alias or its champion's files, or None.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    try:
        champion = read_base(name).champion
    except GateClosed as error:
        return str(error)
    return None if champion is None else find_version_trouble(name, champion)


def check_data(version: VersionDetails) -> None:
    """See that a version and the run that made it tell of the same data.

    Raises:
        ModelMismatch: they do not, or no run made it, or the run was deleted.
        RegistryError: MLflow could not be reached, or refused.
    """
    title = f"version {version.summary.version} of {version.summary.name}"
    run_tags = find_run(version).data.tags
    for tag, run_tag in (("data.reviews", "dataset.sha256"), ("data.source", "dataset.source_sha256")):
        if version.tags.get(tag) != run_tags.get(run_tag):
            raise ModelMismatch(f"{title}: its tag {tag} is not the {run_tag} of the run {version.summary.run_id} that made it")


def find_version_trouble(name: str, version: str) -> str | None:
    """Return in what a version is not what was registered and entered in the ledger, or None.

    Raises:
        RegistryError: MLflow could not be reached, or refused.
    """
    try:
        details = find_version(name, version)
        check_sources(details)
        check_data(details)
        read_training_texts(details)
        with verified_model(name, version):
            return None
    except (GateClosed, InputError, ModelMismatch) as error:
        return str(error)
