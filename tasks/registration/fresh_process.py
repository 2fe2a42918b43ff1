"""The process that a model is loaded in: run as a file, it has nothing of this project, as a server has not.

Its arguments are a folder and the modules to import while it waits for a line on standard input. Then it reads `request.json`
in the folder, `{"model": PATH, "texts": [...]}`, and writes `answer.json`, the probabilities and what they took.
"""

import atexit
import gc
import importlib
import json
import resource
import sys
import time
from pathlib import Path


def main(folder: Path, *modules: str) -> None:
    """Answer one request; none, where the asking process is gone.

    Raises:
        RuntimeError: the model imported a package of this project, which is not there where it is served.
    """
    atexit.register(gc.freeze)  # else Python takes TensorFlow's objects apart one by one, and the parent waits
    gc.set_threshold(100_000)  # by default a fifth of the time of imports goes by in looking for garbage
    for module in modules:  # loaded while the parent reads data and trains, so that the answer comes at once
        importlib.import_module(module)
    if not sys.stdin.readline():
        return
    import mlflow

    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    start = time.perf_counter()
    model = mlflow.pyfunc.load_model(request["model"])
    loaded = time.perf_counter()
    probabilities = [float(prediction.probability) for prediction in model.predict(request["texts"])]
    predicted = time.perf_counter()
    if foreign := {"configs", "flows", "tasks"} & set(sys.modules):
        raise RuntimeError(f"the model imports {', '.join(sorted(foreign))}")
    answer = {
        "probabilities": probabilities,
        "load_seconds": loaded - start,
        "predict_seconds": predicted - loaded,
        "peak_mebibytes": peak_mebibytes(),
    }
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def peak_mebibytes() -> float:
    """Return the most memory that this process had resident."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux counts in ru_maxrss what the process that started this one had
        return int(status.read_text().split("VmHWM:", 1)[1].split(maxsplit=1)[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
