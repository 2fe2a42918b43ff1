"""The arrays of padded reviews -> two frames to check: the files, and one row of figures per padded row."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.handles import PaddedReviews, Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PADDING = 0
BLOCK_ROWS = 8_192
NGRAM_DTYPES = {"log_ratios": "float16", "logits": "float32"}
DTYPES = {"ids": "uint16", "lengths": "int32", "labels": "int8", "rows": "int64"}


class PaddedTable(NamedTuple):
    """The frames to check.

    `files` is indexed by file name: `shape` and `dtype` as found ('absent' or 'unreadable' where there is none), and
    `expected_shape`, `expected_dtype` and `expected_rows` as the handle has them. `rows` is indexed by row number in
    `reviews.parquet`: `row` (the same), `split`, `lowest_id`, `highest_id`, `words` (ids that are not padding), `length`,
    `label`, and `splits` (how many splits the row stands in). A split whose files do not fit together has no rows in it.
    """

    files: pd.DataFrame
    rows: pd.DataFrame


def read_padded_table(padded: PaddedReviews) -> PaddedTable:
    """Open the arrays memory-mapped, without unpickling, and reduce each row of ids to a few figures."""
    files = []
    rows = []
    for split in SPLITS:
        arrays: dict[str, NDArray[np.integer]] = {}
        for kind, dtype in (DTYPES | (NGRAM_DTYPES if padded.longest_ngram else {})).items():
            path = padded.file(f"{kind}_{split}.npy")
            columns = {"ids": (padded.maxlen,), "log_ratios": (padded.maxlen, padded.longest_ngram)}
            expected = (padded.rows.get(split, 0), *columns.get(kind, ()))
            array, state = _open(path)
            shape, found = (str(array.shape), str(array.dtype)) if array is not None else (state, state)
            files.append((path.name, shape, str(expected), found, dtype, expected[0]))
            if kind in DTYPES and array is not None and array.shape == expected and array.dtype.kind in "iu":
                arrays[kind] = array
        if len(arrays) == len(DTYPES):
            rows.append(_derive_rows(split, arrays, padded.file(f"ids_{split}.npy")))
    names = ["file", "shape", "expected_shape", "dtype", "expected_dtype", "expected_rows"]
    frame = pd.concat(rows) if rows else pd.DataFrame()
    if rows:
        frame["splits"] = frame.groupby(level=0)["split"].transform("nunique")
    return PaddedTable(pd.DataFrame(files, columns=names).set_index("file").rename_axis(None), frame)


def measure_padded(padded: PaddedReviews, table: PaddedTable) -> dict[str, float]:
    """Return what was counted and measured, by name; a value that the data does not allow is absent."""
    rows = table.rows
    measured = {"rows": float(len(rows)), "vocabulary_size": float(padded.vocabulary_size)}
    if len(rows):
        measured |= {
            "lowest_id": float(rows["lowest_id"].min()),
            "highest_id": float(rows["highest_id"].max()),
            "min_words": float(rows["words"].min()),
            "mean_words": float(rows["words"].mean()),
            "max_length": float(rows["length"].max()),
        }
    return measured


def _open(path: Path) -> tuple[NDArray[np.integer] | None, str]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False), "readable"
    except FileNotFoundError:
        return None, "absent"
    except (OSError, ValueError, EOFError):
        return None, "unreadable"


def _derive_rows(split: str, arrays: dict[str, NDArray[np.integer]], ids: Path) -> pd.DataFrame:
    blocks = [_derive_ids(ids, start) for start in range(0, len(arrays["rows"]), BLOCK_ROWS)]
    lowest_id, highest_id, words = map(np.concatenate, zip(*blocks, strict=True)) if blocks else np.empty((3, 0), np.int64)
    figures = {
        "row": arrays["rows"],
        "split": split,
        "lowest_id": lowest_id,
        "highest_id": highest_id,
        "words": words,
        "length": arrays["lengths"],
        "label": arrays["labels"],
    }
    return pd.DataFrame(figures, index=pd.Index(arrays["rows"]))


def _derive_ids(path: Path, start: int) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.int32]]:
    # Mapped anew for each block: a mapping keeps every page in memory that was ever looked at.
    ids = np.load(path, mmap_mode="r", allow_pickle=False)[start : start + BLOCK_ROWS]
    return ids.min(axis=1), ids.max(axis=1), np.count_nonzero(ids != PADDING, axis=1).astype(np.int32)
