"""Imports that take seconds, while the caller does work that leaves a core free."""

import contextlib
import importlib
import sys
import threading


def import_ahead(*modules: str) -> None:
    """Import modules one after the other in a thread; whoever imports one meanwhile waits for it.

    A module that cannot be imported is left to the one who needs it, who gets the error.
    """

    def run() -> None:
        usual = sys.getswitchinterval()
        # An import seldom lets go of the interpreter, and a stage's engine asks for it often: else each time waits 5 ms.
        sys.setswitchinterval(usual / 10)
        try:
            for module in modules:
                with contextlib.suppress(ImportError):
                    importlib.import_module(module)
        finally:
            sys.setswitchinterval(usual)

    # No daemon: to end a process in the middle of an import of native code is to risk a crash.
    threading.Thread(target=run, name="imports").start()
