"""The tables of labelled reviews that a configuration names, and the corpus that they make up."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from configs.schema import DataConfig
from tasks.errors import DataError
from tasks.ingestion.corpus import SPLITS, Corpus
from tasks.ingestion.files import Located, file_name, is_file, is_folder, is_pattern, list_files, locate, match_files
from tasks.ingestion.labels import LabelColumn, SplitColumn
from tasks.ingestion.splits import draw_rows
from tasks.ingestion.table_formats import EXTENSIONS, read_batches

SPOOLED = pa.schema([("text", pa.string())])


def table_extension(name: str) -> str | None:
    """Return the extension, one of `EXTENSIONS`, of a file's name or URL, or None."""
    return next((extension for extension in EXTENSIONS if file_name(name).endswith(extension)), None)


def find_tables(data: DataConfig) -> dict[str, list[Located]]:
    """Return the files of each split, or those of all rows as "", in the order that their rows count in.

    A path may be a file, a glob or a folder. A folder with tables named `train`, `test` and, if there is one, `validation`
    stands for these, and any other for all tables right in it, parts of one table in the order of their names.

    Raises:
        DataError: There is no table; one that a split needs is missing or there twice; or a file has an extension that is
            not a table's.
        DownloadError: The host did not answer.
    """
    path = data.path or ""
    if data.test_path is not None:
        return {"train": tables_at(path), "test": tables_at(data.test_path)}
    tables = tables_at(path)
    if is_pattern(path) or table_extension(path) is not None or not any(_split_of(table) for table in tables):
        return {"": tables}
    if data.split_column is not None:
        raise DataError(f"data.split_column names the splits within one file; {locate(path).name} is a folder of files")
    return {split: [file] for split, file in _tables_by_split(tables, locate(path).name).items()}


def tables_at(path: str) -> list[Located]:
    """Return the table at a path, or those in a folder or matched by a glob, by name; hidden files are none.

    Raises:
        DataError: There is none, or the path is a file with an extension that is not a table's.
        DownloadError: The host did not answer.
    """
    place = locate(path)
    if is_pattern(path):
        found = match_files(path)
    elif table_extension(path) is None and is_folder(place):
        found = [file for file, _ in list_files(place)]
    elif table_extension(path) is None:
        if not is_file(place):
            raise DataError(f"no such file: {place.name}")
        raise DataError(f"{place.name} is no table: its name ends in none of {', '.join(EXTENSIONS)}")
    else:
        return [place]
    tables = [file for file in found if table_extension(file.name) and not file_name(file.name).startswith((".", "_"))]
    if not tables:
        raise DataError(f"{place.name} holds no table: no file that ends in one of {', '.join(EXTENSIONS)}")
    return tables


def _split_of(table: Located) -> str | None:
    stem = file_name(table.name).removesuffix(table_extension(table.name) or "")
    return stem if stem in SPLITS else None


def _tables_by_split(tables: list[Located], folder: str) -> dict[str, Located]:
    files: dict[str, Located] = {}
    for file in tables:
        split = _split_of(file)
        if split is None:
            continue
        if split in files:
            raise DataError(f"{folder} holds both {file_name(files[split].name)} and {file_name(file.name)}: remove one")
        files[split] = file
    for split in ("train", "test"):
        if split not in files:
            raise DataError(f"{folder} holds no {split} table: no {split} with one of {', '.join(EXTENSIONS)}")
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
        for split, files in find_tables(data).items():
            parts = [_read_table(file, data, writer) for file in files]
            part_labels = np.concatenate([part_labels for part_labels, _ in parts])
            labels.append(part_labels)
            if data.split_column is not None:
                splits += [part_splits for _, part_splits in parts if part_splits is not None]
            elif split:
                splits.append(np.full(len(part_labels), split, dtype=object))
            else:
                is_test = draw_rows(part_labels, data.test_fraction, data.split_seed, purpose="test")
                splits.append(np.array(["train", "test"], dtype=object)[is_test.astype(np.int8)])
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
    if not (is_text(values.type) or pa.types.is_null(values.type)):
        raise DataError(f"{where}: column '{column}' holds {values.type}, not text")
    return values.cast(pa.string())


def _spooled_texts(spool: BinaryIO) -> Iterator[pa.Array]:
    spool.seek(0)
    with pa.ipc.open_stream(spool) as reader:
        for batch in reader:
            yield batch["text"]


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column of this type holds strings."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
