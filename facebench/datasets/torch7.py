"""Reading a tensor from a Torch7 file (``.t7``), the Lua format in which LS3D-W is distributed.

Only what a label file holds is understood: one Float or Double tensor, written in binary by 64-bit Torch.
The layout of an object is: type tag (int32), object index (int32), version text, class name; a tensor
then has its number of dimensions, sizes, strides and storage offset, and its storage a length and data.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_tensor"]

TORCH_OBJECT = 4
KINDS: dict[str, np.dtype] = {"Float": np.dtype("<f4"), "Double": np.dtype("<f8")}
MAX_DIMENSIONS = 8


def read_tensor(data: bytes) -> NDArray[np.float64]:
    """Return the tensor of a ``.t7`` file as an array of its own shape.

    Raises
    ------
    ValueError : the bytes are not one Float or Double tensor; says what was found instead.
    """
    reader = _Reader(data)
    kind = reader.object_class("Tensor")
    dimensions = reader.integer("<i")
    if not 0 < dimensions <= MAX_DIMENSIONS:
        msg = f"a tensor of {dimensions} dimensions"
        raise ValueError(msg)
    shape = [reader.integer("<q") for _ in range(dimensions)]
    strides = [reader.integer("<q") for _ in range(dimensions)]
    offset = reader.integer("<q") - 1  # Lua counts from 1
    if reader.object_class("Storage") != kind:
        msg = "a tensor and a storage of different types"
        raise ValueError(msg)
    values = reader.array(reader.integer("<q"), KINDS[kind])
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    # A step of zero would repeat values as often as a shape says, which no label file does.
    if min(shape) < 1 or min(strides) < 1 or offset < 0 or last >= len(values):
        msg = f"a tensor of shape {shape} in a storage of {len(values)} values"
        raise ValueError(msg)
    index = offset + sum(
        np.arange(n).reshape([-1 if j == i else 1 for j in range(dimensions)]) * strides[i]
        for i, n in enumerate(shape)
    )
    return values[index].astype(np.float64)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.at:
            msg = f"the file ends at byte {len(self.data)}, inside a value"
            raise ValueError(msg)
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self, layout: str) -> int:
        return int(struct.unpack(layout, self.take(struct.calcsize(layout)))[0])

    def text(self) -> str:
        return self.take(self.integer("<i")).decode("ascii", "replace")

    def array(self, count: int, dtype: np.dtype) -> NDArray:
        return np.frombuffer(self.take(count * dtype.itemsize), dtype)

    def object_class(self, suffix: str) -> str:
        """Read the head of an object and return the number type in its class name."""
        tag, _ = self.integer("<i"), self.integer("<i")
        version = self.text() if tag == TORCH_OBJECT else ""
        name = self.text() if version.startswith("V ") else version
        kind = name.removeprefix("torch.").removesuffix(suffix)
        if tag != TORCH_OBJECT or kind not in KINDS:
            msg = f"expected a torch Float or Double{suffix}, found {name or f'type tag {tag}'!r}"
            raise ValueError(msg)
        return kind
