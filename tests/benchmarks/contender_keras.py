"""The notebook's model through `keras.layers.LSTM` and `fit`, on the backend that KERAS_BACKEND names. Needs Keras alone."""

import sys
from pathlib import Path

import keras
from contender import Split, read_split, serve

BATCH = 128


def main(folder: Path) -> None:
    """Serve an epoch of training with its validation, and a prediction of the test rows at Keras's own batch size."""
    train, validation, test = (read_split(folder, name) for name in ("train", "validation", "test"))
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Embedding(5000, 15), keras.layers.LSTM(10), keras.layers.Dense(1, "sigmoid")])
    model.build((None, train.ids.shape[1]))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    serve(epoch=lambda: fit(model, train, validation), predict=lambda: model.predict(test.ids, verbose=0))


def fit(model: keras.Model, train: Split, validation: Split) -> None:
    """Train for one epoch."""
    model.fit(train.ids, train.labels, batch_size=BATCH, validation_data=validation, validation_batch_size=BATCH, verbose=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
