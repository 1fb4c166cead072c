from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from facebench.errors import DataMissing, UsageError
from facebench.formats import AnnotationSet, open_dataset
from facebench.geometry import VISIBILITY, geodesic_distance, tight_box
from facebench.geometry.crops import cut, transform_points
from facebench.mnn.augmentation import Augmentation
from facebench.mnn.data import Labels, Mixture, TrainingFaces, about_x, crop_to_face, label, load_source
from facebench.mnn.recipe import Source
from facebench.mnn.shape_space import fit_shapes

SIZE = 64
SEEN, HIDDEN = VISIBILITY["visible"], VISIBILITY["hidden"]


@pytest.fixture(scope="module")
def part(rendered):
    annotation = rendered.annotation("truth")
    labels = label(annotation.points, annotation.visibility, rendered.rotation, exact=True)
    return rendered, np.arange(24), labels


@pytest.mark.parametrize("box", [(100, 50, 180, 150), (100, 50, 300, 150), (-30.5, 10, 0, 20.25)])
def test_the_crop_is_the_box_and_30_percent_on_each_side_square_by_its_height(box):
    left, top, right, bottom = box
    height, middle = bottom - top, (left + right) / 2
    corners = [
        [middle - 0.8 * height, top - 0.3 * height],
        [middle + 0.8 * height, bottom + 0.3 * height],
    ]
    found = transform_points([corners], crop_to_face([box], SIZE))[0]
    # Edge to edge: the first pixel begins half a pixel before its centre.
    np.testing.assert_allclose(found, [[-0.5, -0.5], [SIZE - 0.5, SIZE - 0.5]], atol=1e-9)


def test_a_crop_is_not_turned_and_keeps_the_shape_of_the_face():
    transforms = crop_to_face([[0, 0, 10, 20], [5, 5, 100, 60]], SIZE)
    assert transforms.shape == (2, 2, 3)
    np.testing.assert_array_equal(transforms[:, 0, 1], 0)
    np.testing.assert_array_equal(transforms[:, 1, 0], 0)
    np.testing.assert_allclose(transforms[:, 0, 0], transforms[:, 1, 1])


def test_a_box_without_area_cannot_be_cropped_to():
    with pytest.raises(ValueError, match="area"):
        crop_to_face([[0, 0, 10, 0]], SIZE)


def test_faces_as_they_are_lie_where_the_map_says(part):
    dataset, rows, labels = part
    faces, transforms = TrainingFaces([part], SIZE, None), crop_to_face(labels.boxes, SIZE)
    assert len(faces) == 24
    for number in rows:
        found = faces[0, number]
        expected = transform_points(labels.points[number][None], transforms[number][None])[0]
        np.testing.assert_allclose(found["points"], expected, atol=1e-4)
        np.testing.assert_array_equal(
            found["image"], cut(dataset[int(number)].image, transforms[number], SIZE)
        )
        np.testing.assert_allclose(found["rotation"], labels.rotation[number], atol=1e-6)
        np.testing.assert_array_equal(found["visible"], labels.states[number] == SEEN)
        assert found["face"].item() == pytest.approx(SIZE / 1.6)
        box = tight_box(found["points"].double().numpy()[None])[0]
        assert box[3] - box[1] == pytest.approx(SIZE / 1.6, abs=1e-3)
        assert (box[[1, 3]].mean(), box[[0, 2]].mean()) == (
            pytest.approx(SIZE / 2 - 0.5, abs=1e-3),
            pytest.approx(SIZE / 2 - 0.5, abs=1e-3),
        )


def test_shapes_and_types_of_an_item(part):
    found = TrainingFaces([part], SIZE, Augmentation())[0, 3]
    assert {name: (tuple(value.shape), value.dtype) for name, value in found.items()} == {
        "image": ((SIZE, SIZE, 3), torch.uint8),
        "points": ((68, 2), torch.float32),
        "point_weight": ((68,), torch.float32),
        "visible": ((68,), torch.float32),
        "rotation": ((3, 3), torch.float32),
        "pose_weight": ((), torch.float32),
        "face": ((), torch.float32),
    }


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_face_of_an_epoch_is_the_same_whenever_it_is_asked_for(part):
    first, again = (TrainingFaces([part], SIZE, Augmentation(), seed=4) for _ in range(2))
    for number in (0, 7, 23):
        assert same(first[2, number], again[2, number])
        assert same(first[2, number], pickle.loads(pickle.dumps(first))[2, number])
    other_seed = TrainingFaces([part], SIZE, Augmentation(), seed=5)
    for number in (0, 7, 23):
        assert not same(first[2, number], first[3, number])
        assert not same(first[2, number], other_seed[2, number])
    assert not torch.equal(first[2, 0]["rotation"], first[2, 1]["rotation"])


def test_without_augmentation_every_epoch_is_the_same(part):
    faces = TrainingFaces([part], SIZE, None)
    assert same(faces[0, 5], faces[9, 5])


def test_faces_of_several_parts_are_counted_through(part):
    dataset, _, labels = part
    some = [np.array([3, 4]), np.array([], int), np.array([20, 8, 1])]
    faces = TrainingFaces([(dataset, rows, labels.take(rows)) for rows in some], SIZE, None)
    alone = TrainingFaces([part], SIZE, None)
    assert (len(faces), faces.counts) == (5, [2, 0, 3])
    for number, row in enumerate([3, 4, 20, 8, 1]):
        assert same(faces[0, number], alone[0, row])


def test_labels_of_other_faces_are_refused(part):
    dataset, rows, labels = part
    with pytest.raises(ValueError, match=r"rendered\.h5: 3 faces and labels for 24"):
        TrainingFaces([(dataset, rows[:3], labels)], SIZE, None)


def test_what_is_not_known_weighs_nothing(part):
    dataset, rows, labels = part
    points, states, rotation = labels.points.copy(), labels.states.copy(), labels.rotation.copy()
    points[0, :5], states[0, :5], rotation[0] = np.nan, VISIBILITY["unknown"], np.nan
    unknown = label(points, states, rotation, exact=True)
    for how in (None, Augmentation(flip=0.0)):
        found = TrainingFaces([(dataset, rows, unknown)], SIZE, how)[0, 0]
        assert (found["point_weight"][:5] == 0).all()
        assert (found["point_weight"][5:] == 1).all()
        assert torch.isnan(found["visible"][:5]).all()
        assert torch.isfinite(found["visible"][5:]).all()
        assert found["pose_weight"] == 0
        for name in ("points", "rotation"):
            assert torch.isfinite(found[name]).all()
    assert TrainingFaces([part], SIZE, None)[0, 0]["pose_weight"] == 1


def test_workers_give_the_same_faces_as_none(part):
    faces, order = TrainingFaces([part], SIZE, Augmentation()), Mixture([24], [1.0], 0)
    order.start(1, 8)
    here, there = (
        list(DataLoader(faces, batch_size=8, sampler=order, num_workers=workers)) for workers in (0, 1)
    )
    assert len(here) == len(there) == 3
    for first, second in zip(here, there, strict=True):
        assert same(first, second)


def drawn(order):
    return list(order)


def test_an_epoch_is_in_the_same_order_for_the_same_seed():
    orders = [Mixture([30, 10], [1.0, 1.0], seed) for seed in (1, 1, 2)]
    for order in orders:
        order.start(3, 4)
    first, again, other = map(drawn, orders)
    assert first == again
    assert first != other
    orders[0].start(4, 4)
    assert [face for _, face in drawn(orders[0])] != [face for _, face in first]
    assert {epoch for epoch, _ in first} == {3}
    assert {epoch for epoch, _ in drawn(orders[0])} == {4}


def test_each_face_is_seen_as_often_as_its_share_says():
    order = Mixture([10, 20, 8, 5], [1.0, 0.5, 2.5, 0.01], 0)
    order.start(0, 1)
    seen = np.bincount([face for _, face in order], minlength=43)
    assert order.length == len(order) == seen.sum() == 10 + 10 + 20 + 0
    np.testing.assert_array_equal(seen[:10], 1)
    assert sorted(set(seen[10:30])) == [0, 1]
    assert seen[10:30].sum() == 10
    assert sorted(set(seen[30:38])) == [2, 3]
    assert seen[30:38].sum() == 20
    assert seen[38:].sum() == 0


def test_over_epochs_every_face_has_its_turn():
    order, seen = Mixture([20], [0.5], 0), np.zeros(20, int)
    for epoch in range(20):
        order.start(epoch, 1)
        np.add.at(seen, [face for _, face in order], 1)
    assert seen.sum() == 200
    assert seen.min() > 0


def test_an_empty_part_is_no_trouble():
    order = Mixture([0, 6], [1.0, 1.0], 0)
    order.start(0, 2)
    assert sorted(face for _, face in order) == list(range(6))


def test_only_whole_batches_are_drawn():
    order = Mixture([11], [1.0], 0)
    order.start(0, 4)
    assert order.batches == 2
    assert len(order) == len(drawn(order)) == 8


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_each_batch_of_one_process(world):
    order = Mixture([30, 9], [1.0, 2.0], 6)
    order.start(2, 8)
    alone = drawn(order)
    parts = []
    for rank in range(world):
        order.start(2, 8, rank=rank, world=world)
        assert len(order) == len(drawn(order))
        parts.append(drawn(order))
    each = 8 // world
    together = []
    for number in range(order.batches):
        together += [face for part in parts for face in part[number * each : (number + 1) * each]]
    assert together == alone


@pytest.mark.parametrize("done", [0, 1, 3, 4])
@pytest.mark.parametrize("rank", [0, 1])
def test_an_interrupted_epoch_goes_on_where_it_stopped(done, rank):
    order = Mixture([35], [1.0], 6)
    order.start(1, 8, rank=rank, world=2)
    whole = drawn(order)
    order.start(1, 8, skip=done, rank=rank, world=2)
    assert len(order) == (4 - done) * 4
    assert drawn(order) == whole[done * 4 :]


def inner(points):
    """Leave out the contour but for the chin, which says nothing of the pose."""
    kept = points.copy()
    kept[:, [*range(7), *range(10, 17)]] = np.nan
    return kept


def hide(points, fraction=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((*points.shape[:2], 1)) < fraction, np.nan, points)


def test_annotated_points_are_kept_and_the_others_completed_with_less_weight(weak_faces):
    faces = weak_faces(6)
    points = hide(faces.points)
    known = np.isfinite(points).all(axis=2)
    states = np.where(known, SEEN, HIDDEN).astype(np.uint8)
    found = label(points, states, np.full((6, 3, 3), np.nan))
    np.testing.assert_array_equal(found.points[known], points[known])
    np.testing.assert_array_equal(found.weight[known], 1)
    np.testing.assert_allclose(found.points, faces.points, atol=4)
    for row in range(6):
        np.testing.assert_allclose(found.weight[row][~known[row]], 0.3 * known[row].mean())
    np.testing.assert_array_equal(found.states, states)
    np.testing.assert_allclose(found.boxes, tight_box(found.points))
    assert geodesic_distance(found.rotation, faces.rotation).max() < 8
    more = label(points, states, np.full((6, 3, 3), np.nan), completed_weight=0.6)
    np.testing.assert_allclose(more.weight[~known], 2 * found.weight[~known])


def test_too_few_points_are_not_completed(weak_faces):
    faces = weak_faces(3)
    points = faces.points.copy()
    points[0, 5:], points[1] = np.nan, np.nan
    rotation = np.full((3, 3, 3), np.nan)
    rotation[1] = faces.rotation[1]
    found = label(points, np.zeros((3, 68), np.uint8), rotation, release_turn=5.0, fit_turn=9.0)
    np.testing.assert_array_equal(found.weight[0], [1.0] * 5 + [0.0] * 63)
    assert np.isnan(found.points[0, 5:]).all()
    assert np.isnan(found.points[1]).all()
    assert np.isnan(found.rotation[0]).all()
    np.testing.assert_allclose(found.rotation[1], faces.rotation[1] @ about_x(5.0))
    np.testing.assert_allclose(found.rotation[2], fit_shapes(inner(points)).rotation[2] @ about_x(9.0))


def test_exact_labels_are_taken_as_they_are(rendered, monkeypatch):
    monkeypatch.setattr("facebench.mnn.data.fit_shapes", None)
    annotation = rendered.annotation("truth")
    found = label(annotation.points, annotation.visibility, rendered.rotation, exact=True, fit_turn=7.0)
    np.testing.assert_array_equal(found.points, annotation.points)
    np.testing.assert_array_equal(found.weight, 1)
    np.testing.assert_array_equal(found.states, annotation.visibility)
    np.testing.assert_allclose(found.rotation, rendered.rotation @ about_x(7.0))
    np.testing.assert_allclose(found.boxes, rendered.boxes["landmarks"], atol=1e-3)


def test_a_pose_is_that_of_the_points_within_the_contour(weak_faces):
    faces = weak_faces(10, seed=2)
    states = np.full((10, 68), SEEN, np.uint8)
    unknown = np.full((10, 3, 3), np.nan)
    slid = faces.points.copy()
    slid[:, :7] += [9.0, 0.0]
    found = label(slid, states, unknown)
    np.testing.assert_allclose(found.rotation, fit_shapes(inner(faces.points)).rotation)
    np.testing.assert_array_equal(found.points, slid)


def test_released_poses_in_other_head_axes_are_turned_into_the_same(weak_faces):
    faces = weak_faces(40, seed=4)
    points, states = faces.points.copy(), np.full((40, 68), SEEN, np.uint8)
    points[35:, 10:50] = np.nan
    released = faces.rotation @ about_x(20.0)
    found = label(points, states, released, release_turn=-20.0)
    # The fit is told the released poses too, in its own axes.
    assert geodesic_distance(found.rotation, faces.rotation).mean() < 1.0
    turned = label(points, states, released, release_turn=-10.0, fit_turn=10.0)
    apart = geodesic_distance(turned.rotation, faces.rotation @ about_x(10.0))
    assert apart.mean() < 1.0


def test_a_released_pose_helps_where_the_points_leave_the_pose_open(weak_faces):
    faces = weak_faces(40, seed=3, turn=15.0)
    points = faces.points + np.random.default_rng(0).normal(0, 0.5, faces.points.shape)
    # Of six faces there are the eyes only, which do not say how far the head nods.
    points[34:, [k for k in range(68) if not 36 <= k < 48]] = np.nan
    released = faces.rotation @ about_x(25.0)
    found = label(points, np.zeros((40, 68), np.uint8), released, release_turn=-25.0)
    alone = fit_shapes(points).rotation
    apart, without = (geodesic_distance(one[34:], faces.rotation[34:]) for one in (found.rotation, alone))
    assert apart.mean() < 5
    assert apart.mean() < 0.7 * without.mean()


def test_points_that_are_no_face_do_not_stop_the_labelling(weak_faces):
    faces = weak_faces(3)
    points = faces.points.copy()
    points[0], points[1] = 50.0, np.arange(68)[:, None]
    found = label(points, np.zeros((3, 68), np.uint8), faces.rotation)
    assert np.isfinite(found.rotation).all()


def test_some_labels_are_taken_together(part):
    rows = np.array([5, 2])
    some = part[2].take(rows)
    assert isinstance(some, Labels)
    for name in ("points", "weight", "states", "rotation", "boxes"):
        np.testing.assert_array_equal(getattr(some, name), getattr(part[2], name)[rows])


def load(path, said=None, seed=0, **changed):
    source = Source(
        **{"dataset": str(path), "annotations": ("truth",), "exact": True, "validation": 0.0, **changed}
    )
    return load_source(source, seed, None, (said if said is not None else []).append)


def ids(part):
    dataset, rows, labels = part
    assert len(labels.boxes) == len(rows)
    return [dataset.ids[row] for row in rows]


def test_a_source_is_all_faces_of_a_dataset(rendered, rendered_path):
    said = []
    part = load(rendered_path, said)
    assert ids(part.learn) == rendered.ids
    assert ids(part.watch) == []
    np.testing.assert_array_equal(part.learn[2].points, rendered.annotation("truth").points)
    assert said == ["rendered.h5: 24 faces"]


def test_a_source_may_be_a_split_some_ids_and_without_others(rendered, rendered_path):
    test = [rendered.ids[row] for row in rendered.split("test")]
    assert ids(load(rendered_path, split="test").learn) == test
    assert ids(load(rendered_path, without=("test",)).learn) == [i for i in rendered.ids if i not in test]
    assert ids(load(rendered_path, ids=("s5-00000[13]", "*2?")).learn) == [
        "s5-000001", "s5-000003", "s5-000020", "s5-000021", "s5-000022", "s5-000023",
    ]  # fmt: skip
    some = load(rendered_path, split="train", ids=("*0", "*1"), without=("test",))
    assert ids(some.learn) == ["s5-000001", "s5-000011", "s5-000021"]
    rows = some.learn[1]
    np.testing.assert_array_equal(some.learn[2].points, rendered.annotation("truth").points[rows])
    np.testing.assert_array_equal(some.learn[2].rotation, rendered.rotation[rows])


def test_faces_are_held_back_by_seed(rendered, rendered_path):
    first, again, other = (load(rendered_path, seed=seed, validation=0.4) for seed in (1, 1, 2))
    assert ids(first.watch) == ids(again.watch)
    assert ids(first.watch) != ids(other.watch)
    assert sorted(ids(first.watch) + ids(first.learn)) == rendered.ids
    assert 3 < len(ids(first.watch)) < 17


def test_a_face_takes_the_first_set_that_has_something_of_it(rendered_path, monkeypatch):
    dataset = open_dataset(rendered_path)
    truth = dataset.annotation("truth")
    points, states = truth.points + 1.0, truth.visibility.copy()
    points[::2], states[::2] = np.nan, VISIBILITY["unknown"]
    dataset.annotations = {"few": AnnotationSet("ibug68", points, states), "truth": truth}
    monkeypatch.setattr("facebench.mnn.data.open_dataset", lambda path, home: dataset)
    part = load(rendered_path, annotations=("few", "truth"))
    np.testing.assert_array_equal(part.learn[2].points[::2], truth.points[::2])
    np.testing.assert_array_equal(part.learn[2].points[1::2], truth.points[1::2] + 1.0)
    np.testing.assert_array_equal(part.learn[2].states, truth.visibility)


def test_faces_without_a_box_are_left_out_and_counted(rendered_path, monkeypatch):
    dataset = open_dataset(rendered_path)
    truth = dataset.annotation("truth")
    points = truth.points.copy()
    points[3], points[4], points[5, 1:] = np.nan, 20.0, np.nan
    dataset.annotations = {"truth": AnnotationSet("ibug68", points, truth.visibility)}
    monkeypatch.setattr("facebench.mnn.data.open_dataset", lambda path, home: dataset)
    for exact in (True, False):
        said = []
        part = load(rendered_path, said, exact=exact)
        assert [int(row) for row in range(24) if row not in part.learn[1]] == [3, 4, 5]
        assert said == ["rendered.h5: 21 faces, 3 left out with too few points for a box"]


def test_a_dataset_may_be_named(rendered_path):
    part = load_source(
        Source(dataset="rendered", annotations=("truth",), exact=True), 0, rendered_path.parents[1], str
    )
    assert len(part.learn[1]) + len(part.watch[1]) == 24


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"split": "valid"}, UsageError, r"rendered\.h5: no split 'valid'"),
        ({"without": ("valid",)}, UsageError, r"rendered\.h5: no split 'valid'"),
        ({"ids": ("helen/*",)}, UsageError, r"rendered\.h5: the recipe leaves none of its 24 faces"),
        ({"split": "test", "without": ("all",)}, UsageError, r"rendered\.h5: .* leaves none"),
        ({"annotations": ("ibug68",)}, DataMissing, r"rendered\.h5: has no annotation set 'ibug68'"),
        ({"dataset": "/nowhere/faces.h5"}, DataMissing, r"/nowhere/faces\.h5: no such"),
    ],
)
def test_a_source_that_gives_nothing_is_refused_by_name(rendered_path, changed, error, match):
    with pytest.raises(error, match=match):
        load(rendered_path, **changed)
