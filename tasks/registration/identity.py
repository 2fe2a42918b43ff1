"""Whether a version is the one that the ledger speaks of."""

from collections.abc import Sequence

from tasks.errors import ModelMismatch
from tasks.handles import LedgerEntry
from tasks.registration.manifest import DIGEST_TAG
from tasks.registration.versions import VersionDetails

DIGESTS = {"weights": "weights_sha256", "dataset": "dataset.sha256", "files": DIGEST_TAG}


def version_digests(version: VersionDetails) -> dict[str, str]:
    """Return the digests by which a ledger's entry knows a version: of its weights, its data and its files."""
    return {name: version.tags[tag] for name, tag in DIGESTS.items() if tag in version.tags}


def check_entered(version: VersionDetails, entries: Sequence[LedgerEntry]) -> None:
    """See that a version has the digests with which the ledger's entries on it knew it.

    Raises:
        ModelMismatch: one of its tags was changed since.
    """
    for entry in entries:
        for name, tag in DIGESTS.items() if entry.version == version.summary.version else ():
            entered, present = entry.digests.get(name), version.tags.get(tag)
            if entered is not None and present != entered:
                title = f"version {entry.version} of {version.summary.name}"
                raise ModelMismatch(
                    f"{title} is not what was registered: its tag {tag} is {present or 'gone'}, and was {entered} in entry "
                    f"{entry.number} of the ledger"
                )
