"""Canonical Parquet -> two frames to check: its columns, and one row of derived values per review."""

from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.parquet_batches import iterate_batches, open_parquet
from tasks.text_digests import digest_texts
from tasks.validation.repeats import find_conflicts, find_leaks, find_repeats, number_texts

TEXT_TYPES = ["string", "large_string"]
COLUMN_TYPES = {"text": TEXT_TYPES, "label": ["int8"], "split": TEXT_TYPES}
SPLITS = ("train", "validation", "test")
BATCH_ROWS = 8_192
EXCERPT_CHARACTERS = 20
# White space, and the marks of zero width that a byte-order mark or a copied web page leaves behind.
BLANK = r"^[\s\u200b-\u200d\u2060\ufeff]*$"
_INVISIBLE = r"\s\v\x{1c}-\x{1f}\x{85}\p{Z}\x{200b}-\x{200d}\x{2060}\x{feff}"
# The excerpt of a text that is not blank begins where something is to be seen, or it might look blank for being cut.
_EXCERPT = rf"(?s)(?P<excerpt>[^{_INVISIBLE}].{{0,{EXCERPT_CHARACTERS - 1}}})"


class ReviewsTable(NamedTuple):
    """The frames to check, and the numbers of the rows to leave out of test.

    `columns` has one row: the Parquet type of each column, by its name. `rows` is indexed by row number and holds what
    can be derived from the columns that are there in the right type:
    `text` (20 characters of it: all that rules on texts look at), `characters` (of the whole text; none where it is
    blank), `label`, `split`, `role` (the split, or 'excluded'), `part` ('test', or 'train' for train and validation, which
    is cut from it), and the marks, 0 or 1: `repeats` an earlier row of its part, `leaked` (a test row that stands in train
    or validation) and `conflicting` (its text stands under two labels).
    """

    columns: pd.DataFrame
    rows: pd.DataFrame
    excluded: NDArray[np.int64]


def read_reviews_table(path: Path, *, drop_leaked: bool) -> ReviewsTable:
    """Read `reviews.parquet` and derive what the suite looks at.

    Args:
        path: the Parquet file.
        drop_leaked: whether leaked test rows are to be left out of test.

    Raises:
        DataError: the file is missing or no Parquet.
    """
    try:
        file = open_parquet(path)
        types: dict[str, str] = {}
        for field in file.schema_arrow:
            types[field.name] = f"{types[field.name]} and {field.type}" if field.name in types else str(field.type)
        usable = [name for name, accepted in COLUMN_TYPES.items() if types.get(name) in accepted]
        none = pa.RecordBatch.from_pylist([], pa.schema([file.schema_arrow.field(name) for name in usable]))
        batches = chain([none], iterate_batches(file, BATCH_ROWS, usable))
        condensed = pa.Table.from_batches([_condense(batch) for batch in batches])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    rows = _derive_rows(condensed, file.metadata.num_rows)
    excluded = rows.index[rows["leaked"] == 1] if drop_leaked and "leaked" in rows else rows.index[:0]
    if "split" in rows:
        rows["role"] = rows["split"].mask(rows.index.isin(excluded), "excluded")
    return ReviewsTable(pd.DataFrame({name: [kind] for name, kind in types.items()}), rows, excluded.to_numpy(dtype=np.int64))


def measure_reviews(table: ReviewsTable) -> dict[str, float]:
    """Return what was counted and measured, by name; a value that the data does not allow is absent."""
    rows = table.rows
    measured: dict[str, float] = {"rows": float(len(rows))}
    if "characters" in rows and rows["characters"].notna().any():
        for name in ("min", "max", "mean"):
            measured[f"{name}_characters"] = float(rows["characters"].agg(name))
    for split in SPLITS if "role" in rows else ():
        of_split = rows[rows["role"] == split]
        measured[f"rows_{split}"] = float(len(of_split))
        if "label" in rows and of_split["label"].notna().any():
            measured[f"positive_share_{split}"] = float((of_split["label"] == 1).mean())
    if "repeats" in rows:
        for part in ("train", "test"):
            measured[f"duplicates_{part}"] = float(rows.loc[rows["part"] == part, "repeats"].sum())
        measured["leaked_test_rows"] = float(rows["leaked"].sum())
    if "conflicting" in rows:
        measured["conflicting_rows"] = float(rows["conflicting"].sum())
    return measured


def _condense(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the columns of a batch with its texts replaced by what is derived of each; blank ones have none but `text`."""
    columns = {name: batch[name] for name in batch.schema.names}
    if "text" in columns:
        texts = columns["text"]
        seen = pc.struct_field(pc.extract_regex(texts, _EXCERPT), "excerpt")
        blank = seen.is_null()
        columns |= {
            "text": pc.coalesce(seen, pc.utf8_slice_codeunits(texts, 0, EXCERPT_CHARACTERS)),
            "characters": pc.if_else(blank, None, pc.utf8_length(texts)),
            "digest": digest_texts(texts, ~blank.to_numpy(zero_copy_only=False)),
        }
    return pa.RecordBatch.from_pydict(columns)


def _derive_rows(condensed: pa.Table, count: int) -> pd.DataFrame:
    rows = pd.DataFrame(index=pd.RangeIndex(count))
    for name in condensed.column_names:
        if name != "digest":
            rows[name] = condensed[name].to_pandas()
    if "split" in rows:
        rows["part"] = rows["split"].replace("validation", "train")
    if "text" not in rows:
        return rows
    numbers = number_texts(condensed["digest"].combine_chunks())
    if "part" in rows:
        of_test = (rows["part"] == "test").to_numpy(dtype=bool)
        rows["repeats"] = find_repeats(numbers, of_test).astype(np.int8)
        rows["leaked"] = find_leaks(numbers, of_test, (rows["part"] == "train").to_numpy(dtype=bool)).astype(np.int8)
    if "label" in rows:
        rows["conflicting"] = find_conflicts(numbers, rows["label"].to_numpy(dtype=np.float64)).astype(np.int8)
    return rows
