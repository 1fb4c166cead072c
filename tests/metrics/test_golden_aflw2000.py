"""Published numbers of AFLW2000-3D, recomputed from the genuine release.

The release is read here by hand, so that these tests hold the metrics alone to account.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from facebench.geometry import (
    box_size,
    canonical_euler,
    euler_to_rotation,
    geodesic_distance,
    mean_rotation,
    rotation_to_euler,
    tight_box,
)
from facebench.metrics import (
    Statistic,
    area_under_ced,
    axis_errors,
    estimate,
    euler_errors,
    failure,
    nme,
    normalising_distance,
)

# PROTOCOLS 1.3: the faces with an angle beyond 99 degrees.
EXCLUDED = [
    32, 88, 91, 139, 150, 179, 188, 260, 290, 339, 352, 392, 400, 450, 617, 734, 983, 1486, 1530, 1547, 1845,
    1916, 2000, 2958, 3123, 3162, 3173, 3174, 3273, 3286, 4157,
]  # fmt: skip


@dataclass(frozen=True)
class Faces:
    """The 2000 faces: raw (yaw, pitch, roll) in degrees, and two labellings of 68 points."""

    ids: list[str]
    raw: NDArray
    original: NDArray
    reannotated: NDArray

    @property
    def valid(self):
        return np.abs(self.raw).max(axis=1) <= 99

    def row(self, face):
        return self.ids.index(face)


@pytest.fixture(scope="module")
def faces(real_data):
    keys = ["Pose_Para", "pt3d_68"]
    with zipfile.ZipFile(real_data / "raw" / "AFLW2000-3D.zip") as release:
        names = sorted(name for name in release.namelist() if name.endswith(".mat"))
        mats = [loadmat(io.BytesIO(release.read(name)), variable_names=keys) for name in names]
    pitch, yaw, roll = np.degrees([mat["Pose_Para"][0, :3].astype(float) for mat in mats]).T
    reannotated = np.load(real_data / "raw" / "AFLW2000-3D-Reannotated.pts68.npy")
    return Faces(
        ids=[PurePosixPath(name).stem for name in names],
        raw=np.stack([yaw, pitch, roll], axis=1),
        original=np.array([mat["pt3d_68"][:2].T for mat in mats], float),
        reannotated=reannotated.astype(float).transpose(0, 2, 1),
    )


def yaw_bins(euler):
    """Masks of |yaw| within [0, 30], (30, 60] and above 60 degrees."""
    yaw = np.abs(euler[:, 0])
    return [yaw <= 30, (yaw > 30) & (yaw <= 60), yaw > 60]


def bin_means(errors, euler):
    return [errors[members].mean() for members in yaw_bins(euler)]


def check(measured, published, digits):
    """Compare with numbers published with so many digits after the point."""
    np.testing.assert_allclose(measured, published, rtol=0, atol=0.5000001 * 10.0**-digits)


# --- Poses and their yaw bins (PROTOCOLS 1.3, 2.2)


@pytest.mark.parametrize(
    ("face", "raw"),
    [
        ("image00002", [1.044306, -22.874239, 4.9088855]),
        ("image00004", [68.15524, 26.932743, 17.24367]),
        ("image00006", [50.485413, -10.579653, -13.570645]),
        ("image00008", [17.143373, -10.048456, -21.392782]),
        ("image00010", [68.64055, -50.544582, -59.207973]),
        ("image00013", [0.68556523, -1.5361992, -12.643008]),
        ("image01328", [4.657113, 0.95937383, 1.1412557]),
    ],
)
def test_published_angles_survive_the_way_through_the_rotation(faces, face, raw):
    rotation = euler_to_rotation(faces.raw[faces.row(face)], "raw-xyz")
    check(rotation_to_euler(rotation, "raw-xyz"), raw, digits=5)
    check(rotation_to_euler(rotation, "upm-xyz"), raw * np.array([-1, 1, 1]), digits=5)


def test_canonical_angles_change_ten_faces_and_save_two_of_the_excluded(faces):
    canonical = canonical_euler(faces.raw, "raw-xyz")
    assert (np.abs(canonical - faces.raw).max(axis=1) > 1e-3).sum() == 10
    assert [faces.ids[row] for row in np.flatnonzero(~faces.valid)] == [f"image{n:05d}" for n in EXCLUDED]
    kept = np.abs(canonical).max(axis=1) <= 99
    assert kept.sum() == 1971
    assert kept[faces.row("image04157")]
    assert not kept[faces.row("image03123")]


def test_yaw_bins_have_their_published_sizes(faces):
    sizes = {
        "raw": [members.sum() for members in yaw_bins(faces.raw)],
        "canonical": [members.sum() for members in yaw_bins(canonical_euler(faces.raw, "raw-xyz"))],
        "valid": [members.sum() for members in yaw_bins(faces.raw[faces.valid])],
    }
    assert sizes == {"raw": [1312, 383, 305], "canonical": [1314, 383, 303], "valid": [1311, 380, 278]}


def test_raw_and_mnn_angles_of_the_same_pose_differ(faces):
    """PROTOCOLS 2.1: why converting between the two needs the matrix."""
    raw = faces.raw[faces.valid]
    mnn = rotation_to_euler(euler_to_rotation(raw, "raw-xyz"), "mnn-yxz")
    check(euler_errors(mnn, raw * [-1, 1, 1]).mean(axis=0), [0.94, 3.94, 7.30], digits=2)


def test_mean_landmark_box(faces):
    check(box_size(tight_box(faces.original)).mean(axis=0), [191.15, 187.77], digits=2)


# --- Constant predictors of pose on the 1969 valid faces (PROTOCOLS 2.2, 5)


@pytest.fixture(scope="module")
def valid_rotations(faces):
    rotations = euler_to_rotation(faces.raw[faces.valid], "raw-xyz")
    assert len(rotations) == 1969
    return rotations


# The last digits of the published values are those of single precision.
@pytest.mark.parametrize(
    ("convention", "per_axis", "mean"),
    [
        ("raw-xyz", [26.17337691, 13.95005907, 13.5022684], 17.87523479),
        ("mnn-yxz", [27.11402111, 10.01461291, 9.3465317], 15.49172191),
    ],
)
def test_mae_of_the_zero_predictor(valid_rotations, convention, per_axis, mean):
    errors = euler_errors(np.zeros(3), rotation_to_euler(valid_rotations, convention))
    check(errors.mean(axis=0), per_axis, digits=5)
    check(errors.mean(), mean, digits=5)


def test_geodesic_distance_and_maev_of_the_zero_predictor(valid_rotations):
    check(geodesic_distance(np.eye(3), valid_rotations).mean(), 34.43115875, digits=6)
    check(axis_errors(np.eye(3), valid_rotations).mean(), 25.7894, digits=4)


def test_mae_of_the_mean_predictor(faces):
    raw = faces.raw[faces.valid]
    check(euler_errors(raw.mean(axis=0), raw).mean(), 17.38634576, digits=6)


# --- The truth itself, off by a constant 5 degrees about x (PROTOCOLS 2.6, 5)

OFFSET = Rotation.from_euler("x", 5, degrees=True).as_matrix()
MIRROR = np.diag([1.0, 1.0, -1.0])


@pytest.fixture(scope="module", params=["left", "right"])
def offset_poses(request, valid_rotations):
    """The side of the offset, the truth, and the truth turned by the offset in the frame of its authors."""
    theirs = MIRROR @ valid_rotations @ MIRROR
    turned = OFFSET @ theirs if request.param == "left" else theirs @ OFFSET
    return request.param, valid_rotations, MIRROR @ turned @ MIRROR


def test_mae_and_geodesic_distance_of_an_offset(offset_poses):
    side, truth, predicted = offset_poses
    per_axis, mean = {
        "left": ([0.0, 5.0, 0.0], 1.6667),
        "right": ([1.0846, 6.8537, 3.7067], 3.8817),
    }[side]
    errors = euler_errors(*(rotation_to_euler(one, "upm-xyz") for one in (predicted, truth)))
    check(errors.mean(axis=0), per_axis, digits=4)
    check(errors.mean(), mean, digits=4)
    check(geodesic_distance(predicted, truth).mean(), 5.0, digits=4)


def test_maev_of_an_offset_by_columns_and_by_rows(offset_poses):
    side, truth, predicted = offset_poses
    columns, rows = {"left": (3.7712, 3.3333), "right": (3.3333, 3.7706)}[side]
    check(axis_errors(predicted, truth).mean(), columns, digits=4)
    check(axis_errors(predicted.swapaxes(1, 2), truth.swapaxes(1, 2)).mean(), rows, digits=4)


def test_removing_the_mean_offset_on_its_own_side_and_on_the_other(offset_poses):
    side, truth, predicted = offset_poses
    left = mean_rotation(predicted @ truth.swapaxes(1, 2))
    right = mean_rotation(truth.swapaxes(1, 2) @ predicted)
    after = [geodesic_distance(left.T @ predicted, truth), geodesic_distance(predicted @ right.T, truth)]
    published = {"left": [0.0, 2.6492], "right": [2.6489, 0.0]}[side]
    # The last published digit is cut, not rounded: 2.64928 and 2.64896.
    np.testing.assert_allclose(np.mean(after, axis=1), published, rtol=0, atol=1e-4)


# --- The original points as a prediction of the reannotated ones (PROTOCOLS 1.4, 3.3)


def points_error(predicted, truth, normaliser="box-sqrt"):
    return nme(predicted, truth, normalising_distance(truth, normaliser))


@pytest.mark.parametrize(
    ("normaliser", "mean", "digits"),
    [("box-sqrt", 3.0831623, 6), ("box-diagonal", 2.172724, 6), ("box-height", 3.024603, 6)],
)
def test_nme_of_the_original_points(faces, normaliser, mean, digits):
    check(points_error(faces.original, faces.reannotated, normaliser).mean(), mean, digits)


def test_nme_in_the_reverse_direction(faces):
    check(points_error(faces.reannotated, faces.original).mean(), 3.0884, digits=4)


def test_nme_of_the_original_points_in_yaw_bins_and_balanced(faces):
    means = bin_means(points_error(faces.original, faces.reannotated), faces.raw)
    check(means, [2.7899, 3.1978, 4.2006], digits=4)
    check(np.mean(means), 3.3961, digits=4)


def test_estimates_give_the_bins_and_the_balanced_mean_too(faces):
    names = ("frontal", "half", "profile")
    groups = dict(zip(names, yaw_bins(faces.raw), strict=True))
    columns = {"nme": points_error(faces.original, faces.reannotated)}
    statistics = [*(Statistic("nme", (name,)) for name in names), Statistic("nme", names)]
    found = estimate(columns, groups, statistics, resamples=100)
    check([one.value for one in found], [2.7899, 3.1978, 4.2006, 3.3961], digits=4)
    assert [one.n for one in found] == [1312, 383, 305, 2000]
    assert all(one.low < one.value < one.high for one in found)


def test_nme_with_a_box_of_whole_pixels(faces):
    """PROTOCOLS 1.4: images_framework rounds the truth and counts the pixels of its box."""
    truth = np.round(faces.reannotated)
    boxes = tight_box(truth) + np.array([0, 0, 1, 1])
    errors = nme(faces.original, truth, normalising_distance(truth, "box-sqrt", boxes=boxes))
    check(errors.mean(), 3.066814, digits=6)


@pytest.mark.parametrize(
    ("threshold", "auc", "fr"),
    [
        (4, 28.703478, 15.90),
        (6, 49.828537, 3.30),
        (7, 56.694775, 1.35),
        (8, 61.990696, 0.60),
        (10, 69.528130, 0.20),
    ],
)
def test_exact_auc_and_failure_rate(faces, threshold, auc, fr):
    errors = points_error(faces.original, faces.reannotated)
    check(area_under_ced(errors, threshold), auc, digits=5)
    check(failure(errors, threshold).mean(), fr, digits=6)


# --- A published method: the predictions of 2DASL for all faces but two


@pytest.fixture(scope="module")
def asl(real_data, faces):
    """Rows of the predicted faces, their 68 points, and their (yaw, pitch, roll) in degrees."""
    with np.load(real_data / "oracles" / "2dasl_aflw2000.npz") as stored:
        rows = np.array([faces.row(PurePosixPath(name).stem) for name in stored["names"]])
        points = stored["pts"][:, :2].transpose(0, 2, 1).astype(float)
        euler = stored["pose_pitch_yaw_roll_deg"][:, [1, 0, 2]].astype(float)
    missing = {"image02139", "image03862"}
    assert set(faces.ids) - {faces.ids[row] for row in rows} == missing
    return rows, points, euler


def test_nme_of_2dasl(faces, asl):
    rows, points, _ = asl
    errors = points_error(points, faces.original[rows])
    check(errors.mean(), 3.152, digits=3)
    check(bin_means(errors, faces.raw[rows]), [2.671, 3.605, 4.659], digits=3)
    check(points_error(points, faces.reannotated[rows]).mean(), 2.721, digits=3)


def test_pose_error_of_2dasl(faces, asl):
    rows, _, euler = asl
    valid = faces.valid[rows]
    errors = euler_errors(euler[valid], faces.raw[rows][valid])
    assert len(errors) == 1967
    check(errors.mean(axis=0), [2.711, 5.057, 3.498], digits=3)
    check(errors.mean(), 3.755, digits=3)
