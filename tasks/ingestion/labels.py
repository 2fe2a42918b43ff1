"""Label values as they stand in a source -> 0 and 1."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tasks.errors import DataError

NAMED_ROWS = 5


def map_labels(values: pa.Array, negative: Sequence[str], positive: Sequence[str], *, column: str, where: str) -> np.ndarray:
    """Return 0 for each value whose `str` is in `negative` and 1 for each in `positive`, as int8 (rows,).

    Args:
        values: The values (rows,) of any scalar type; nothing is cast, so the float 1.0 is not the label "1".
        negative: What counts as negative.
        positive: What counts as positive.
        column: The column's name, for errors.
        where: The file's name, for errors.

    Raises:
        DataError: A label is missing, or in neither list; names the value and up to five rows, the first being row 1.
    """
    meaning = dict.fromkeys(negative, 0) | dict.fromkeys(positive, 1)
    codes, distinct = _encode(values, column, where)
    mapped = [None if value is None else meaning.get(str(value)) for value in distinct]
    unknown = np.array([label is None for label in mapped] + [True])[codes]
    if unknown.any():
        first = int(codes[np.flatnonzero(unknown)[0]])
        rows = name_rows(codes == first)
        value = distinct[first] if first >= 0 else None
        if value is None or value == "" or value != value:
            raise DataError(f"{where}: column '{column}' has no label in {rows}")
        others = len(set(codes[unknown].tolist())) - 1
        more = f" (and {others} more unknown values)" if others else ""
        raise DataError(
            f"{where}: column '{column}' holds {value!r} in {rows}{more}, which is in neither "
            f"data.negative_labels {list(negative)} nor data.positive_labels {list(positive)}"
        )
    labels: np.ndarray = np.array([*mapped, 0], dtype=np.int8)[codes]
    return labels


def name_rows(chosen: np.ndarray) -> str:
    """Return up to five numbers of the chosen rows as words, the first row being 1."""
    rows = np.flatnonzero(chosen) + 1
    named = ", ".join(str(row) for row in rows[:NAMED_ROWS])
    rest = f" and {len(rows) - NAMED_ROWS} more" if len(rows) > NAMED_ROWS else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {named}{rest}"


def _encode(values: pa.Array, column: str, where: str) -> tuple[np.ndarray, list[object]]:
    """Return the distinct values and each row's index among them; a null's index is -1."""
    if pa.types.is_null(values.type):
        return np.full(len(values), -1), []
    try:
        encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    except pa.ArrowNotImplementedError as error:
        raise DataError(f"{where}: column '{column}' holds {values.type}, which cannot be labels") from error
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, encoded.dictionary.to_pylist()
