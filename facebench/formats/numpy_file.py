"""Reading a NumPy ``.npy`` stream from a stranger: its head first, its numbers only when they are wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import IO

import numpy as np
from numpy.typing import NDArray

__all__ = ["LazyArray", "read_npy", "read_npy_head"]


@dataclass(frozen=True)
class LazyArray:
    """An array in a file, of which only the shape and the type have been looked at."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], NDArray]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def read_npy_head(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and the type that a ``.npy`` stream claims.

    Raises
    ------
    ValueError : it is no such stream, or holds pickled objects, which are never loaded.
    """
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        msg = f"version {version} of the .npy format"
        raise ValueError(msg)
    shape, _, dtype = readers[version](stream)
    if dtype.hasobject:
        msg = "pickled objects, which are never loaded"
        raise ValueError(msg)
    if any(size < 0 for size in shape):
        msg = f"an array of shape {shape}"
        raise ValueError(msg)
    return shape, dtype


def read_npy(stream: IO[bytes], available: int) -> NDArray:
    """Return the array of a seekable ``.npy`` stream of ``available`` bytes.

    Raises
    ------
    ValueError : it is no such stream, holds objects, or claims more than there is.
    """
    shape, dtype = read_npy_head(stream)
    claimed = prod(shape) * dtype.itemsize
    if claimed > available or not dtype.itemsize:
        msg = f"an array of shape {shape} of {dtype} in {available} bytes"
        raise ValueError(msg)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
