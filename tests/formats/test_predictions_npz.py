"""NumPy archives from strangers: no pickle is loaded, no size believed, no damage ends in a traceback."""

from __future__ import annotations

import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from facebench.errors import InvalidData
from facebench.formats import read_predictions
from tests.formats import wire


def refused(path):
    with pytest.raises(InvalidData) as error:
        read_predictions(path)
    assert str(path) in str(error.value)
    return str(error.value)


def member(header, payload=b"", version=(1, 0)):
    """Return the bytes of a .npy file with a header of our own making."""
    text = header.encode()
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + text + payload


def described(shape, kind="'<f8'"):
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n"


@pytest.fixture
def add(tmp_path):
    """Return a function that makes good predictions of two faces, and adds one member to their archive."""

    def make(name, data, method=zipfile.ZIP_STORED):
        path = wire.write(tmp_path / "p.npz", wire.values(2, **{name.partition(".")[0]: None}))
        with zipfile.ZipFile(path, "a", method) as archive:
            archive.writestr(name, data)
        return path

    return make


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class TestPickles:
    @pytest.fixture
    def payload(self, tmp_path):
        made = tmp_path / "unpickled"
        yield Payload(made)
        assert not made.exists()

    def test_the_payload_works_where_pickles_are_loaded(self, tmp_path):
        np.savez(tmp_path / "p.npz", landmarks=np.array([Payload(tmp_path / "unpickled")], object))
        with np.load(tmp_path / "p.npz", allow_pickle=True) as archive:
            _ = archive["landmarks"]
        assert (tmp_path / "unpickled").is_dir()

    @pytest.mark.parametrize("name", ["landmarks", "id", "method", "other"])
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_in_an_array_are_never_loaded(self, tmp_path, payload, name, save):
        values = {**wire.values(2), name: np.array([payload, payload], object)}
        save(tmp_path / "p.npz", **values)
        message = refused(tmp_path / "p.npz")
        assert f"{name}: " in message
        assert "pickled objects, which are never loaded" in message

    def test_in_a_field_of_an_array_are_never_loaded(self, tmp_path, payload):
        array = np.zeros(2, [("x", "f8"), ("y", object)])
        array["y"] = payload
        np.savez(tmp_path / "p.npz", **{**wire.values(2), "landmarks": array})
        assert "pickled objects, which are never loaded" in refused(tmp_path / "p.npz")

    def test_behind_a_header_that_denies_them(self, add, payload):
        path = add("landmarks.npy", member(described((2, 68, 2)), pickle.dumps(payload).ljust(2176)))
        with np.errstate(all="ignore"):
            read_predictions(path)

    def test_as_a_whole_file_or_member(self, tmp_path, add, payload):
        (tmp_path / "p.npz").write_bytes(pickle.dumps(payload))
        refused(tmp_path / "p.npz")
        assert "not a readable .npz archive" in refused(add("landmarks.npy", pickle.dumps(payload)))
        refused(add("landmarks.pkl", pickle.dumps(payload)))


class TestClaims:
    @pytest.mark.parametrize(
        "header",
        [
            described((10**9, 68, 2)),
            described((10**28, 68, 2)),
            described((3, 68, 2)),
            described((-1, 68, 2)),
            described((2**63, 2, 2)),
            described((10**12,), "'|V0'"),
            described((2, 10**6), "'<U0'"),
        ],
        ids=[
            "vast",
            "beyond 64 bits",
            "a row too many",
            "negative",
            "overflow",
            "of nothing",
            "of empty texts",
        ],
    )
    def test_of_a_shape_are_compared_with_what_is_there(self, add, header):
        path = add("landmarks.npy", member(header, bytes(2 * 68 * 2 * 8)))
        tracemalloc.start()
        try:
            message = refused(path)
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()
        assert "landmarks" in message or "not a readable .npz archive" in message

    def test_of_the_archive_itself_are_not_believed_either(self, add):
        """The directory of a zip can claim any size as well."""
        path = add("landmarks.npy", member(described((500_000, 68, 2)), bytes(1000)))
        data = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo("landmarks.npy").file_size
        claimed = (10**9).to_bytes(4, "little")
        entry = data.rindex(b"PK\x01\x02")
        assert data[entry + 24 : entry + 28] == size.to_bytes(4, "little")
        data[entry + 24 : entry + 28] = claimed
        path.write_bytes(data)
        tracemalloc.start()
        try:
            refused(path)
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()

    def test_of_a_member_that_unpacks_to_a_thousand_times_its_size(self, add):
        path = add(
            "landmarks.npy", member(described((90_000, 68, 2)), bytes(90_000 * 1088)), zipfile.ZIP_DEFLATED
        )
        assert path.stat().st_size < 300_000
        tracemalloc.start()
        try:
            assert "landmarks" in refused(path)
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()


class TestDamage:
    @pytest.mark.parametrize(
        "header",
        [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2",
            "'''",
            "(" * 3000,
            "{'descr': '<zz', 'fortran_order': False, 'shape': (2,), }\n",
            "{'descr': '<f8', 'shape': (2,), }\n",
            "[]\n",
            "__import__('os').getcwd()\n",
            "\xff",
            "",
        ],
        ids=["cut", "open text", "deep", "unknown type", "no order", "a list", "code", "no text", "empty"],
    )
    def test_in_the_header_of_a_member(self, add, header):
        message = refused(add("landmarks.npy", member(header)))
        assert "landmarks" in message or "not a readable .npz archive" in message

    def test_in_a_compressed_member(self, tmp_path):
        np.savez_compressed(tmp_path / "p.npz", **wire.values(2))
        good = (tmp_path / "p.npz").read_bytes()
        with zipfile.ZipFile(tmp_path / "p.npz") as archive:
            begin = archive.getinfo("landmarks.npy").header_offset
        odd = []
        for offset in range(begin + 80, begin + 1400, 17):
            data = bytearray(good)
            data[offset] ^= 0xFF
            (tmp_path / "p.npz").write_bytes(data)
            try:
                read_predictions(tmp_path / "p.npz")
                odd.append((offset, "read"))
            except InvalidData:
                pass
            except Exception as error:
                odd.append((offset, repr(error)))
        assert odd == []

    def test_in_the_directory_of_the_archive(self, tmp_path):
        good = wire.write(
            tmp_path / "p.npz", wire.with_euler(2, landmarks=None, visibility=None)
        ).read_bytes()
        odd = []
        for offset in range(good.index(b"PK\x01\x02"), len(good)):
            data = bytearray(good)
            data[offset] ^= 0xFF
            (tmp_path / "p.npz").write_bytes(data)
            try:
                read_predictions(tmp_path / "p.npz")  # a time stamp may well be another
            except InvalidData:
                pass
            except Exception as error:
                odd.append((offset, repr(error)))
        assert odd == []

    def test_an_encrypted_archive(self, tmp_path):
        data = bytearray(wire.write(tmp_path / "p.npz", wire.values(2)).read_bytes())
        data[data.index(b"PK\x03\x04") + 6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
        (tmp_path / "p.npz").write_bytes(data)
        assert "encrypted" in refused(tmp_path / "p.npz")

    def test_a_member_that_is_no_array(self, add):
        refused(add("readme.txt", b"hello"))
        refused(add("folder/", b""))

    def test_a_member_in_a_folder_is_not_taken_for_the_array(self, add):
        path = add("x/landmarks.npy", member(described((2, 68, 2)), bytes(2176)))
        assert "x/landmarks: unknown" in refused(path)

    def test_nothing_is_unpacked(self, add, tmp_path):
        path = add("../../landmarks.npy", member(described((2, 68, 2)), bytes(2176)))
        refused(path)
        assert [one.name for one in tmp_path.iterdir()] == ["p.npz"]
        assert not (tmp_path.parent.parent / "landmarks.npy").exists()
