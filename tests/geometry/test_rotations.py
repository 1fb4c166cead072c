from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from facebench.errors import UsageError
from facebench.geometry import (
    CONVENTIONS,
    canonical_euler,
    euler_to_rotation,
    geodesic_distance,
    mean_rotation,
    not_rotations,
    rotation_to_euler,
)

# --- Conventions written down a second time, from elementary rotations that scipy makes (PROTOCOLS 2.1).

AXES = {"x": [1.0, 0.0, 0.0], "y": [0.0, 1.0, 0.0], "z": [0.0, 0.0, 1.0]}
MIRROR = np.diag([1.0, 1.0, -1.0])


def about(axis, degrees):
    return Rotation.from_rotvec(np.radians(degrees) * np.array(AXES[axis])).as_matrix()


def mirrored(order, degrees):
    """``S R S``: how the codes that call scipy's ``from_euler`` stand to the camera frame."""
    return MIRROR @ Rotation.from_euler(order, degrees, degrees=True).as_matrix() @ MIRROR


INDEPENDENT = {
    "raw-xyz": lambda yaw, pitch, roll: about("x", -pitch) @ about("y", yaw) @ about("z", roll),
    "upm-xyz": lambda yaw, pitch, roll: mirrored("XYZ", [pitch, yaw, roll]),
    "mnn-yxz": lambda yaw, pitch, roll: mirrored("YXZ", [yaw, pitch, roll]),
    "aflw-yxz": lambda yaw, pitch, roll: about("y", yaw) @ about("x", -pitch) @ about("z", -roll),
}
MIDDLE = {"raw-xyz": 0, "upm-xyz": 0, "mnn-yxz": 1, "aflw-yxz": 1}

every_convention = pytest.mark.parametrize("convention", list(INDEPENDENT))

# Several turns, and often exactly on the multiples of 90 degrees where readings change.
angles = st.one_of(st.floats(-1080, 1080), st.integers(-12, 12).map(lambda quarter: 90.0 * quarter))
eulers = st.tuples(angles, angles, angles).map(np.array)
rotations = st.tuples(*[st.floats(-3.5, 3.5)] * 3).map(lambda v: Rotation.from_rotvec(v).as_matrix())
directions = (
    st.tuples(*[st.floats(-1, 1)] * 3)
    .map(np.array)
    .filter(lambda v: np.linalg.norm(v) > 0.1)
    .map(lambda v: v / np.linalg.norm(v))
)


def random_rotations(count, seed, spread=None):
    """Uniform rotations, or ones about the identity with a spread in degrees about each axis."""
    generator = np.random.default_rng(seed)
    if spread is None:
        return Rotation.from_quat(generator.normal(size=(count, 4))).as_matrix()
    return Rotation.from_rotvec(np.radians(generator.normal(0, spread, (count, 3)))).as_matrix()


def test_these_tests_cover_every_convention():
    assert set(INDEPENDENT) == set(CONVENTIONS)


# --- Euler angles to rotation


@every_convention
@given(euler=eulers)
@settings(deadline=None)
def test_rotation_equals_an_independent_construction(convention, euler):
    np.testing.assert_allclose(
        euler_to_rotation(euler, convention), INDEPENDENT[convention](*euler), atol=1e-12
    )


@every_convention
def test_frontal_upright_face_is_the_identity(convention):
    np.testing.assert_array_equal(euler_to_rotation([0.0, 0.0, 0.0], convention), np.eye(3))


# x to the right, y down, z into the scene: the nose of a frontal face points to (0, 0, -1).
@pytest.mark.parametrize(
    ("convention", "side"), [("raw-xyz", -1), ("upm-xyz", +1), ("mnn-yxz", +1), ("aflw-yxz", -1)]
)
def test_positive_yaw_points_the_nose_to_the_published_side(convention, side):
    nose = euler_to_rotation([30.0, 0.0, 0.0], convention) @ [0.0, 0.0, -1.0]
    np.testing.assert_allclose(nose, [side * 0.5, 0.0, -np.sqrt(0.75)], atol=1e-12)


@every_convention
def test_positive_pitch_points_the_nose_up(convention):
    nose = euler_to_rotation([0.0, 30.0, 0.0], convention) @ [0.0, 0.0, -1.0]
    np.testing.assert_allclose(nose, [0.0, -0.5, -np.sqrt(0.75)], atol=1e-12)


@pytest.mark.parametrize(
    ("convention", "down"), [("raw-xyz", +1), ("upm-xyz", +1), ("mnn-yxz", +1), ("aflw-yxz", -1)]
)
def test_positive_roll_lowers_or_raises_the_right_eye(convention, down):
    right = euler_to_rotation([0.0, 0.0, 30.0], convention) @ [1.0, 0.0, 0.0]
    np.testing.assert_allclose(right, [np.sqrt(0.75), down * 0.5, 0.0], atol=1e-12)


@every_convention
def test_any_leading_shape_is_converted_face_by_face(convention):
    euler = np.random.default_rng(0).uniform(-80, 80, (2, 4, 3))
    rotation = euler_to_rotation(euler, convention)
    assert rotation.shape == (2, 4, 3, 3)
    np.testing.assert_array_equal(rotation[1, 2], euler_to_rotation(euler[1, 2], convention))
    np.testing.assert_allclose(rotation_to_euler(rotation, convention), euler, atol=1e-9)


@pytest.mark.parametrize("convert", [euler_to_rotation, canonical_euler])
def test_unknown_convention_is_refused_with_the_known_ones(convert):
    with pytest.raises(UsageError, match=r"'zyx'.*raw-xyz.*upm-xyz.*mnn-yxz.*aflw-yxz"):
        convert([0.0, 0.0, 0.0], "zyx")
    with pytest.raises(UsageError, match=r"'zyx'.*raw-xyz"):
        rotation_to_euler(np.eye(3), "zyx")


# --- Golden rows


def test_golden_rotation_of_image00002():
    """PROTOCOLS 2.2: the Pose_Para of the release, and R_cam to six digits."""
    pitch, yaw, roll = np.degrees([-0.39923078, 0.01822658, 0.08567621])
    expected = [
        [0.996167, -0.085557, 0.018226],
        [0.085901, 0.917375, -0.388645],
        [0.016532, 0.388721, 0.921207],
    ]
    np.testing.assert_allclose([yaw, pitch, roll], [1.044306, -22.874239, 4.9088855], atol=1e-6)
    np.testing.assert_allclose(euler_to_rotation([yaw, pitch, roll], "raw-xyz"), expected, atol=6e-7)


def test_golden_mnn_angles_of_image00004():
    """PROTOCOLS 2.2: raw angles read in the other order."""
    rotation = euler_to_rotation([68.15524, 26.932743, 17.24367], "raw-xyz")
    np.testing.assert_allclose(
        rotation_to_euler(rotation, "mnn-yxz"), [-70.33319973, 9.7027926, -8.00337505], atol=1e-8
    )


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ([-351.22693, -713.7451, -972.2728], [8.773, 6.255, 107.727]),  # image03123
        ([187.78694, 893.7465, -950.6278], [-7.787, -6.254, -50.628]),  # image04157
    ],
)
def test_golden_canonical_angles_of_several_turns(raw, canonical):
    """PROTOCOLS 2.2."""
    np.testing.assert_allclose(canonical_euler(raw, "raw-xyz"), canonical, atol=6e-4)


# PROTOCOLS 2.3: sequence 12, frame_00003; six digits each, so not quite orthonormal.
BIWI = np.array(
    [[0.980639, 0.109899, 0.162077], [-0.11023, 0.993882, -0.00697376], [-0.161851, -0.011027, 0.986754]]
)


def test_golden_raw_angles_of_a_biwi_matrix():
    """PROTOCOLS 2.3: what the published list prints for the matrix as released, digit by digit."""
    np.testing.assert_allclose(
        rotation_to_euler(BIWI, "raw-xyz"),
        [9.327468425194075, -0.4049239861618869, -6.394386324258948],
        rtol=1e-14,
    )


def test_golden_mnn_angles_of_a_biwi_matrix():
    """PROTOCOLS 2.3: the YXZ angles of the rotation nearest to the released matrix."""
    u, _, vt = np.linalg.svd(BIWI)
    np.testing.assert_allclose(
        rotation_to_euler(u @ vt, "mnn-yxz"),
        [-9.327679309979308, -0.39957005184492933, -6.328741432388393],
        rtol=1e-12,
    )


# --- Rotation to Euler angles, and back


@every_convention
@given(euler=eulers)
@settings(deadline=None)
def test_reading_angles_and_rebuilding_gives_the_same_rotation(convention, euler):
    rotation = INDEPENDENT[convention](*euler)
    rebuilt = euler_to_rotation(rotation_to_euler(rotation, convention), convention)
    np.testing.assert_allclose(rebuilt, rotation, atol=1e-7)


@every_convention
@given(rotation=rotations)
@settings(deadline=None)
def test_angles_read_off_are_canonical(convention, rotation):
    euler = np.abs(rotation_to_euler(rotation, convention))
    limits = np.full(3, 180.0)
    limits[MIDDLE[convention]] = 90.0
    assert (euler <= limits).all()


@every_convention
@given(outer=st.tuples(st.floats(-179, 179), st.floats(-179, 179)), middle=st.floats(-89, 89))
def test_canonical_angles_are_read_back_as_they_are(convention, outer, middle):
    euler = np.insert(outer, MIDDLE[convention], middle)
    np.testing.assert_allclose(canonical_euler(euler, convention), euler, atol=1e-9)


@every_convention
@given(euler=eulers, turns=st.tuples(*[st.integers(-3, 3)] * 3).map(np.array))
@settings(deadline=None)
def test_whole_turns_do_not_change_the_canonical_rotation(convention, euler, turns):
    turned = canonical_euler(euler + 360.0 * turns, convention)
    np.testing.assert_allclose(INDEPENDENT[convention](*turned), INDEPENDENT[convention](*euler), atol=1e-7)


@every_convention
@given(euler=eulers)
def test_both_twins_of_an_euler_triple_are_one_rotation(convention, euler):
    """PROTOCOLS 5: half a turn of the outer angles and the supplement of the middle one."""
    twin = euler - 180.0
    twin[MIDDLE[convention]] = 180.0 - euler[MIDDLE[convention]]
    np.testing.assert_allclose(
        euler_to_rotation(twin, convention), euler_to_rotation(euler, convention), atol=1e-12
    )


@every_convention
@pytest.mark.parametrize("middle", [90.0, -90.0, 270.0])
@given(outer=st.tuples(st.floats(-180, 180), st.floats(-180, 180)))
@settings(deadline=None)
def test_gimbal_lock_is_read_with_zero_roll_and_the_same_rotation(convention, middle, outer):
    rotation = INDEPENDENT[convention](*np.insert(outer, MIDDLE[convention], middle))
    euler = rotation_to_euler(rotation, convention)
    assert euler[2] == 0.0
    np.testing.assert_allclose(INDEPENDENT[convention](*euler), rotation, atol=1e-7)


@every_convention
@pytest.mark.parametrize("side", [1, -1])
def test_rotation_next_to_gimbal_lock_keeps_its_digits(convention, side):
    gap = 1e-5
    rotation = INDEPENDENT[convention](*np.insert([20.0, 30.0], MIDDLE[convention], side * (90.0 - gap)))
    euler = rotation_to_euler(rotation, convention)
    assert 90.0 - side * euler[MIDDLE[convention]] == pytest.approx(gap, rel=1e-6)
    np.testing.assert_allclose(INDEPENDENT[convention](*euler), rotation, atol=1e-8)


@every_convention
def test_identity_is_read_as_zero_angles(convention):
    np.testing.assert_array_equal(rotation_to_euler(np.eye(3), convention), [0.0, 0.0, 0.0])


# --- Conversions without a matrix (PROTOCOLS 2.1)


@given(rotation=rotations)
def test_upm_is_raw_with_the_yaw_turned_round(rotation):
    raw, upm = (rotation_to_euler(rotation, name) for name in ("raw-xyz", "upm-xyz"))
    np.testing.assert_array_equal(upm, raw * [-1, 1, 1])


@given(rotation=rotations)
def test_mnn_is_aflw_with_yaw_and_roll_turned_round(rotation):
    aflw, mnn = (rotation_to_euler(rotation, name) for name in ("aflw-yxz", "mnn-yxz"))
    np.testing.assert_array_equal(mnn, aflw * [-1, 1, -1])


@pytest.mark.parametrize(
    ("first", "second", "signs"),
    [("raw-xyz", "upm-xyz", [-1, 1, 1]), ("aflw-yxz", "mnn-yxz", [-1, 1, -1])],
)
@given(euler=eulers)
def test_conversion_without_a_matrix_builds_the_same_rotation(first, second, signs, euler):
    np.testing.assert_array_equal(euler_to_rotation(euler, first), euler_to_rotation(euler * signs, second))


# --- Unknown pose


@every_convention
@pytest.mark.parametrize("unknown", range(3), ids=["yaw", "pitch", "roll"])
def test_an_unknown_angle_spoils_its_own_face_only(convention, unknown):
    euler = np.full((2, 3), 10.0)
    euler[0, unknown] = np.nan
    rotation = euler_to_rotation(euler, convention)
    assert not_rotations(rotation).tolist() == [True, False]
    assert np.isnan(geodesic_distance(rotation, np.eye(3))).tolist() == [True, False]
    assert np.isnan(rotation_to_euler(rotation, convention)).any(axis=1).tolist() == [True, False]


@every_convention
def test_unknown_rotation_has_unknown_angles(convention):
    assert np.isnan(rotation_to_euler(np.full((3, 3), np.nan), convention)).all()


# --- Geodesic distance


@given(first=rotations, second=rotations)
def test_distance_is_symmetric_within_half_a_turn(first, second):
    distance = geodesic_distance(first, second)
    assert distance == geodesic_distance(second, first)
    assert 0.0 <= distance <= 180.0


@given(rotation=rotations)
def test_distance_to_itself_is_exactly_zero(rotation):
    assert geodesic_distance(rotation, rotation) == 0.0


@given(first=rotations, second=rotations, third=rotations)
def test_no_detour_is_shorter(first, second, third):
    direct = geodesic_distance(first, third)
    detour = geodesic_distance(first, second) + geodesic_distance(second, third)
    assert direct <= detour + 1e-5


@given(first=rotations, second=rotations, turn=rotations)
def test_distance_is_unchanged_when_both_turn_on_either_side(first, second, turn):
    distance = geodesic_distance(first, second)
    assert geodesic_distance(turn @ first, turn @ second) == pytest.approx(distance, abs=1e-5)
    assert geodesic_distance(first @ turn, second @ turn) == pytest.approx(distance, abs=1e-5)


@given(rotation=rotations, axis=directions, angle=st.floats(0, 180))
@settings(deadline=None)
def test_distance_is_the_angle_turned_by(rotation, axis, angle):
    turned = rotation @ Rotation.from_rotvec(np.radians(angle) * axis).as_matrix()
    assert geodesic_distance(rotation, turned) == pytest.approx(angle, abs=1e-5)


def test_distance_equals_the_arc_cosine_of_the_trace():
    first, second = random_rotations(500, seed=1), random_rotations(500, seed=2)
    cosines = [(np.trace(a @ b.T) - 1) / 2 for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(
        geodesic_distance(first, second), np.degrees(np.arccos(cosines)), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("angle", [1e-2, 1e-5, 1e-7])
def test_distance_keeps_its_digits_for_nearly_equal_rotations(angle):
    rotation = random_rotations(1, seed=3)[0]
    assert geodesic_distance(rotation, rotation @ about("y", angle)) == pytest.approx(angle, rel=1e-6)


@pytest.mark.parametrize("axis", AXES)
def test_half_a_turn_is_180_degrees(axis):
    assert geodesic_distance(np.eye(3), about(axis, 180.0)) == pytest.approx(180.0, abs=1e-9)


def test_distance_broadcasts_one_rotation_against_many():
    many = np.stack([about("x", angle) for angle in (0.0, 10.0, 20.0)])
    np.testing.assert_allclose(geodesic_distance(many, np.eye(3)), [0.0, 10.0, 20.0], atol=1e-9)


def test_distance_does_not_depend_on_mirroring_or_transposing_both():
    """PROTOCOLS 2.1, 5: codes in other frames measure the same."""
    first, second = random_rotations(50, seed=4), random_rotations(50, seed=5)
    distance = geodesic_distance(first, second)
    mirror = geodesic_distance(MIRROR @ first @ MIRROR, MIRROR @ second @ MIRROR)
    transposed = geodesic_distance(first.swapaxes(1, 2), second.swapaxes(1, 2))
    np.testing.assert_allclose(mirror, distance, atol=1e-9)
    np.testing.assert_allclose(transposed, distance, atol=1e-6)


# --- Mean rotation


def sum_of_squares(centre, many):
    """Sum of squared geodesic distances in radians, by scipy."""
    steps = Rotation.from_matrix(centre).inv() * Rotation.from_matrix(many)
    return np.square(steps.magnitude()).sum()


@pytest.mark.parametrize("seed", range(5))
def test_mean_minimises_the_sum_of_squared_distances(seed):
    many = random_rotations(1, seed=100 + seed)[0] @ random_rotations(12, seed, spread=25.0)
    mean = mean_rotation(many)
    least = sum_of_squares(mean, many)
    for axis in AXES:
        for step in (-1.0, -0.01, 0.01, 1.0):
            assert sum_of_squares(mean @ about(axis, step), many) > least


def test_mean_of_two_rotations_is_half_way():
    first, second = random_rotations(2, seed=6, spread=40.0)
    half_way = Slerp([0.0, 1.0], Rotation.from_matrix([first, second]))(0.5).as_matrix()
    np.testing.assert_allclose(mean_rotation([first, second]), half_way, atol=1e-9)


def test_mean_about_one_axis_is_the_mean_angle():
    """The chordal mean, that of the matrices, would be 26.6 degrees."""
    many = [about("x", angle) for angle in (0.0, 0.0, 90.0)]
    np.testing.assert_allclose(mean_rotation(many), about("x", 30.0), atol=1e-9)


def test_mean_of_one_rotation_is_itself():
    rotation = random_rotations(1, seed=7)
    np.testing.assert_allclose(mean_rotation(rotation), rotation[0], atol=1e-12)


@pytest.mark.parametrize("turn", random_rotations(3, seed=8))
def test_mean_turns_with_the_rotations_on_either_side(turn):
    many = random_rotations(10, seed=9, spread=20.0)
    mean = mean_rotation(many)
    np.testing.assert_allclose(mean_rotation(turn @ many), turn @ mean, atol=1e-9)
    np.testing.assert_allclose(mean_rotation(many @ turn), mean @ turn, atol=1e-9)


def test_mean_recovers_a_constant_offset():
    truth, offset = random_rotations(20, seed=10), about("x", 5.0)
    np.testing.assert_allclose(mean_rotation(offset @ truth @ truth.swapaxes(1, 2)), offset, atol=1e-9)


# --- What is no rotation


def test_rotations_are_not_flagged():
    assert not not_rotations(random_rotations(100, seed=11)).any()
    assert not not_rotations(BIWI[None]).any()  # six digits are enough


@pytest.mark.parametrize(
    "matrix",
    [
        MIRROR,
        -np.eye(3),
        1.01 * np.eye(3),
        np.zeros((3, 3)),
        np.eye(3) + np.eye(3, k=1) * 0.01,
        np.full((3, 3), np.nan),
        np.where(np.eye(3, k=2), np.nan, np.eye(3)),
        np.diag([1.0, 1.0, np.inf]),
        np.full((3, 3), 1e200),
    ],
    ids=["mirrored", "inverted", "scaled", "zero", "sheared", "nan", "one nan", "infinite", "huge"],
)
def test_what_is_no_rotation_is_flagged(matrix):
    assert not_rotations(np.stack([np.eye(3), matrix])).tolist() == [False, True]


@pytest.mark.parametrize(("tolerance", "flagged"), [(1e-4, True), (1e-2, False)])
def test_tolerance_says_how_far_from_orthonormal(tolerance, flagged):
    assert not_rotations([1.001 * np.eye(3)], tolerance).tolist() == [flagged]
