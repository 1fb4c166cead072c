from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facebench.geometry import euler_to_rotation, geodesic_distance
from facebench.metrics import PoseSuite, axis_errors, euler_errors, yaw_class, yaw_confusion
from facebench.metrics.pose import YAW_CLASS

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


# --- Classes of yaw


def slow_class(yaw):
    """The class whose centre is next on the circle, at most the sixth to either side."""
    wrapped = math.remainder(yaw, 360.0)
    return min(range(-6, 7), key=lambda k: abs(wrapped - 15.0 * k))


@pytest.mark.parametrize(
    ("yaw", "number"),
    [
        (0.0, 0),
        (-0.0, 0),
        (7.4999, 0),
        (7.5, 1),
        (-7.4999, 0),
        (-7.5, 0),  # a class holds its lower end
        (-7.5001, -1),
        (22.4999, 1),
        (22.5, 2),
        (82.4999, 5),
        (82.5, 6),
        (90.0, 6),
        (97.5, 6),
        (179.999, 6),
        (-82.5, -5),
        (-82.5001, -6),
        (-90.0, -6),
        (-180.0, -6),
        (190.0, -6),
        (360.0, 0),
        (375.0, 1),
        (-345.0, 1),
        (-1065.0, 1),
        (540.0, -6),
    ],
)
def test_class_of_a_yaw(yaw, number):
    assert yaw_class(yaw) == number


@given(st.floats(-1080, 1080))
def test_class_of_a_yaw_is_the_nearest(yaw):
    edges = [180.0, *(15 * k + 7.5 for k in range(24))]
    if min(abs(math.remainder(yaw - edge, 360.0)) for edge in edges) > 1e-6:
        assert yaw_class([yaw]) == [slow_class(yaw)]


@given(st.floats(-90, 90))
def test_class_is_within_half_a_width(yaw):
    assert abs(yaw_class([yaw])[0] * YAW_CLASS - yaw) <= YAW_CLASS / 2 + 1e-9


def test_unknown_yaw_has_no_class():
    np.testing.assert_array_equal(yaw_class([np.nan, 16.0]), [np.nan, 1.0])


@pytest.fixture(scope="module")
def yaws():
    generator = np.random.default_rng(12)
    truth = generator.uniform(-100, 100, 500)
    return truth + generator.normal(0, 12, 500), truth


def test_confusion_equals_a_slow_count(yaws):
    counts = [[0] * 13 for _ in range(13)]
    for p, t in zip(*(one.tolist() for one in yaws), strict=True):
        counts[slow_class(t) + 6][slow_class(p) + 6] += 1
    np.testing.assert_array_equal(yaw_confusion(*yaws), counts)


def test_confusion_counts_every_face_once(yaws):
    counts = yaw_confusion(*yaws)
    assert counts.shape == (13, 13)
    assert counts.sum() == 500
    of_truth, of_predicted = (np.bincount(yaw_class(one).astype(int) + 6, minlength=13) for one in yaws[::-1])
    np.testing.assert_array_equal(counts.sum(axis=1), of_truth)
    np.testing.assert_array_equal(counts.sum(axis=0), of_predicted)
    np.testing.assert_array_equal(counts, yaw_confusion(*yaws[::-1]).T)


def test_diagonals_of_the_confusion_are_the_accuracies(yaws):
    counts = yaw_confusion(*yaws)
    rotations = [euler_to_rotation([[yaw, 0, 0] for yaw in one], "mnn-yxz") for one in yaws]
    columns = PoseSuite(convention="mnn-yxz", aligned=False).columns(*rotations).of
    assert 100 * np.trace(counts) / 500 == pytest.approx(columns["yaw-class"].mean())
    beside = sum(np.trace(counts, offset) for offset in (-1, 0, 1))
    assert 100 * beside / 500 == pytest.approx(columns["yaw-class-adjacent"].mean())
    assert np.trace(counts) < beside < 500


def test_confusion_of_equal_yaws_is_a_diagonal(yaws):
    counts = yaw_confusion(yaws[1], yaws[1])
    np.testing.assert_array_equal(counts, np.diag(np.diag(counts)))


def test_faces_without_a_prediction_are_not_counted():
    counts = yaw_confusion([np.nan, 16.0, 0.0], [0.0, 0.0, np.nan])
    assert counts.sum() == counts[6, 7] == 1
    assert yaw_confusion([], []).sum() == 0
