"""Imports that take seconds, while the caller does work that leaves a core free."""

import contextlib
import importlib
import threading


def import_ahead(*modules: str) -> None:
    """Import modules one after the other in a thread; whoever imports one meanwhile waits for it.

    A module that cannot be imported is left to the one who needs it, who gets the error.
    """

    def run() -> None:
        for module in modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(module)

    # No daemon: to end a process in the middle of an import of native code is to risk a crash.
    threading.Thread(target=run, name="imports").start()
