"""Reviews that nothing is trained on, with or without labels: all that a source has, or some drawn by their content."""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import DataConfig
from tasks.errors import DataError
from tasks.ingestion.files import Located, is_file, is_folder, list_files, locate
from tasks.ingestion.folder import read_texts
from tasks.ingestion.labels import LabelColumn, RowsAtFault
from tasks.ingestion.table_formats import EXTENSIONS, read_batches
from tasks.ingestion.tables import as_texts, table_extension
from tasks.scoring.scores import MAX_CHARACTERS
from tasks.text_digests import digest_texts

SCHEMA = pa.schema([("text", pa.large_string()), ("label", pa.int8())])
DRAWN = pa.schema([("digest", pa.binary(16)), ("row", pa.int64()), ("text", pa.large_string())])
logger = logging.getLogger("reprise.monitoring")

Batches = Iterator[tuple[pa.Array, pa.Array]]


class NewTexts(NamedTuple):
    """`table` of `text` large_string and `label` int8, null throughout without labels; the source has `available` rows."""

    table: pa.Table
    available: int
    labelled: bool


def read_new_reviews(data: DataConfig, limit: int) -> NewTexts:
    """Read reviews; of more than `limit`, those with the smallest digests: the same ones in whatever order they come.

    A text that is too long to be scored is left out, and a warning tells how many are.

    Args:
        data: the place, and the columns and labels of its tables.
        limit: the most rows to keep.

    Raises:
        DataError: The source is missing, empty or unreadable; a text is missing; a label is none; not all files have labels.
        DownloadError: Its host did not deliver it.
    """
    drawn = DRAWN.empty_table()
    labels: list[np.ndarray] = []
    labelled: dict[bool, str] = {}
    rows = left_out = 0
    for where, batches in open_new_reviews(data):
        column = LabelColumn(data.negative_labels, data.positive_labels, column=data.label_column, where=where)
        missing, too_long, given = RowsAtFault(), RowsAtFault(), 0
        for texts, values in batches:
            missing.add(texts.is_null().to_numpy(zero_copy_only=False), column.rows)
            numbers = np.arange(rows + column.rows, rows + column.rows + len(texts))
            long = pc.fill_null(pc.greater(pc.utf8_length(texts), MAX_CHARACTERS), False).to_numpy(zero_copy_only=False)
            too_long.add(long, column.rows)
            columns = [digest_texts(pc.fill_null(texts, "")), pa.array(numbers), texts.cast(pa.large_string())]
            part = pa.table(columns, schema=DRAWN).filter(pa.array(~long))
            drawn = pa.concat_tables([drawn, part]).sort_by([("digest", "ascending"), ("row", "ascending")])[:limit]
            given += len(values) - values.null_count
            column.add(values)
        if missing.count:
            raise DataError(f"{where}: column '{data.text_column}' has no text in {missing}")
        if not column.rows:
            raise DataError(f"{where} has no rows")
        if too_long.count:
            told = f"{where}: column '{data.text_column}' holds more than {MAX_CHARACTERS:,} characters in {too_long}"
            logger.warning("%s, which %s left out", told, "is" if too_long.count == 1 else "are")
        left_out += too_long.count
        labelled.setdefault(given > 0, where)
        labels.append(column.labels() if given else np.zeros(column.rows, np.int8))
        rows += column.rows
    if len(labelled) > 1:
        raise DataError(
            f"{labelled[True]} has labels and {labelled[False]} has none: give all of them, or another label_column"
        )
    has_labels = True in labelled
    chosen = np.concatenate(labels)[drawn["row"].to_numpy()]
    column_of_labels = pa.array(chosen, pa.int8()) if has_labels else pa.nulls(len(drawn), pa.int8())
    return NewTexts(pa.table([drawn["text"], column_of_labels], schema=SCHEMA), rows - left_out, has_labels)


def open_new_reviews(data: DataConfig) -> Iterator[tuple[str, Batches]]:
    """Yield the name of each table at a path, or right in a folder, and its texts and labels; or the folder of `.txt` files.

    Raises:
        DataError: There is nothing of the kind.
        DownloadError: Its host did not answer.
    """
    place = locate(data.path or "")
    if table_extension(place.name) is not None and is_file(place):
        yield place.name, _read_table(place, data)
        return
    if not is_folder(place):
        kind = f"is no table: its name ends in none of {', '.join(EXTENSIONS)}" if is_file(place) else "is not there"
        raise DataError(f"{place.name} {kind}")
    files = [file for file, _ in list_files(place)]
    tables = [file for file in files if table_extension(file.name) is not None]
    texts = [file for file in files if file.name.endswith(".txt")]
    if not (tables or texts):
        raise DataError(f"{place.name} holds no reviews: neither a table ({', '.join(EXTENSIONS)}) nor a .txt file")
    for table in tables:
        yield table.name, _read_table(table, data)
    if not tables:
        yield place.name, ((batch, pa.nulls(len(batch), pa.string())) for batch in read_texts(texts))


def _read_table(file: Located, data: DataConfig) -> Batches:
    for batch in read_batches(file, table_extension(file.name) or "", [data.text_column], [data.label_column]):
        yield as_texts(batch[data.text_column], data.text_column, file.name), batch[data.label_column]
