"""Genuine files of 300W and the ground truth of SPIGA, against the published facts (PROTOCOLS 1.1, 2.4)."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from scipy.io import loadmat

from facebench.datasets import get_dataset, prepare
from facebench.datasets.mean_face import read_mean_face
from facebench.errors import InvalidData
from facebench.formats import VISIBILITY, ids_sha256, open_dataset
from facebench.geometry import get_scheme, posit_mnn, posit_spiga, rotation_to_euler, tight_box

# Labels and points of COFW test image 01454, as printed in the test of MNN's code.
MNN_LABELS = [1, 6, 3, 4, 101, 102, 103, 104, 7, 12, 8, 11, 9, 10, 13, 14, 105, 106, 16, 18, 17, 107, 20, 21]
MNN_LABELS += [22, 108, 109, 23, 24]
MNN_POINTS = """
157.620222307 145.926126478 248.756324698 150.867240463 194.953083528 147.024151808 223.501742108
146.475139143 176.835665583 138.239949168 176.286652918 140.435999828 233.383970078 142.083037823
234.481995408 144.828101148 172.992576928 159.102430438 252.050400689 166.239595083 196.051108858
164.592557088 222.952729443 166.239595083 183.423817563 155.808354448 182.874804898 166.788607748
238.325084063 160.200455768 238.325084063 169.533671073 182.874804898 161.298481098 237.776071398
164.592557088 196.051108858 192.043190338 228.442856093 195.337266328 221.854704113 182.160962368
215.815564798 195.886278993 192.208020203 221.689874249 235.580020738 230.474076889 215.815564798
205.768506964 215.266552133 212.356658944 218.560628123 239.258279529 219.109640788 247.493469504
218.011615458 284.826330724
"""


@pytest.fixture(scope="module")
def raw(real_data):
    return real_data / "raw"


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    sources = [raw / "300W_sample.zip", raw / "mean_face_3d_68.csv"]
    return prepare("300w", sources, tmp_path_factory.mktemp("300w") / "300w.h5", partial=True)


@pytest.fixture(scope="module")
def dataset(prepared):
    return open_dataset(prepared.path)


@pytest.fixture(scope="module")
def spiga(real_data):
    with np.load(real_data / "oracles" / "spiga_300w_public.npz") as published:
        return dict(published)


@pytest.fixture(scope="module")
def official(raw):
    """Names, detector boxes and ground truth boxes of each file of the official boxes."""
    found = {}
    with zipfile.ZipFile(raw / "300W_sample.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".mat"):
                cells = loadmat(io.BytesIO(archive.read(name)))["bounding_boxes"].flat
                rows = [cell[0, 0] for cell in cells]
                key = name.rpartition("bounding_boxes_")[2].removesuffix(".mat")
                found[key] = {
                    str(row["imgName"][0]): (row["bb_detector"][0], row["bb_ground_truth"][0]) for row in rows
                }
    return found


def model(raw, points, scheme):
    face = read_mean_face((raw / f"mean_face_3d_{points}.csv").read_bytes(), scheme)
    used = np.isfinite(face).all(axis=1)
    return used, face[used]


def test_faces_and_splits_of_the_sample(dataset):
    assert len(dataset) == 51
    counts = {name: len(rows) for name, rows in dataset.splits.items()}
    assert counts == {"afw": 10, "helen": 40, "lfpw": 1, "common": 41}
    assert (dataset.annotation("ibug68").visibility == VISIBILITY["unknown"]).all()


def test_what_the_sample_lacks_is_told(prepared):
    told = "\n".join(prepared.notes)
    assert "not in the sources: helen/trainset, lfpw/trainset, ibug, 300W/01_Indoor, 300W/02_Outdoor" in told
    assert "left out of ibug, as the image or the .pts is missing: ibug/image_070" in told
    assert "10 of 337 faces of afw, 40 of 330 faces of helen/testset" in told
    # This image is number 10 of the training set, though the sample has it in testset.
    assert "not in the official lfpw/testset, but kept: lfpw/testset/image_0010" in told


def test_the_sample_is_not_the_release(raw, tmp_path):
    with pytest.raises(InvalidData, match=r"afw: expected the 337 faces of afw, found 10; absent: afw/"):
        prepare("300w", [raw / "300W_sample.zip"], tmp_path / "300w.h5")
    assert not (tmp_path / "300w.h5").exists()


def test_official_boxes_are_the_tight_boxes_plus_1(dataset, official):
    tight = tight_box(dataset.annotation("ibug68").points)
    np.testing.assert_array_equal(dataset.boxes["landmarks"], tight)
    folders = {"afw": "afw", "helen/testset": "helen_testset"}
    rows = [row for row, one in enumerate(dataset.ids) if one.rpartition("/")[0] in folders]
    assert len(rows) == 50
    for row in rows:
        folder, _, name = dataset.ids[row].rpartition("/")
        detector, truth = official[folders[folder]][f"{name}.jpg"]
        np.testing.assert_allclose(tight[row] + 1, truth, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(dataset.boxes["dataset"][row], truth - 1)
        np.testing.assert_array_equal(dataset.boxes["detector"][row], detector - 1)
    (other,) = set(range(51)) - set(rows)
    assert np.isnan(dataset.boxes["dataset"][other]).all()


def test_points_are_those_of_spiga(dataset, spiga):
    row_of = {path.rpartition("/")[2]: row for row, path in enumerate(spiga["imgpath"])}
    rows = dataset.split("helen")
    theirs = [row_of[f"{dataset.ids[row].rpartition('/')[2]}.jpg"] for row in rows]
    points = dataset.annotation("ibug68").points[rows]
    np.testing.assert_allclose(points, spiga["gt_landmarks68"][theirs], rtol=0, atol=1e-9)
    angles = rotation_to_euler(dataset.poses["spiga"][rows], "mnn-yxz")
    np.testing.assert_allclose(angles, spiga["gt_headpose"][theirs, :3], rtol=0, atol=1e-6)


def test_official_boxes_of_all_public_test_images(spiga, official):
    """Of 554 + 134 images: the file of iBUG's image with a space is renamed by SPIGA."""
    known = {**official["ibug"], **official["lfpw_testset"], **official["helen_testset"]}
    tight = tight_box(spiga["gt_landmarks68"])
    names = [path.rpartition("/")[2] for path in spiga["imgpath"]]
    names = [name.replace("image_092_01", "image_092 _01") for name in names]
    np.testing.assert_allclose(tight + 1, [known[name][1] for name in names], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("file", "name", "truth"),
    [
        ("ibug", "image_003_1.jpg", (334.238298, 201.895397, 521.633815, 389.722454)),
        ("lfpw_testset", "image_0001.png", (157.404624, 270.095376, 417.605588, 517.61955)),
        ("helen_testset", "296814969_3.jpg", (266.30896, 292.520006, 566.488707, 563.345371)),
    ],
)
def test_golden_boxes(official, file, name, truth):
    np.testing.assert_allclose(official[file][name][1], truth, rtol=0, atol=1e-9)


def test_the_names_of_the_manifest_are_those_of_the_official_boxes(official):
    manifest = get_dataset("300w").manifest
    files = {"afw": "afw", "helen-train": "helen_trainset", "helen": "helen_testset"}
    files |= {"lfpw-train": "lfpw_trainset", "lfpw": "lfpw_testset"}
    for split, file in files.items():
        folder = file.replace("_", "/")
        ids = [f"{folder}/{name.rpartition('.')[0]}" for name in official[file]]
        assert (len(ids), ids_sha256(ids)) == (manifest.splits[split].count, manifest.splits[split].sha256)
    names = list(official["ibug"])
    assert (len(names), set(names[135:]) - set(official["afw"])) == (337, set())
    ids = [f"ibug/{name.removesuffix('.jpg')}" for name in names[:135]]
    assert ids_sha256(ids) == manifest.splits["challenging"].sha256


def test_poses_of_spiga(raw, spiga):
    used, face = model(raw, 68, "ibug68")
    points = spiga["gt_landmarks68"]
    box = spiga["gt_bbox_xywh"].copy()
    box[:, 2:] += box[:, :2]
    np.testing.assert_allclose(box, tight_box(points), rtol=0, atol=1e-6)
    angles = rotation_to_euler(posit_spiga(points[:, used], tight_box(points), face), "mnn-yxz")
    np.testing.assert_allclose(angles, spiga["gt_headpose"][:, :3], rtol=0, atol=1e-6)


def test_the_two_recipes_differ_as_published(raw, spiga):
    used, face = model(raw, 68, "ibug68")
    points = spiga["gt_landmarks68"]
    mnn = rotation_to_euler(posit_mnn(points[:, used], tight_box(points), face), "mnn-yxz")
    difference = np.abs(mnn - spiga["gt_headpose"][:, :3]).mean(axis=0)
    np.testing.assert_allclose(difference, (0.25, 0.24, 0.08), rtol=0, atol=0.006)


def test_the_sample_of_mnn(raw):
    used, face = model(raw, 29, "cofw29")
    of_label = dict(zip(MNN_LABELS, np.array(MNN_POINTS.split(), float).reshape(29, 2), strict=True))
    points = np.array([of_label[label] for label in get_scheme("cofw29").upm_labels])
    box = [148, 128, 148 + 114, 128 + 167]
    angles = rotation_to_euler(posit_mnn(points[None, used], [box], face), "mnn-yxz")
    np.testing.assert_allclose(angles[0], (10.4819, 14.7329, -0.278679), rtol=0, atol=1e-4)
