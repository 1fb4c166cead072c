"""The genuine AFLW2000-3D, against the published facts about it (PROTOCOLS 1.3, 1.4, 2.2)."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from scipy.io import loadmat

from facebench.datasets import get_dataset, prepare, verify_prepared, verify_release
from facebench.errors import InvalidData
from facebench.formats import VISIBILITY, open_dataset
from facebench.geometry import box_size, rotation_to_euler
from tests.datasets import torch7
from tests.datasets.helpers import SHARED, STACK, flip

BINS = ("0-30", "30-60", "60-90")


@pytest.fixture(scope="module")
def raw(real_data):
    return real_data / "raw"


@pytest.fixture(scope="module")
def dataset(genuine):
    return open_dataset(genuine)


@pytest.fixture(scope="module")
def release(raw):
    """Every file of the archive by its name."""
    with zipfile.ZipFile(raw / "AFLW2000-3D.zip") as archive:
        return {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def mats(release, dataset):
    keys = ["Pose_Para", "pt3d_68", "pt2d", "roi"]
    return [loadmat(io.BytesIO(release[f"{name}.mat"]), variable_names=keys) for name in dataset.ids]


@pytest.fixture(scope="module")
def unpacked(raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(raw / "AFLW2000-3D.zip") as archive:
        archive.extractall(folder)
    return folder


def test_counts(dataset, raw):
    assert len(dataset) == len(dataset.image_paths) == 2000
    names = (raw / "AFLW2000-3D.names.txt").read_text(encoding="utf-8").split()
    assert dataset.ids == [name.removesuffix(".jpg") for name in names]
    assert len(dataset.split("all")) == 2000
    assert len(dataset.split("valid")) == 1969
    assert (dataset.image_sizes == 450).all()


@pytest.mark.parametrize(
    ("reading", "counts"),
    [("raw", [1312, 383, 305]), ("canonical", [1314, 383, 303]), ("aflw", [1306, 462, 232])],
)
def test_bins_of_yaw(dataset, reading, counts):
    assert [len(dataset.split(f"yaw-{reading}-{name}")) for name in BINS] == counts


@pytest.mark.parametrize(
    ("reading", "file"), [("raw", "AFLW2000-3D.pose.npy"), ("aflw", "AFLW2000-3D-new.pose.npy")]
)
def test_bins_of_yaw_are_those_of_the_published_labels(dataset, raw, reading, file):
    yaw = np.abs(np.load(raw / file).astype(float).ravel())
    published = [yaw <= 30, (yaw > 30) & (yaw <= 60), yaw > 60]
    for name, inside in zip(BINS, published, strict=True):
        np.testing.assert_array_equal(dataset.split(f"yaw-{reading}-{name}"), np.flatnonzero(inside))


def test_valid_leaves_out_the_31_faces_beyond_99_degrees(dataset, mats):
    angles = np.degrees([mat["Pose_Para"][0, :3].astype(float) for mat in mats])
    beyond = np.flatnonzero(np.abs(angles).max(axis=1) > 99)
    assert len(beyond) == 31
    np.testing.assert_array_equal(dataset.split("valid"), np.setdiff1d(np.arange(2000), beyond))
    assert {dataset.ids[row] for row in beyond} >= {"image00032", "image02000", "image03123", "image04157"}


def test_bins_of_yaw_within_valid(dataset):
    valid = set(dataset.split("valid").tolist())
    assert [len(valid & set(dataset.split(f"yaw-raw-{name}").tolist())) for name in BINS] == [1311, 380, 278]


def test_every_image_is_the_releases_own(dataset, release):
    for row, name in enumerate(dataset.ids):
        assert dataset.encoded_image(dataset.image_of[row]).tobytes() == release[f"{name}.jpg"]


def test_pose_of_the_first_face(dataset):
    face = dataset["image00002"]
    np.testing.assert_allclose(
        dataset.pose_source[face.row, :3], [-0.39923078, 0.01822658, 0.08567621], atol=5e-9
    )
    expected = [
        [0.996167, -0.085557, 0.018226],
        [0.085901, 0.917375, -0.388645],
        [0.016532, 0.388721, 0.921207],
    ]
    np.testing.assert_allclose(face.rotation, expected, atol=6e-7)


@pytest.mark.parametrize(
    ("name", "yaw_pitch_roll"),
    [
        ("image00002", (1.044306, -22.874239, 4.9088855)),
        ("image00004", (68.15524, 26.932743, 17.24367)),
        ("image00006", (50.485413, -10.579653, -13.570645)),
        ("image00008", (17.143373, -10.048456, -21.392782)),
        ("image00010", (68.64055, -50.544582, -59.207973)),
        ("image00013", (0.68556523, -1.5361992, -12.643008)),
        ("image01328", (4.657113, 0.95937383, 1.1412557)),
        ("image03123", (-351.22693, -713.7451, -972.2728)),
        ("image04157", (187.78694, 893.7465, -950.6278)),
    ],
)
def test_raw_angles(dataset, name, yaw_pitch_roll):
    pitch, yaw, roll = np.degrees(dataset.pose_source[dataset[name].row, :3])
    np.testing.assert_allclose((yaw, pitch, roll), yaw_pitch_roll, rtol=2e-7)


@pytest.mark.parametrize(
    ("name", "convention", "expected"),
    [
        ("image00004", "mnn-yxz", (-70.33320, 9.70279, -8.00338)),
        ("image01328", "upm-xyz", (-4.657113, 0.959374, 1.141256)),
        ("image03123", "raw-xyz", (8.773, 6.255, 107.727)),
        ("image04157", "raw-xyz", (-7.787, -6.254, -50.628)),
    ],
)
def test_angles_of_the_rotation(dataset, name, convention, expected):
    digits = len(str(expected[0]).rpartition(".")[2])
    found = rotation_to_euler(dataset[name].rotation, convention)
    np.testing.assert_allclose(found, expected, atol=0.6 * 10**-digits)


def test_points_are_those_of_the_model_unshifted(dataset, mats):
    points = np.array([mat["pt3d_68"][:2].T for mat in mats], float)
    np.testing.assert_array_equal(dataset.annotations["original"].points, points)
    width, height = box_size(dataset.boxes["landmarks"]).T
    assert (round(width.mean(), 2), round(height.mean(), 2)) == (191.15, 187.77)


def test_points_outside_their_image(dataset):
    points = dataset.annotations["original"].points
    outside = ((points < 0) | (points > 449)).any(axis=(1, 2))
    assert {dataset.ids[row] for row in np.flatnonzero(outside)} >= {"image01591", "image02156", "image02769"}


def test_visibility_is_that_of_aflws_points(dataset, mats):
    """8849 of the 42000 points are marked with x = -1; only 282 faces have all 21."""
    columns = [mat["pt2d"].shape[1] for mat in mats]
    assert sorted(set(columns)) == [21, 23]
    assert columns.count(23) == 3
    absent = np.array([mat["pt2d"][0, :21] for mat in mats]) == -1
    assert absent.sum() == 8849
    assert (~absent).all(axis=1).sum() == 282
    states = dataset.annotations["original"].visibility
    counts = {name: int((states == state).sum()) for name, state in VISIBILITY.items()}
    hidden = int(absent[:, list(SHARED)].sum())
    assert 0 < hidden < 8849
    assert counts == {"unknown": 2000 * 52, "visible": 2000 * 16 - hidden, "occluded": hidden, "hidden": 0}
    for aflw, ibug in SHARED.items():
        np.testing.assert_array_equal(states[:, ibug] == VISIBILITY["occluded"], absent[:, aflw])


def test_reannotated_points(dataset, raw):
    points = dataset.annotations["reannotated"].points
    np.testing.assert_array_equal(points, np.load(raw / STACK).transpose(0, 2, 1))
    assert (points == np.round(points)).mean() > 0.998
    negative = {dataset.ids[row] for row in np.flatnonzero((points < 0).any(axis=(1, 2)))}
    assert negative == {"image01842", "image02156"}


def test_the_published_release_gives_no_notes(raw, dataset, genuine, tmp_path):
    done = prepare("aflw2000", [raw / "AFLW2000-3D.zip", raw / STACK], tmp_path / "again.h5")
    assert done.notes == []
    assert done.path.read_bytes() == genuine.read_bytes()
    (check,) = verify_prepared(genuine)
    assert (check.state, check.detail) == ("ok", "2000 faces, 2000 images, every byte as written")


def test_the_unpacked_folder_gives_the_same_bytes_as_the_archive(unpacked, raw, genuine, tmp_path):
    done = prepare("aflw2000", [raw / STACK, unpacked], tmp_path / "aflw2000.h5")
    assert done.notes == []
    assert done.path.read_bytes() == genuine.read_bytes()


def test_torch_files_give_the_same_points(unpacked, dataset, tmp_path):
    folder = tmp_path / "AFLW2000-3D-Reannotated"
    folder.mkdir()
    for name, points in zip(dataset.ids, dataset.annotations["reannotated"].points, strict=True):
        (folder / f"{name}.t7").write_bytes(torch7.tensor(points))
    done = prepare("aflw2000", [unpacked, folder], tmp_path / "aflw2000.h5", images="none")
    found = open_dataset(done.path)
    for part in ("points", "visibility"):
        np.testing.assert_array_equal(
            getattr(found.annotation("reannotated"), part), getattr(dataset.annotation("reannotated"), part)
        )
    assert found.provenance["sources"]["reannotated"]["files"] == 2000
    assert found.provenance["sources"]["release"] == dataset.provenance["sources"]["release"]


def test_the_published_files_are_verified(unpacked, raw):
    for source in (raw / "AFLW2000-3D.zip", unpacked):
        checks = verify_release("aflw2000", [source])
        assert len(checks) == 4000
        assert {check.state for check in checks} == {"ok"}


def test_a_missing_and_a_changed_file_of_the_release_are_named(unpacked, tmp_path):
    (tmp_path / "AFLW2000").mkdir()
    for name in ("image00002.jpg", "image00002.mat", "image00004.jpg"):
        shutil.copy(next(unpacked.rglob(name)), tmp_path / "AFLW2000")
    with (tmp_path / "AFLW2000" / "image00004.jpg").open("ab") as file:
        file.write(b"\0")
    found = {check.name: check.state for check in verify_release("aflw2000", [tmp_path])}
    assert len(found) == 4000
    assert {name for name, state in found.items() if state == "ok"} == {
        "AFLW2000/image00002.jpg",
        "AFLW2000/image00002.mat",
    }
    assert [name for name, state in found.items() if state == "invalid"] == ["AFLW2000/image00004.jpg"]


@pytest.mark.parametrize("row", [0, 1234, 1999])
def test_a_changed_byte_of_an_image_names_it(genuine, dataset, tmp_path, row):
    copy = shutil.copy(genuine, tmp_path / "aflw2000.h5")
    with h5py.File(genuine) as file:
        offset = file["/images/bytes"].id.get_offset() + int(file["/images/offset"][row]) + 100
    flip(copy, offset)
    checks = verify_prepared(copy)
    assert [check.state for check in checks] == ["invalid", "invalid"]
    assert checks[1].name.endswith(f"{dataset.ids[row]}.jpg")


@pytest.mark.parametrize(
    "path", ["/pose/rotation", "/annotations/original/points", "/splits/valid", "/boxes/landmarks"]
)
def test_a_changed_byte_of_a_number_is_invalid(genuine, tmp_path, path):
    copy = shutil.copy(genuine, tmp_path / "aflw2000.h5")
    with h5py.File(genuine) as file:
        offset = file[path].id.get_offset()
    flip(copy, offset)
    checks = verify_prepared(copy)
    assert checks[0].state == "invalid"
    assert len(checks) == 1


def test_a_release_that_lacks_a_face_is_refused_by_its_name(unpacked, dataset, tmp_path):
    folder, absent = tmp_path / "AFLW2000", dataset.ids[700]
    folder.mkdir()
    for path in unpacked.rglob("image*.*"):
        if path.stem != absent:
            (folder / path.name).symlink_to(path)
    with pytest.raises(InvalidData, match=rf"expected 2000 faces, found 1999; absent: {absent}\."):
        prepare("aflw2000", [folder], tmp_path / "aflw2000.h5")
    assert not (tmp_path / "aflw2000.h5").exists()


def test_the_archive_is_the_one_of_the_manifest(raw):
    known = {archive.file: archive for archive in get_dataset("aflw2000").manifest.archives if archive.sha256}
    data = (raw / STACK).read_bytes()
    assert known[STACK].sha256 == hashlib.sha256(data).hexdigest()
    assert known[STACK].bytes == len(data)
