from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from facebench.geometry import box_size, place_in_box, relative_to_box, tight_box

NAN = np.nan

pixels = st.floats(-1000, 1000)
many_points = arrays(float, (3, 5, 2), elements=pixels)


@st.composite
def many_boxes(draw):
    corners = draw(arrays(float, (3, 2), elements=pixels))
    sizes = draw(arrays(float, (3, 2), elements=st.floats(1, 1000)))
    return np.concatenate([corners, corners + sizes], axis=1)


def test_tight_box_spans_the_points():
    points = [[[3.0, 40.0], [-1.0, 50.0], [2.0, 45.0]]]
    np.testing.assert_array_equal(tight_box(points), [[-1.0, 40.0, 3.0, 50.0]])


def test_tight_box_leaves_out_points_without_annotation():
    points = [[[NAN, NAN], [5.0, 6.0], [7.0, 9.0]], [[0.0, 0.0], [1.0, 2.0], [NAN, NAN]]]
    np.testing.assert_array_equal(tight_box(points), [[5.0, 6.0, 7.0, 9.0], [0.0, 0.0, 1.0, 2.0]])


# Warnings are errors in this suite, so these also show that no warning is given.
def test_face_without_any_annotated_point_has_a_box_of_nan():
    points = np.stack([np.full((4, 2), NAN), np.arange(8.0).reshape(4, 2)])
    np.testing.assert_array_equal(tight_box(points), [[NAN] * 4, [0.0, 1.0, 6.0, 7.0]])


def test_no_faces_have_no_boxes():
    assert tight_box(np.empty((0, 68, 2))).shape == (0, 4)


@given(many_points, st.permutations(range(5)))
def test_tight_box_does_not_depend_on_the_order_of_points(points, order):
    np.testing.assert_array_equal(tight_box(points[:, order]), tight_box(points))


def test_size_is_width_then_height():
    np.testing.assert_array_equal(box_size([[10.0, 20.0, 13.0, 27.0]]), [[3.0, 7.0]])


def test_corners_of_a_box_are_zero_and_one_relative_to_it():
    box = [[10.0, 20.0, 14.0, 28.0]]
    points = [[[10.0, 20.0], [14.0, 28.0], [11.0, 26.0]]]
    np.testing.assert_array_equal(relative_to_box(points, box), [[[0.0, 0.0], [1.0, 1.0], [0.25, 0.75]]])


def test_one_shape_is_placed_into_every_box():
    boxes = [[0.0, 0.0, 10.0, 20.0], [100.0, 100.0, 102.0, 104.0]]
    placed = place_in_box([[0.5, 0.5], [0.0, 1.0]], boxes)
    np.testing.assert_array_equal(placed, [[[5.0, 10.0], [0.0, 20.0]], [[101.0, 102.0], [100.0, 104.0]]])


@given(many_points, many_boxes())
def test_placing_undoes_relative(points, boxes):
    np.testing.assert_allclose(place_in_box(relative_to_box(points, boxes), boxes), points, atol=1e-9)


@given(many_points, many_boxes())
def test_relative_undoes_placing(points, boxes):
    np.testing.assert_allclose(relative_to_box(place_in_box(points, boxes), boxes), points, atol=1e-9)


@given(many_boxes())
def test_corners_placed_into_a_box_have_it_as_their_tight_box(boxes):
    corners = np.array([[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(tight_box(place_in_box(corners, boxes)), boxes, atol=1e-9)


@pytest.mark.parametrize("convert", [relative_to_box, place_in_box])
def test_points_without_annotation_stay_without(convert):
    converted = convert([[[NAN, NAN], [1.0, 1.0]]], [[0.0, 0.0, 2.0, 2.0]])
    np.testing.assert_array_equal(np.isnan(converted), [[[True, True], [False, False]]])
