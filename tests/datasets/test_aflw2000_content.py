"""What preparation makes of the drawn faces, against the truth that they were drawn from."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from scipy.io import loadmat

from facebench.datasets import get_dataset
from facebench.formats import VISIBILITY, ids_sha256, open_dataset
from facebench.geometry import get_scheme
from facebench.synthetic import draw_aflw2000_tree
from tests.datasets.helpers import SHARED, change_mat

OUTSIDE = {"image90016", "image90032"}


@pytest.fixture(scope="module")
def dataset(drawn):
    return open_dataset(drawn)


@pytest.fixture(scope="module")
def truth(drawn, tmp_path_factory):
    """The same faces drawn once more, for the truth that drawing returns."""
    folder = tmp_path_factory.mktemp("again")
    again = draw_aflw2000_tree(folder, faces=36, seed=3)
    one = "AFLW2000/image90007.mat"
    assert (folder / one).read_bytes() == (drawn.parent / "release" / one).read_bytes()
    return again


@pytest.fixture(scope="module")
def mats(drawn, dataset):
    folder = drawn.parent / "release" / "AFLW2000"
    return [loadmat(folder / f"{name}.mat") for name in dataset.ids]


def test_points_are_those_drawn(dataset, truth):
    assert dataset.ids == truth.ids
    original = dataset.annotations["original"]
    assert original.scheme == "ibug68"
    np.testing.assert_array_equal(original.points, truth.points.astype(np.float32))


def test_reannotated_points_are_those_of_the_stack(dataset, drawn):
    stack = np.load(drawn.parent / "release" / "AFLW2000-3D-Reannotated.pts68.npy")
    reannotated = dataset.annotations["reannotated"]
    np.testing.assert_array_equal(reannotated.points, stack.transpose(0, 2, 1))
    assert (reannotated.visibility == VISIBILITY["unknown"]).all()


def test_visibility_is_that_of_the_shared_points_of_aflw(dataset, truth):
    """A point that AFLW left out is hidden behind the head, but the fit says where it is."""
    states = dataset.annotations["original"].visibility
    assert len(SHARED) == 16
    for aflw, ibug in SHARED.items():
        expected = np.where(truth.visible21[:, aflw], VISIBILITY["visible"], VISIBILITY["occluded"])
        np.testing.assert_array_equal(states[:, ibug], expected)
    rest = sorted(set(range(68)) - set(SHARED.values()))
    assert (states[:, rest] == VISIBILITY["unknown"]).all()
    assert 0.05 < (states == VISIBILITY["occluded"]).sum() / (36 * 16) < 0.6


def test_a_point_is_hidden_only_by_its_x(four_faces, release, run):
    """The release marks a hidden point by x = -1; a y of zero or above the image is a position."""
    path = release / "AFLW2000" / "image90001.mat"
    points = np.tile([[0.0], [0.0]], 21)
    points[:, 14] = -1, 452
    change_mat(path, pt2d=points)
    states = run(release).dataset["image90001"].annotations["original"].visibility
    tip = get_scheme("ibug68").index("nose_tip")
    assert states[tip] == VISIBILITY["occluded"]
    assert (states == VISIBILITY["occluded"]).sum() == 1
    assert (states == VISIBILITY["visible"]).sum() == 15


def test_rotation_is_the_one_drawn(dataset, truth):
    np.testing.assert_allclose(dataset.rotation, truth.rotation, atol=1e-6)


def test_the_numbers_of_the_release_are_kept_as_they_are(dataset, mats):
    np.testing.assert_array_equal(dataset.pose_source, np.vstack([mat["Pose_Para"] for mat in mats]))
    np.testing.assert_array_equal(dataset.source["roi"], np.vstack([mat["roi"] for mat in mats]))


def test_the_box_is_tight_around_the_points(dataset, truth):
    (name,) = dataset.boxes
    assert name == "landmarks"
    points = truth.points.astype(np.float32)
    np.testing.assert_array_equal(dataset.boxes[name], np.hstack([points.min(axis=1), points.max(axis=1)]))


def test_valid_leaves_out_exactly_the_faces_beyond_99_degrees(dataset, mats):
    angles = np.degrees([mat["Pose_Para"][0, :3].astype(float) for mat in mats])
    beyond = {name for name, row in zip(dataset.ids, angles, strict=True) if np.abs(row).max() > 99}
    assert beyond == OUTSIDE
    assert {face.id for face in dataset.faces("valid")} == set(dataset.ids) - beyond


@pytest.mark.parametrize(
    ("degrees", "inside"), [(98.9, True), (-98.9, True), (99.1, False), (-99.1, False), (459.0, False)]
)
@pytest.mark.parametrize("angle", ["pitch", "yaw", "roll"])
def test_valid_ends_at_99_degrees_of_any_angle_as_it_is_stored(release, run, angle, degrees, inside):
    pose = np.zeros((1, 7), np.float32)
    pose[0, ["pitch", "yaw", "roll"].index(angle)] = np.radians(degrees)
    change_mat(release / "AFLW2000" / "image90003.mat", Pose_Para=pose)
    found = run(release).dataset
    assert ("image90003" in {face.id for face in found.faces("valid")}) is inside


@pytest.mark.parametrize("reading", ["raw", "canonical"])
def test_bins_of_yaw_share_out_every_face(dataset, reading):
    parts = [dataset.split(f"yaw-{reading}-{name}") for name in ("0-30", "30-60", "60-90")]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), dataset.split("all"))
    assert all(len(part) for part in parts)


@pytest.mark.parametrize(
    ("yaw", "raw", "canonical"),
    [
        (0, "0-30", "0-30"),
        (29.99, "0-30", "0-30"),
        (-30.01, "30-60", "30-60"),
        (-59.99, "30-60", "30-60"),
        (60.01, "60-90", "60-90"),
        (-90, "60-90", "60-90"),
        (135, "60-90", "30-60"),
        (-350, "60-90", "0-30"),
    ],
)
def test_bins_of_yaw_take_the_stored_or_the_canonical_angle(release, run, yaw, raw, canonical):
    pose = np.zeros((1, 7))
    pose[0, 1] = np.radians(yaw)
    change_mat(release / "AFLW2000" / "image90002.mat", Pose_Para=pose)
    found = run(release).dataset
    for reading, name in (("raw", raw), ("canonical", canonical)):
        holding = [
            part for part in ("0-30", "30-60", "60-90") if 1 in found.split(f"yaw-{reading}-{part}").tolist()
        ]
        assert holding == [name]


def test_faces_that_were_never_published_are_in_none_of_the_published_lists(dataset):
    for name in ("yaw-aflw-0-30", "yaw-aflw-30-60", "yaw-aflw-60-90"):
        assert name not in dataset.splits


def test_every_split_of_the_manifest_that_drawn_faces_can_be_in_is_there(dataset, drawn):
    published_only = {f"yaw-aflw-{part}" for part in ("0-30", "30-60", "60-90")}
    assert set(dataset.splits) == set(get_dataset("aflw2000").manifest.splits) - published_only
    for name, rows in dataset.splits.items():
        assert rows.tolist() == sorted(set(rows.tolist())), name
        with h5py.File(drawn) as file:
            assert file[f"/splits/{name}"].attrs["sha256"] == ids_sha256(dataset.ids[row] for row in rows)


def test_the_file_says_where_it_comes_from_but_not_where_that_lay(dataset, drawn):
    manifest = get_dataset("aflw2000").manifest
    assert dataset.licence == manifest.licence.text
    for citation in manifest.citations:
        assert citation.bibtex.strip() in dataset.citation
    assert dataset.provenance["options"] == {"images": "embed", "partial": True}
    assert dataset.provenance["sources"]["release"]["files"] == 72
    assert str(drawn.parent) not in json.dumps(dataset.provenance)
