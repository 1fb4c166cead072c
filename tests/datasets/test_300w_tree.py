"""300W from a tree in the release's format: complete, in every packing, in parts, and damaged."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from facebench.datasets import get_dataset, prepare
from facebench.errors import DataMissing, UsageError
from facebench.formats import ids_sha256, open_dataset
from facebench.geometry import get_scheme, posit_mnn, posit_spiga
from tests.datasets.helpers import flip
from tests.datasets.w300_tree import (
    SUBSETS,
    box_row,
    faces,
    get_model,
    ids_of,
    invented,
    pts,
    write_boxes,
    write_faces,
    write_mean_face,
)

SPACE = "ibug/image_092 _01"


def some(folder):
    """Two faces of a subset, the one with the space among them."""
    return [SPACE, "ibug/image_003_1"] if folder == "ibug" else ids_of(folder)[:2]


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The complete release, 4437 faces, in one archive: so many files would take longer to write."""
    path = tmp_path_factory.mktemp("whole") / "300-W.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for folder in SUBSETS:
            for name, data in faces(folder, ids_of(folder)):
                archive.writestr(name, data)
    return path


@pytest.fixture(scope="session")
def two_subsets(tmp_path_factory):
    """Folders of helen/testset and ibug, each complete."""
    root = tmp_path_factory.mktemp("two")
    for folder in ("helen/testset", "ibug"):
        write_faces(root, folder, ids_of(folder))
    return root


@pytest.fixture(scope="session")
def small_tree(tmp_path_factory):
    """Two faces of each subset, boxes of the public ones and a mean face; not to be changed."""
    root = tmp_path_factory.mktemp("small")
    for folder in SUBSETS:
        write_faces(root, folder, some(folder))
        if not folder.startswith("300W"):
            # Rows in another order than the files, and in iBUG's the rows left over from AFW.
            rows = [box_row(one) for one in reversed(some(folder))]
            if folder == "ibug":
                rows += [box_row(one) for one in ids_of("afw")[:3]]
            write_boxes(root, folder, rows)
    write_mean_face(root)
    return root


@pytest.fixture
def tree(small_tree, tmp_path):
    return Path(shutil.copytree(small_tree, tmp_path / "tree"))


@pytest.fixture
def run(tmp_path):
    def call(*sources, **options):
        target = tmp_path / "prepared" / "300w.h5"
        done = prepare("300w", sources, target, **{"partial": True, **options})
        return SimpleNamespace(dataset=open_dataset(target), notes=done.notes, bytes=target.read_bytes())

    return call


def pack(folder, path, inside=""):
    """Pack a folder, its files below ``inside``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            if file.is_file():
                archive.write(file, inside + file.relative_to(folder).as_posix())
    return path


def cut(path, pieces):
    """Cut a file into numbered parts, as its owners did, and remove it."""
    data = path.read_bytes()
    size = -(-len(data) // pieces)
    parts = [path.with_name(f"{path.name}.{number + 1:03}") for number in range(pieces)]
    for number, part in enumerate(parts):
        part.write_bytes(data[number * size : (number + 1) * size])
    path.unlink()
    return parts


class TestComplete:
    def test_counts_and_hashes_of_every_split(self, whole, run):
        done = run(whole, partial=False)
        manifest = get_dataset("300w").manifest
        assert len(done.dataset) == 4437
        assert {name: len(rows) for name, rows in done.dataset.splits.items()} == {
            name: split.count for name, split in manifest.splits.items()
        }
        published = {"train": 3148, "common": 554, "challenging": 135, "full": 689, "private": 600}
        published |= {"helen": 330, "lfpw": 224, "indoor": 300, "outdoor": 300}
        for name, count in published.items():
            assert manifest.splits[name].count == count
            found = (done.dataset.ids[row] for row in done.dataset.split(name))
            assert ids_sha256(found) == manifest.splits[name].sha256
        assert [note.split(" (")[0] for note in done.notes] == [
            "no official boxes 'detector' and 'dataset'",
            "no head pose, which is computed from the points and a mean 3D face",
        ]
        rows = range(0, 4437, 500)
        expected = [invented(done.dataset.ids[row]) - 1 for row in rows]
        np.testing.assert_array_equal(done.dataset.annotation("ibug68").points[list(rows)], expected)

    def test_subsets_that_are_not_there_are_told(self, two_subsets, run):
        done = run(two_subsets / "helen" / "testset", two_subsets / "ibug", partial=False)
        assert {name: len(rows) for name, rows in done.dataset.splits.items()} == {
            "helen": 330,
            "challenging": 135,
        }
        assert done.notes[0] == (
            "not in the sources: afw, helen/trainset, lfpw/trainset, lfpw/testset, 300W/01_Indoor, "
            "300W/02_Outdoor; so there is no split afw, helen-train, lfpw-train, train, lfpw, common, full, "
            "indoor, outdoor, private, all"
        )

    def test_a_subset_that_lacks_a_face_names_it(self, two_subsets, refused, run, tmp_path):
        copy = Path(shutil.copytree(two_subsets / "ibug", tmp_path / "ibug"))
        for kind in ("jpg", "pts"):
            (copy / f"image_092 _01.{kind}").unlink()
        message = refused(copy, partial=False)
        assert message.startswith(
            f"{copy}: expected the 135 faces of ibug, found 134; absent: ibug/image_092 _01."
        )
        assert "'--partial'" in message
        done = run(copy)
        assert len(done.dataset.split("challenging")) == 134
        assert "a part of the release: 134 of 135 faces of ibug" in done.notes

    def test_a_renamed_face_is_named(self, two_subsets, refused, run, tmp_path):
        copy = Path(shutil.copytree(two_subsets / "ibug", tmp_path / "ibug"))
        for kind in ("jpg", "pts"):
            (copy / f"image_092 _01.{kind}").rename(copy / f"image_092_01.{kind}")
        message = refused(copy, partial=False)
        assert "absent: ibug/image_092 _01; not of the release: ibug/image_092_01." in message
        assert "not in the official ibug, but kept: ibug/image_092_01" in run(copy).notes

    def test_the_table_is_that_of_the_splits(self):
        manifest = get_dataset("300w").manifest
        ids = [row["id"] for row in manifest.table("faces")]
        assert ids == sorted(set(ids))
        assert ids_sha256(ids) == manifest.splits["all"].sha256
        for folder, count in SUBSETS.items():
            assert len(ids_of(folder)) == count
        assert ids_of("300W/01_Indoor")[-1] == "300W/01_Indoor/indoor_300"


class TestContent:
    @pytest.fixture
    def dataset(self, small_tree, run):
        return run(small_tree).dataset

    def test_points_lose_one(self, dataset):
        expected = [invented(one) - 1 for one in dataset.ids]
        np.testing.assert_array_equal(dataset.annotation("ibug68").points, expected)
        assert set(dataset.ids) == {one for folder in SUBSETS for one in some(folder)}
        assert f"{SPACE}.jpg" in dataset.image_paths

    def test_boxes_are_matched_by_name(self, dataset):
        public = np.array([not one.startswith("300W") for one in dataset.ids])
        tight, truth = dataset.boxes["landmarks"], dataset.boxes["dataset"]
        np.testing.assert_allclose(truth[public], tight[public], rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            dataset.boxes["detector"][public] - truth[public], [[10, 10, -10, -10]] * 12, atol=1e-9
        )
        for name in ("dataset", "detector"):
            assert np.isnan(dataset.boxes[name][~public]).all()

    def test_poses_by_both_recipes(self, dataset):
        used = np.array(get_scheme("ibug68").upm_labels) <= 24
        assert used.sum() == 18
        points = dataset.annotation("ibug68").points[:, used]
        model = np.round(get_model(), 9)[used]
        assert list(dataset.poses) == ["mnn", "spiga"]
        for name, recipe in (("mnn", posit_mnn), ("spiga", posit_spiga)):
            expected = recipe(points, dataset.boxes["landmarks"], model)
            np.testing.assert_allclose(dataset.poses[name], expected, atol=1e-9)

    def test_without_boxes_and_mean_face(self, tree, run):
        shutil.rmtree(tree / "Bounding Boxes")
        (tree / "mean_face_3D_68.txt").unlink()
        done = run(tree)
        assert list(done.dataset.boxes) == ["landmarks"]
        assert not done.dataset.poses
        told = "\n".join(done.notes)
        assert "no official boxes" in told
        assert "no head pose" in told


class TestPackings:
    @pytest.fixture
    def expected(self, small_tree, run):
        return run(small_tree)

    def test_one_archive(self, small_tree, run, expected, tmp_path):
        assert run(pack(small_tree, tmp_path / "everything.zip")).bytes == expected.bytes
        assert run(pack(small_tree, tmp_path / "deep.zip", "data/300-W/")).bytes == expected.bytes

    @pytest.mark.parametrize("inside", [False, True], ids=["flat", "in a folder"])
    def test_an_archive_for_each_subset(self, small_tree, run, expected, tmp_path, inside):
        sources = [
            pack(small_tree / name, tmp_path / f"{name.lower()}.zip", f"{name}/" * inside)
            for name in ("afw", "helen", "lfpw", "ibug", "300W")
        ]
        sources += [small_tree / "Bounding Boxes", small_tree / "mean_face_3D_68.txt"]
        assert run(*sources).bytes == expected.bytes

    def test_folders_themselves(self, small_tree, run, expected):
        folders = [
            "afw",
            "helen/testset",
            "helen/trainset",
            "lfpw",
            "ibug",
            "300W/01_Indoor",
            "300W/02_Outdoor",
        ]
        sources = [small_tree / name for name in [*folders, "Bounding Boxes", "mean_face_3D_68.txt"]]
        assert run(*reversed(sources)).bytes == expected.bytes

    def test_private_folders_without_300w_above_and_capitals(self, tree, run, expected):
        for name in ("01_Indoor", "02_Outdoor"):
            (tree / "300W" / name).rename(tree / name)
        (tree / "300W").rmdir()
        (tree / "helen").rename(tree / "HELEN")
        assert run(tree).bytes == expected.bytes

    @pytest.mark.parametrize("as_folder", [False, True], ids=["files", "folder"])
    def test_the_private_set_in_four_parts(self, tree, run, expected, tmp_path, as_folder):
        (tmp_path / "parts").mkdir()
        parts = cut(pack(tree / "300W", tmp_path / "parts" / "300w.zip", "300W/"), 4)
        shutil.rmtree(tree / "300W")
        sources = [tmp_path / "parts"] if as_folder else [parts[2], parts[0], parts[3], parts[1]]
        done = run(tree, *sources)
        assert done.bytes == expected.bytes
        assert done.notes == expected.notes
        assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [one.name for one in parts]

    def test_parts_in_a_folder_with_other_things(self, tree, run, expected, tmp_path):
        (tmp_path / "parts").mkdir()
        cut(pack(tree / "300W", tmp_path / "parts" / "300w.zip", "300W/"), 2)
        (tmp_path / "parts" / "readme.txt").write_text("hello", encoding="utf-8")
        shutil.rmtree(tree / "300W")
        assert run(tree, tmp_path / "parts").bytes == expected.bytes

    def test_parts_beside_the_other_subsets(self, tree, run, expected):
        cut(pack(tree / "300W", tree / "300w.zip", "300W/"), 3)
        shutil.rmtree(tree / "300W")
        assert run(tree).bytes == expected.bytes

    def test_more_workers(self, small_tree, run, expected, tmp_path):
        cut(pack(small_tree, tmp_path / "all.zip"), 4)
        assert run(*tmp_path.glob("all.zip.*"), workers=4).bytes == expected.bytes

    def test_images_by_path(self, tree, run, refused, tmp_path):
        dataset = run(tree, images="none").dataset
        assert dataset[SPACE].image.shape == (8, 8, 3)
        assert dataset["300W/01_Indoor/indoor_001"].image.shape == (8, 8, 3)
        shutil.rmtree(tmp_path / "prepared")
        refused(pack(tree, tmp_path / "all.zip"), images="none", kind=UsageError)


class TestDamage:
    def test_nothing_of_it(self, refused, tmp_path):
        (tmp_path / "holidays").mkdir()
        (tmp_path / "holidays" / "afw.zip").write_bytes(b"x")
        message = refused(tmp_path / "holidays", kind=DataMissing)
        assert "no 300W release found: expected folders such as" in message
        assert "afw.zip" in message.splitlines()[0]
        assert "helen/trainset/" in message
        assert "facebench info 300w" in message

    def test_a_source_of_something_else(self, tree, refused, tmp_path):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "face.jpg").write_bytes(b"x")
        message = refused(tree, tmp_path / "other", kind=DataMissing)
        assert message.startswith(f"{tmp_path / 'other'}: nothing of 300W in it")

    def test_a_subset_twice(self, tree, refused):
        shutil.copytree(tree / "afw", tree / "copy" / "afw")
        assert "found afw in 2 folders" in refused(tree)

    @pytest.mark.parametrize(("gone", "told"), [("jpg", "has no .jpg or .png"), ("pts", "has no .pts")])
    def test_a_file_of_a_face_is_missing(self, tree, refused, run, gone, told):
        (tree / f"{SPACE}.{gone}").unlink()
        message = refused(tree / "ibug", partial=False)
        assert "image_092 _01" in message
        assert told in message
        assert any(SPACE in note for note in run(tree).notes if note.startswith("left out of ibug"))

    def test_two_images_of_a_face(self, tree, refused):
        (tree / f"{SPACE}.png").write_bytes(b"x")
        message = refused(tree)
        assert f"{SPACE}: has 2 images" in message

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda points: pts(points[:67], head=True), "found 67 points"),
            (lambda points: pts(points, head=True)[:700], "expected 68 lines of two numbers"),
            (
                lambda points: pts(points, head=True).replace(b".", b".x", 1),
                "could not convert|found the line",
            ),
            (lambda points: pts(points * np.nan, head=False), "found NaN"),
            (lambda points: b"\xff\xfe\x00", "decode"),
            (lambda points: b"", "found 0 points"),
        ],
        ids=["count", "truncated", "word", "nan", "bytes", "empty"],
    )
    def test_points_that_cannot_be_read(self, tree, refused, change, told):
        bad = [some("afw")[0], SPACE]
        for one in bad:
            (tree / f"{one}.pts").write_bytes(change(invented(one)))
        message = refused(tree)
        assert "2 faults found" in message
        for one in bad:
            assert str(tree / f"{one}.pts") in message
        assert re.search(told, message)

    def test_an_image_that_cannot_be_read(self, tree, refused):
        (tree / f"{SPACE}.jpg").write_bytes(b"no image")
        assert str(tree / f"{SPACE}.jpg") in refused(tree)

    def test_a_part_is_missing(self, tree, refused, tmp_path):
        parts = cut(pack(tree / "300W", tmp_path / "300w.zip", "300W/"), 4)
        assert "missing 300w.zip.002" in refused(parts[0], *parts[2:])
        assert "001 to 003 are not a complete zip archive" in refused(*parts[:3])

    def test_a_part_that_was_changed(self, tree, refused, tmp_path):
        parts = cut(pack(tree / "300W", tmp_path / "300w.zip", "300W/"), 4)
        flip(parts[1], parts[1].stat().st_size // 2)
        assert "300w.zip: 300W/0" in refused(*parts)


class TestDamagedBoxes:
    @pytest.fixture
    def change(self, tree):
        """Write the boxes of iBUG anew with other rows."""

        def call(*rows):
            return write_boxes(tree, "ibug", list(rows))

        return call

    def test_not_a_matlab_file(self, tree, refused):
        path = tree / "Bounding Boxes" / "bounding_boxes_ibug.mat"
        path.write_bytes(path.read_bytes()[:100])
        assert "bounding_boxes_ibug.mat: not a readable MATLAB file" in refused(tree)

    @pytest.mark.parametrize(
        ("values", "told"),
        [({"boxes": 1}, "found no such key"), ({"bounding_boxes": np.eye(3)}, "expected a cell array")],
    )
    def test_another_content(self, tree, refused, values, told):
        savemat(tree / "Bounding Boxes" / "bounding_boxes_ibug.mat", values)
        assert told in refused(tree)

    def test_rows_of_another_shape(self, tree, change, refused):
        short, nan = box_row(SPACE), box_row("ibug/image_003_1")
        short["bb_detector"] = short["bb_detector"][:, :3]
        nan["bb_ground_truth"] = nan["bb_ground_truth"] * np.nan
        change(short, nan, {"imgName": "image_004_1.jpg"})
        message = refused(tree)
        assert "row 1 (image_092 _01.jpg): bb_detector: expected four finite numbers" in message
        assert "row 2 (image_003_1.jpg): bb_ground_truth: expected four finite numbers" in message
        assert "row 3: no field bb_detector, bb_ground_truth" in message

    def test_a_row_twice(self, tree, change, refused):
        change(box_row(SPACE), box_row(SPACE))
        assert "has two rows of image_092 _01" in refused(tree)

    def test_odd_rows_are_told(self, tree, change, run):
        change(box_row(SPACE, shift=0.001), box_row("ibug/stranger"))
        done = run(tree)
        told = "\n".join(done.notes)
        assert "1 rows of no face of ibug were not used: stranger" in told
        assert "no row of ibug/image_003_1" in told
        assert f"the official box of 1 faces is not the tight box of their points: {SPACE};" in told
        assert np.isnan(done.dataset["ibug/image_003_1"].boxes["detector"]).all()

    def test_boxes_twice(self, tree, refused, tmp_path):
        shutil.copytree(tree / "Bounding Boxes", tmp_path / "again")
        assert "found the official boxes in more than one place" in refused(tree, tmp_path / "again")


class TestMeanFace:
    def test_twice(self, tree, refused, tmp_path):
        (tmp_path / "again").mkdir()
        write_mean_face(tmp_path / "again")
        assert "found 2 mean 3D faces of 68 points" in refused(tree, tmp_path / "again")

    def test_damaged(self, tree, refused):
        path = tree / "mean_face_3D_68.txt"
        path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")
        message = refused(tree)
        assert message.startswith(f"{path}: not a mean 3D face")


def test_preparing_twice_gives_the_same_bytes(small_tree, run):
    assert run(small_tree).bytes == run(small_tree).bytes


def test_the_file_holds_the_sets_it_should(small_tree, run, tmp_path):
    run(small_tree)
    with h5py.File(tmp_path / "prepared" / "300w.h5") as file:
        assert set(file["annotations"]) == {"ibug68"}
        assert file["annotations/ibug68"].attrs["scheme"] == "ibug68"
