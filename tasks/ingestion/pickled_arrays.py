"""Reads the `.npy` members of an npz; pickled ones by a reader that can build lists and numbers, and nothing else."""

import io
import pickle
from typing import Any

import numpy as np


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
    _, _, dtype = readers[version](stream)
    if not dtype.hasobject:
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
    array = _Unpickler(stream).load()
    if not isinstance(array, _Array) or array.items is None:
        raise RefusedPickleError("it is no array")
    return array.items
