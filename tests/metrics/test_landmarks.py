from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import UsageError
from facebench.geometry import get_scheme
from facebench.metrics import (
    EYE_NORMALISERS,
    NORMALISERS,
    masked_mean,
    nme,
    normalising_distance,
    point_errors,
)
from facebench.metrics.landmarks import BLOCK

NAN = np.nan

# --- The definitions of PROTOCOLS 3.1 and 3.2 written down a second time, one point after the other.


def centre(face, indices):
    return [sum(face[i][axis] for i in indices) / len(indices) for axis in (0, 1)]


def width_and_height(face):
    annotated = [(x, y) for x, y in face if not math.isnan(x)]
    xs, ys = zip(*annotated, strict=True)
    return max(xs) - min(xs), max(ys) - min(ys)


DEFINITIONS = {
    "corners": lambda face: math.dist(face[36], face[45]),
    "pupils6": lambda face: math.dist(centre(face, range(36, 42)), centre(face, range(42, 48))),
    "pupils-corners": lambda face: math.dist(centre(face, [36, 39]), centre(face, [42, 45])),
    "pupils-part": lambda face: math.dist(centre(face, range(36, 42)), centre(face, range(42, 48))),
    "box-height": lambda face: width_and_height(face)[1],
    "box-sqrt": lambda face: math.sqrt(width_and_height(face)[0] * width_and_height(face)[1]),
    "box-diagonal": lambda face: math.hypot(*width_and_height(face)),
    "box-max": lambda face: max(width_and_height(face)),
}


def slow_nme(predicted, truth, normaliser):
    """Return the NME of one face in percent."""
    errors = []
    for p, g in zip(predicted, truth, strict=True):
        error = math.dist(p, g)
        if not math.isnan(error):
            errors.append(error)
    return 100 * sum(errors) / len(errors) / DEFINITIONS[normaliser](truth)


# These need points that ibug68 lacks.
OF_OTHER_SCHEMES = {"pupils-contour", "pupils-annotated"}

every_normaliser = pytest.mark.parametrize("normaliser", DEFINITIONS)


@pytest.fixture(scope="module")
def faces():
    """Predicted and true 68 points of a dozen faces."""
    generator = np.random.default_rng(0)
    truth = generator.normal(200, 60, (12, 68, 2))
    return truth + generator.normal(0, 5, truth.shape), truth


def error_of(predicted, truth, normaliser):
    return nme(predicted, truth, normalising_distance(truth, normaliser))


def test_these_tests_define_every_normaliser():
    assert set(DEFINITIONS) | OF_OTHER_SCHEMES == set(NORMALISERS)


# --- Against the definitions


@every_normaliser
def test_distance_is_as_published(faces, normaliser):
    _, truth = faces
    expected = [DEFINITIONS[normaliser](face) for face in truth.tolist()]
    np.testing.assert_allclose(normalising_distance(truth, normaliser), expected, rtol=1e-12)


@every_normaliser
def test_nme_is_as_published(faces, normaliser):
    predicted, truth = faces
    expected = [slow_nme(p, g, normaliser) for p, g in zip(predicted.tolist(), truth.tolist(), strict=True)]
    np.testing.assert_allclose(error_of(predicted, truth, normaliser), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("scheme", "normaliser", "left", "right"),
    [
        ("aflw21", "corners", [6], [11]),
        ("aflw21", "pupils-part", [6, 7, 8], [9, 10, 11]),
        ("aflw21", "pupils-corners", [6, 8], [9, 11]),
        ("aflw19", "corners", [6], [11]),
        ("cofw29", "corners", [8], [9]),
        ("cofw29", "pupils-contour", [8, 10, 12, 13], [9, 11, 14, 15]),
        ("cofw29", "pupils-part", [8, 10, 12, 13, 16], [9, 11, 14, 15, 17]),
        ("cofw29", "pupils-annotated", [16], [17]),
    ],
)
def test_eyes_are_found_by_name_in_another_scheme(faces, scheme, normaliser, left, right):
    truth = faces[1][:, : len(get_scheme(scheme))]
    expected = [math.dist(centre(face, left), centre(face, right)) for face in truth.tolist()]
    np.testing.assert_allclose(normalising_distance(truth, normaliser, scheme=scheme), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("scheme", "normaliser"),
    [("cofw29", "pupils6"), ("ibug68", "pupils-annotated"), ("aflw21", "pupils-contour")],
)
def test_normaliser_of_points_that_a_scheme_lacks_is_refused(faces, scheme, normaliser):
    truth = faces[1][:, : len(get_scheme(scheme))]
    with pytest.raises(UsageError, match=f"The scheme '{scheme}' has no point or part"):
        normalising_distance(truth, normaliser, scheme=scheme)


def test_given_boxes_replace_the_tight_ones(faces):
    boxes = np.tile([10.0, 20.0, 40.0, 60.0], (12, 1))
    distances = {name: normalising_distance(faces[1], name, boxes=boxes) for name in DEFINITIONS}
    expected = {"box-height": 40.0, "box-sqrt": math.sqrt(1200), "box-diagonal": 50.0, "box-max": 40.0}
    for name, distance in expected.items():
        np.testing.assert_allclose(distances[name], distance, rtol=1e-15)
    for name in set(EYE_NORMALISERS) - OF_OTHER_SCHEMES:
        np.testing.assert_array_equal(distances[name], normalising_distance(faces[1], name))


@pytest.mark.parametrize("name", ["pupils", "box", "bbox-sqrt", ""])
def test_unknown_normaliser_is_refused_with_the_known_ones(faces, name):
    with pytest.raises(UsageError, match="Known normalisers: " + ", ".join(NORMALISERS)):
        normalising_distance(faces[1], name)


# --- Points that are not there


@every_normaliser
def test_points_that_are_not_annotated_or_not_predicted_are_left_out(faces, normaliser):
    predicted, truth = (array.copy() for array in faces)
    truth[0, [0, 5, 30, 67]] = NAN
    truth[1, :17] = NAN
    predicted[2, [8, 33]] = NAN
    expected = [slow_nme(p, g, normaliser) for p, g in zip(predicted.tolist(), truth.tolist(), strict=True)]
    np.testing.assert_allclose(error_of(predicted, truth, normaliser), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("normaliser", "needed"),
    [
        ("corners", [36, 45]),
        ("pupils6", list(range(36, 48))),
        ("pupils-corners", [36, 39, 42, 45]),
    ],
)
def test_eye_distance_is_unknown_where_a_point_it_needs_is(faces, normaliser, needed):
    truth = np.repeat(faces[1][:1], 68, axis=0)
    truth[np.arange(68), np.arange(68)] = NAN  # face k lacks point k
    unknown = np.isnan(normalising_distance(truth, normaliser))
    np.testing.assert_array_equal(np.flatnonzero(unknown), needed)


# Warnings are errors in this suite, so these also show that no warning is given.
def test_face_without_points_has_no_nme_and_no_box():
    truth = np.array([[[NAN, NAN]] * 2, [[0.0, 0.0], [30.0, 40.0]]])
    np.testing.assert_array_equal(error_of(truth, truth, "box-diagonal"), [NAN, 0.0])


def test_infinitely_far_point_makes_the_error_infinite():
    truth = np.array([[[0.0, 0.0], [30.0, 40.0]]])
    predicted = np.array([[[0.0, 0.0], [np.inf, 40.0]]])
    np.testing.assert_array_equal(nme(predicted, truth, [50.0]), [np.inf])


# --- Properties


@every_normaliser
def test_perfect_points_have_no_error(faces, normaliser):
    _, truth = faces
    np.testing.assert_array_equal(error_of(truth, truth, normaliser), np.zeros(12))


@every_normaliser
def test_one_pixel_everywhere_is_the_inverse_of_the_distance(faces, normaliser):
    """PROTOCOLS 3.2: what a uniform error of one pixel amounts to."""
    _, truth = faces
    direction = np.random.default_rng(1).uniform(0, 2 * np.pi, truth.shape[:2])
    predicted = truth + np.stack([np.cos(direction), np.sin(direction)], axis=-1)
    expected = 100 / normalising_distance(truth, normaliser)
    np.testing.assert_allclose(error_of(predicted, truth, normaliser), expected, rtol=1e-9)


@every_normaliser
def test_order_of_faces_is_kept(faces, normaliser):
    order = np.random.default_rng(2).permutation(12)
    predicted, truth = (array[order] for array in faces)
    np.testing.assert_array_equal(error_of(predicted, truth, normaliser), error_of(*faces, normaliser)[order])


@every_normaliser
@given(
    scale=st.floats(0.01, 100),
    shift=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)),
    degrees=st.floats(-180, 180),
)
@settings(max_examples=30)
def test_nme_is_unchanged_by_scale_and_shift_and_by_rotation_for_eyes(
    faces, normaliser, scale, shift, degrees
):
    angle = math.radians(degrees) if normaliser in EYE_NORMALISERS else 0.0
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    predicted, truth = (scale * array @ turn.T + shift for array in faces)
    np.testing.assert_allclose(
        error_of(predicted, truth, normaliser), error_of(*faces, normaliser), rtol=1e-6
    )


@every_normaliser
def test_nme_is_unchanged_by_mirroring_the_image(faces, normaliser):
    flip = list(get_scheme("ibug68").flip)
    predicted, truth = ((array * [-1, 1] + [450, 0])[:, flip] for array in faces)
    np.testing.assert_allclose(
        error_of(predicted, truth, normaliser), error_of(*faces, normaliser), rtol=1e-9
    )


@every_normaliser
def test_errors_k_times_as_large_are_k_times_the_nme(faces, normaliser):
    predicted, truth = faces
    np.testing.assert_allclose(
        error_of(truth + 3 * (predicted - truth), truth, normaliser),
        3 * error_of(predicted, truth, normaliser),
        rtol=1e-12,
    )


def test_nme_lies_between_the_errors_of_the_best_and_the_worst_point(faces):
    predicted, truth = faces
    errors, mean = point_errors(predicted, truth), nme(predicted, truth, np.full(12, 100.0))
    assert (errors.min(axis=1) < mean).all()
    assert (mean < errors.max(axis=1)).all()


def test_box_distances_are_ordered(faces):
    height, sqrt, diagonal, largest = (
        normalising_distance(faces[1], f"box-{name}") for name in ("height", "sqrt", "diagonal", "max")
    )
    for smaller, larger in [(height, largest), (sqrt, largest), (largest, diagonal)]:
        assert (smaller <= larger).all()
    assert (diagonal <= math.sqrt(2) * largest).all()


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1])
def test_faces_of_every_block_have_their_own_error(count):
    truth = np.zeros((count, 2, 2))
    predicted = truth + np.arange(count)[:, None, None] * [3.0, 4.0]
    distance = np.linspace(50, 60, count)
    np.testing.assert_allclose(
        nme(predicted, truth, distance), 100 * 5.0 * np.arange(count) / distance, rtol=1e-12
    )


# --- The pieces


def test_point_errors_are_distances_and_unknown_where_either_point_is():
    predicted = [[[3.0, 4.0], [NAN, NAN], [1.0, 1.0], [1.0, 1.0]]]
    truth = [[[0.0, 0.0], [1.0, 1.0], [NAN, NAN], [1.0, 1.0]]]
    np.testing.assert_array_equal(point_errors(predicted, truth), [[5.0, NAN, NAN, 0.0]])


def test_measuring_leaves_the_points_alone(faces):
    predicted, truth = (array.copy() for array in faces)
    error_of(predicted, truth, "box-sqrt")
    np.testing.assert_array_equal([predicted, truth], faces)


def test_masked_mean_leaves_out_what_is_unknown():
    values = [[1.0, 2.0, 6.0], [1.0, NAN, 2.0], [NAN, NAN, NAN], [np.inf, NAN, 0.0]]
    np.testing.assert_array_equal(masked_mean(values), [3.0, 1.5, NAN, np.inf])
