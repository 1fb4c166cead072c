"""POSIT: exact on what it models, the published recipes to the digits, alone and in batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.geometry import (
    euler_to_rotation,
    geodesic_distance,
    get_scheme,
    posit,
    posit_mnn,
    posit_spiga,
    rotation_to_euler,
)
from facebench.synthetic import mean_head

# Head axes are x right, y down, z away; the published mean faces have y up and z towards the viewer.
MODEL = mean_head() * [1.0, -1.0, -1.0]
CENTRE = np.array([320.0, 240.0])


def photograph(rotation: np.ndarray, distance: float, focal: float = 1000.0) -> np.ndarray:
    """Project the mean head by a perspective camera: (N, 3, 3) rotations to (N, 68, 2) pixels."""
    camera = np.einsum("nij,kj->nki", rotation, mean_head()) + np.array([0.0, 0.0, distance])
    return focal * camera[..., :2] / camera[..., 2:] + CENTRE


def solve(points: np.ndarray, focal: float = 1000.0) -> np.ndarray:
    n = len(points)
    return posit(points, MODEL, np.full(n, focal), np.broadcast_to(CENTRE, (n, 2)))


@given(
    yaw=st.floats(-60, 60),
    pitch=st.floats(-40, 40),
    roll=st.floats(-60, 60),
    distance=st.floats(600, 5000),
)
def test_recovers_the_rotation_of_a_perspective_picture(yaw, pitch, roll, distance):
    rotation = euler_to_rotation([[yaw, pitch, roll]], "raw-xyz")
    found = solve(photograph(rotation, distance))
    # It stops when the points move by less than a tenth of a pixel in all.
    assert geodesic_distance(found, rotation)[0] < 0.2


def test_a_batch_is_solved_like_its_faces_one_by_one():
    euler = np.random.default_rng(0).uniform(-40, 40, (30, 3))
    points = photograph(euler_to_rotation(euler, "raw-xyz"), 900.0)
    points[3, :17] = np.nan
    points[9, 40:] = np.nan
    together = solve(points)
    for row in range(30):
        np.testing.assert_allclose(together[row], solve(points[row : row + 1])[0], atol=1e-12)


def test_points_that_are_not_annotated_are_left_out():
    rotation = euler_to_rotation([[20.0, -10.0, 5.0]], "raw-xyz")
    points = photograph(rotation, 900.0)
    points[0, ::2] = np.nan
    assert geodesic_distance(solve(points), rotation)[0] < 0.2


def test_too_few_points_give_no_pose():
    points = photograph(euler_to_rotation([[0.0, 0.0, 0.0]], "raw-xyz"), 900.0)
    points[0, 3:] = np.nan
    assert np.isnan(solve(points)).all()


def test_the_outcome_is_a_rotation():
    euler = np.random.default_rng(1).uniform(-60, 60, (50, 3))
    noise = np.random.default_rng(2).normal(0, 8, (50, 68, 2))
    found = solve(photograph(euler_to_rotation(euler, "raw-xyz"), 900.0) + noise)
    np.testing.assert_allclose(
        found @ found.transpose(0, 2, 1), np.broadcast_to(np.eye(3), found.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(found), 1.0)


@pytest.fixture(scope="module")
def published(real_data):
    return np.load(real_data / "oracles" / "spiga_300w_public.npz")


@pytest.fixture(scope="module")
def mean_face(real_data):
    from facebench.datasets.mean_face import read_mean_face

    return lambda points, scheme: read_mean_face(
        (real_data / "raw" / f"mean_face_3d_{points}.csv").read_bytes(), scheme
    )


@pytest.fixture(scope="module")
def faces(published, mean_face):
    model = mean_face(68, "ibug68")
    used = np.isfinite(model).all(axis=1)
    boxes = published["gt_bbox_xywh"].copy()
    boxes[:, 2:] += boxes[:, :2]
    return published["gt_landmarks68"][:, used], boxes, model[used]


def test_spiga_s_689_poses(published, faces):
    found = rotation_to_euler(posit_spiga(*faces), "mnn-yxz")
    np.testing.assert_allclose(found, published["gt_headpose"][:, :3], atol=1e-9)


def test_how_far_the_two_recipes_are_apart(published, faces):
    """PROTOCOLS 2.4: a mean of 0.25, 0.24 and 0.08 degrees."""
    found = rotation_to_euler(posit_mnn(*faces), "mnn-yxz")
    apart = np.abs(found - published["gt_headpose"][:, :3]).mean(axis=0)
    np.testing.assert_allclose(apart, [0.25, 0.24, 0.08], atol=0.005)


def test_the_18_shared_points_are_used(mean_face):
    assert np.isfinite(mean_face(68, "ibug68")).all(axis=1).sum() == 18
    assert np.isfinite(mean_face(29, "cofw29")).all(axis=1).sum() == 20


def test_the_sample_of_mnn_s_code(mean_face):
    """PROTOCOLS 2.4: COFW test image 01454, whose pose the C++ code gives in a comment."""
    model = mean_face(29, "cofw29")
    points = np.array(SAMPLE)
    box = [[148.0, 128.0, 148.0 + 114.0, 128.0 + 167.0]]
    used = np.isfinite(model).all(axis=1)
    (found,) = rotation_to_euler(posit_mnn(points[None, used], box, model[used]), "mnn-yxz")
    np.testing.assert_allclose(found, [10.4819, 14.7329, -0.278679], atol=1e-4)


# The 29 points that the test of pcr-upm/bobetocalo_pami20 lists for its sample image, in the order of cofw29.
SAMPLE = [
    (157.620222307, 145.926126478),
    (248.756324698, 150.867240463),
    (194.953083528, 147.024151808),
    (223.501742108, 146.475139143),
    (176.835665583, 138.239949168),
    (176.286652918, 140.435999828),
    (233.383970078, 142.083037823),
    (234.481995408, 144.828101148),
    (172.992576928, 159.102430438),
    (252.050400689, 166.239595083),
    (196.051108858, 164.592557088),
    (222.952729443, 166.239595083),
    (183.423817563, 155.808354448),
    (182.874804898, 166.788607748),
    (238.325084063, 160.200455768),
    (238.325084063, 169.533671073),
    (182.874804898, 161.298481098),
    (237.776071398, 164.592557088),
    (196.051108858, 192.043190338),
    (228.442856093, 195.337266328),
    (221.854704113, 182.160962368),
    (215.815564798, 195.886278993),
    (192.208020203, 221.689874249),
    (235.580020738, 230.474076889),
    (215.815564798, 205.768506964),
    (215.266552133, 212.356658944),
    (218.560628123, 239.258279529),
    (219.109640788, 247.493469504),
    (218.011615458, 284.826330724),
]


def test_labels_of_the_schemes_are_unique():
    for name in ("ibug68", "cofw29", "aflw21", "aflw19"):
        labels = get_scheme(name).upm_labels
        assert len(set(labels)) == len(labels)
