"""The notebook as one script: what a person would run without Reprise. Prints its seconds and figures as JSON.

python tests/benchmarks/notebook.py imdb.npz [--seed 0] [--epochs 5]
"""

import argparse
import json
import time

import keras
import numpy as np


def main() -> None:
    """Load, pad, train, evaluate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("npz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    start = time.perf_counter()
    keras.utils.set_random_seed(arguments.seed)
    with np.load(arguments.npz, allow_pickle=True) as arrays:
        parts = {
            part: (
                keras.utils.pad_sequences([keep_known(ranks) for ranks in arrays[f"x_{part}"]], maxlen=300),
                arrays[f"y_{part}"],
            )
            for part in ("train", "test")
        }
    model = keras.Sequential([keras.layers.Embedding(5000, 15), keras.layers.LSTM(10), keras.layers.Dense(1, "sigmoid")])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(*parts["train"], batch_size=128, epochs=arguments.epochs, validation_split=0.2, verbose=2)
    loss, accuracy = model.evaluate(*parts["test"], verbose=0)
    print(json.dumps({"test_loss": loss, "test_accuracy": accuracy, "seconds": time.perf_counter() - start}))


def keep_known(ranks: list[int], words: int = 5000) -> list[int]:
    """Return a review's ids as `keras.datasets.imdb.load_data` gives them."""
    return [1] + [rank + 3 if rank + 3 < words else 2 for rank in ranks]


if __name__ == "__main__":
    main()
