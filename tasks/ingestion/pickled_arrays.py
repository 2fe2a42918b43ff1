"""Reads the `.npy` members of an npz; pickled ones by a reader that can build lists and numbers, and nothing else."""

import io
import math
import pickle
import re
from typing import Any

import numpy as np

MAX_ROWS = 1 << 22
"""A list takes a hundred bytes of memory, and its opcode one of the file: without a limit on lists there is none on memory."""
MAX_OTHER_OPCODES = 1_000
"""An array's frame takes some forty."""


class RefusedPickleError(ValueError):
    """A pickle asks for more than an array of lists takes."""


class _Dtype:
    """Stands where a pickle asks for numpy's dtype: object arrays alone."""

    def __init__(self, code: str, *_: bool) -> None:
        if code not in ("O", "O8"):
            raise RefusedPickleError(f"it holds an array of type {code!r}, not of objects")

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and alignment, which objects have none of."""


class _Array:
    """Stands where a pickle asks for numpy's ndarray, or for a call that makes one, and keeps the list of its items."""

    items: list[Any] | None = None

    def __init__(self, *_: object) -> None:
        """Ignore the type and shape of the empty array that NumPy starts from."""

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, list[Any]]) -> None:
        _, shape, dtype, _, items = state
        if not isinstance(dtype, _Dtype) or not isinstance(items, list) or shape != (len(items),):
            raise RefusedPickleError("it is no one-dimensional array of objects")
        self.items = items


_STAND_INS = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
}


# What lists of numbers are made of, one opcode each: BININT1, BININT2, BININT, BINFLOAT, MARK, APPENDS, APPEND, MEMOIZE,
# NONE, NEWTRUE, NEWFALSE, BINPUT, LONG_BINPUT below MAX_ROWS (Python allots the memo up to the index given) and FRAME.
_NUMBERS = re.compile(rb"(?s:K.|M..|J.{4}|G.{8}|[(ea\x94N\x88\x89]|q.|r..[\0-\x3f]\0|\x95.{8})*+")
_EMPTY_LIST, _STOP = b"]", b"."
# What else NumPy writes around them, or a list may hold: PROTO, GLOBAL, STACK_GLOBAL, SHORT_BINUNICODE, BINUNICODE of less than
# 256 bytes, SHORT_BINBYTES, SHORT_BINSTRING, LONG1, the tuples, REDUCE, BUILD, BINGET, LONG_BINGET.
_OTHER = re.compile(
    rb"(?s:\x80.|c[^\n]{0,255}\n[^\n]{0,255}\n|[\x93t\x85\x86\x87)Rb]|h.|j.{4}|[\x8cCU\x8a](?P<short>.)|X(?P<long>.)\0\0\0)"
)


def check_opcodes(pickled: bytes) -> None:
    """Refuse a pickle before it is loaded, unless loading it takes memory and time in proportion to its length.

    Loaded, what passes takes at most 14 times the pickle's length and 100 bytes a list, of which there are `MAX_ROWS`.

    Raises:
        RefusedPickleError: It holds other opcodes than an array of lists of numbers takes, or too many.
    """
    position = lists = others = 0
    while True:
        position = _NUMBERS.match(pickled, position).end()  # type: ignore[union-attr]
        opcode = pickled[position : position + 1]
        if opcode == _STOP:
            return
        if opcode == _EMPTY_LIST:
            lists, position = lists + 1, position + 1
        elif found := _OTHER.match(pickled, position):
            others += 1
            length = found["short"] or found["long"]
            position = found.end() + (length[0] if length else 0)
        else:
            raise RefusedPickleError(f"it holds what no array of lists of numbers takes, at byte {position}")
        if lists > MAX_ROWS + 1 or others > MAX_OTHER_OPCODES:
            raise RefusedPickleError(f"it holds more than an array of at most {MAX_ROWS:,} lists of numbers takes")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise RefusedPickleError(f"it asks to run {module}.{name}") from None


def read_member(content: bytes) -> np.ndarray | list[Any]:
    """Return a `.npy` file's array, or the list of its items where it is an array of objects.

    Raises:
        RefusedPickleError: The array is pickled and holds more than built-in values.
        Exception: Whatever numpy or pickle raise on bytes that are no array.
    """
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"npy format {version} is not known")
    shape, _, dtype = readers[version](stream)
    rest = len(content) - stream.tell()
    if not dtype.hasobject:
        if math.prod(shape) * dtype.itemsize != rest:
            raise ValueError(f"an array is said to be of {dtype} and shape {shape}, and has {rest} bytes")
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
    check_opcodes(content[stream.tell() :])
    array = _Unpickler(stream).load()
    if not isinstance(array, _Array) or array.items is None:
        raise RefusedPickleError("it is no array")
    if sum(len(item) for item in array.items if isinstance(item, list)) > rest:
        raise RefusedPickleError("its lists stand in it again and again by reference")
    return array.items
