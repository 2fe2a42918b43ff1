"""Reads files that were made to take all memory, as a training does: python -m tests.faults.read_bounded FOLDER FILE...

The process may take a limited amount of memory. Prints what each file was refused with, or null, and the most memory taken.
"""

import json
import os
import sys
from pathlib import Path

from tasks.ingestion import content
from tests.faults.fuzz_readers import ingest, limit_memory, peak_mib, refusal


def main():
    """Read the files one after the other."""
    folder, *paths = map(Path, sys.argv[1:])
    import tasks.served_model  # noqa: F401 - before memory is limited, for libraries reserve more than they use

    os.environ["REPRISE_HOME"] = str(folder / "home")
    content.UNPACKED_BYTES = 1 << 27  # an eighth of the limit shows what it does, sooner
    limit_memory()
    found = {str(path): refusal(ingest, path, folder) for path in paths}
    print(json.dumps({"refused": found, "peak_mib": peak_mib()}))  # noqa: T201


if __name__ == "__main__":
    main()
