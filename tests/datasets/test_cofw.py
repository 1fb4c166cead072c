"""COFW from files in its own format: MATLAB v7.3 with object references, everything in them transposed."""

from __future__ import annotations

import gc
import io
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from facebench.datasets import get_dataset, prepare
from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import VISIBILITY, ids_sha256, open_dataset
from facebench.geometry import correspondences, get_scheme, rotation_to_euler

OCCLUDED, VISIBLE, UNKNOWN = (VISIBILITY[name] for name in ("occluded", "visible", "unknown"))
HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan 01 00:00:00 2013 HDF5 schema 1.00 ."

# The sample that faces_framework calls 01454.jpg: x_min, y_min, width, height and 29 points (PROTOCOLS 2.4).
SAMPLE_BOX = (148, 128, 114, 167)
SAMPLE_POSE = (10.4819, 14.7329, -0.278679)
SAMPLE_POINTS = """
157.620222307 145.926126478 248.756324698 150.867240463 194.953083528 147.024151808
223.501742108 146.475139143 176.835665583 138.239949168 176.286652918 140.435999828
233.383970078 142.083037823 234.481995408 144.828101148 172.992576928 159.102430438
252.050400689 166.239595083 196.051108858 164.592557088 222.952729443 166.239595083
183.423817563 155.808354448 182.874804898 166.788607748 238.325084063 160.200455768
238.325084063 169.533671073 182.874804898 161.298481098 237.776071398 164.592557088
196.051108858 192.043190338 228.442856093 195.337266328 221.854704113 182.160962368
215.815564798 195.886278993 192.208020203 221.689874249 235.580020738 230.474076889
215.815564798 205.768506964 215.266552133 212.356658944 218.560628123 239.258279529
219.109640788 247.493469504 218.011615458 284.826330724
"""
SAMPLE_OCCLUDED = [1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]


def sample_points():
    return np.array(SAMPLE_POINTS.split(), float).reshape(29, 2)


def faces(count, seed, sides=(9, 14)):
    """Draw random faces: images of which every fourth is grey, points counted from 0, occlusion, boxes."""
    rng = np.random.default_rng(seed)
    shapes = [(*rng.integers(*sides, 2), 3)[: 2 if row % 4 == 1 else 3] for row in range(count)]
    images = [rng.integers(0, 256, shape, np.uint8) for shape in shapes]
    points = rng.uniform(-2, 15, (count, 29, 2))
    occluded = rng.random((count, 29)) < 0.25
    boxes = np.column_stack([rng.integers(0, 5, (count, 2)), rng.integers(6, 9, (count, 2))]).astype(float)
    return images, points, occluded, boxes


def write_mat(path, part, images, points, occluded, boxes):
    """Write a part as MATLAB does: HDF5 behind a head of 512 bytes, all transposed, counted from 1."""
    ending = {"test": "T", "train": "Tr"}[part]
    shift = np.array([1, 1, 0, 0])
    phis = np.column_stack([points[..., 0] + 1, points[..., 1] + 1, occluded])
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_dataset(f"Is{ending}", (1, len(images)), h5py.ref_dtype)
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        for row, image in enumerate(images):
            array = file.create_dataset(f"/#refs#/i{row}", data=image.T)
            array.attrs["MATLAB_class"] = np.bytes_("uint8")
            cells[0, row] = array.ref
        for key, values in ((f"phis{ending}", phis), (f"bboxes{ending}", boxes + shift)):
            file[key] = np.asarray(values, float).T
            file[key].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as stream:
        stream.write(HEADER.ljust(124) + b"\0\x02IM")
    return path


def write_cofw68(folder, count, seed=9):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-2, 15, (count, 68, 2))
    occluded = (rng.random((count, 68)) < 0.25).astype(np.uint8)
    boxes = np.column_stack([rng.integers(0, 5, (507, 2)), rng.integers(6, 9, (507, 2))]).astype(np.int16)
    (folder / "COFW68_Data" / "test_annotations").mkdir(parents=True)
    for row in range(count):
        values = {"Points": points[row] + 1, "Occ": occluded[row : row + 1]}
        savemat(folder / "COFW68_Data" / "test_annotations" / f"{row + 1}_points.mat", values)
    savemat(folder / "COFW68_Data" / "cofw68_test_bboxes.mat", {"bboxes": boxes + np.int16([1, 1, 0, 0])})
    return points, occluded, boxes


def zipped(folder, name, packing=zipfile.ZIP_DEFLATED):
    path = folder.parent / name
    with zipfile.ZipFile(path, "w", packing) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


def decoded(dataset, row):
    return cv2.imdecode(np.asarray(dataset.encoded_image(row)), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def run(tmp_path):
    def call(*sources, **options):
        target = tmp_path / "prepared" / "cofw.h5"
        done = prepare("cofw", sources, target, **{"partial": True, **options})
        return open_dataset(target), done.notes

    return call


@pytest.fixture
def six(tmp_path):
    """Six test faces, in a folder of their own."""
    write_mat(tmp_path / "raw" / "COFW_test_color.mat", "test", *faces(6, 1))
    return tmp_path / "raw"


@pytest.fixture
def mat(six):
    """The same, opened to be damaged; close it before it is read."""
    with h5py.File(six / "COFW_test_color.mat", "r+") as file:
        yield file


@pytest.fixture
def raw(real_data):
    return real_data / "raw"


class TestContent:
    def test_comes_back_as_it_was_drawn(self, run, six, tmp_path):
        train, test = faces(5, 2), faces(6, 1)
        write_mat(six / "COFW_train_color.mat", "train", *train)
        points68, occluded68, boxes68 = write_cofw68(six, 6)
        dataset, notes = run(six)
        assert dataset.ids == [f"test/{n:04d}" for n in range(1, 7)] + [f"train/{n:04d}" for n in range(1, 6)]
        assert list(dataset.image_paths) == [f"{one}.png" for one in dataset.ids]
        images, points, occluded, boxes = (
            [*one, *two] if isinstance(one, list) else np.concatenate([one, two])
            for one, two in zip(test, train, strict=True)
        )
        for row, image in enumerate(images):
            found = decoded(dataset, row)
            np.testing.assert_array_equal(found if found.ndim == 2 else found[..., ::-1], image)
            assert tuple(dataset.image_sizes[row]) == (image.shape[1], image.shape[0])
        cofw29, cofw68 = (dataset.annotations[name] for name in ("cofw29", "cofw68"))
        np.testing.assert_allclose(cofw29.points, points, atol=1e-12)
        np.testing.assert_array_equal(cofw29.visibility, np.where(occluded, OCCLUDED, VISIBLE))
        corners = np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        np.testing.assert_array_equal(dataset.boxes["dataset"], corners)
        tight = np.column_stack([points.min(axis=1), points.max(axis=1)])
        np.testing.assert_allclose(dataset.boxes["landmarks"], tight, atol=1e-12)
        np.testing.assert_allclose(cofw68.points[:6], points68, atol=1e-12)
        np.testing.assert_array_equal(cofw68.visibility[:6], np.where(occluded68, OCCLUDED, VISIBLE))
        assert np.isnan(cofw68.points[6:]).all()
        assert (cofw68.visibility[6:] == UNKNOWN).all()
        corners68 = np.column_stack([boxes68[:6, :2], boxes68[:6, :2] + boxes68[:6, 2:]])
        np.testing.assert_array_equal(dataset.boxes["cofw68"][:6], corners68)
        assert np.isnan(dataset.boxes["cofw68"][6:]).all()
        assert {name: list(rows) for name, rows in dataset.splits.items()} == {
            "all": list(range(11)),
            "train": list(range(6, 11)),
            "test": list(range(6)),
            "cofw68": list(range(6)),
        }
        assert any("6 of 507 faces of 'test'" in note for note in notes)
        assert any("5 of 1345 faces of 'train'" in note for note in notes)

    def test_the_consistent_view_has_the_sixteen_shared_points(self, run, six):
        dataset, _ = run(six)
        annotation = dataset.annotations["cofw29"]
        pairs = correspondences("cofw29", "ibug68")
        assert len(pairs) == 16
        for ours, theirs in pairs:
            np.testing.assert_array_equal(annotation.points68[:, theirs], annotation.points[:, ours])
        others = np.setdiff1d(np.arange(68), [theirs for _, theirs in pairs])
        assert np.isnan(annotation.points68[:, others]).all()
        assert (annotation.visibility68[:, others] == UNKNOWN).all()

    @pytest.mark.parametrize(("part", "absent"), [("test", "train"), ("train", "test")])
    def test_one_part_alone(self, run, tmp_path, part, absent):
        path = write_mat(tmp_path / f"COFW_{part}.mat", part, *faces(3, 1))
        dataset, notes = run(path)
        assert list(dataset.splits) == [part]
        assert any(note.startswith(f"the split '{absent}' is absent") for note in notes)

    def test_one_grey_image_of_every_kind_is_grey(self, run, tmp_path):
        images, *rest = faces(4, 3)
        grey = [image if image.ndim == 2 else image[..., 0] for image in images]
        dataset, _ = run(write_mat(tmp_path / "COFW_test.mat", "test", grey, *rest))
        for row, image in enumerate(grey):
            np.testing.assert_array_equal(decoded(dataset, row), image)

    def test_parts_from_two_sources_and_cells_in_a_column(self, run, six, tmp_path):
        path = write_mat(tmp_path / "other" / "COFW_train.mat", "train", *faces(3, 2))
        with h5py.File(path, "r+") as file:
            cells = file["IsTr"][()].T
            del file["IsTr"]
            file.create_dataset("IsTr", data=cells, dtype=h5py.ref_dtype)
        assert len(run(path, six)[0]) == len(run(six, path)[0]) == 9

    def test_from_a_tar(self, run, six, tmp_path):
        with tarfile.open(tmp_path / "COFW.tar.gz", "w:gz") as tar:
            tar.add(six / "COFW_test_color.mat", "COFW/COFW_test_color.mat")
        assert run(tmp_path / "COFW.tar.gz")[0].sha256 == run(six)[0].sha256

    def test_nothing_stays_open(self, six, run):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(zipped(six, "COFW_color.zip"))
            gc.collect()


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full") / "raw"
    write_mat(folder / "COFW_train_color.mat", "train", *faces(1345, 1))
    write_mat(folder / "COFW_test_color.mat", "test", *faces(507, 2))
    return folder


class TestFullCount:
    def test_has_the_published_splits(self, full, tmp_path):
        done = prepare("cofw", [full], tmp_path / "cofw.h5")
        dataset = open_dataset(done.path)
        assert {name: len(rows) for name, rows in dataset.splits.items()} == {
            "all": 1852,
            "train": 1345,
            "test": 507,
        }
        published = get_dataset("cofw").manifest.splits
        for name, rows in dataset.splits.items():
            assert ids_sha256(dataset.ids[row] for row in rows) == published[name].sha256
        assert not any("part of the release" in note for note in done.notes)

    def test_is_the_same_bytes_for_any_packing_and_number_of_workers(self, full, tmp_path):
        sources = [
            (full, 1),
            (full, 4),
            (zipped(full, "COFW_color.zip"), 4),
            (zipped(full, "stored.zip", zipfile.ZIP_STORED), 1),
        ]
        made = [
            prepare("cofw", [source], tmp_path / f"{row}.h5", workers=workers).path.read_bytes()
            for row, (source, workers) in enumerate(sources)
        ]
        assert all(one == made[0] for one in made[1:])

    def test_a_test_part_alone_is_complete(self, full, tmp_path):
        done = prepare("cofw", [full / "COFW_test_color.mat"], tmp_path / "cofw.h5")
        assert list(open_dataset(done.path).splits) == ["test"]


@pytest.fixture(scope="module")
def prepared(real_data, tmp_path_factory):
    """Drawn images, with the sample as face 110, and the genuine COFW-68."""
    folder = tmp_path_factory.mktemp("genuine")
    images, points, occluded, boxes = faces(507, 2)
    points[109], occluded[109], boxes[109] = sample_points(), SAMPLE_OCCLUDED, SAMPLE_BOX
    write_mat(folder / "COFW_test_color.mat", "test", images, points, occluded, boxes)
    sources = [folder, real_data / "raw" / "COFW68_Data.zip", real_data / "raw" / "mean_face_3d_29.csv"]
    return open_dataset(prepare("cofw", sources, folder / "prepared" / "cofw.h5").path)


class TestGenuine:
    def test_share_of_occluded_points(self, prepared):
        states = prepared.annotations["cofw68"].visibility
        assert states.shape == (507, 68)
        assert set(np.unique(states)) == {VISIBLE, OCCLUDED}
        assert round((states == OCCLUDED).mean(), 5) == 0.22903
        assert list(prepared.splits["cofw68"]) == list(range(507))

    def test_every_point_and_box_is_that_of_its_number(self, prepared, raw):
        with zipfile.ZipFile(raw / "COFW68_Data.zip") as archive:
            boxes = loadmat(io.BytesIO(archive.read("COFW68_Data/cofw68_test_bboxes.mat")))["bboxes"]
            for number in (1, 2, 10, 99, 110, 507):
                mat = loadmat(io.BytesIO(archive.read(f"COFW68_Data/test_annotations/{number}_points.mat")))
                face = prepared[f"test/{number:04d}"].row
                annotation = prepared.annotations["cofw68"]
                np.testing.assert_array_equal(annotation.points[face], mat["Points"] - 1)
                np.testing.assert_array_equal(annotation.visibility[face] == OCCLUDED, mat["Occ"][0] == 1)
                x, y, width, height = boxes[number - 1].astype(float)
                expected = [x - 1, y - 1, x - 1 + width, y - 1 + height]
                np.testing.assert_array_equal(prepared.boxes["cofw68"][face], expected)

    def test_pose_of_the_sample_of_mnn(self, prepared):
        face = prepared["test/0110"]
        np.testing.assert_allclose(
            rotation_to_euler(face.rotation[None], "mnn-yxz")[0], SAMPLE_POSE, atol=1e-4
        )

    def test_29_points_of_mmpose_are_near_the_68_of_the_same_number(self, prepared, raw):
        """MMPose numbers from 1 over both parts, and its points count from 0: 1766 is test/0421."""
        import json

        with zipfile.ZipFile(raw / "COFW_sample_images.zip") as archive:
            labels = json.loads(archive.read("test_cofw.json"))["annotations"]
        ours, theirs = np.array(correspondences("cofw29", "ibug68")).T
        everyone = prepared.annotations["cofw68"].points[:, theirs]
        for label in labels:
            points = np.array(label["keypoints"]).reshape(29, 3)[ours, :2]
            away = np.linalg.norm(everyone - points, axis=2).mean(axis=1)
            nearest = int(np.argmin(away))
            assert prepared.ids[nearest] == f"test/{label['image_id'] - 1345:04d}"
            assert away[nearest] < 0.4 * np.sort(away)[1]

    def test_genuine_images_survive(self, run, raw, tmp_path):
        with zipfile.ZipFile(raw / "COFW_sample_images.zip") as archive:
            names = [name for name in archive.namelist() if name.endswith(".jpg")]
            images = [cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), 1) for name in names]
        _, *rest = faces(len(images), 1)
        rgb = [image[..., ::-1] for image in images]
        dataset, _ = run(write_mat(tmp_path / "COFW_test_color.mat", "test", rgb, *rest))
        for row, image in enumerate(images):
            np.testing.assert_array_equal(decoded(dataset, row), image)


def test_order_of_the_29_points_by_geometry():
    """On a nearly frontal face, names say where points are: left or right of, above or below others."""
    scheme, points = get_scheme("cofw29"), sample_points()
    at = dict(zip(scheme.points, points, strict=True))
    for name, place in at.items():
        if name.startswith(("left_", "right_")):
            side = "right" if name.startswith("left_") else "left"
            twin = at[name.replace(name.partition("_")[0], side, 1)]
            assert (place[0] < twin[0]) == name.startswith("left_"), name
    for part in ("left", "right"):
        ladder = [
            f"{part}_brow_top_centre",
            f"{part}_brow_bottom_centre",
            f"{part}_eye_top",
            f"{part}_pupil",
            f"{part}_eye_bottom",
        ]
        heights = [at[name][1] for name in [*ladder, "nose_tip"]]
        assert heights == sorted(heights)
    middle = ["nose_tip", "nose_bottom", "upper_lip_top", "upper_lip_bottom"]
    middle += ["lower_lip_top", "lower_lip_bottom", "chin"]
    heights = [at[name][1] for name in middle]
    assert heights == sorted(heights)
    across = ["left_brow_outer", "left_brow_inner", "right_brow_inner", "right_brow_outer"]
    assert [at[name][0] for name in across] == sorted(at[name][0] for name in across)
    across = [name.replace("brow", "eye") for name in across]
    assert [at[name][0] for name in across] == sorted(at[name][0] for name in across)
    assert at["nose_left"][0] < at["nose_tip"][0] < at["nose_right"][0]
    assert at["mouth_left"][0] < at["upper_lip_top"][0] < at["mouth_right"][0]


class TestSources:
    def test_nothing_of_it(self, refused, tmp_path):
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "COFW_color.zip").write_bytes(b"x")
        message = refused(tmp_path / "raw", kind=DataMissing)
        assert message.startswith(f"{tmp_path / 'raw'}: no COFW release found")
        assert f"give that as --source ({tmp_path / 'raw' / 'COFW_color.zip'})" in message
        assert "facebench info cofw" in message

    def test_colour_and_grey_of_the_same_part(self, refused, six):
        shutil.copy(six / "COFW_test_color.mat", six / "COFW_test.mat")
        message = refused(six)
        assert "2 files of the part 'test'" in message
        assert str(six / "COFW_test.mat") in message
        assert str(six / "COFW_test_color.mat") in message

    def test_a_source_that_adds_nothing(self, refused, six, tmp_path):
        (tmp_path / "idle").mkdir()
        message = refused(six, tmp_path / "idle", kind=DataMissing)
        assert message.startswith(f"{tmp_path / 'idle'}: nothing of COFW")

    def test_images_by_path(self, refused, six):
        assert "--images none" in refused(six, kind=UsageError, images="none")

    def test_cofw68_without_the_test_images(self, refused, tmp_path):
        write_mat(tmp_path / "raw" / "COFW_train.mat", "train", *faces(3, 1))
        write_cofw68(tmp_path / "raw", 2)
        assert "annotates the test images, and none is given" in refused(tmp_path / "raw", kind=DataMissing)

    def test_boxes_without_points(self, refused, six):
        write_cofw68(six, 6)
        shutil.rmtree(six / "COFW68_Data" / "test_annotations")
        message = refused(six, kind=DataMissing)
        assert "cofw68_test_bboxes.mat: the boxes of COFW-68 without its points" in message

    def test_points_without_boxes(self, run, six):
        write_cofw68(six, 6)
        (six / "COFW68_Data" / "cofw68_test_bboxes.mat").unlink()
        dataset, notes = run(six)
        assert "cofw68" not in dataset.boxes
        assert any("no box 'cofw68'" in note for note in notes)


class TestDamagedMat:
    @pytest.fixture
    def message(self, mat, refused, six):
        """Close the file that was opened to be damaged, and return the refusal."""

        def call(**options):
            mat.close()
            text = refused(six, **options)
            assert str(six / "COFW_test_color.mat") in text
            return text

        return call

    @pytest.mark.parametrize("key", ["IsT", "phisT", "bboxesT"])
    def test_a_missing_key(self, mat, message, key):
        del mat[key]
        assert f"key '{key}': expected this key, found only" in message()

    @pytest.mark.parametrize(("key", "rows"), [("phisT", 87), ("bboxesT", 4)])
    def test_a_wrong_shape(self, mat, message, key, rows):
        values = mat[key][()]
        del mat[key]
        mat[key] = values.T
        assert f"key '{key}': expected shape ({rows}, 6), found (6, {rows})" in message()

    @pytest.mark.parametrize("key", ["phisT", "bboxesT"])
    def test_a_wrong_type(self, mat, message, key):
        shape = mat[key].shape
        del mat[key]
        mat[key] = np.full(shape, b"x")
        assert f"key '{key}': expected numbers, found" in message()

    def test_images_that_are_no_cells(self, mat, message):
        del mat["IsT"]
        mat["IsT"] = np.zeros((1, 6))
        assert "key 'IsT': expected a cell array of images, found float64" in message()

    def test_a_group_where_an_array_should_be(self, mat, message):
        del mat["phisT"]
        mat.create_group("phisT")
        assert "key 'phisT': expected an array, found none" in message()

    def test_an_array_in_another_file(self, mat, message, tmp_path):
        with h5py.File(tmp_path / "secret.h5", "w") as other:
            other["phisT"] = mat["phisT"][()]
        del mat["phisT"]
        mat["phisT"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "phisT")
        assert "key 'phisT': expected an array, found none" in message()

    def test_a_reference_to_nothing(self, mat, message, six):
        mat["IsT"][0, 2] = h5py.Reference()
        cells = mat["IsT"].id.get_offset()
        mat.close()
        path = six / "COFW_test_color.mat"
        beyond = path.stat().st_size + 4096
        with path.open("r+b") as stream:
            stream.seek(cells + 4 * 8)
            stream.write(beyond.to_bytes(8, "little"))
        text = message()
        assert "key 'IsT', test/0005: expected an image, found a reference to nothing" in text
        assert "key 'IsT', test/0003: expected an image, found a reference to nothing" in text
        assert "2 faults" in text

    @pytest.mark.parametrize(
        ("image", "found"),
        [
            (np.zeros((4, 5, 6), np.uint8), "found (4, 5, 6) of uint8"),
            (np.zeros((3, 5, 6)), "found (3, 5, 6) of float64"),
            (np.zeros((3, 0, 6), np.uint8), "found (3, 0, 6) of uint8"),
            (np.zeros(5, np.uint8), "found (5,) of uint8"),
        ],
    )
    def test_an_image_of_another_shape_or_type(self, mat, message, image, found):
        mat["/#refs#/odd"] = image
        mat["IsT"][0, 3] = mat["/#refs#/odd"].ref
        assert "key 'IsT', test/0004: expected an image of shape" in (text := message())
        assert found in text

    def test_an_image_that_claims_to_be_huge(self, mat, message):
        huge = mat.create_dataset("/#refs#/huge", (3, 1 << 20, 1 << 20), np.uint8, chunks=(1, 64, 64))
        mat["IsT"][0, 0] = huge.ref
        assert "test/0001: expected an image" in message()

    def test_pixels_that_cannot_be_read(self, mat, message, six):
        packed = mat.create_dataset(
            "/#refs#/packed", data=np.arange(3 * 40 * 40, dtype=np.uint8).reshape(3, 40, 40), compression=4
        )
        mat["IsT"][0, 1] = packed.ref
        chunk = packed.id.get_chunk_info(0)
        mat.close()
        with (six / "COFW_test_color.mat").open("r+b") as stream:
            stream.seek(512 + chunk.byte_offset if chunk.byte_offset < 512 else chunk.byte_offset)
            stream.write(b"\xff" * 16)
        assert "key 'IsT', test/0002: cannot be read" in message()

    @pytest.mark.parametrize(("key", "row"), [("phisT", 40), ("bboxesT", 0)])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_number_that_is_none(self, mat, message, key, row, value):
        mat[key][row, 4] = value
        assert f"key '{key}', test/0005: expected finite numbers, found NaN or infinity" in message()

    def test_occlusion_that_is_neither(self, mat, message):
        mat["phisT"][60, 1] = 3
        assert "key 'phisT', test/0002: expected 0 or 1 for occluded, found 3" in message()

    def test_a_box_of_no_size(self, mat, message):
        mat["bboxesT"][3, 5] = 0
        assert "key 'bboxesT', test/0006: expected a box of positive size" in message()

    def test_another_count(self, message):
        assert "key 'IsT': expected 507 images, found 6" in (text := message(partial=False))
        assert "--partial" in text

    def test_more_than_there_are(self, mat, message):
        del mat["IsT"]
        mat.create_dataset("IsT", (1, 1 << 40), h5py.ref_dtype, chunks=(1, 1 << 10))
        assert f"key 'IsT': expected 507 images, found {1 << 40}" in message()

    def test_no_faces(self, mat, message):
        del mat["IsT"]
        mat.create_dataset("IsT", (1, 0), h5py.ref_dtype)
        assert "key 'IsT': expected 507 images, found 0" in message()


class TestDamagedFiles:
    @pytest.mark.parametrize("share", [0.3, 0.9])
    def test_a_file_that_was_cut(self, refused, six, share):
        path = six / "COFW_test_color.mat"
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        assert refused(six).startswith(f"{path}: it was cut short")

    def test_another_format(self, refused, six):
        savemat(six / "COFW_test_color.mat", {"phisT": np.zeros((6, 87))})
        assert refused(six).startswith(f"{six / 'COFW_test_color.mat'}: expected a MATLAB v7.3 file")

    def test_an_archive_with_a_changed_byte(self, refused, six):
        path = zipped(six, "COFW_color.zip", zipfile.ZIP_STORED)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        assert f"{path}: COFW_test_color.mat: cannot be read" in refused(path)

    def test_any_changed_bytes_are_taken_or_refused(self, tmp_path):
        """MATLAB writes no checksums, so not every change can be seen; but none may surface as a crash."""
        path = write_mat(tmp_path / "COFW_test.mat", "test", *faces(4, 1, (3, 5)))
        good = path.read_bytes()
        rng = np.random.default_rng(1)
        refusals = []
        for _ in range(100):
            data = bytearray(good)
            for place in rng.integers(512, len(data), 4):
                data[place] = rng.integers(0, 256)
            path.write_bytes(data)
            try:
                prepare("cofw", [path], tmp_path / "cofw.h5", partial=True)
            except InvalidData as error:
                refusals.append(str(error))
        assert 20 < len(refusals) < 80
        assert all(str(tmp_path) in message for message in refusals)

    def test_a_mean_face_that_is_none(self, refused, six):
        (six / "mean_face_3D_29.txt").write_text("1|2|3|4\n", encoding="utf-8")
        message = refused(six)
        assert message.startswith(f"{six / 'mean_face_3D_29.txt'}: expected the labels 1 to 24")


class TestDamagedCofw68:
    @pytest.fixture
    def points(self, six):
        write_cofw68(six, 6)
        return six / "COFW68_Data" / "test_annotations"

    def test_one_missing(self, refused, six, points):
        (points / "3_points.mat").unlink()
        assert "3_points.mat: missing; the release has the face test/0003" in refused(six)

    def test_one_too_many(self, refused, tmp_path):
        write_mat(tmp_path / "raw" / "COFW_test.mat", "test", *faces(507, 1))
        write_cofw68(tmp_path / "raw", 508)
        message = refused(tmp_path / "raw", partial=False)
        assert "508_points.mat: the release has no such face" in message

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"Points": None}, "key 'Points': expected shape (68, 2), found no such key"),
            ({"Occ": None}, "key 'Occ': expected shape (1, 68), found no such key"),
            ({"Points": np.zeros((2, 68))}, "key 'Points': expected shape (68, 2), found (2, 68)"),
            ({"Points": np.full((68, 2), np.nan)}, "key 'Points': expected finite numbers, found NaN"),
            ({"Points": "text"}, "key 'Points': expected an array of numbers, found"),
            ({"Occ": np.full((1, 68), 7)}, "key 'Occ': expected 0 or 1 for occluded, found 7"),
        ],
    )
    def test_one_wrong(self, refused, six, points, changes, expected):
        values = {"Points": np.ones((68, 2)), "Occ": np.zeros((1, 68), np.uint8)} | changes
        savemat(points / "5_points.mat", {key: value for key, value in values.items() if value is not None})
        message = refused(six)
        assert "5_points.mat" in message
        assert expected in message

    def test_one_cut(self, refused, six, points):
        data = (points / "2_points.mat").read_bytes()
        (points / "2_points.mat").write_bytes(data[: len(data) // 2])
        assert "2_points.mat: not a readable MATLAB file" in refused(six)

    def test_boxes_of_another_count(self, refused, six, points):
        savemat(points.parent / "cofw68_test_bboxes.mat", {"bboxes": np.ones((506, 4), np.int16)})
        message = refused(six)
        assert "cofw68_test_bboxes.mat: key 'bboxes': expected shape (507, 4), found (506, 4)" in message

    def test_two_copies(self, refused, six, points):
        shutil.copytree(points.parent, Path(six) / "copy")
        assert "2 folders" in (message := refused(six)) or "2 boxes" in message
