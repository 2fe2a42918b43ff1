"""Columns for JSON objects, where they are to become a table of another format."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

INT64 = range(-(2**63), 2**63)


class JsonColumns:
    """The columns that objects need, learned batch by batch: in the order in which their keys first come up.

    A key of which all values are of one kind makes a column of bool, int64, double or string; integers and other numbers
    make one of double. What is neither, or of several kinds, becomes a string: its JSON.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._kinds: dict[str, set[type]] = {}

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Learn from a batch of objects."""
        for row in rows:
            for key, value in row.items():
                self._kinds.setdefault(key, set()).add(_kind(value))

    def schema(self) -> pa.Schema:
        """Return the columns."""
        return pa.schema([(key, _column_type(kinds - {type(None)})) for key, kinds in self._kinds.items()])


def build_columns(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Return objects as rows of the columns that were learned from them."""
    columns = [_build([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def replace_halves(text: str) -> str:
    """Return a text with halves of surrogate pairs, which no UTF-8 can hold, replaced as the registered model does."""
    return text.encode(errors="replace").decode()


def _kind(value: Any) -> type:
    if type(value) in (bool, float, str, type(None)):
        return type(value)
    return int if type(value) is int and value in INT64 else object


def _column_type(kinds: set[type]) -> pa.DataType:
    if kinds <= {int, float} and float in kinds:
        return pa.float64()
    single = {bool: pa.bool_(), int: pa.int64(), str: pa.string()}
    return single.get(next(iter(kinds)), pa.string()) if len(kinds) == 1 else pa.string()


def _build(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.float64():
        values = [None if value is None else float(value) for value in values]
    elif kind == pa.string():
        values = [
            value if value is None else replace_halves(value if isinstance(value, str) else _dump(value)) for value in values
        ]
    return pa.array(values, kind)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
