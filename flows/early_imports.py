"""Imports that take seconds, begun while the main thread waits for other things."""

import importlib
import threading
from collections.abc import Sequence

# In the order in which the training flow first needs them.
TRAINING_LIBRARIES = ("pyarrow.parquet", "sklearn.model_selection", "mlflow", "great_expectations", "tensorflow", "keras")


def begin_imports(modules: Sequence[str]) -> threading.Thread:
    """Import modules in a thread and return it.

    Python's import lock makes whoever needs a module first wait for it, so nothing has to join the thread.
    """
    thread = threading.Thread(target=lambda: [importlib.import_module(name) for name in modules], name="early imports", daemon=True)
    thread.start()
    return thread
