from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facebench.geometry import geodesic_distance
from facebench.metrics import axis_errors, euler_errors

angles = st.floats(-1080, 1080)
triples = st.tuples(angles, angles, angles).map(np.array)


def about(axis, degrees):
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def random_rotations(count, seed):
    return Rotation.from_quat(np.random.default_rng(seed).normal(size=(count, 4))).as_matrix()


def slow_axis_error(a, b):
    """Mean angle between corresponding columns of two rotations, each from its arc cosine."""
    cosines = [sum(a[row][column] * b[row][column] for row in range(3)) for column in range(3)]
    return sum(math.degrees(math.acos(max(-1.0, min(1.0, cosine)))) for cosine in cosines) / 3


# --- Errors of the Euler angles


@pytest.mark.parametrize(
    ("predicted", "truth", "error"),
    [
        (10.0, 10.0, 0.0),
        (10.0, 25.0, 15.0),
        (-20.0, 15.0, 35.0),
        (179.0, -179.0, 2.0),
        (-180.0, 180.0, 0.0),
        (90.0, -90.0, 180.0),
        (100.0, -90.0, 170.0),
        (0.0, 540.0, 180.0),
        (-350.0, 350.0, 20.0),
    ],
)
def test_error_is_the_shorter_way_round(predicted, truth, error):
    zero = [0.0, 0.0]
    np.testing.assert_allclose(euler_errors([[predicted, *zero]], [[truth, *zero]]), [[error, *zero]])


@given(triples, triples)
def test_error_is_the_angle_between_two_directions(predicted, truth):
    difference = np.radians(predicted - truth)
    expected = np.degrees(np.abs(np.arctan2(np.sin(difference), np.cos(difference))))
    np.testing.assert_allclose(euler_errors([predicted], [truth]), [expected], atol=1e-9)


@given(angles, angles, st.sampled_from("xyz"))
def test_error_of_one_axis_is_the_angle_of_the_rotation_between(predicted, truth, axis):
    between = Rotation.from_matrix(about(axis, predicted) @ about(axis, truth).T).magnitude()
    errors = euler_errors([[predicted] * 3], [[truth] * 3])
    np.testing.assert_allclose(errors, np.degrees([[between] * 3]), atol=1e-5)


@given(triples, triples)
def test_errors_are_symmetric_and_within_half_a_turn(predicted, truth):
    errors = euler_errors([predicted], [truth])
    np.testing.assert_array_equal(errors, euler_errors([truth], [predicted]))
    assert ((errors >= 0) & (errors <= 180)).all()


@given(triples, triples, st.integers(-3, 3))
def test_whole_turns_make_no_error(predicted, truth, turns):
    np.testing.assert_allclose(
        euler_errors([predicted + 360.0 * turns], [truth]), euler_errors([predicted], [truth]), atol=1e-9
    )


def test_unknown_angle_has_an_unknown_error_of_its_own():
    errors = euler_errors([[np.nan, 1.0, 2.0], [3.0, 4.0, 5.0]], np.zeros((2, 3)))
    np.testing.assert_array_equal(errors, [[np.nan, 1.0, 2.0], [3.0, 4.0, 5.0]])


# --- Mean absolute error of vectors (MAEV)


def test_axis_errors_equal_one_arc_cosine_after_the_other():
    predicted, truth = random_rotations(200, seed=1), random_rotations(200, seed=2)
    expected = [slow_axis_error(a, b) for a, b in zip(predicted.tolist(), truth.tolist(), strict=True)]
    np.testing.assert_allclose(axis_errors(predicted, truth), expected, atol=1e-5)


def test_equal_rotations_have_exactly_no_axis_error():
    rotations = random_rotations(50, seed=3)
    np.testing.assert_array_equal(axis_errors(rotations, rotations), np.zeros(50))


@pytest.mark.parametrize("axis", "xyz")
@pytest.mark.parametrize("angle", [1e-7, 1.0, 90.0, 180.0])
def test_turning_about_one_axis_turns_the_two_others(axis, angle):
    error = axis_errors([about(axis, angle)], [np.eye(3)])
    np.testing.assert_allclose(error, [2 * angle / 3], rtol=1e-6)


def test_axis_errors_compare_columns_not_rows():
    """PROTOCOLS 5: an offset of the head's own frame counts the same for every pose, by columns."""
    truth, offset = random_rotations(20, seed=4), about("x", 5.0)
    head = axis_errors(truth @ offset, truth)
    np.testing.assert_allclose(head, 10 / 3, rtol=1e-9)
    camera = axis_errors(offset @ truth, truth)
    assert np.ptp(camera) > 0.1
    by_rows = axis_errors((offset @ truth).swapaxes(1, 2), truth.swapaxes(1, 2))
    np.testing.assert_allclose(by_rows, 10 / 3, rtol=1e-9)


def test_axis_errors_are_symmetric():
    first, second = random_rotations(50, seed=5), random_rotations(50, seed=6)
    np.testing.assert_array_equal(axis_errors(first, second), axis_errors(second, first))


def test_axis_errors_do_not_depend_on_where_the_camera_points():
    first, second = random_rotations(50, seed=7), random_rotations(50, seed=8)
    turn = random_rotations(1, seed=9)
    np.testing.assert_allclose(axis_errors(turn @ first, turn @ second), axis_errors(first, second))


def test_no_axis_turns_further_than_the_whole_head():
    first, second = random_rotations(500, seed=10), random_rotations(500, seed=11)
    error, geodesic = axis_errors(first, second), geodesic_distance(first, second)
    assert (error > 0).all()
    assert (error <= geodesic).all()


def test_unknown_rotation_has_an_unknown_axis_error_of_its_own():
    predicted = np.stack([np.full((3, 3), np.nan), np.eye(3)])
    np.testing.assert_array_equal(axis_errors(predicted, np.eye(3)), [np.nan, 0.0])
