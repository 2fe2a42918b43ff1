"""The rows that a model got wrong with the most confidence, and what they say."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.evaluation.scores import Labels, Probabilities, predict_labels

TEXT_LIMIT = 500


def rank_mistakes(labels: Labels, probabilities: Probabilities, *, threshold: float, limit: int) -> NDArray[np.intp]:
    """Return the positions of the wrongly predicted rows, the farthest from their label first, at most `limit`.

    Rows equally far off keep their order.
    """
    wrong = np.flatnonzero(predict_labels(probabilities, threshold) != labels)
    error = np.abs(probabilities[wrong] - labels[wrong])
    return wrong[np.argsort(-error, kind="stable")[:limit]]


def read_texts(reviews: Path, rows: NDArray[np.integer[Any]]) -> list[str]:
    """Return the texts of the given rows of a Parquet file, in their order, reading only the row groups that hold them.

    Raises:
        DataError: The file has no such row.
    """
    with pq.ParquetFile(reviews) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        if rows.size and (rows.min() < 0 or rows.max() >= file.metadata.num_rows):
            raise DataError(f"{reviews} has {file.metadata.num_rows} rows and no row {rows.max()}: ingest the reviews again")
        groups = np.searchsorted(ends, rows, side="right")
        texts: dict[int, str] = {}
        for group in np.unique(groups):
            wanted = rows[groups == group]
            column = file.read_row_group(int(group), columns=["text"]).column("text")
            found = column.take(pa.array(wanted - (ends[group] - sizes[group]))).to_pylist()
            texts.update(zip(wanted.tolist(), found, strict=True))
    return [texts[row] for row in rows.tolist()]


def list_mistakes(
    labels: Labels,
    probabilities: Probabilities,
    *,
    rows: NDArray[np.integer[Any]],
    lengths: NDArray[np.integer[Any]],
    reviews: Path,
    threshold: float,
    limit: int,
) -> pd.DataFrame:
    """Describe the most confident mistakes.

    Args:
        labels: 0 or 1, (rows,).
        probabilities: Of the positive class, (rows,).
        rows: Each row's number in `reviews`, (rows,).
        lengths: Words in each review, (rows,).
        reviews: The Parquet file with a column `text`.
        threshold: Rows of at least this probability are predicted positive.
        limit: The most rows to describe.

    Returns:
        The worst first: row (int64), label (int8), probability (float32), error (float32, the distance of the probability from
        the label), words (int32), text (cut to 500 characters, with an ellipsis where it goes on).

    Raises:
        DataError: `reviews` has no such row.
    """
    worst = rank_mistakes(labels, probabilities, threshold=threshold, limit=limit)
    return pd.DataFrame(
        {
            "row": rows[worst].astype(np.int64),
            "label": labels[worst].astype(np.int8),
            "probability": probabilities[worst].astype(np.float32),
            "error": np.abs(probabilities[worst] - labels[worst]).astype(np.float32),
            "words": lengths[worst].astype(np.int32),
            "text": pd.Series([_cut(text) for text in read_texts(reviews, rows[worst])], dtype="str"),
        }
    )


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"
