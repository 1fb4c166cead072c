"""Writing of Torch7 files as 64-bit Torch writes them: to hold reading against, bit for bit."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

TYPES = {"Float": "<f4", "Double": "<f8", "Int": "<i4", "Byte": "u1", "Long": "<i8"}


def text(value: str) -> bytes:
    return struct.pack("<i", len(value)) + value.encode("ascii")


def head(name: str, index: int) -> bytes:
    """Return what begins an object: type tag, number of the object, version, class."""
    return struct.pack("<ii", 4, index) + text("V 1") + text(name)


def tensor(
    values: object,
    kind: str = "Float",
    *,
    shape: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    offset: int = 1,
    tensor_kind: str | None = None,
    count: int | None = None,
) -> bytes:
    """Return the bytes of a tensor over a storage of values.

    Parameters
    ----------
    values : the storage; its own shape and strides are the tensor's unless others are given.
    offset : position of the first element in the storage, counted from 1.
    tensor_kind : number type that the tensor claims, where it is to differ from the storage's.
    count : length that the storage claims, where it is to differ from the truth.
    """
    storage = np.ascontiguousarray(values, TYPES[kind])
    shape = storage.shape if shape is None else shape
    if strides is None:
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    return b"".join(
        [
            head(f"torch.{tensor_kind or kind}Tensor", 1),
            struct.pack("<i", len(shape)),
            struct.pack(f"<{len(shape)}q", *shape),
            struct.pack(f"<{len(strides)}q", *strides),
            struct.pack("<q", offset),
            head(f"torch.{kind}Storage", 2),
            struct.pack("<q", storage.size if count is None else count),
            storage.tobytes(),
        ]
    )
