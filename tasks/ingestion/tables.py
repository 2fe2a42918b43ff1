"""The tables of labelled reviews that a configuration names, and the corpus that they make up."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from configs.schema import DataConfig
from tasks.errors import DataError
from tasks.ingestion.corpus import SPLITS, Corpus
from tasks.ingestion.files import Located, file_name, is_folder, list_files, locate
from tasks.ingestion.labels import LabelColumn, SplitColumn
from tasks.ingestion.splits import draw_rows
from tasks.ingestion.table_formats import EXTENSIONS, read_batches

SPOOLED = pa.schema([("text", pa.string())])


def table_extension(name: str) -> str | None:
    """Return the extension, one of `EXTENSIONS`, of a file's name or URL, or None."""
    return next((extension for extension in EXTENSIONS if file_name(name).endswith(extension)), None)


def find_tables(data: DataConfig) -> dict[str, Located]:
    """Return the file of each split, or the one file of all rows as "".

    A folder stands for the files `train`, `test` and, if it is there, `validation` in it, of any table format.

    Raises:
        DataError: The folder lacks one of them or has it twice, or a file has an extension that is not a table's.
    """
    path = data.path or ""
    if data.test_path is not None:
        files = {"train": locate(path), "test": locate(data.test_path)}
    elif table_extension(path) is None and is_folder(locate(path)):
        files = tables_in_folder(locate(path))
        if data.split_column is not None:
            raise DataError(f"data.split_column names the splits within one file; {locate(path).name} is a folder of files")
    else:
        files = {"": locate(path)}
    for file in files.values():
        if table_extension(file.name) is None:
            raise DataError(f"{file.name} is no table: its name ends in none of {', '.join(EXTENSIONS)}")
    return files


def tables_in_folder(folder: Located) -> dict[str, Located]:
    """Return the tables in a folder that are named for a split.

    Raises:
        DataError: There is no train or no test table, or two of one name.
    """
    files: dict[str, Located] = {}
    for file, _ in list_files(folder):
        extension = table_extension(file.name)
        split = file_name(file.name).removesuffix(extension) if extension else ""
        if split not in SPLITS:
            continue
        if split in files:
            raise DataError(f"{folder.name} holds both {file_name(files[split].name)} and {file_name(file.name)}: remove one")
        files[split] = file
    for split in ("train", "test"):
        if split not in files:
            raise DataError(f"{folder.name} holds no {split} table: no {split} with one of {', '.join(EXTENSIONS)}")
    return {split: files[split] for split in SPLITS if split in files}


def read_tables(data: DataConfig, spool: BinaryIO) -> Corpus:
    """Read the table or tables that the configuration names, and give each row its split.

    Args:
        data: What to read.
        spool: An empty file, to hold the texts until all labels, which decide on the splits, are read.

    Raises:
        DataError: A file is missing, empty or unreadable; a column is missing or not text; a label or split is none.
        DownloadError: A file's host did not deliver it.
    """
    labels, splits = [], []
    with pa.ipc.new_stream(spool, SPOOLED, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        for split, file in find_tables(data).items():
            file_labels, file_splits = _read_table(file, data, writer)
            if file_splits is None:
                file_splits = np.full(len(file_labels), split, dtype=object)
                if not split:
                    is_test = draw_rows(file_labels, data.test_fraction, data.split_seed, purpose="test")
                    file_splits = np.array(["train", "test"], dtype=object)[is_test.astype(np.int8)]
            labels.append(file_labels)
            splits.append(file_splits)
    return Corpus(_spooled_texts(spool), np.concatenate(labels), np.concatenate(splits))


def _read_table(
    file: Located, data: DataConfig, writer: pa.ipc.RecordBatchStreamWriter
) -> tuple[np.ndarray, np.ndarray | None]:
    """Write a file's texts; return its labels, and its splits where a column holds them."""
    labels = LabelColumn(data.negative_labels, data.positive_labels, column=data.label_column, where=file.name)
    splits = SplitColumn(column=data.split_column, where=file.name) if data.split_column else None
    columns = [data.text_column, data.label_column, *([data.split_column] if data.split_column else [])]
    for batch in read_batches(file, table_extension(file.name) or "", columns):
        writer.write_batch(pa.record_batch([as_texts(batch[data.text_column], data.text_column, file.name)], SPOOLED))
        labels.add(batch[data.label_column])
        if splits is not None and data.split_column:
            splits.add(batch[data.split_column])
    if not labels.rows:
        raise DataError(f"{file.name} has no rows")
    return labels.labels(), splits.splits() if splits is not None else None


def as_texts(values: pa.Array, column: str, where: str) -> pa.Array:
    """Return a column's values as strings.

    Raises:
        DataError: They are of another type.
    """
    if not (_is_text(values.type) or pa.types.is_null(values.type)):
        raise DataError(f"{where}: column '{column}' holds {values.type}, not text")
    return values.cast(pa.string())


def _spooled_texts(spool: BinaryIO) -> Iterator[pa.Array]:
    spool.seek(0)
    with pa.ipc.open_stream(spool) as reader:
        for batch in reader:
            yield batch["text"]


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
