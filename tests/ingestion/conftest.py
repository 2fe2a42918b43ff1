import json

import numpy as np
import pyarrow as pa
import pytest

from tasks.ingestion.corpus import SCHEMA


def table_of(corpus):
    """Return a corpus, its texts read to the end, as one table."""
    return pa.table([pa.chunked_array([*corpus.texts], pa.string()), corpus.labels, corpus.splits], schema=SCHEMA)


@pytest.fixture
def write_npz(tmp_path):
    """Write an npz in Keras's layout as NumPy itself does, and its word index beside it unless told otherwise."""

    def write(train, y_train, test, y_test, words=None, name="reviews.npz"):
        path = tmp_path / name
        np.savez(path, x_train=as_objects(train), y_train=np.array(y_train), x_test=as_objects(test), y_test=np.array(y_test))
        if words is not None:
            index = {word: rank for rank, word in enumerate(words, start=1)}
            (tmp_path / "imdb_word_index.json").write_text(json.dumps(index))
        return path

    def as_objects(rows):
        array = np.empty(len(rows), dtype=object)
        array[:] = rows
        return array

    return write


@pytest.fixture
def write_reviews_folder(tmp_path):
    """Write a folder in the aclImdb layout with the given texts in every part."""

    def write(count=5, name="aclImdb"):
        root = tmp_path / name
        for split in ("train", "test"):
            for label in ("pos", "neg"):
                part = root / split / label
                part.mkdir(parents=True)
                for number in range(count):
                    (part / f"{number}_7.txt").write_text(f"{split} {label} {number}", encoding="utf-8")
        return root

    return write
