from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facebench.errors import UsageError
from facebench.geometry import geodesic_distance
from facebench.metrics import SIDES, align

COUNT = 60

both_sides = pytest.mark.parametrize("side", SIDES)


def turn(axis, degrees):
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def offset_by(truth, turns, side):
    """Poses that are off by turns of the camera frame (left) or of the head frame (right)."""
    return turns @ truth if side == "left" else truth @ turns


def small_turns(seed, degrees=6.0, count=COUNT):
    vectors = np.random.default_rng(seed).normal(0, math.radians(degrees), (count, 3))
    return Rotation.from_rotvec(vectors).as_matrix()


@pytest.fixture(scope="module")
def truth():
    angles = np.random.default_rng(0).uniform([-80, -40, -40], [80, 40, 40], (COUNT, 3))
    return Rotation.from_euler("YXZ", angles, degrees=True).as_matrix()


# --- The procedure of PROTOCOLS 2.6 written down a second time, one face after the other


def log(rotation):
    """Axis times angle of a rotation by less than half a turn, in radians."""
    angle = math.acos(max(-1.0, min(1.0, (np.trace(rotation) - 1) / 2)))
    if angle < 1e-9:
        return np.zeros(3)
    r = rotation
    axis = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    return axis * angle / (2 * math.sin(angle))


def exp(vector):
    """Rotation about an axis by an angle in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def slow_mean(rotations):
    """Karcher mean, from the first rotation on."""
    mean = rotations[0]
    for _ in range(200):
        steps = [log(mean.T @ rotation) for rotation in rotations]
        step = sum(steps) / len(steps)
        mean = mean @ exp(step)
        if np.linalg.norm(step) < 1e-12:
            break
    return mean


def slow_align(predicted, truth, side, alike):
    out = [None] * len(predicted)
    for group in set(alike):
        rows = [row for row in range(len(predicted)) if alike[row] == group]
        offsets = []
        for row in rows:
            p, a = predicted[row], truth[row]
            offset = p @ a.T if side == "left" else a.T @ p
            if not np.isnan(p).any() and (np.trace(offset) - 1) / 2 > math.cos(math.radians(90.0)):
                offsets.append(offset)
        mean = slow_mean(offsets) if offsets else np.eye(3)
        for row in rows:
            out[row] = mean.T @ predicted[row] if side == "left" else predicted[row] @ mean.T
    return np.array(out)


@both_sides
@pytest.mark.parametrize("degrees", [0.5, 8.0, 25.0])
def test_alignment_equals_a_slow_loop(truth, side, degrees):
    predicted = offset_by(truth, turn("xyz", [4, -7, 3]) @ small_turns(1, degrees), side)
    predicted[7] = offset_by(truth[7], turn("y", 140), side)  # further off than counts
    predicted[20] = np.nan
    alike = np.arange(COUNT) % 3
    aligned = align(predicted, truth, side, alike)
    np.testing.assert_allclose(aligned, slow_align(predicted, truth, side, alike.tolist()), atol=1e-8)
    alone = align(predicted, truth, side)
    np.testing.assert_allclose(alone, slow_align(predicted, truth, side, [0] * COUNT), atol=1e-8)


# --- Constant turns


@both_sides
@pytest.mark.parametrize("degrees", [0.01, 5.0, 60.0, 89.9])
@pytest.mark.parametrize("axis", "xyz")
def test_constant_turn_is_undone(truth, side, axis, degrees):
    predicted = offset_by(truth, turn(axis, degrees), side)
    np.testing.assert_allclose(geodesic_distance(predicted, truth), degrees, rtol=1e-6)
    aligned = align(predicted, truth, side)
    np.testing.assert_allclose(aligned, truth, atol=1e-9)
    assert geodesic_distance(aligned, truth).max() < 1e-6


@both_sides
def test_turn_of_the_other_frame_is_not_undone(truth, side):
    other = {"left": "right", "right": "left"}[side]
    left_over = geodesic_distance(align(offset_by(truth, turn("x", 5), other), truth, side), truth)
    assert 1.0 < left_over.mean() < 5.0


def test_poses_in_one_direction_have_the_same_errors_on_both_sides():
    """Where all faces look the same way, a turn of the camera is one of the head."""
    truth = np.tile(turn("y", 30), (5, 1, 1))
    predicted = small_turns(2, count=5) @ truth
    left, right = (geodesic_distance(align(predicted, truth, side), truth) for side in SIDES)
    np.testing.assert_allclose(left, right, atol=1e-6)


@both_sides
def test_perfect_poses_stay_where_they_are(truth, side):
    np.testing.assert_allclose(align(truth, truth, side), truth, atol=1e-12)


@both_sides
def test_removed_turn_is_constant(truth, side):
    predicted = offset_by(truth, turn("y", 10) @ small_turns(3), side)
    aligned = align(predicted, truth, side)
    inverse = np.swapaxes(predicted, 1, 2)
    removed = aligned @ inverse if side == "left" else inverse @ aligned
    np.testing.assert_allclose(removed, np.broadcast_to(removed[0], removed.shape), atol=1e-12)
    assert geodesic_distance(removed[0], np.eye(3)) == pytest.approx(10, abs=3)


@both_sides
def test_no_other_constant_turn_leaves_smaller_squared_errors(truth, side):
    predicted = offset_by(truth, turn("y", 10) @ small_turns(4), side)
    aligned = align(predicted, truth, side)
    least = np.square(geodesic_distance(aligned, truth)).sum()
    assert least < np.square(geodesic_distance(predicted, truth)).sum()
    for axis in "xyz":
        for degrees in (-0.1, 0.1):
            moved = offset_by(aligned, turn(axis, degrees), side)
            assert np.square(geodesic_distance(moved, truth)).sum() > least


@both_sides
def test_aligning_twice_changes_nothing_more(truth, side):
    predicted = offset_by(truth, turn("y", 10) @ small_turns(5), side)
    alike = np.arange(COUNT) // 20
    once = align(predicted, truth, side, alike)
    np.testing.assert_allclose(align(once, truth, side, alike), once, atol=1e-9)


@both_sides
def test_further_constant_turn_makes_no_difference(truth, side):
    predicted = offset_by(truth, small_turns(6), side)
    further = offset_by(predicted, turn("z", 20), side)
    np.testing.assert_allclose(align(further, truth, side), align(predicted, truth, side), atol=1e-9)


@both_sides
def test_results_are_rotations(truth, side):
    aligned = align(offset_by(truth, small_turns(7, 30.0), side), truth, side)
    np.testing.assert_allclose(
        aligned @ np.swapaxes(aligned, 1, 2), np.tile(np.eye(3), (COUNT, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(aligned), 1.0, atol=1e-12)


# --- Which faces are aligned with which


@both_sides
def test_groups_do_not_influence_one_another(truth, side):
    predicted = offset_by(truth, small_turns(8), side)
    alike = np.array([7, -2, 40])[np.arange(COUNT) % 3]
    aligned = align(predicted, truth, side, alike)
    for group in (7, -2, 40):
        rows = alike == group
        np.testing.assert_array_equal(aligned[rows], align(predicted[rows], truth[rows], side))


@both_sides
def test_each_group_loses_its_own_turn(truth, side):
    alike = np.arange(COUNT) % 4
    each = np.stack([turn("xyz", [6.0 * k, -4.0 * k, 3.0 * k]) for k in range(4)])
    predicted = offset_by(truth, each[alike], side)
    np.testing.assert_allclose(align(predicted, truth, side, alike), truth, atol=1e-9)
    assert geodesic_distance(align(predicted, truth, side), truth).mean() > 3.0


@both_sides
def test_face_on_its_own_becomes_perfect(truth, side):
    predicted = offset_by(truth, small_turns(9), side)
    np.testing.assert_allclose(align(predicted, truth, side, np.arange(COUNT)), truth, atol=1e-9)


@both_sides
def test_order_of_faces_is_irrelevant(truth, side):
    predicted, order = offset_by(truth, small_turns(10), side), np.random.default_rng(11).permutation(COUNT)
    alike = np.arange(COUNT) % 3
    moved = align(predicted[order], truth[order], side, alike[order])
    np.testing.assert_allclose(moved, align(predicted, truth, side, alike)[order], atol=1e-9)


@both_sides
def test_groups_may_have_names(truth, side):
    predicted = offset_by(truth, small_turns(12), side)
    numbers = np.arange(COUNT) % 2
    names = np.array(["first", "second"])[numbers]
    np.testing.assert_array_equal(
        align(predicted, truth, side, names), align(predicted, truth, side, numbers)
    )


# --- Faces that do not count for the mean


@both_sides
def test_missed_faces_stay_missed_and_do_not_disturb(truth, side):
    predicted = offset_by(truth, turn("x", 5) @ small_turns(13), side)
    missed = np.isin(np.arange(COUNT), [0, 17, 59])
    aligned = align(np.where(missed[:, None, None], np.nan, predicted), truth, side)
    assert np.isnan(aligned[missed]).all()
    np.testing.assert_array_equal(aligned[~missed], align(predicted[~missed], truth[~missed], side))


@both_sides
@pytest.mark.parametrize("degrees", [90.001, 120.0, 180.0])
def test_faces_too_far_off_do_not_count_but_are_moved(truth, side, degrees):
    predicted = offset_by(truth, turn("x", 5), side)
    far = offset_by(truth[:3], turn("z", degrees), side)
    predicted[:3] = far
    aligned = align(predicted, truth, side)
    np.testing.assert_allclose(aligned[3:], truth[3:], atol=1e-9)
    np.testing.assert_allclose(aligned[:3], offset_by(far, turn("x", -5), side), atol=1e-9)


@both_sides
def test_faces_almost_too_far_off_count(truth, side):
    predicted = offset_by(truth, turn("x", 5), side)
    predicted[0] = offset_by(truth[0], turn("x", 89.9), side)
    expected = (5.0 * (COUNT - 1) + 89.9) / COUNT
    aligned = align(predicted, truth, side)
    np.testing.assert_allclose(geodesic_distance(aligned[1:], truth[1:]), expected - 5.0, rtol=1e-6)


@both_sides
def test_group_without_a_face_near_the_truth_is_left_as_it_is(truth, side):
    predicted = offset_by(truth, turn("y", 5), side)
    alike = np.arange(COUNT) % 3
    predicted[alike == 1] = offset_by(truth[alike == 1], turn("y", 130), side)
    predicted[alike == 2] = np.nan
    aligned = align(predicted, truth, side, alike)
    np.testing.assert_allclose(aligned[alike == 0], truth[alike == 0], atol=1e-9)
    np.testing.assert_array_equal(aligned[alike > 0], predicted[alike > 0])


@pytest.mark.parametrize("side", ["Left", "camera", ""])
def test_unknown_side_is_refused_with_the_known_ones(truth, side):
    with pytest.raises(UsageError, match=f"Unknown side '{side}'. Known sides: left, right"):
        align(truth, truth, side)


@both_sides
def test_no_faces_at_all(side):
    assert align(np.empty((0, 3, 3)), np.empty((0, 3, 3)), side).shape == (0, 3, 3)


@both_sides
def test_aligning_leaves_the_rotations_alone(truth, side):
    predicted = offset_by(truth, small_turns(14), side)
    before = predicted.copy(), truth.copy()
    align(predicted, truth, side)
    np.testing.assert_array_equal(predicted, before[0])
    np.testing.assert_array_equal(truth, before[1])
