from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from facebench.geometry import VISIBILITY, euler_to_rotation, get_scheme, not_rotations
from facebench.geometry.crops import transform_points
from facebench.mnn.augmentation import Augmentation, cover, random_similarity, recolour
from facebench.mnn.data import Labels, TrainingFaces
from facebench.synthetic import mean_head

SIZE = 64
NONE = Augmentation(**{field.name: 0.0 for field in fields(Augmentation)})


@pytest.fixture
def picture():
    rng = np.random.default_rng(4)
    return rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def part(rendered):
    """The rendered faces with weights of which every point has its own."""
    annotation = rendered.annotation("truth")
    rng = np.random.default_rng(0)
    labels = Labels(
        annotation.points, rng.random((24, 68)), annotation.visibility, rendered.rotation,
        rendered.boxes["landmarks"],
    )  # fmt: skip
    return rendered, np.arange(24), labels


def item(part, how, number, epoch=0, size=SIZE):
    return {
        name: value.numpy() for name, value in TrainingFaces([part], size, how, seed=9)[epoch, number].items()
    }


def test_points_and_pose_move_together():
    rng = np.random.default_rng(0)
    shape = mean_head()
    for euler in rng.uniform(-60, 60, (40, 3)):
        rotation = euler_to_rotation(euler, "raw-xyz")
        points = 0.2 * (shape @ rotation.T)[:, :2] + rng.uniform(20, 40, 2)
        change, turn = random_similarity(rng, SIZE, Augmentation())
        changed = transform_points(points[None], change[None])[0]
        assert not not_rotations(turn[None]).any()
        grown = np.sqrt(np.linalg.det(change[:, :2]))
        expected = grown * 0.2 * (shape @ (turn @ rotation).T)[:, :2]
        np.testing.assert_allclose(
            changed - changed.mean(axis=0), expected - expected.mean(axis=0), atol=1e-9
        )


def test_the_middle_of_the_crop_is_only_shifted():
    middle = np.full((1, 1, 2), (SIZE - 1) / 2)
    for seed in range(20):
        how = Augmentation(shift=0.0)
        change, _ = random_similarity(np.random.default_rng(seed), SIZE, how)
        np.testing.assert_allclose(transform_points(middle, change[None]), middle, atol=1e-9)


def test_changes_stay_within_twice_their_standard_deviation_and_reach_it():
    rng, how = np.random.default_rng(2), Augmentation(roll=10.0, scale=0.2, shift=0.05)
    angle, scale, shift = [], [], []
    for _ in range(500):
        change, turn = random_similarity(rng, SIZE, how)
        angle.append(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
        scale.append(np.log(np.linalg.det(change[:, :2])) / 2)
        shift.extend(change[:, :2] @ np.full(2, (SIZE - 1) / 2) + change[:, 2] - (SIZE - 1) / 2)
    for values, deviation in ((angle, 10.0), (scale, 0.2), (shift, 0.05 * SIZE)):
        assert np.abs(values).max() == pytest.approx(2 * deviation)
        assert np.std(values) == pytest.approx(0.96 * deviation, rel=0.1)
        assert np.mean(values) == pytest.approx(0, abs=0.2 * deviation)


def test_no_change_is_the_identity(picture):
    change, turn = random_similarity(np.random.default_rng(0), SIZE, NONE)
    np.testing.assert_allclose(change, np.eye(3)[:2], atol=1e-12)
    np.testing.assert_array_equal(turn, np.eye(3))
    for seed in range(10):
        np.testing.assert_array_equal(recolour(np.random.default_rng(seed), picture, 0.0), picture)
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, axis=2)
    np.testing.assert_array_equal(recolour(np.random.default_rng(0), every, 0.0), every)


def test_colours_change_and_shape_and_type_do_not(picture):
    before = picture.copy()
    for seed in range(60):
        changed = recolour(np.random.default_rng(seed), picture, 1.0)
        assert (changed.shape, changed.dtype) == (picture.shape, np.uint8)
        assert (changed != picture).any()
    np.testing.assert_array_equal(picture, before)


def test_the_same_seed_gives_the_same_colours(picture):
    first, again = (recolour(np.random.default_rng(7), picture, 1.0) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_colours_are_neither_brighter_nor_darker_on_average():
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    means = [recolour(np.random.default_rng(seed), grey, 1.0).mean() for seed in range(300)]
    assert np.mean(means) == pytest.approx(128, abs=5)
    assert 10 < np.std(means) < 40


def test_a_patch_marks_the_points_under_it_and_changes_nothing_else(picture):
    # A point in each pixel, away from its centre: it lies under the patch if its pixel does.
    rng = np.random.default_rng(1)
    rows, columns = np.indices((SIZE, SIZE))
    points = np.stack([columns, rows], axis=-1) + rng.uniform(-0.49, 0.49, (SIZE, SIZE, 2))
    hit = 0
    for seed in range(60):
        covered = picture.copy()
        inside = cover(np.random.default_rng(seed), covered, points.reshape(-1, 2)).reshape(SIZE, SIZE)
        changed = (covered != picture).any(axis=2)
        assert not (changed & ~inside).any()
        # A covered pixel may happen to keep its colour.
        assert changed.sum() >= 0.95 * inside.sum()
        if inside.any():
            rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            hit += 1
    assert hit > 50


def test_points_that_are_not_there_are_not_covered(picture):
    points = np.full((68, 2), np.nan)
    points[1] = (-50, 20)
    for seed in range(20):
        assert not cover(np.random.default_rng(seed), picture.copy(), points).any()


def test_a_mirrored_face_mirrors_everything(part):
    flip = list(get_scheme("ibug68").flip)
    for number in range(24):
        plain, mirrored = (item(part, how, number) for how in (NONE, replace(NONE, flip=1.0)))
        np.testing.assert_array_equal(mirrored["image"], plain["image"][:, ::-1])
        expected = plain["points"][flip] * [-1, 1] + [SIZE - 1, 0]
        np.testing.assert_allclose(mirrored["points"], expected, atol=1e-4)
        for name in ("visible", "point_weight"):
            np.testing.assert_array_equal(mirrored[name], plain[name][flip])
        other_side = np.diag([-1.0, 1.0, 1.0])
        np.testing.assert_allclose(
            mirrored["rotation"], other_side @ plain["rotation"] @ other_side, atol=1e-6
        )
        assert mirrored["face"] == plain["face"]


def test_the_picture_moves_with_the_points(part):
    # What the picture shows at a visible point is what it showed there before.
    how = replace(NONE, roll=20.0, scale=0.1, shift=0.04, flip=0.5)
    flip, seen = list(get_scheme("ibug68").flip), VISIBILITY["visible"]
    apart, by_chance = [], []
    for number in range(24):
        plain, changed = item(part, NONE, number, size=128), item(part, how, number, size=128)
        order = np.arange(68)
        if (changed["point_weight"] != plain["point_weight"]).any():
            order = np.array(flip)
        colours = []
        for one in (plain, changed):
            x, y = np.clip(np.round(one["points"]).astype(int), 0, 127).T
            colours.append(one["image"][y, x].astype(float))
        visible = part[2].states[number] == seen
        difference = np.abs(colours[0] - colours[1][order]).mean(axis=1)[visible]
        apart.append(np.median(difference))
        by_chance.append(np.median(np.abs(colours[0] - colours[1][np.roll(order, 20)]).mean(axis=1)))
    assert np.mean(apart) < 10
    assert np.mean(by_chance) > 2 * np.mean(apart)


def test_the_pose_of_a_face_turns_with_its_picture(part):
    how = replace(NONE, roll=20.0, scale=0.1, shift=0.04)
    for number in range(12):
        plain, changed = item(part, NONE, number), item(part, how, number)
        # The turn of the picture, from the points: complex numbers turn by their product.
        before, after = (one["points"] @ [1, 1j] for one in (plain, changed))
        angle = np.angle(np.vdot(before - before.mean(), after - after.mean()))
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        np.testing.assert_allclose(changed["rotation"], turn @ plain["rotation"], atol=1e-5)


def test_the_size_of_the_face_follows_the_scale(part):
    how = replace(NONE, scale=0.2)
    for number in range(6):
        plain, changed = item(part, NONE, number), item(part, how, number)
        grown = np.ptp(changed["points"][:, 0]) / np.ptp(plain["points"][:, 0])
        assert changed["face"] / plain["face"] == pytest.approx(grown, rel=1e-5)
        assert plain["face"] == pytest.approx(SIZE / 1.6)


def test_a_covered_point_is_seen_no_more_and_no_other_changes(part):
    fewer = 0
    for number in range(24):
        plain, covered = item(part, NONE, number), item(part, replace(NONE, cover=1.0), number)
        np.testing.assert_array_equal(covered["points"], plain["points"])
        became = plain["visible"] != covered["visible"]
        assert (plain["visible"][became] == 1).all()
        assert (covered["visible"][became] == 0).all()
        same = (covered["image"] == plain["image"]).all(axis=2)
        x, y = np.clip(np.round(plain["points"]).astype(int), 0, SIZE - 1).T
        if became.any():
            assert not same[y[became], x[became]].all()
        fewer += became.sum()
    assert fewer > 50


def test_labels_are_not_touched_by_looking(part):
    before = [value.copy() for value in (part[2].points, part[2].states, part[2].rotation)]
    for number in range(24):
        item(part, Augmentation(flip=0.5, cover=1.0), number)
    for value, kept in zip((part[2].points, part[2].states, part[2].rotation), before, strict=True):
        np.testing.assert_array_equal(value, kept)
