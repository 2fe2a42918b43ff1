"""The aclImdb layout: `train/pos`, `train/neg`, `test/pos`, `test/neg`, a review to a `.txt` file."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.errors import DataError
from tasks.ingestion.corpus import Corpus
from tasks.ingestion.files import Located, list_files, locate, read_bytes

PARTS = tuple((split, name, label) for split in ("train", "test") for name, label in (("neg", 0), ("pos", 1)))
FILES_AT_ONCE = 1_000


def list_reviews(path: str) -> dict[str, list[tuple[Located, Mapping[str, Any]]]]:
    """Return the review files of each part, "train/neg" and so on, sorted by name; `unsup` is not looked at.

    Raises:
        DataError: A part is missing or empty.
        DownloadError: The folder's host did not answer.
    """
    root = locate(path)
    reviews = {}
    for split, name, _ in PARTS:
        part = root.join(split, name)
        files = [(file, told) for file, told in list_files(part) if file.path.endswith(".txt")]
        if not files:
            raise DataError(f"no .txt files in {part.name}")
        reviews[f"{split}/{name}"] = files
    return reviews


def read_folder(path: str) -> Corpus:
    """Return the reviews of the folder, negative ones first, each part sorted by file name; iterating their texts reads them.

    Raises:
        DataError: A part is missing or empty; as the texts are read, a file is not UTF-8.
        DownloadError: The folder's host did not answer.
    """
    reviews = list_reviews(path)
    files = [file for listed in reviews.values() for file, _ in listed]
    rows = [len(listed) for listed in reviews.values()]
    labels = np.repeat(np.array([label for _, _, label in PARTS], np.int8), rows)
    splits = np.repeat(np.array([split for split, _, _ in PARTS], dtype=object), rows)
    return Corpus(read_texts(files), labels, splits)


def read_texts(files: list[Located]) -> Iterator[pa.Array]:
    """Yield the texts of files, one a file, some at a time.

    Raises:
        DataError: A file is missing or not UTF-8.
        DownloadError: A file's host did not deliver it.
    """
    for start in range(0, len(files), FILES_AT_ONCE):
        yield pa.array([_read_text(file) for file in files[start : start + FILES_AT_ONCE]], pa.string())


def _read_text(file: Located) -> str:
    try:
        return read_bytes(file).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}") from error
