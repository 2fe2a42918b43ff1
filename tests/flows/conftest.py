import logging
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import NamedTuple

import pytest


class Told(NamedTuple):
    """What a command printed, and its exit code where it raised nothing."""

    stdout: str
    stderr: str
    code: int


@pytest.fixture(scope="session")
def command():
    """Run `reprise` in this process, which spares its imports; where the tests have a Prefect API, against that."""
    from flows.cli import app

    def command(*arguments):
        errors, handlers = os.dup(2), logging.getLogger("reprise").handlers[:]  # which a command changes for good
        try:
            with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
                patch.setenv("COLUMNS", "250")
                if "prefect" in sys.modules:
                    from prefect.settings import PREFECT_API_URL

                    patch.setenv("PREFECT_API_URL", PREFECT_API_URL.value() or "")
                code = app([str(argument) for argument in arguments], standalone_mode=False) or 0
        finally:
            os.dup2(errors, 2)
            os.close(errors)
            logging.getLogger("reprise").handlers[:] = handlers
        return Told(out.getvalue(), err.getvalue(), code)

    return command
