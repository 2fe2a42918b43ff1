"""Label and split words as they stand in a source -> codes, batch by batch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from tasks.errors import DataError
from tasks.ingestion.corpus import SPLITS
from tasks.ingestion.wording import shorten

NAMED_ROWS = 5
UNKNOWN = -1


class RowsAtFault:
    """How many rows of a file are at fault, and which come first; as a string, the words for it."""

    def __init__(self) -> None:
        """Begin with none."""
        self.count = 0
        self._first: list[int] = []

    def add(self, chosen: np.ndarray, rows_before: int = 0) -> None:
        """Add the rows that are True, bool (rows,), of a batch that so many rows of the file stand before."""
        rows = np.flatnonzero(chosen)
        self._first += (rows[: NAMED_ROWS - len(self._first)] + rows_before + 1).tolist()
        self.count += len(rows)

    def __str__(self) -> str:
        """Return up to five row numbers as words, the file's first row being 1."""
        named = ", ".join(map(str, self._first))
        rest = f" and {self.count - NAMED_ROWS} more" if self.count > NAMED_ROWS else ""
        return f"{'row' if self.count == 1 else 'rows'} {named}{rest}"


def name_rows(chosen: np.ndarray) -> str:
    """Return up to five numbers of the chosen rows, bool (rows,), as words, the first row being 1."""
    rows = RowsAtFault()
    rows.add(chosen)
    return str(rows)


class _CodedColumn:
    """A column of which each value's `str` has a code; of values without one, what an error has to tell is kept."""

    def __init__(self, codes: Mapping[str, int], *, kind: str, column: str, where: str) -> None:
        self.rows = 0
        self._codes, self._kind = codes, kind
        self._told = f"{where}: column '{column}'"
        self._parts: list[np.ndarray] = []
        self._unknown: object = None
        self._unknown_rows = RowsAtFault()
        self._other_unknown: set[int] = set()

    def add(self, values: pa.Array) -> None:
        """Add a batch of values (rows,) of any scalar type; nothing is cast, so the float 1.0 is not the word "1".

        Raises:
            DataError: The values are of a type that has no words.
        """
        indices, distinct = self._encode(values)
        words = [None if value is None else str(value) for value in distinct] + [None]
        codes = np.array([UNKNOWN if word is None else self._codes.get(word, UNKNOWN) for word in words], np.int8)[indices]
        self._parts.append(codes)
        unknown = codes == UNKNOWN
        if unknown.any():
            if not self._unknown_rows.count:
                self._unknown = [*distinct, None][indices[np.flatnonzero(unknown)[0]]]
            first = None if self._unknown is None else str(self._unknown)
            self._unknown_rows.add(np.array([word == first for word in words])[indices] & unknown, self.rows)
            # Hashes, for a column taken for labels by mistake may hold another long text in every row.
            self._other_unknown |= {hash(words[index]) for index in set(indices[unknown].tolist()) if words[index] != first}
        self.rows += len(values)

    def _encode(self, values: pa.Array) -> tuple[np.ndarray, list[object]]:
        """Return each row's index among the distinct values, -1 for a null, and these values."""
        if pa.types.is_null(values.type):
            return np.full(len(values), -1), []
        try:
            encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        except pa.ArrowNotImplementedError as error:
            raise DataError(f"{self._told} holds {values.type}, which cannot be {self._kind}") from error
        indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return indices, encoded.dictionary.to_pylist()

    def _all_codes(self) -> np.ndarray:
        return np.concatenate([np.empty(0, np.int8), *self._parts])


class LabelColumn(_CodedColumn):
    """A file's label values, to be added batch by batch."""

    def __init__(self, negative: Sequence[str], positive: Sequence[str], *, column: str, where: str) -> None:
        """Begin an empty column.

        Args:
            negative: What counts as negative.
            positive: What counts as positive.
            column: The column's name, for errors.
            where: The file's name, for errors.
        """
        super().__init__(dict.fromkeys(negative, 0) | dict.fromkeys(positive, 1), kind="labels", column=column, where=where)
        self._lists = f"data.negative_labels {list(negative)} nor data.positive_labels {list(positive)}"

    def labels(self) -> np.ndarray:
        """Return 0 for each value whose `str` is among the negative labels and 1 for each positive one, int8 (rows,).

        Raises:
            DataError: A label is missing, or in neither list; names the value and up to five rows, the first being row 1.
        """
        if self._unknown_rows.count:
            value, rows = self._unknown, self._unknown_rows
            if value is None or value == "" or value != value:
                raise DataError(f"{self._told} has no label in {rows}")
            others = len(self._other_unknown)
            more = f" (and {others} more unknown values)" if others else ""
            raise DataError(f"{self._told} holds {shorten(repr(value))} in {rows}{more}, which is in neither {self._lists}")
        return self._all_codes()


class SplitColumn(_CodedColumn):
    """A file's split names, to be added batch by batch."""

    def __init__(self, *, column: str, where: str) -> None:
        """Begin an empty column; its name and the file's are for errors."""
        super().__init__({name: code for code, name in enumerate(SPLITS)}, kind="splits", column=column, where=where)

    def splits(self) -> np.ndarray:
        """Return each row's split, object (rows,).

        Raises:
            DataError: A split is none of `SPLITS`; names the value and up to five rows, the first being row 1.
        """
        if self._unknown_rows.count:
            name = None if self._unknown is None else str(self._unknown)
            raise DataError(
                f"{self._told} holds {shorten(repr(name))} in {self._unknown_rows}; a split is one of {', '.join(SPLITS)}"
            )
        names: np.ndarray = np.array(SPLITS, dtype=object)[self._all_codes()]
        return names
