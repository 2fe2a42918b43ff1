"""A folder to work in, apart from what the user's environment names."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from configs.environment import set_library_defaults


@contextmanager
def working_in(folder: Path) -> Iterator[Path]:
    """Make a folder, if it is not there, the working folder with an embedded store of its own, as long as the block lasts."""
    before = dict(os.environ)
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "PREFECT_HOME"):
        os.environ.pop(name, None)
    folder.mkdir(exist_ok=True)
    os.environ["REPRISE_HOME"] = str(folder / ".reprise")
    set_library_defaults(folder / ".reprise")
    try:
        with chdir(folder):
            yield folder
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def working_apart() -> Iterator[Path]:
    """The same in a new folder, which is removed."""
    with tempfile.TemporaryDirectory() as folder, working_in(Path(folder)):
        yield Path(folder)
