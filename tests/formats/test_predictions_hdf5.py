"""HDF5 from strangers: it can point to other files and claim any size; neither is believed."""

from __future__ import annotations

import re
import tracemalloc

import h5py
import numpy as np
import pytest

from facebench.errors import InvalidData
from facebench.formats import read_predictions
from tests.formats import wire


@pytest.fixture
def path(tmp_path):
    """Good predictions but for the landmarks, which the test adds."""
    return wire.write(tmp_path / "p.h5", wire.values(2, landmarks=None))


@pytest.fixture
def secret(tmp_path):
    """Files of the reader that no predictions file may fetch."""
    points = np.arange(272.0).reshape(2, 68, 2)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["points"] = points
    (tmp_path / "secret.bin").write_bytes(points.tobytes())
    return tmp_path


def refused(path):
    with pytest.raises(InvalidData) as error:
        read_predictions(path)
    assert str(path) in str(error.value)
    return str(error.value)


class TestOtherFiles:
    def test_an_external_link_is_not_followed(self, path, secret):
        with h5py.File(path, "r+") as file:
            file["landmarks"] = h5py.ExternalLink(str(secret / "secret.h5"), "/points")
        assert "/landmarks" in refused(path)

    def test_an_external_link_to_nowhere(self, path, tmp_path):
        with h5py.File(path, "r+") as file:
            file["landmarks"] = h5py.ExternalLink(str(tmp_path / "absent.h5"), "/points")
        assert "/landmarks" in refused(path)

    def test_external_storage_is_not_read(self, path, secret):
        with h5py.File(path, "r+") as file:
            file.create_dataset(
                "landmarks", (2, 68, 2), "f8", external=[(str(secret / "secret.bin"), 0, 2176)]
            )
        assert "/landmarks: points to another file, which is not allowed" in refused(path)

    def test_a_virtual_array_is_not_read(self, path, secret):
        layout = h5py.VirtualLayout((2, 68, 2), "f8")
        layout[...] = h5py.VirtualSource(str(secret / "secret.h5"), "points", (2, 68, 2))
        with h5py.File(path, "r+") as file:
            file.create_virtual_dataset("landmarks", layout)
        assert "/landmarks" in refused(path)


class TestLinks:
    def test_to_nowhere(self, path):
        with h5py.File(path, "r+") as file:
            file["landmarks"] = h5py.SoftLink("/absent")
        assert "/landmarks" in refused(path)

    def test_in_a_circle(self, path):
        with h5py.File(path, "r+") as file:
            file["landmarks"] = h5py.SoftLink("/landmarks")
        assert "/landmarks" in refused(path)

    def test_to_the_file_itself(self, path):
        with h5py.File(path, "r+") as file:
            file["landmarks"] = file["/"]
        assert "/landmarks: expected an array, found a group" in refused(path)


class TestSizes:
    """A few kilobytes on disk may not ask for much memory, whatever they claim."""

    @pytest.mark.parametrize(
        ("name", "shape", "kind"),
        [
            ("landmarks", (10**12, 68, 2), "f8"),
            ("landmarks", (4 * 10**7,), "u1"),
            ("landmarks", (100_000, 68, 2), "f8"),
            ("visibility", (300_000, 68), "f4"),
            ("id", (1_000_000,), "S64"),
        ],
        ids=["beyond any memory", "bytes", "more than there is", "unwritten visibility", "unwritten ids"],
    )
    def test_that_were_claimed_but_never_written(self, path, name, shape, kind):
        with h5py.File(path, "r+") as file:
            if name in file:
                del file[name]
            file.create_dataset(name, shape, kind, chunks=(1000, *shape[1:]))
        assert path.stat().st_size < 100_000
        tracemalloc.start()
        try:
            message = refused(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert name in message
        assert peak < 32 << 20

    def test_that_compression_blew_up(self, path):
        """60 MB of zeros in 60 kB: the number of ids says how many rows there can be."""
        with h5py.File(path, "r+") as file:
            shape = (60_000, 68, 2)
            file.create_dataset("landmarks", shape, "f8", chunks=shape, compression="gzip", fillvalue=0)
            file["landmarks"][:1] = 0.0
        assert path.stat().st_size < 300_000
        tracemalloc.start()
        try:
            assert "landmarks" in refused(path)
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()

    def test_a_chunk_beyond_any_memory(self, path):
        with h5py.File(path, "r+") as file:
            file.create_dataset("landmarks", (2, 68, 2**31), "u1", chunks=(1, 1, 2**31))
        assert "landmarks" in refused(path)


class TestOddThings:
    def test_an_array_without_a_shape(self, path):
        with h5py.File(path, "r+") as file:
            file["landmarks"] = h5py.Empty("f8")
        assert "landmarks" in refused(path)

    def test_a_group(self, path):
        with h5py.File(path, "r+") as file:
            file.create_group("landmarks")["points"] = np.zeros((2, 68, 2))
        assert "/landmarks: expected an array, found a group" in refused(path)

    def test_references(self, path):
        with h5py.File(path, "r+") as file:
            file.create_dataset("landmarks", (2, 68, 2), h5py.ref_dtype)
        assert "landmarks: expected an array of numbers" in refused(path)

    def test_one_text_for_all_ids(self, path):
        with h5py.File(path, "r+") as file:
            del file["id"]
            file["id"] = "ab"
        assert "id" in refused(path)

    def test_a_table_of_ids(self, path):
        with h5py.File(path, "r+") as file:
            del file["id"]
            file["id"] = [["a"], ["b"]]
        assert "id" in refused(path)

    def test_a_damaged_chunk(self, path):
        points = np.random.default_rng(0).normal(size=(2, 68, 2))
        with h5py.File(path, "r+") as file:
            file.create_dataset("landmarks", data=points, chunks=points.shape, compression="gzip")
            offset = file["landmarks"].id.get_chunk_info(0).byte_offset
        data = bytearray(path.read_bytes())
        data[offset + 40] ^= 0xFF
        path.write_bytes(data)
        assert "landmarks" in refused(path)


class TestTheFormatItself:
    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("format", None, "attribute 'format': expected 'facebench-predictions', found None"),
            ("format", "facebench-dataset", "found 'facebench-dataset'"),
            ("format", ["facebench-predictions", "other"], "attribute 'format': expected"),
            ("version", None, "attribute 'version': expected 1, found None"),
            ("version", 2, "attribute 'version': expected 1, found 2"),
            ("version", [1, 2], "attribute 'version': expected 1"),
            ("method", h5py.Empty("f8"), "attribute 'method'"),
            ("method", 3.5, "attribute 'method': expected text"),
            ("method", ["a", "b"], "attribute 'method': expected text"),
        ],
    )
    def test_attributes_that_are_something_else(self, path, name, value, message):
        with h5py.File(path, "r+") as file:
            if value is None:
                del file.attrs[name]
            else:
                file.attrs[name] = value
        assert message in refused(path)


def test_a_predictions_file_with_a_changed_byte_at_its_head_is_read_or_refused(tmp_path):
    """Never a traceback of the library below; what cannot be read is told with the file's name."""
    path = wire.write(tmp_path / "p.h5", wire.with_euler(2, landmarks=None, visibility=None))
    data = path.read_bytes()
    # Only the superblock: a damaged pointer further on can crash the library itself, which no test can catch.
    odd = []
    for offset in range(96):
        damaged = bytearray(data)
        damaged[offset] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read_predictions(path)
        except InvalidData as error:
            if not re.search(re.escape(str(path)), str(error)):
                odd.append((offset, str(error)))
        except Exception as error:
            odd.append((offset, repr(error)))
    assert odd == []
