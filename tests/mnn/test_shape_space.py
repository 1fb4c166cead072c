from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from facebench.geometry import (
    VISIBILITY,
    euler_to_rotation,
    geodesic_distance,
    not_rotations,
    tight_box,
)
from facebench.mnn.shape_space import POINT_NOISE, POSE_NOISE, fit_shapes, frame_offset, shape_space

SEEN = VISIBILITY["visible"]


@pytest.fixture(scope="module")
def truth(rendered):
    """Points of the rendered faces, and the visible ones alone."""
    annotation = rendered.annotation("truth")
    points = annotation.points
    return points, np.where((annotation.visibility == SEEN)[..., None], points, np.nan)


def sizes(points):
    box = tight_box(points)
    return (box[:, 2:] - box[:, :2]).max(axis=1)


def test_shapes_are_heads_in_head_axes():
    space = shape_space()
    assert space.mean.shape == (68, 3)
    assert space.basis.shape == (30, 68, 3)
    assert space.mean[36, 0] < space.mean[45, 0]
    assert space.mean[8, 1] > space.mean[27, 1]
    assert space.mean[30, 2] < space.mean[0, 2]
    strength = np.linalg.norm(space.basis.reshape(30, -1), axis=1)
    assert (np.diff(strength) <= 1e-9).all()
    # One standard deviation of the first is some millimetres a point, not a deformation.
    assert 1 < strength[0] / np.sqrt(68) < 10


def test_poses_of_rendered_faces_come_back(rendered, truth):
    found = fit_shapes(truth[0])
    assert not not_rotations(found.rotation).any()
    apart = geodesic_distance(found.rotation, rendered.rotation)
    assert apart.mean() < 3
    assert apart.max() < 8
    assert (found.residual < 0.03).all()


def test_poses_come_back_from_the_visible_points_alone(rendered, truth):
    apart = geodesic_distance(fit_shapes(truth[1]).rotation, rendered.rotation)
    assert np.isfinite(apart).mean() > 0.8
    assert np.nanmean(apart) < 5


def test_hidden_points_come_back_from_the_visible_ones(truth):
    whole, visible = truth
    found = fit_shapes(visible)
    enough = np.isfinite(visible).all(axis=2).sum(axis=1) >= 30
    assert enough.sum() >= 10
    apart = np.linalg.norm(found.points - whole, axis=2) / sizes(whole)[:, None]
    hidden = np.isnan(visible).any(axis=2)
    assert apart[enough][hidden[enough]].mean() < 0.05
    assert apart[enough][~hidden[enough]].mean() < 0.02


def test_the_residual_is_the_mean_distance_of_the_known_points(truth):
    visible = truth[1]
    found = fit_shapes(visible)
    known = np.isfinite(visible).all(axis=2)
    for row in np.flatnonzero(np.isfinite(found.residual))[:5]:
        distance = np.linalg.norm(found.points[row] - visible[row], axis=1)[known[row]]
        expected = distance.mean() / sizes(visible[row : row + 1])[0]
        assert found.residual[row] == pytest.approx(expected)


def test_shapes_of_its_own_come_back_nearly_exactly(weak_faces):
    faces = weak_faces(30)
    found = fit_shapes(faces.points)
    assert geodesic_distance(found.rotation, faces.rotation).mean() < 2
    np.testing.assert_allclose(found.points, faces.points, atol=1.5)


def test_a_fit_is_as_good_as_a_general_optimiser_s(weak_faces):
    faces, space = weak_faces(1, seed=6), shape_space()
    points = faces.points + np.random.default_rng(0).normal(0, 1.5, faces.points.shape)
    points[:, [k for k in range(68) if k % 3]] = np.nan
    prior = faces.rotation @ euler_to_rotation([10.0, -5.0, 3.0], "raw-xyz")
    known, size = np.isfinite(points[0, :, 0]), sizes(points)[0]

    def placed(x):
        shape = space.mean + np.einsum("d,dkc->kc", x[6:], space.basis)
        turned = shape @ Rotation.from_rotvec(x[:3]).as_matrix().T
        return np.exp(x[3]) * turned[:, :2] + x[4:6]

    def residuals(x):
        off = Rotation.from_rotvec(x[:3]) * Rotation.from_matrix(prior[0]).inv()
        error = (placed(x) - points[0])[known] / (POINT_NOISE * size)
        return np.concatenate([error.ravel(), off.as_rotvec() / np.radians(POSE_NOISE), x[6:]])

    begin = np.zeros(36)
    begin[:6] = [*Rotation.from_matrix(prior[0]).as_rotvec(), np.log(0.6), 120, 120]
    best, found = least_squares(residuals, begin).x, fit_shapes(points, prior)
    np.testing.assert_allclose(found.points[0], placed(best), atol=0.05)
    assert geodesic_distance(found.rotation[0], Rotation.from_rotvec(best[:3]).as_matrix()) < 0.1


@pytest.mark.parametrize(("scale", "shift"), [(1.0, (500.0, -80.0)), (0.1, (0.0, 0.0)), (30.0, (10.0, 10.0))])
def test_where_a_face_is_and_how_large_leaves_its_pose(truth, scale, shift):
    plain, moved = fit_shapes(truth[0]), fit_shapes(truth[0] * scale + shift)
    assert geodesic_distance(moved.rotation, plain.rotation).max() < 0.5
    np.testing.assert_allclose(moved.points, plain.points * scale + shift, atol=scale)
    np.testing.assert_allclose(moved.residual, plain.residual, atol=1e-3)


def test_faces_are_fitted_one_by_one_as_in_a_batch(truth, monkeypatch):
    together = fit_shapes(truth[1])
    monkeypatch.setattr("facebench.mnn.shape_space.CHUNK", 5)
    apart = fit_shapes(truth[1])
    np.testing.assert_allclose(apart.rotation, together.rotation, atol=1e-6)
    np.testing.assert_allclose(apart.points, together.points, atol=1e-4)


def test_fewer_than_eight_points_say_nothing(weak_faces):
    points = weak_faces(2).points
    points[0, 7:] = np.nan
    points[1, 8:] = np.nan
    found = fit_shapes(points)
    for value in (found.rotation, found.points, found.residual):
        assert np.isnan(value[0]).all()
        assert np.isfinite(value[1]).all()
    # A point of which one number is missing is not known.
    points[1, 0, 1] = np.nan
    assert np.isnan(fit_shapes(points).rotation).all()


def test_no_face_at_all():
    found = fit_shapes(np.empty((0, 68, 2)))
    assert (found.rotation.shape, found.points.shape) == ((0, 3, 3), (0, 68, 2))


def test_points_that_are_no_face_do_not_stop_the_others(weak_faces):
    points = weak_faces(5).points
    good = fit_shapes(points)
    points[0] = 50.0
    points[1, :, 1] = 50.0
    points[2] = np.random.default_rng(0).uniform(0, 100, (68, 2))
    points[3] = np.arange(68)[:, None]
    found = fit_shapes(points)
    assert np.isnan(found.rotation[:2]).all()
    assert not not_rotations(found.rotation[2:]).any()
    assert np.isfinite(found.points[2:]).all()
    np.testing.assert_allclose(found.rotation[4], good.rotation[4], atol=1e-9)


def test_a_prior_pulls_a_pose_that_the_points_leave_open(weak_faces):
    faces = weak_faces(20, seed=3, turn=15.0)
    # The points of both eyes lie nearly on a line: how far the head nods is open.
    eyes = faces.points + np.random.default_rng(0).normal(0, 0.5, faces.points.shape)
    eyes[:, [k for k in range(68) if not 36 <= k < 48]] = np.nan
    off = faces.rotation @ euler_to_rotation([0.0, 20.0, 0.0], "raw-xyz")

    def pull(points):
        with_truth, with_other = fit_shapes(points, faces.rotation), fit_shapes(points, off)
        return geodesic_distance(with_truth.rotation, with_other.rotation)

    assert pull(faces.points).mean() < 1
    assert pull(eyes).mean() > 5
    apart = geodesic_distance(fit_shapes(eyes, faces.rotation).rotation, faces.rotation).mean()
    alone = geodesic_distance(fit_shapes(eyes).rotation, faces.rotation).mean()
    assert apart < 0.7 * alone


def test_a_prior_of_nan_is_no_prior(weak_faces):
    faces = weak_faces(4)
    prior = faces.rotation @ euler_to_rotation([15.0, 0.0, 0.0], "raw-xyz")
    prior[2:] = np.nan
    found, plain = fit_shapes(faces.points, prior), fit_shapes(faces.points)
    np.testing.assert_allclose(found.rotation[2:], plain.rotation[2:], atol=1e-9)
    assert (geodesic_distance(found.rotation[:2], plain.rotation[:2]) > 0.1).all()


def test_a_constant_turn_of_the_head_axes_is_found():
    rng = np.random.default_rng(5)
    rotation = euler_to_rotation(rng.uniform(-40, 40, (50, 3)), "raw-xyz")
    turn = euler_to_rotation([3.0, -7.0, 2.0], "raw-xyz")
    fitted = rotation @ turn
    np.testing.assert_allclose(frame_offset(rotation, fitted), turn, atol=1e-9)
    # What a fit errs by is averaged away, and what is not known is left out.
    noise = Rotation.from_rotvec(rng.normal(0, np.radians(4), (50, 3))).as_matrix()
    noisy = fitted @ noise
    noisy[7], rotation[9] = np.nan, np.nan
    assert geodesic_distance(frame_offset(rotation, noisy), turn) < 2.5
