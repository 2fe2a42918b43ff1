"""Tables of labelled reviews: CSV, TSV, JSONL and Parquet, plain or gzip."""

import gzip
import json
import zlib
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from configs.schema import DataConfig
from tasks.errors import DataError
from tasks.ingestion.corpus import SPLITS, Corpus, build_table
from tasks.ingestion.files import Located, file_name, is_folder, list_files, locate, read_bytes
from tasks.ingestion.labels import map_labels, name_rows
from tasks.ingestion.splits import draw_rows

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
EXTENSIONS = tuple(extension + gz for extension in FORMATS for gz in ("", ".gz"))


class Table(NamedTuple):
    """The columns that count of one file: texts, label values, and split names where they were asked for."""

    texts: pa.Array
    labels: pa.Array
    splits: pa.Array | None


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


def read_tables(data: DataConfig) -> Corpus:
    """Read the table or tables that the configuration names, and give each row its split.

    Raises:
        DataError: A file is missing, empty or unreadable; a column is missing or not text; a label or split is none.
        DownloadError: A file's host did not deliver it.
    """
    tables = []
    for split, file in find_tables(data).items():
        table = read_table(file, data.text_column, data.label_column, data.split_column)
        labels = map_labels(table.labels, data.negative_labels, data.positive_labels, column=data.label_column, where=file.name)
        splits: str | np.ndarray = split
        if table.splits is not None:
            splits = _check_splits(table.splits, data.split_column or "", file.name)
        elif not split:
            is_test = draw_rows(labels, data.test_fraction, data.split_seed, purpose="test")
            splits = np.where(is_test, "test", "train").astype(object)
        tables.append(build_table(table.texts, labels, splits))
    return Corpus(pa.concat_tables(tables))


def read_table(file: Located, text_column: str, label_column: str, split_column: str | None) -> Table:
    """Read one file's text, label and split columns.

    Raises:
        DataError: The file is missing, empty or unreadable; a column is missing, or the text column is not text.
        DownloadError: The file's host did not deliver it.
    """
    extension = table_extension(file.name) or ""
    content = read_bytes(file)
    if extension.endswith(".gz"):
        content = _unzip(content, file.name)
    if not content.strip():
        raise DataError(f"{file.name} is empty")
    wanted = [text_column, label_column, *([split_column] if split_column else [])]
    read = {".csv": _read_csv, ".tsv": _read_tsv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    columns = read[extension.removesuffix(".gz")](content, wanted, file.name)
    texts = columns[text_column]
    if not len(texts):
        raise DataError(f"{file.name} has no rows")
    if not (_is_text(texts.type) or pa.types.is_null(texts.type)):
        raise DataError(f"{file.name}: column '{text_column}' holds {texts.type}, not text")
    return Table(texts.cast(pa.string()), columns[label_column], columns[split_column] if split_column else None)


def _unzip(content: bytes, where: str) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where} is no whole gzip file: {error}") from error


def _read_tsv(content: bytes, wanted: list[str], where: str) -> dict[str, pa.Array]:
    return _read_csv(content, wanted, where, delimiter="\t")


def _read_csv(content: bytes, wanted: list[str], where: str, delimiter: str = ",") -> dict[str, pa.Array]:
    _check_utf8(content, where)
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(content),
            # One block and one thread: a row may be of any length, and errors name the row.
            pa.csv.ReadOptions(use_threads=False, block_size=min(len(content) + 1, 2**31 - 1)),
            pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{where} cannot be read: {_one_line(error)}") from error
    _check_columns(table.column_names, wanted, where)
    return {name: _flatten(table[name]) for name in wanted}


def _read_jsonl(content: bytes, wanted: list[str], where: str) -> dict[str, pa.Array]:
    _check_utf8(content, where)
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    seen: dict[str, None] = {}
    # Not splitlines, which would cut a text at the line separators that JSON allows in strings.
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} cannot be read: line {number} is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"{where} cannot be read: line {number} is not a JSON object")
        seen.update(dict.fromkeys(row))
        for name, values in columns.items():
            values.append(row.get(name))
    _check_columns(list(seen), wanted, where)
    text, *others = wanted
    for name in others:  # labels and splits are compared as words, so that 1 and "1" may stand in one column
        columns[name] = [None if value is None or value != value else str(value) for value in columns[name]]
    return {text: _build_texts(columns[text], text, where)} | {name: pa.array(columns[name], pa.string()) for name in others}


def _build_texts(values: list[Any], column: str, where: str) -> pa.Array:
    odd = np.array([not (value is None or isinstance(value, str)) for value in values])
    if odd.any():
        kind = type(values[int(np.flatnonzero(odd)[0])]).__name__
        raise DataError(f"{where}: column '{column}' holds {kind}, not text, in {name_rows(odd)}")
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError as error:
        halves = np.array([value is not None and any("\ud800" <= letter <= "\udfff" for letter in value) for value in values])
        raise DataError(f"{where}: column '{column}' holds half a surrogate pair in {name_rows(halves)}") from error


def _read_parquet(content: bytes, wanted: list[str], where: str) -> dict[str, pa.Array]:
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        _check_columns(file.schema_arrow.names, wanted, where)
        table = file.read(columns=wanted)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{where} cannot be read: {_one_line(error)}") from error
    return {name: _flatten(table[name]) for name in wanted}


def _check_columns(names: list[str], wanted: list[str], where: str) -> None:
    for column in wanted:
        if column not in names:
            raise DataError(f"{where} has no column '{column}'; its columns are {', '.join(map(repr, names))}")
        if names.count(column) > 1:
            raise DataError(f"{where} has {names.count(column)} columns named '{column}'")


def _check_utf8(content: bytes, where: str) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{where} is not UTF-8: line {line} holds the byte {content[error.start]:#04x}") from error


def _check_splits(values: pa.Array, column: str, where: str) -> np.ndarray:
    names = np.array([None if value is None else str(value) for value in values.to_pylist()], dtype=object)
    unknown = ~np.isin(names.astype(str), SPLITS)
    if unknown.any():
        name = names[np.flatnonzero(unknown)[0]]
        raise DataError(
            f"{where}: column '{column}' holds {name!r} in {name_rows(names == name)}; a split is one of {', '.join(SPLITS)}"
        )
    return names


def _flatten(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _one_line(error: Exception, limit: int = 200) -> str:
    line = " ".join(str(error).split())
    return line if len(line) <= limit else line[:limit] + " ..."
