from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from facebench.errors import UsageError
from facebench.geometry import correspondences, euler_to_rotation, get_scheme
from facebench.synthetic import draw_aflw2000_tree, draw_face, mean_head, project

FACES = 34
NOSE_TIP, EYE_CORNERS = 30, [36, 39, 42, 45]
# What the release's own files hold: shape and type of every key.
KEYS = {
    "pt2d": ((2, 21), "float64"),
    "Illum_Para": ((1, 10), "float64"),
    "Color_Para": ((1, 7), "float32"),
    "Tex_Para": ((199, 1), "float64"),
    "Shape_Para": ((199, 1), "float64"),
    "Exp_Para": ((29, 1), "float64"),
    "Pose_Para": ((1, 7), "float32"),
    "roi": ((1, 4), "int16"),
    "pt3d_68": ((3, 68), "float32"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    return folder, draw_aflw2000_tree(folder, faces=FACES)


@pytest.fixture(scope="module")
def mats(tree):
    folder, drawn = tree
    return [loadmat(folder / "AFLW2000" / f"{name}.mat") for name in drawn.ids]


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def raw_degrees(mats):
    """Raw yaw, pitch, roll."""
    return np.degrees([mat["Pose_Para"][0, [1, 0, 2]].astype(float) for mat in mats])


def test_layout(tree):
    folder, drawn = tree
    assert drawn.ids == sorted(drawn.ids)
    assert drawn.ids[0] == "image90001"
    assert drawn.ids[-1] == f"image{90000 + FACES}"
    names = {f"{name}{suffix}" for name in drawn.ids for suffix in (".jpg", ".mat")}
    assert {path.name for path in (folder / "AFLW2000").iterdir()} == names
    assert {p.name for p in folder.iterdir()} == {"AFLW2000", "AFLW2000-3D-Reannotated.pts68.npy"}
    assert drawn.rotation.shape == (FACES, 3, 3)
    assert drawn.points.shape == (FACES, 68, 2)
    assert drawn.visible21.shape == (FACES, 21)


def test_mat_files_have_the_keys_shapes_and_types_of_the_release(mats):
    for mat in mats:
        found = {k: (v.shape, v.dtype.name) for k, v in mat.items() if not k.startswith("__")}
        assert found == KEYS


def test_images_are_pictures_of_the_right_size(tree):
    folder, drawn = tree
    for name in drawn.ids:
        picture = cv2.imread(str(folder / "AFLW2000" / f"{name}.jpg"))
        assert picture.shape == (450, 450, 3)
        assert picture.std() > 10


def test_pose_and_points_round_trip(tree, mats):
    _, drawn = tree
    rotation = euler_to_rotation(raw_degrees(mats), "raw-xyz")
    np.testing.assert_allclose(rotation, drawn.rotation, atol=1e-6)
    points = np.array([mat["pt3d_68"][:2].T for mat in mats])
    np.testing.assert_array_equal(points, drawn.points.astype(np.float32))


def test_model_parameters_reproduce_the_points(tree, mats):
    """The release's own reading: micrometres, y upwards from the bottom of the image."""
    _, drawn = tree
    for mat, rotation, points in zip(mats, drawn.rotation, drawn.points, strict=True):
        _, _, _, tx, ty, tz, scale = mat["Pose_Para"][0].astype(float)
        flip = np.diag([1.0, -1.0, -1.0])
        vertices = scale * (flip @ rotation @ (1000 * mean_head()).T).T + [tx, ty, tz]
        np.testing.assert_allclose(vertices[:, 0], points[:, 0], atol=1e-3)
        np.testing.assert_allclose(451 - vertices[:, 1], points[:, 1], atol=1e-3)
        np.testing.assert_allclose(vertices[:, 2], mat["pt3d_68"][2], atol=1e-3)


def test_signs_of_the_angles(tree, mats):
    _, drawn = tree
    angles = raw_degrees(mats)
    inside = np.abs(angles).max(axis=1) <= 99
    eyes = drawn.points[:, EYE_CORNERS].mean(axis=1)
    # In the axes of the eyes, so that roll does not mix yaw and pitch.
    across = drawn.points[:, 45] - drawn.points[:, 36]
    aside = ((drawn.points[:, NOSE_TIP] - eyes) * across).sum(axis=1)
    clear = inside & (np.abs(angles[:, 0]) > 15) & (np.abs(angles[:, 2]) < 10)
    assert clear.sum() > 5
    assert (np.sign(aside[clear]) == -np.sign(angles[clear, 0])).all()


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ((20, 0, 0), (-1, None)),
        ((-20, 0, 0), (1, None)),
        ((0, 20, 0), (0, -1)),
        ((0, -20, 0), (0, 1)),
    ],
)
def test_nose_moves_to_the_image_left_with_yaw_and_up_with_pitch(angles, expected):
    def nose(euler):
        flat = project(mean_head(), euler_to_rotation(euler, "raw-xyz"), 1.0, (0, 0))
        return flat[NOSE_TIP] - flat[EYE_CORNERS].mean(axis=0)

    moved = nose(angles) - nose((0, 0, 0))
    for change, sign in zip(moved, expected, strict=True):
        assert sign is None or np.sign(np.round(change, 6)) == sign


def test_positive_roll_is_clockwise_in_the_image():
    flat = project(mean_head(), euler_to_rotation([0, 0, 20], "raw-xyz"), 1.0, (0, 0))
    x, y = flat[45] - flat[36]
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(20)


def test_hidden_points_are_stored_like_the_release(tree, mats):
    _, drawn = tree
    shared = correspondences("aflw21", "ibug68")
    for mat, seen, points in zip(mats, drawn.visible21, drawn.points, strict=True):
        hidden = mat["pt2d"].T[~seen]
        assert (hidden == [-1, 452]).all()
        assert (mat["pt2d"].T[seen] > 0).all()
        for aflw, ibug in shared:
            if seen[aflw]:
                np.testing.assert_allclose(mat["pt2d"][:, aflw], points[ibug], atol=1e-9)
    assert 0.1 < 1 - drawn.visible21.mean() < 0.4


def test_strong_yaw_hides_the_far_eye(tree, mats):
    _, drawn = tree
    yaw, scheme = raw_degrees(mats)[:, 0], get_scheme("aflw21")
    strong = np.flatnonzero((np.abs(yaw) > 60) & (np.abs(yaw) < 90))
    assert len(strong) >= 3
    for face in strong:
        far, near = ("left", "right") if yaw[face] > 0 else ("right", "left")
        assert not drawn.visible21[face, scheme.index(f"{far}_eye_outer")]
        assert not drawn.visible21[face, scheme.index(f"{far}_eye_inner")]
        assert drawn.visible21[face, scheme.index(f"{near}_eye_outer")]


def test_distribution_of_the_poses(mats):
    angles = np.abs(raw_degrees(mats))
    out = np.flatnonzero((angles > 99).any(axis=1))
    np.testing.assert_array_equal(out, [15, 31])
    yaw = np.delete(angles[:, 0], out)
    assert 0.5 < (yaw <= 30).mean() < 0.75
    assert 0.1 < ((yaw > 30) & (yaw <= 60)).mean() < 0.3
    assert 0.1 < (yaw > 60).mean() < 0.25
    assert yaw.max() <= 85


def test_second_labelling_is_rounded_and_near(tree):
    folder, drawn = tree
    again = np.load(folder / "AFLW2000-3D-Reannotated.pts68.npy")
    assert again.shape == (FACES, 2, 68)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, np.round(again))
    offset = again.transpose(0, 2, 1) - drawn.points
    assert 0.9 < offset.std() < 1.2
    assert np.abs(offset.mean()) < 0.1


def test_same_arguments_same_bytes_and_fewer_faces_are_the_first_ones(tree, tmp_path):
    folder, drawn = tree
    draw_aflw2000_tree(tmp_path / "again", faces=3)
    draw_aflw2000_tree(tmp_path / "again", faces=3)
    first, second = contents(folder / "AFLW2000"), contents(tmp_path / "again" / "AFLW2000")
    assert second == {name: first[name] for name in second}
    assert draw_aflw2000_tree(tmp_path / "other", faces=3, seed=8).ids == drawn.ids[:3]
    other = contents(tmp_path / "other" / "AFLW2000")
    assert all(other[name] != second[name] for name in second)


def test_drawing_shows_the_face_at_the_points():
    """The painted lips, brows and eyes lie where the landmarks are."""
    head, rotation = mean_head(), euler_to_rotation([25, 10, -15], "raw-xyz")
    points = project(head, rotation, 1.3, (225, 205))
    picture = draw_face(rotation, 1.3, (225, 205), np.random.default_rng(1)).astype(float)

    def colour(xy):
        x, y = np.round(xy).astype(int)
        return picture[y - 1 : y + 2, x - 1 : x + 2].mean(axis=(0, 1))

    cheek = colour(points[[36, 31, 48]].mean(axis=0))
    assert colour(points[19]).sum() < 0.8 * cheek.sum()
    assert colour(points[[62, 66]].mean(axis=0)).sum() < 0.7 * cheek.sum()
    assert colour(points[36:42].mean(axis=0)).sum() < 0.7 * cheek.sum()


def test_head_may_lie_partly_or_wholly_outside_the_picture():
    for place in ((0, 0), (449, 200), (-1000, 5000)):
        picture = draw_face(np.eye(3), 1.3, place, np.random.default_rng(0), size=301)
        assert picture.shape == (301, 301, 3)
        assert picture.dtype == np.uint8


@pytest.mark.parametrize("faces", [0, -1, 10_000, 2.0, "3", True, None])
def test_number_of_faces_is_checked(tmp_path, faces):
    with pytest.raises(UsageError, match=r"faces is .* from 1 to 9999"):
        draw_aflw2000_tree(tmp_path / "none", faces=faces)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("seed", [-1, 1.5, "7", None, False])
def test_seed_is_checked(tmp_path, seed):
    with pytest.raises(UsageError, match=r"seed is .* at least 0"):
        draw_aflw2000_tree(tmp_path / "none", faces=1, seed=seed)
    assert not (tmp_path / "none").exists()


def test_folder_with_other_files_is_refused(tmp_path):
    draw_aflw2000_tree(tmp_path, faces=2)
    with pytest.raises(UsageError, match=r"image90002\.jpg"):
        draw_aflw2000_tree(tmp_path, faces=1)
