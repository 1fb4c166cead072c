from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.geometry import euler_to_rotation, get_scheme
from facebench.geometry.crops import (
    crop_transform,
    cut,
    has_area,
    invert_transform,
    mirror_face,
    mirror_transform,
    transform_points,
)

places = st.floats(-500, 500)
sides = st.floats(1, 800)
boxes = st.tuples(places, places, sides, sides).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])


def test_the_whole_image_is_cropped_pixel_for_pixel():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    transform = crop_transform([[-0.5, -0.5, 63.5, 63.5]], 64)
    np.testing.assert_allclose(transform[0], [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_array_equal(cut(image, transform[0], 64), image)


@given(boxes, st.integers(1, 600), st.floats(-0.3, 2), st.booleans(), st.integers(0, 99))
def test_there_and_back(box, size, margin, square, seed):
    transform = crop_transform([box], size, margin, square)
    points = np.random.default_rng(seed).uniform(-500, 1300, (1, 9, 2))
    back = transform_points(transform_points(points, transform), invert_transform(transform))
    np.testing.assert_allclose(back, points, atol=1e-6)


@given(boxes, st.integers(1, 600), st.floats(0, 2))
def test_a_box_fills_the_crop_up_to_its_margin(box, size, margin):
    corners = np.array(box).reshape(1, 2, 2)
    whole = transform_points(corners, crop_transform([box], size, margin, square=False))[0]
    rim = size * margin / (1 + 2 * margin)
    np.testing.assert_allclose(whole, [[rim - 0.5] * 2, [size - 0.5 - rim] * 2], atol=1e-6)
    square = crop_transform([box], size, margin)[0]
    assert square[0, 0] == square[1, 1] > 0
    assert square[0, 1] == square[1, 0] == 0
    within = transform_points(corners, square[None])[0]
    np.testing.assert_allclose(within.mean(axis=0), (size - 1) / 2, atol=1e-6)
    np.testing.assert_allclose((within[1] - within[0]).max(), size - 2 * rim, atol=1e-6)


@given(st.floats(60, 140), st.floats(60, 140), st.floats(20, 400), st.booleans())
def test_a_point_drawn_at_p_is_at_t_of_p(x, y, side, mirrored):
    rows, columns = np.mgrid[:220, :200]
    blob = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 60.0)
    image = np.repeat(blob[..., None], 3, axis=2).astype(np.uint8)
    transform = crop_transform([[100 - side / 2, 100 - side / 2, 100 + side / 2, 100 + side / 2]], 100, 0.5)
    if mirrored:
        transform = mirror_transform(transform, 100)
    expected = transform_points(np.array([[[x, y]]]), transform)[0, 0]
    if not ((expected > 45) & (expected < 55)).all() and side < 200:
        return  # a part of the blob may be outside the crop
    crop = cut(image, transform[0], 100)[..., 0].astype(float)
    rows, columns = np.mgrid[:100, :100]
    found = np.array([(columns * crop).sum(), (rows * crop).sum()]) / crop.sum()
    np.testing.assert_allclose(found, expected, atol=0.35)


def test_a_much_smaller_crop_is_averaged_and_keeps_its_place():
    fine = (np.indices((1200, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.repeat(fine[..., None], 3, axis=2)
    crop = cut(image, crop_transform([[99.5, 99.5, 1099.5, 1099.5]], 100)[0], 100)
    assert np.abs(crop.astype(int) - 127).max() <= 2
    spot = np.zeros((1200, 1200, 3), np.uint8)
    cv2.circle(spot, (700, 300), 40, (255, 255, 255), -1)
    transform = crop_transform([[-0.5, -0.5, 1199.5, 1199.5]], 110)
    crop = cut(spot, transform[0], 110)[..., 0].astype(float)
    rows, columns = np.mgrid[:110, :110]
    found = np.array([(columns * crop).sum(), (rows * crop).sum()]) / crop.sum()
    np.testing.assert_allclose(found, transform_points(np.array([[[700, 300]]]), transform)[0, 0], atol=0.05)


@pytest.mark.parametrize("box", [[900, 900, 950, 950], [-1e9, -1e9, 1e9, 1e9], [3, 3, 3.01, 3.01]])
def test_odd_regions_do_no_harm(box):
    image = np.full((50, 40, 3), 200, np.uint8)
    assert cut(image, crop_transform([box], 32)[0], 32).shape == (32, 32, 3)


@given(st.integers(0, 999), st.sampled_from(["ibug68", "aflw21", "cofw29", "aflw19"]), st.integers(1, 500))
def test_mirroring_twice_changes_nothing(seed, name, width):
    rng = np.random.default_rng(seed)
    count = len(get_scheme(name))
    points, states = rng.uniform(0, 300, (2, count, 2)), rng.integers(0, 4, (2, count), dtype=np.uint8)
    rotation = euler_to_rotation(rng.uniform(-180, 180, (2, 3)), "raw-xyz")
    twice = mirror_face(*mirror_face(points, states, rotation, name, width), name, width)
    for found, expected in zip(twice, (points, states, rotation), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)
    transforms = crop_transform([[0, 0, 10, 20]], 33)
    np.testing.assert_allclose(mirror_transform(mirror_transform(transforms, 33), 33), transforms)


def test_a_mirrored_head_turns_the_other_way():
    turned = euler_to_rotation([[30.0, 10.0, -5.0]], "raw-xyz")
    _, _, mirrored = mirror_face(np.zeros((1, 0, 2)), np.zeros((1, 0), np.uint8), turned, None, 10)
    np.testing.assert_allclose(mirrored, euler_to_rotation([[-30.0, 10.0, 5.0]], "raw-xyz"), atol=1e-12)
    s = np.diag([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(mirrored[0], s @ turned[0] @ s, atol=1e-12)


def test_boxes_without_area_are_refused():
    odd = [[0, 0, 5, 5], [0, 0, 0, 5], [5, 0, 0, 5], [0, 0, np.nan, 5], [0, 0, np.inf, 5]]
    assert has_area(odd).tolist() == [True, False, False, False, False]
    with pytest.raises(ValueError, match="an area"):
        crop_transform(odd, 10)
    with pytest.raises(ValueError, match="margin"):
        crop_transform(odd[:1], 10, -0.5)
