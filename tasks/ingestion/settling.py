"""A source that somebody may be writing to: its content once it keeps still."""

import time

from configs.schema import DataConfig
from tasks.ingestion.source import source_digest

PATIENCE = 10
"""How many times the span of stillness a source is looked at before it is left to a later look."""


def settled_digest(data: DataConfig, seconds: float) -> str | None:
    """Return the digest of a source once it has been the same for so many seconds, or None where it keeps changing.

    Raises:
        DataError: The source is missing.
        DownloadError: Its host did not answer.
    """
    digest = source_digest(data)
    begun = still_since = time.monotonic()
    while (now := time.monotonic()) - still_since < seconds:
        if now - begun > PATIENCE * seconds:
            return None
        time.sleep(min(1.0, seconds / 4))
        if (found := source_digest(data)) != digest:
            digest, still_since = found, time.monotonic()
    return digest
