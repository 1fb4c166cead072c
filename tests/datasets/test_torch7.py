"""Torch7 tensors, against a writer of the same format."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest

from facebench.datasets.torch7 import read_tensor
from tests.datasets import torch7

POINTS = np.random.default_rng(4).normal(200, 90, (68, 2))


@pytest.mark.parametrize(("kind", "type_"), [("Float", np.float32), ("Double", np.float64)])
def test_every_value_comes_back_as_double(kind, type_):
    found = read_tensor(torch7.tensor(POINTS, kind))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, POINTS.astype(type_))


@pytest.mark.parametrize("shape", [(136,), (2, 68), (1, 68, 2), (2, 2, 2, 17), (1,)])
def test_any_shape(shape):
    values = np.arange(float(np.prod(shape))).reshape(shape)
    np.testing.assert_array_equal(read_tensor(torch7.tensor(values, "Double")), values)


def test_a_transposed_tensor():
    """``x:t()`` in Torch shares the storage and swaps the strides."""
    found = read_tensor(torch7.tensor(POINTS, "Double", shape=(2, 68), strides=(1, 2)))
    np.testing.assert_array_equal(found, POINTS.T)


def test_a_part_of_a_larger_storage():
    """``x:narrow(1, 3, 68)`` keeps the storage and moves the offset, which counts from 1."""
    storage = np.arange(300.0).reshape(100, 3)
    found = read_tensor(torch7.tensor(storage, "Double", shape=(68, 2), strides=(3, 1), offset=7))
    np.testing.assert_array_equal(found, storage[2:70, :2])


def test_the_result_is_the_callers_own():
    data = bytearray(torch7.tensor(POINTS, "Double"))
    found = read_tensor(bytes(data))
    found[:] = 0
    assert (read_tensor(bytes(data)) == POINTS).all()


GOOD = torch7.tensor(POINTS)


@pytest.mark.parametrize("length", range(0, len(GOOD), 13))
def test_cut_anywhere(length):
    with pytest.raises(ValueError, match=f"the file ends at byte {length}, inside a value"):
        read_tensor(GOOD[:length])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch7.tensor(POINTS, "Int"), "expected a torch Float or DoubleTensor, found 'torch.IntTensor'"),
        (torch7.tensor(POINTS, "Byte"), "found 'torch.ByteTensor'"),
        (torch7.head("torch.FloatStorage", 1), "Tensor, found 'torch.FloatStorage'"),
        (torch7.head("nn.Linear", 1), "found 'nn.Linear'"),
        (struct.pack("<ii", 3, 1), "found 'type tag 3'"),
        (struct.pack("<id", 1, 2.5), "found 'type tag 1'"),
        (b"4\n1\n3\nV 1\n17\ntorch.FloatTensor\n", "expected a torch Float or DoubleTensor"),
        (b"\x93NUMPY\x01\x00v\x00", "expected a torch Float or DoubleTensor"),
    ],
    ids=["integers", "bytes", "storage", "network", "table", "number", "text format", "numpy"],
)
def test_what_is_no_tensor_of_floats(data, message):
    with pytest.raises(ValueError, match=message):
        read_tensor(data)


@pytest.mark.parametrize(
    "data",
    [
        torch7.tensor(POINTS, offset=0),
        torch7.tensor(POINTS, offset=2),
        torch7.tensor(POINTS, shape=(69, 2)),
        torch7.tensor(POINTS, strides=(3, 1)),
        torch7.tensor(POINTS, strides=(-2, 1), offset=135),
        torch7.tensor(POINTS, shape=(0, 2)),
        torch7.tensor(POINTS, shape=(-68, 2)),
        torch7.tensor(POINTS, strides=(2**62, 2**62)),
        torch7.tensor(POINTS, strides=(0, 1)),
    ],
    ids=[
        *("offset 0", "offset 2", "a row too many", "steps", "backwards", "empty", "negative", "overflow"),
        "the same row again and again",
    ],
)
def test_a_tensor_that_reaches_beyond_its_storage(data):
    with pytest.raises(ValueError, match=r"a tensor of shape \[.*\] in a storage of 136 values"):
        read_tensor(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch7.tensor(POINTS, tensor_kind="Double"), "a tensor and a storage of different types"),
        (torch7.tensor(POINTS, shape=(), strides=()), "a tensor of 0 dimensions"),
        (torch7.tensor([1.0], shape=(1,) * 9), "a tensor of 9 dimensions"),
        (torch7.tensor(POINTS, count=137), "inside a value"),
        (torch7.tensor(POINTS, count=-1), "inside a value"),
        (torch7.tensor(POINTS, count=2**62), "inside a value"),
        (struct.pack("<iii", 4, 1, -5) + GOOD[8:], "inside a value"),
        (struct.pack("<iii", 4, 1, 2**31 - 1) + GOOD[8:], "inside a value"),
    ],
    ids=[
        "mixed",
        "scalar",
        "9 dimensions",
        "storage too long",
        "negative",
        "vast",
        "negative text",
        "vast text",
    ],
)
def test_a_contradiction(data, message):
    with pytest.raises(ValueError, match=message):
        read_tensor(data)


@pytest.mark.parametrize("rows", [5 * 10**6, 10**15])
def test_steps_of_zero_cannot_ask_for_any_memory(rows):
    """A file of a few bytes may not stand for millions of values."""
    data = torch7.tensor([1.0, 2.0], shape=(rows, 2), strides=(0, 1))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="tensor of shape"):
            read_tensor(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
