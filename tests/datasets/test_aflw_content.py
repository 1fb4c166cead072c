"""What is read from a release of AFLW equals what was written into it."""

from __future__ import annotations

import io
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from facebench.datasets import open_source, prepare
from facebench.errors import InvalidData
from facebench.formats import VISIBILITY, open_dataset
from facebench.geometry import euler_to_rotation
from tests.datasets.aflw_release import write_ccl, write_database, write_image, write_pts

TWO, FOUR = "0/image00002.jpg", "2/image00004.png"
FACES = [
    {
        "id": 39341,
        "path": TWO,
        "rect": (10, 5, 20, 20),
        "pose": (0.5, -0.2, 0.1),
        "points": {7: (12.5, 9.0), 12: (25.0, 9.5), 15: (18, 16), 21: (18.25, 24)},
        "meta": ("m", 1, 0),
    },
    {
        "id": 39342,
        "path": TWO,
        "rect": (50, 10, 30, 30),
        "pose": (-0.5, 0, 0),
        "points": {7: (56, 20), 12: (73, 20), 15: (65, 27), 18: (60, 33), 20: (70, 33)},
        "meta": ("f", 0, 1),
    },
    {"id": 9999, "path": FOUR, "rect": (-4, 2, 40, 40), "points": {}},
    {"id": 65385, "path": FOUR, "pose": (0, 0, 0)},
    {"id": 65386, "path": None, "rect": (0, 0, 5, 5)},
]


@pytest.fixture
def release(tmp_path):
    folder = tmp_path / "aflw"
    write_database(folder / "data" / "aflw.sqlite", FACES)
    for seed, name in enumerate((TWO, FOUR)):
        write_image(folder / "data" / "flickr" / name, seed)
    return folder


@pytest.fixture
def run(tmp_path):
    def call(*sources, **options):
        done = prepare("aflw", sources, tmp_path / "out" / "aflw.h5", **{"partial": True, **options})
        return open_dataset(done.path), "\n".join(done.notes)

    return call


def label(center, width, scheme=68):
    """Points on an ellipse about a place."""
    angle = np.linspace(0, 2 * np.pi, scheme, endpoint=False)
    return np.array(center) + np.stack([np.cos(angle), np.sin(angle)], 1) * width / 2


def test_faces_and_images(run, release):
    dataset, notes = run(release)
    assert dataset.ids == ["39341", "39342", "9999"]  # in the order of text
    assert dataset.image_paths == [TWO, FOUR]
    assert dataset.image_of.tolist() == [0, 0, 1]
    assert "2 faces without a rectangle or image are left out: 65385, 65386" in notes
    assert "not among those known" not in notes
    assert "no labels of ccl" in notes
    assert "no labels of merlrav" in notes


def test_points_and_visibility(run, release):
    dataset, _ = run(release)
    found = dataset.annotation("aflw21")
    for row, face in enumerate(FACES[:3]):
        expected = np.full((21, 2), np.nan)
        for feature, place in face["points"].items():
            expected[feature - 1] = place
        np.testing.assert_array_equal(found.points[row], expected)
        seen = np.isfinite(expected[:, 0])
        assert set(found.visibility[row][seen]) <= {VISIBILITY["visible"]}
        assert set(found.visibility[row][~seen]) <= {VISIBILITY["hidden"]}
    np.testing.assert_array_equal(
        found.points68[0, [36, 45, 30, 8]], [(12.5, 9), (25, 9.5), (18, 16), (18.25, 24)]
    )


def test_boxes(run, release):
    dataset, _ = run(release)
    expected = [[10, 5, 30, 25], [50, 10, 80, 40], [-4, 2, 36, 42]]
    np.testing.assert_array_equal(dataset.boxes["dataset"], expected)
    np.testing.assert_array_equal(
        dataset.boxes["landmarks"], [[12.5, 9, 25, 24], [56, 20, 73, 33], [np.nan] * 4]
    )


def test_pose_is_read_as_aflw_yxz(run, release):
    """PROTOCOLS 2.1: R = Ry(yaw) Rx(-pitch) Rz(-roll); a positive yaw turns the nose to the left."""
    dataset, _ = run(release)
    y, p, r = FACES[0]["pose"]
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rx = np.array([[1, 0, 0], [0, np.cos(-p), -np.sin(-p)], [0, np.sin(-p), np.cos(-p)]])
    rz = np.array([[np.cos(-r), -np.sin(-r), 0], [np.sin(-r), np.cos(-r), 0], [0, 0, 1]])
    np.testing.assert_allclose(dataset.rotation[0], ry @ rx @ rz, atol=1e-12)
    nose = dataset.rotation[0] @ [0, 0, -1]
    assert nose[0] < 0
    mnn = np.degrees([[-y, p, -r]])
    np.testing.assert_allclose(dataset.rotation[:1], euler_to_rotation(mnn, "mnn-yxz"), atol=1e-12)
    assert np.isnan(dataset.rotation[2]).all()
    np.testing.assert_array_equal(dataset.pose_source, [(y, p, r), (-0.5, 0, 0), [np.nan] * 3])


def test_attributes(run, release):
    import h5py

    dataset, _ = run(release)
    with h5py.File(dataset.path) as file:
        assert file["/source/meta"][()].tolist() == [[1, 1, 0], [0, 0, 1], [-1, -1, -1]]
        assert file["/source/ellipse"][0].tolist() == [1.5, 2.5, 9.0, 8.0, 0.1]
        assert np.isnan(file["/source/ellipse"][2]).all()


def test_a_zip_gives_the_same_bytes(run, release, tmp_path):
    folder = run(release)[0].path.read_bytes()
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", release)
    assert run(archive)[0].path.read_bytes() == folder


def test_images_in_a_folder_of_their_own(run, release, tmp_path):
    shutil.move(release / "data" / "flickr", tmp_path / "pictures" / "flickr")
    dataset, _ = run(release / "data" / "aflw.sqlite", tmp_path / "pictures")
    assert len(dataset) == 3
    assert dataset.provenance["sources"]["images"]["files"] == 2


def test_images_by_path(run, release):
    dataset, _ = run(release, images="none")
    assert dataset["39341"].image.shape == (60, 90, 3)


def test_the_orientation_of_exif_is_ignored(run, release):
    path = release / "data" / "flickr" / TWO
    jpeg = path.read_bytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    assert cv2.imread(str(path)).shape == (90, 60, 3)
    assert run(release)[0]["39341"].image.shape == (60, 90, 3)


class TestMerlRav:
    @pytest.fixture
    def labels(self, tmp_path):
        """One label for each face of the first image in the other order, and one far from both."""
        folder = tmp_path / "merl_rav_labels"
        one = label((65, 27), 24)
        one[[36, 45, 30, 48, 54]] = [(56, 20), (73, 20), (65, 27), (60, 33), (70, 33)]
        two = label((20, 15), 16)
        two[[36, 45, 30, 8]] = [(12.5, 9), (25, 9.5), (18, 16), (18.25, 24)]
        one[0], one[1] = -1, -one[1]
        write_pts(folder / "frontal" / "testset" / "labels" / "image00002_1.pts", one)
        write_pts(folder / "lefthalf" / "trainset" / "labels" / "image00002_2.pts", two)
        write_pts(folder / "left" / "trainset" / "labels" / "image00002_3.pts", label((85, 55), 9))
        write_pts(folder / "left" / "trainset" / "labels" / "image00007.pts", label((85, 55), 9))
        return folder

    def test_by_geometry(self, run, release, labels):
        dataset, notes = run(release, labels)
        found = dataset.annotation("merlrav68")
        assert {name: rows.tolist() for name, rows in dataset.splits.items()} == {
            "all": [0, 1, 2],
            "merlrav-train": [0],
            "merlrav-train-lefthalf": [0],
            "merlrav-test": [1],
            "merlrav-test-frontal": [1],
        }
        assert "2 of 4 labels of MERL-RAV fit no face and are left out: image00002_3, image00007" in notes
        assert np.isnan(found.points[1, 0]).all()
        assert (found.points[1, 1:] > 0).all()
        assert found.visibility[1, :3].tolist() == [3, 2, 1]
        np.testing.assert_array_equal(found.points[0, 30], (18, 16))
        assert np.isnan(found.points[2]).all()
        assert (found.visibility[2] == VISIBILITY["unknown"]).all()

    def test_without_points_in_common_by_the_rectangle(self, run, release, labels):
        for name in ("testset/labels/image00004.pts", "testset/labels/image00004_9.pts"):
            shift = 60 if "_9" in name else 0
            write_pts(labels / "right" / name, label((18 + shift, 24), 30))
        dataset, notes = run(release, labels)
        assert dataset.splits["merlrav-test-right"].tolist() == [2]
        assert "image00004_9" in notes

    @pytest.mark.parametrize("form", ["zip", "tar", "xztar"])
    def test_from_an_archive(self, run, release, labels, tmp_path, form):
        folder = run(release, labels)[0].path.read_bytes()
        packed = shutil.make_archive(str(tmp_path / "labels"), form, labels.parent, labels.name)
        assert run(release, packed)[0].path.read_bytes() == folder

    def test_two_labels_of_one_face(self, run, release, labels):
        """The better one is kept, and the other is told of."""
        worse = label((65, 27), 24)
        worse[[36, 45, 30, 48, 54]] = [(57, 21), (74, 21), (66, 28), (61, 34), (71, 34)]
        write_pts(labels / "frontal" / "testset" / "labels" / "image00002_5.pts", worse)
        dataset, notes = run(release, labels)
        np.testing.assert_array_equal(dataset.annotation("merlrav68").points[1, 30], (65, 27))
        assert "image00002_5" in notes


class TestCcl:
    @pytest.fixture
    def rows(self):
        """The faces in another order, with points as AFLW has them and further ones."""
        made = []
        for face in (FACES[1], FACES[0]):
            x, y, w, h = face["rect"]
            points = label((x + w / 2, y + h / 2), w * 0.6, 19)
            mask = np.zeros(19, int)
            order = [one for one in range(1, 22) if one not in (13, 17)]
            for feature, place in face["points"].items():
                points[order.index(feature)] = place
                mask[order.index(feature)] = 1
            made.append({"path": face["path"], "rect": face["rect"], "points19": points, "mask": mask})
        made[0]["points19"][0] = 0
        return [*made, {**made[0], "path": "3/image77777.jpg"}]

    def test_by_geometry(self, run, release, rows, tmp_path):
        dataset, notes = run(release, write_ccl(tmp_path / "AFLWinfo_release.mat", rows))
        found = dataset.annotation("aflw19")
        assert found.scheme == "aflw19"
        np.testing.assert_array_equal(found.points[0], rows[1]["points19"])
        np.testing.assert_array_equal(found.points[1, 1:], rows[0]["points19"][1:])
        assert np.isnan(found.points[1, 0]).all()
        assert found.visibility[1, 0] == VISIBILITY["hidden"]
        assert sorted(set(found.visibility[0])) == [1, 2]
        assert (found.visibility[0] == 1).sum() == 4
        assert dataset.splits["aflw19-train"].tolist() == [0, 1]
        assert "1 of 3 19-point labels of CCL fit no face" in notes
        assert "3/image77777.jpg (row 2)" in notes


class TestTar:
    def pack(self, path, *members):
        with tarfile.open(path, "w:gz") as tar:
            for name, data, kind in members:
                info = tarfile.TarInfo(name)
                info.size, info.type, info.linkname = len(data), kind, "/etc/passwd"
                tar.addfile(info, io.BytesIO(data))
        return path

    def test_regular_files_only(self, tmp_path):
        path = self.pack(
            tmp_path / "a.tar.gz",
            ("./b/one.txt", b"1", tarfile.REGTYPE),
            ("b/link.txt", b"", tarfile.SYMTYPE),
            ("b/hard.txt", b"", tarfile.LNKTYPE),
            ("b/pipe", b"", tarfile.FIFOTYPE),
            ("b/.DS_Store", b"x", tarfile.REGTYPE),
        )
        source = open_source(path)
        assert source.sizes == {"b/one.txt": 1}
        assert source.read("b/one.txt") == b"1"
        assert source.where("b/one.txt") == f"{path}: b/one.txt"

    @pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt"])
    def test_a_name_that_leads_out_is_refused(self, tmp_path, name):
        path = self.pack(tmp_path / "a.tgz", (name, b"x", tarfile.REGTYPE))
        with pytest.raises(InvalidData, match="leads out of the archive"):
            open_source(path)

    @pytest.mark.parametrize("form", ["gz", "xz", "bz2"])
    @pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
    def test_one_that_was_cut_short(self, tmp_path, form, share):
        path = Path(tmp_path / f"a.tar.{form}")
        with tarfile.open(path, f"w:{form}") as tar:
            info = tarfile.TarInfo("noise.bin")
            noise = np.random.default_rng(0).bytes(50_000)
            info.size = len(noise)
            tar.addfile(info, io.BytesIO(noise))
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(InvalidData, match="not a complete tar archive"):
            open_source(path)


def test_a_database_that_was_written_ahead_in_a_folder_with_an_odd_name(run, release, tmp_path):
    """Nothing is written beside it: the release may lie where nobody can write."""
    with closing(sqlite3.connect(release / "data" / "aflw.sqlite")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    folder = tmp_path / "50% of #1? ü"
    shutil.move(release, folder)
    before = sorted(path.name for path in folder.rglob("*"))
    dataset, _ = run(folder)
    assert len(dataset) == 3
    assert sorted(path.name for path in folder.rglob("*")) == before
