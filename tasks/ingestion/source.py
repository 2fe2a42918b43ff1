"""The source that a configuration names: what it is, what is in it, and its reviews."""

import hashlib
from typing import BinaryIO

from configs.schema import DataConfig
from tasks.errors import DataError
from tasks.ingestion.corpus import Corpus
from tasks.ingestion.download import NPZ, WORD_INDEX, download_imdb
from tasks.ingestion.files import (
    Located,
    digest_file,
    digest_files,
    file_name,
    is_file,
    is_folder,
    is_pattern,
    locate,
    shown_path,
)
from tasks.ingestion.folder import list_reviews, read_folder
from tasks.ingestion.npz import find_word_index, read_npz
from tasks.ingestion.sample import GENERATOR_VERSION, generate_sample
from tasks.ingestion.table_formats import EXTENSIONS
from tasks.ingestion.tables import find_tables, read_tables, table_extension, tables_at

ACCEPTED = (
    "an imdb.npz with its word index, a folder with train/pos, train/neg, test/pos and test/neg, "
    f"a table ({', '.join(EXTENSIONS)}), a folder with a train and a test table, or a folder or glob of parts of one table"
)


def read_source(data: DataConfig, spool: BinaryIO) -> Corpus:
    """Read the reviews that a configuration names, each with its label and split; `splits` takes validation out of train.

    Args:
        data: What to read.
        spool: An empty file that the corpus may read its texts from; it must stay open as long.

    Raises:
        DataError: The source is missing or cannot be read as labelled reviews.
        DownloadError: The network did not deliver it.
    """
    match data.source:
        case "imdb":
            npz, word_index = download_imdb()
            return read_npz(str(npz), str(word_index), ["0"], ["1"])
        case "npz":
            return read_npz(data.path or "", data.word_index, data.negative_labels, data.positive_labels)
        case "folder":
            return read_folder(data.path or "")
        case "table":
            return read_tables(data, spool)
        case "sample":
            return generate_sample()


def source_digest(data: DataConfig) -> str:
    """Return the sha256 (hex) of all that `read_source` would read; for what is pinned, of the pins.

    Raises:
        DataError: The source is missing.
        DownloadError: Its host did not answer.
    """
    path = data.path or ""
    match data.source:
        case "imdb":
            parts = {"npz": NPZ.digest, "word index": WORD_INDEX.digest}
        case "npz":
            parts = {"npz": digest_file(locate(path)), "word index": digest_file(find_word_index(path, data.word_index))}
        case "folder":
            parts = {part: digest_files(files) for part, files in list_reviews(path).items()}
        case "table":
            parts = {split: _digest_parts(files) for split, files in find_tables(data).items()}
        case "sample":
            parts = {"sample": GENERATOR_VERSION}
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(f"{name}\0{part}\0".encode())
    return digest.hexdigest()


def _digest_parts(files: list[Located]) -> str:
    """Return the digest of the one file, or of the files' digests in their order: their names matter by it alone."""
    digests = [digest_file(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def describe_source(data: DataConfig) -> str:
    """Return the source as it may be shown and kept: "imdb", "sample", or the path or URL without credentials."""
    return data.source if data.path is None else shown_path(data.path)


def data_from_path(path: str) -> DataConfig:
    """Return the configuration that a bare path or URL stands for.

    Raises:
        DataError: There is no such file, or it is nothing that can be read; lists what can.
        DownloadError: Its host did not answer.
    """
    source = locate(path)
    if is_pattern(path):
        tables_at(path)
        return DataConfig(source="table", path=path)
    if file_name(path).endswith(".npz") or table_extension(path):
        if not is_file(source):
            raise DataError(f"no such file: {source.name}")
        return DataConfig(source="npz" if table_extension(path) is None else "table", path=path)
    if is_folder(source):
        if is_folder(source.join("train", "pos")):
            return DataConfig(source="folder", path=path)
        try:
            find_tables(DataConfig(source="table", path=path))
        except DataError as error:
            raise DataError(f"{error}; --data takes {ACCEPTED}") from error
        return DataConfig(source="table", path=path)
    if not is_file(source):
        raise DataError(f"no such file: {source.name}")
    raise DataError(f"{source.name} is nothing that can be read; --data takes {ACCEPTED}")
