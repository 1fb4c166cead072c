"""Images are the release's own bytes, read only when they are asked for, from anywhere at once."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

import cv2
import h5py
import numpy as np
import pytest

from facebench.datasets import prepare
from facebench.errors import DataMissing, InvalidData
from facebench.formats import ImageFile, open_dataset
from tests.formats import toy

ALL = range(36)


@pytest.fixture(scope="module")
def dataset(drawn):
    return open_dataset(drawn)


@pytest.fixture(scope="module")
def pixels(drawn):
    """The release's own images by id, decoded without facebench."""
    folder = drawn.parent / "release" / "AFLW2000"
    return {path.stem: cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob("*.jpg"))}


class TestEmbedded:
    def test_bytes_are_those_of_the_release(self, dataset, drawn):
        folder = drawn.parent / "release" / "AFLW2000"
        assert len(dataset.image_paths) == 36
        for row, path in enumerate(dataset.image_paths):
            assert dataset.encoded_image(row).tobytes() == (folder / Path(path).name).read_bytes()

    def test_decoded_as_rgb_whatever_the_format(self, toy_path):
        found = open_dataset(toy_path)
        for row, data in enumerate(toy.PICTURES.values()):
            expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            np.testing.assert_array_equal(found.decode_image(row), expected)
            assert found.decode_image(row).shape[1::-1] == tuple(found.image_sizes[row])

    def test_a_face_has_the_image_it_lies_in(self, toy_path):
        found = open_dataset(toy_path)
        for face, row in zip(found, toy.IMAGE_OF, strict=True):
            np.testing.assert_array_equal(face.image, found.decode_image(row))

    def test_a_face_has_its_own_image(self, dataset, pixels):
        assert set(pixels) == set(dataset.ids)
        for face in dataset:
            np.testing.assert_array_equal(face.image, pixels[face.id])

    def test_the_orientation_of_a_camera_is_not_applied(self, tmp_path):
        """The points were annotated on the pixels as they are stored."""
        from PIL import Image

        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter for viewing
        path = tmp_path / "turned.jpg"
        Image.new("RGB", (40, 20), (200, 10, 10)).save(path, exif=exif)
        data = path.read_bytes()
        image = ImageFile("turned.jpg", len(data), lambda: data)
        found = open_dataset(toy.write(tmp_path / "toy.h5", images=[image], image_of=np.zeros(4, int)))
        assert found[0].image.shape == (20, 40, 3)
        np.testing.assert_array_equal(found.image_sizes, [[40, 20]])

    def test_cannot_be_changed_by_a_reader(self, toy_path):
        before = toy_path.read_bytes()
        data = open_dataset(toy_path).encoded_image(0)
        with pytest.raises(ValueError, match="read-only"):
            data[0] = 0
        assert toy_path.read_bytes() == before

    def test_an_image_that_no_longer_decodes_is_named(self, toy_path):
        found = open_dataset(toy_path)
        content = toy_path.read_bytes().replace(toy.PICTURES["b.png"], b"\0" * len(toy.PICTURES["b.png"]))
        toy_path.write_bytes(content)
        with pytest.raises(InvalidData, match=r"toy\.h5: image b\.png cannot be decoded"):
            open_dataset(toy_path).decode_image(1)
        np.testing.assert_array_equal(open_dataset(toy_path).image_sizes, found.image_sizes)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"not an image" * 9, "expected an image, found 108 bytes"),
            (b"", "expected an image, found 0 bytes"),
            (toy.PICTURES["a.png"][:-9], "PNG image was cut short"),
            (toy.PICTURES["c.jpg"][:-40], "JPEG image was cut short"),
            (toy.PICTURES["c.jpg"][:9], "bad.jpg: "),
        ],
        ids=["text", "empty", "cut png", "cut jpg", "cut within its header"],
    )
    def test_what_is_no_complete_image_is_not_written(self, tmp_path, data, message):
        image = ImageFile("bad.jpg", len(data), lambda: data)
        with pytest.raises(InvalidData, match=r"^bad\.jpg: ") as refused:
            toy.write(tmp_path / "toy.h5", images=[toy.picture("a.png"), image, toy.picture("c.jpg")])
        assert message in str(refused.value)
        assert list(tmp_path.iterdir()) == []

    def test_an_image_of_an_absurd_size_is_refused_by_name(self, tmp_path):
        """A damaged header can claim billions of pixels."""
        png = bytearray(toy.PICTURES["a.png"])
        png[16:24] = (60_000).to_bytes(4, "big") * 2
        png[29:33] = crc32(png[12:29]).to_bytes(4, "big")
        image = ImageFile("vast.png", len(png), lambda: bytes(png))
        with pytest.raises(InvalidData, match=r"vast\.png"):
            toy.write(tmp_path / "toy.h5", images=[image], image_of=np.zeros(4, int))

    def test_zeros_behind_an_image_are_kept(self, tmp_path):
        data = toy.PICTURES["c.jpg"] + b"\0\0\0"
        image = ImageFile("padded.jpg", len(data), lambda: data)
        found = open_dataset(toy.write(tmp_path / "toy.h5", images=[image], image_of=np.zeros(4, int)))
        assert found.encoded_image(0).tobytes() == data


class TestOpening:
    @pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux to count what is read")
    def test_reads_no_image(self, tmp_path):
        data = toy.PICTURES["a.png"] + bytes(30 << 20)
        image = ImageFile("big.png", len(data), lambda: data)
        path = toy.write(tmp_path / "toy.h5", images=[image], image_of=np.zeros(4, int))
        assert path.stat().st_size > 30 << 20

        def bytes_read():
            return int(Path("/proc/self/io").read_text(encoding="ascii").split()[1])

        tracemalloc.start()
        try:
            before = bytes_read()
            found = open_dataset(path)
            assert bytes_read() - before < 200_000
            assert len(found) == 4
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()

    def test_leaves_the_file_to_hdf5_of_others(self, drawn, tmp_path):
        """No HDF5 handle outlives a call, so a forked worker inherits none and a writer meets no lock."""
        copy = Path(shutil.copy(drawn, tmp_path / "aflw2000.h5"))
        found = open_dataset(copy)
        _ = found.annotations, found.rotation, found.boxes, found.source, found[0].image
        held = h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
        assert bytes(copy) not in [one.name for one in held]
        prepare("aflw2000", [drawn.parent / "release"], copy, partial=True)
        assert open_dataset(copy).sha256 == found.sha256

    def test_a_reader_keeps_its_images_while_the_file_is_replaced(self, toy_path):
        found = open_dataset(toy_path)
        toy.write(toy_path, images=[toy.picture(name) for name in ("c.jpg", "b.png", "a.png")])
        assert found.encoded_image(0).tobytes() == toy.PICTURES["a.png"]
        assert open_dataset(toy_path).encoded_image(0).tobytes() == toy.PICTURES["c.jpg"]


class TestPickling:
    def test_a_dataset_travels_as_its_path(self, dataset):
        sent = pickle.dumps(dataset)
        assert len(sent) < 1000
        found = pickle.loads(sent)
        assert (found.ids, found.sha256) == (dataset.ids, dataset.sha256)
        np.testing.assert_array_equal(found[5].image, dataset[5].image)

    def test_from_a_relative_path_to_another_folder(self, toy_path, tmp_path_factory, monkeypatch):
        monkeypatch.chdir(toy_path.parent)
        sent = pickle.dumps(open_dataset("toy.h5"))
        monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
        assert pickle.loads(sent).ids == toy.IDS

    def test_a_face_travels_with_its_dataset(self, dataset):
        face = pickle.loads(pickle.dumps(dataset["image90003"]))
        assert (face.id, face.row) == ("image90003", 2)
        np.testing.assert_array_equal(face.image, dataset[2].image)


class TestAtOnce:
    def test_from_threads(self, drawn, pixels):
        fresh = open_dataset(drawn)
        with ThreadPoolExecutor(8) as pool:
            faces = [fresh[row] for row in ALL] * 4
            for face, image in zip(faces, pool.map(lambda face: face.image, faces), strict=True):
                np.testing.assert_array_equal(image, pixels[face.id])

    def test_arrays_from_threads(self, drawn, dataset):
        fresh = open_dataset(drawn)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda row: (fresh.rotation[row], fresh[row].annotations), ALL))
        for row, (rotation, sets) in enumerate(found):
            np.testing.assert_array_equal(rotation, dataset.rotation[row])
            expected = dataset.annotations["original"].points[row]
            np.testing.assert_array_equal(sets["original"].points, expected)

    # Python warns of any fork beside threads, and numpy has threads.
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_from_worker_processes(self, drawn, pixels, method):
        if method not in multiprocessing.get_all_start_methods():
            pytest.skip(f"{sys.platform} cannot {method}")
        fresh = open_dataset(drawn)
        np.testing.assert_array_equal(fresh[0].image, pixels[fresh.ids[0]])  # in use before the workers come
        rows = [*ALL, *reversed(ALL)]
        with multiprocessing.get_context(method).Pool(2) as pool:
            images = pool.map_async(fresh.decode_image, rows, chunksize=3).get(60)
            rotations = pool.map_async(fresh.__getitem__, ALL).get(60)
        for row, image in zip(rows, images, strict=True):
            np.testing.assert_array_equal(image, pixels[fresh.ids[row]])
        assert [face.id for face in rotations] == fresh.ids


class TestReadByPath:
    @pytest.fixture
    def release(self, drawn, tmp_path):
        return Path(shutil.copytree(drawn.parent / "release", tmp_path / "release"))

    @pytest.mark.parametrize("inside", ["", "AFLW2000"], ids=["parent folder", "the folder itself"])
    def test_gives_the_same_images(self, release, tmp_path, dataset, inside):
        target = tmp_path / "aflw2000.h5"
        prepare("aflw2000", [release / inside], target, partial=True, images="none")
        found = open_dataset(target)
        assert target.stat().st_size < 300_000
        for row in ALL:
            np.testing.assert_array_equal(found[row].image, dataset[row].image)
            np.testing.assert_array_equal(found.encoded_image(row), dataset.encoded_image(row))
        np.testing.assert_array_equal(found.image_sha256, dataset.image_sha256)
        np.testing.assert_array_equal(found.image_sizes, dataset.image_sizes)

    def test_from_any_working_directory(self, release, tmp_path, monkeypatch):
        target = tmp_path / "aflw2000.h5"
        monkeypatch.chdir(release)
        prepare("aflw2000", ["AFLW2000"], target, partial=True, images="none")
        monkeypatch.chdir("/")
        assert open_dataset(target)[0].image.shape == (450, 450, 3)

    def test_an_absent_image_is_named_with_what_to_do(self, release, tmp_path):
        target = tmp_path / "aflw2000.h5"
        prepare("aflw2000", [release / "AFLW2000"], target, partial=True, images="none")
        gone = release / "AFLW2000" / "image90004.jpg"
        gone.unlink()
        found = open_dataset(target)
        assert found[0].image.shape == (450, 450, 3)
        with pytest.raises(DataMissing) as missing:
            _ = found["image90004"].image
        assert str(missing.value).startswith(f"{gone}: image not found")
        assert "--images none" in str(missing.value)
        assert str(target) in str(missing.value)

    def test_a_changed_image_is_found_by_verification(self, release, tmp_path):
        """The file proves its own bytes; the images beside it are part of what it stands for."""
        from facebench.datasets import verify_prepared

        target = tmp_path / "aflw2000.h5"
        prepare("aflw2000", [release / "AFLW2000"], target, partial=True, images="none")
        changed = release / "AFLW2000" / "image90004.jpg"
        changed.write_bytes((release / "AFLW2000" / "image90005.jpg").read_bytes())
        checks = verify_prepared(target)
        assert [check.name for check in checks if check.state == "invalid" and "image90004" in check.name]
