"""The process that a logged model is loaded in: run as a file, it has nothing of this project, as a server has not.

It reads one JSON line from standard input, `{"model": PATH, "texts": [...]}`, and prints one, `{"probabilities": [...]}`.
"""

import atexit
import gc
import json
import sys


def main() -> None:
    """Answer one request.

    Raises:
        RuntimeError: the model imported a package of this project, which is not there where it is served.
    """
    atexit.register(gc.freeze)  # else Python takes TensorFlow's objects apart one by one, and the parent waits
    import keras  # noqa: F401 (loaded while the parent reads data and trains, so that the answer comes at once)
    import mlflow
    import tensorflow  # noqa: F401

    request = json.loads(sys.stdin.readline())
    model = mlflow.pyfunc.load_model(request["model"])
    probabilities = [prediction.probability for prediction in model.predict(request["texts"])]
    if foreign := {"configs", "flows", "tasks"} & set(sys.modules):
        raise RuntimeError(f"the model imports {', '.join(sorted(foreign))}")
    print(json.dumps({"probabilities": probabilities}))  # noqa: T201 (the answer)


if __name__ == "__main__":
    main()
