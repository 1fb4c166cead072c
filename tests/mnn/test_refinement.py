from __future__ import annotations

import dataclasses
import json
import struct
import sys

import numpy as np
import pytest
import torch

from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.geometry import euler_to_rotation, rotation_to_euler, tight_box
from facebench.geometry.crops import transform_points
from facebench.mnn import refinement
from facebench.mnn.architecture import Architecture
from facebench.mnn.data import TrainingFaces, crop_to_face, load_source
from facebench.mnn.losses import place_mean_face
from facebench.mnn.refinement import (
    Cascade,
    Evidence,
    ask,
    compress,
    evidence_of,
    frames,
    gather,
    heap_of,
    in_cells,
    in_pixels,
    load_refiner,
    save_refiner,
    train_refiner,
)
from facebench.mnn.shape_space import unit_face

DecisionTreeRegressor = pytest.importorskip(
    "sklearn.tree", reason="scikit-learn is not installed"
).DecisionTreeRegressor

SIZE, GRID = 64, 16
FACE = SIZE / 1.6  # pixels of a face that is 1 unit high
SMALL = Cascade(levels=3, trees=15, copies=2, components=15, leaf=5)


def bells(points, rng=None, noise=0.0):
    """Heat maps of bells around points, displaced and grainy where there is a generator."""
    if rng is not None:
        points = points + rng.normal(0, noise * FACE, points.shape)
    cells = (points + 0.5) * (GRID / SIZE) - 0.5
    x, y = (-0.5 * (np.arange(GRID) - cells[..., axis, None]) ** 2 for axis in (0, 1))
    logits = y[..., :, None] + x[..., None, :]
    if rng is not None:
        logits = logits + rng.normal(0, 0.1, logits.shape)
    share = np.exp(logits)
    return (share / share.sum(axis=(2, 3), keepdims=True)).astype(np.float16)


def placed(rotation, scale=1.0, shift=0.0):
    """Numbers that place the mean face, and the points that they are."""
    count = len(rotation)
    numbers = np.concatenate(
        [
            rotation[:, :, 0],
            rotation[:, :, 1],
            np.log(np.broadcast_to(scale, (count,)))[:, None],
            np.broadcast_to(shift, (count, 2)),
        ],
        axis=1,
    )
    numbers = torch.from_numpy(numbers.astype(np.float32))
    return numbers.numpy(), place_mean_face(numbers, torch.from_numpy(unit_face()).float(), SIZE).numpy()


def distance(found, truth):
    """Mean distance as a share of the face."""
    return float(np.linalg.norm(found - truth, axis=2).mean() / FACE)


@pytest.fixture(scope="module")
def make(weak_faces):
    """Faces in crops, with the heat maps and the placement of a network that is fairly good."""

    def build(count, seed, noise=0.01):
        rng, faces = np.random.default_rng([7, seed]), weak_faces(count, seed)
        truth = transform_points(faces.points, crop_to_face(tight_box(faces.points), SIZE))
        rotation = euler_to_rotation(rng.normal(0, 5, (count, 3)), "mnn-yxz") @ faces.rotation
        _, whole = placed(rotation)
        middle, face = (p - p.mean(axis=1, keepdims=True) for p in (truth, whole))
        scale = (middle * face).sum(axis=(1, 2)) / (face**2).sum(axis=(1, 2))
        away = truth.mean(axis=1) - scale[:, None] * (whole.mean(axis=1) - (SIZE - 1) / 2) - (SIZE - 1) / 2
        numbers, _ = placed(rotation, scale, away / SIZE)
        shares = bells(truth, rng, noise)
        x, y = (shares.astype(float).sum(axis=axis) @ np.arange(GRID) for axis in (2, 3))
        points = (np.stack([x, y], axis=2) + 0.5) * (SIZE / GRID) - 0.5
        return Evidence(shares, numbers, points.astype(np.float32), SIZE), truth

    return build


@pytest.fixture(scope="module")
def learnt(make):
    return make(120, 1)


@pytest.fixture(scope="module")
def others(make):
    return make(60, 2)


@pytest.fixture(scope="module")
def refiner(learnt):
    evidence, truth = learnt
    return train_refiner(evidence, truth, np.ones(truth.shape[:2]), SMALL, seed=3)


def start_of(refiner, evidence):
    numbers, face = torch.from_numpy(evidence.placement), torch.from_numpy(refiner.mean_face)
    return place_mean_face(numbers, face, evidence.size).numpy()


def test_every_tree_answers_as_the_one_that_was_grown(learnt, monkeypatch):
    grown = []
    grow = refinement.grow

    def spy(config, seen, amounts, *rest):
        grown.append((grow(config, seen, amounts, *rest), seen, amounts))
        return grown[-1][0]

    monkeypatch.setattr(refinement, "grow", spy)
    evidence, truth = learnt
    made = train_refiner(evidence, truth, np.ones(truth.shape[:2]), SMALL)
    assert len(grown) == SMALL.levels * SMALL.trees
    for number, (tree, seen, amounts) in enumerate(grown):
        level, place = divmod(number, SMALL.trees)
        heap = (part[level, place][None] for part in (made.feature, made.threshold, made.answer))
        answer = ask(*heap, seen)
        np.testing.assert_allclose(answer, SMALL.rate * tree.predict(seen), atol=1e-7)
        # The next one learns what this one left.
        if place + 1 < SMALL.trees:
            np.testing.assert_allclose(grown[number + 1][2], amounts - answer, atol=1e-6)


@pytest.mark.parametrize("splitter", ["best", "random"])
def test_trees_of_any_form_are_heaps(splitter):
    rng = np.random.default_rng(4)
    # Few different numbers, so that they lie on thresholds; targets that leave branches of every length.
    seen = rng.integers(0, 4, (300, 6)).astype(np.float32)
    target = np.stack([(seen[:, 0] > 1) * seen[:, 1], seen[:, 2] == 3], axis=1).astype(float)
    tree = DecisionTreeRegressor(max_depth=5, splitter=splitter, random_state=1).fit(seen, target)
    other = rng.integers(-1, 6, (500, 6)).astype(np.float32)
    for depth in (5, 7):
        heap = [part[None] for part in heap_of(tree, depth, 1.0)]
        assert heap[0].shape == (1, 2**depth - 1)
        np.testing.assert_allclose(ask(*heap, other), tree.predict(other), rtol=1e-6)


def test_neighbouring_numbers_of_32_bits_stay_apart():
    # Between two of them lies a threshold of 64 bits, which must not become the upper one.
    low = np.float32(100.0)
    for _ in range(4):
        high = np.nextafter(low, np.float32(200))
        seen = np.array([[low], [high]], np.float32)
        tree = DecisionTreeRegressor(max_depth=1).fit(seen, np.array([[0.0, 1.0], [2.0, 3.0]]))
        heap = [part[None] for part in heap_of(tree, 1, 1.0)]
        np.testing.assert_array_equal(ask(*heap, seen), [[0, 1], [2, 3]])
        low = high


def test_other_faces_come_nearer_to_the_truth(refiner, others):
    evidence, truth = others
    rng = np.random.default_rng(6)
    turned = refinement._turned(evidence.placement, SMALL, rng)
    for placement, share in ((evidence.placement, 0.65), (turned, 0.65)):
        begun = dataclasses.replace(evidence, placement=placement)
        before = distance(start_of(refiner, begun), truth)
        after = distance(refiner.refine(begun), truth)
        assert after < share * before


def test_every_level_helps(refiner, others):
    evidence, truth = others
    found = []
    for levels in range(1, 4):
        parts = {name: getattr(refiner, name)[:levels] for name in ("mean", "basis", "feature", "threshold")}
        config = SMALL.model_copy(update={"levels": levels})
        # The circles are those of three levels.
        object.__setattr__(config, "diameter", SMALL.diameter)
        cut = dataclasses.replace(refiner, config=config, answer=refiner.answer[:levels], **parts)
        found.append(distance(cut.refine(evidence), truth))
    assert distance(start_of(refiner, evidence), truth) > found[0] > found[1] > found[2]


def test_the_networks_points_may_be_the_start(learnt, others):
    (evidence, truth), (other, where) = learnt, others
    # A network that places everything too far to the right, which its heat maps show.
    push = np.array([0.06 * FACE, 0.0])
    skewed = dataclasses.replace(evidence, points=(evidence.points + push).astype(np.float32))
    config = SMALL.model_copy(update={"start": "points"})
    made = train_refiner(skewed, truth, np.ones(truth.shape[:2]), config)
    begun = dataclasses.replace(other, points=(other.points + push).astype(np.float32))
    assert distance(made.refine(begun), where) < 0.5 * distance(begun.points, where)
    # The placement plays no part in it.
    elsewhere = dataclasses.replace(begun, placement=begun.placement + 1)
    np.testing.assert_array_equal(made.refine(elsewhere), made.refine(begun))


def test_what_is_right_stays_nearly_put(refiner):
    rotation = euler_to_rotation(np.random.default_rng(5).uniform(-15, 15, (40, 3)), "mnn-yxz")
    numbers, truth = placed(rotation)
    exact = Evidence(bells(truth), numbers, truth.astype(np.float32), SIZE)
    wrong, begun = placed(euler_to_rotation(np.full((40, 3), 10.0), "mnn-yxz") @ rotation)
    moved = distance(refiner.refine(exact), truth)
    assert moved < 0.015
    turned = dataclasses.replace(exact, placement=wrong)
    assert moved < 0.25 * distance(begun, truth)
    assert distance(refiner.refine(turned), truth) < 0.5 * distance(begun, truth)


def test_pixels_are_only_a_unit(refiner, others):
    evidence, _ = others
    found = refiner.refine(evidence)
    fine = refiner.refine(dataclasses.replace(evidence, size=4 * SIZE))
    np.testing.assert_allclose((fine + 0.5) / 4 - 0.5, found, atol=1e-3)
    wide = dataclasses.replace(evidence, shares=evidence.shares.astype(np.float32))
    np.testing.assert_array_equal(refiner.refine(wide), found)


@pytest.fixture
def alone():
    """Faces far from the borders, in heat maps that say nothing outside of their bells."""
    rotation = euler_to_rotation(np.random.default_rng(8).uniform(-15, 15, (20, 3)), "mnn-yxz")
    numbers, truth = placed(rotation, 0.6)
    shares = bells(truth, np.random.default_rng(9), 0.02)
    shares[shares < 0.003] = 0
    off, _ = placed(euler_to_rotation(np.full((20, 3), 6.0), "mnn-yxz") @ rotation, 0.62)
    assert numbers.shape == off.shape
    return Evidence(shares, off, truth.astype(np.float32), SIZE)


def test_a_shifted_face_is_refined_alike(refiner, alone):
    numbers = alone.placement.copy()
    numbers[:, 7:] += np.array([1, -2]) / GRID
    moved = dataclasses.replace(alone, shares=np.roll(alone.shares, (-2, 1), (2, 3)), placement=numbers)
    change = np.array([1, -2]) * (SIZE / GRID)
    np.testing.assert_allclose(refiner.refine(moved), refiner.refine(alone) + change, atol=1e-3)


def test_a_face_on_its_side_is_refined_alike(refiner, alone):
    # By a quarter, x right and y down become y down and x left.
    numbers = alone.placement.copy()
    for x, y in ((0, 1), (3, 4), (7, 8)):
        numbers[:, x], numbers[:, y] = -alone.placement[:, y], alone.placement[:, x]
    shares = np.rot90(alone.shares, -1, (2, 3))
    turned = refiner.refine(dataclasses.replace(alone, shares=shares, placement=numbers))
    upright = refiner.refine(alone)
    expected = np.stack([SIZE - 1 - upright[..., 1], upright[..., 0]], axis=2)
    np.testing.assert_allclose(turned, expected, atol=1e-3)


def test_faces_do_not_depend_on_their_neighbours(refiner, others):
    evidence, _ = others
    found = refiner.refine(evidence)
    order = np.random.default_rng(1).permutation(len(evidence))
    np.testing.assert_allclose(refiner.refine(evidence.take(order)), found[order], atol=1e-3)
    np.testing.assert_allclose(refiner.refine(evidence.take([11])), found[[11]], atol=1e-3)
    assert refiner.refine(evidence.take(np.empty(0, int))).shape == (0, 68, 2)


def test_shapes_that_are_no_faces_come_to_an_end(learnt, others):
    evidence, truth = learnt
    config = Cascade(levels=2, trees=3, start="points")
    made = train_refiner(evidence, truth, np.ones(truth.shape[:2]), config)
    lost = np.zeros_like(others[0].points)
    lost[1::3] += np.arange(68)[:, None]
    lost[2::3] = 1e5
    assert np.isfinite(made.refine(dataclasses.replace(others[0], points=lost))).all()
    assert np.isfinite(train_refiner(evidence.take(np.arange(60)).take(np.zeros(9, int)), truth[:9],
                                     np.ones((9, 68)), config).answer).all()  # fmt: skip


def test_frames_are_the_nearest_similarities():
    face = unit_face().astype(np.float32)
    rng = np.random.default_rng(2)
    flat = face[:, 0] + 1j * face[:, 1]
    factor = rng.uniform(3, 9, 5) * np.exp(1j * rng.uniform(-3, 3, 5))
    shape = flat * factor[:, None] + rng.normal(0, 5, (5, 1))
    np.testing.assert_allclose(frames(shape, face, GRID), factor, rtol=1e-6)
    # Of a shape that is none of its similarities, no other factor comes nearer.
    shape = shape + rng.normal(0, 0.2, (5, 68, 2)) @ [1, 1j]
    best = frames(shape, face, GRID)

    def left(factors):
        off = shape - factors[:, None] * flat
        return (np.abs(off - off.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)

    for step in (0.01, -0.01, 0.01j, -0.01j):
        assert (left(best) < left(best + step)).all()


def test_cells_and_pixels():
    points = np.array([[[-0.5, -0.5], [SIZE - 0.5, 1.5]]])
    np.testing.assert_allclose(in_cells(points, SIZE, GRID), [[-0.5 - 0.5j, GRID - 0.5 + 0j]])
    np.testing.assert_allclose(in_pixels(in_cells(points, SIZE, GRID), SIZE, GRID), points)


def test_changes_are_compressed_to_their_principal_directions():
    decomposition = pytest.importorskip("sklearn.decomposition")
    rng = np.random.default_rng(0)
    change = (rng.normal(0, 1, (200, 136)) * np.linspace(3, 0.1, 136) + 1).astype(np.float32)
    mean, basis = compress(change, np.ones_like(change), 7)
    known = decomposition.PCA(7, svd_solver="full").fit(change)
    np.testing.assert_allclose(mean, known.mean_, atol=1e-5)
    np.testing.assert_allclose(np.abs((basis * known.components_).sum(axis=1)), 1, atol=1e-5)
    assert (np.abs(basis).max(axis=1) == basis.max(axis=1)).all()


def test_what_is_not_annotated_is_filled_in_by_the_rest():
    rng = np.random.default_rng(1)
    whole = (rng.normal(0, 1, (300, 3)) @ rng.normal(0, 1, (3, 136))).astype(np.float32)
    weight = (rng.random((300, 68)) > 0.1).astype(np.float32)
    weight[:20, :30] = 0
    weight = np.repeat(weight, 2, axis=1)
    found = [compress(np.where(weight > 0, whole, np.float32(junk)), weight, 3) for junk in (0, 1e3)]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    mean, basis = found[0]
    off = whole - mean
    assert np.abs(off - off @ basis.T @ basis).mean() < 0.03 * np.abs(whole).mean()


def test_training_starts_from_faces_turned_at_random(learnt, monkeypatch):
    evidence, truth = learnt
    begun = []
    look = refinement.look

    def spy(config, level, shares, owner, shape, frame):
        begun.append((owner, in_pixels(shape, SIZE, GRID)))
        return look(config, level, shares, owner, shape, frame)

    monkeypatch.setattr(refinement, "look", spy)
    weight = np.ones(truth.shape[:2])
    weight[4] = 0
    for start, copies in (("placement", 3), ("points", 1)):
        config = SMALL.model_copy(update={"levels": 1, "trees": 1, "copies": 3, "start": start})
        begun.clear()
        train_refiner(evidence, truth, weight, config)
        owner, points = begun[0]
        np.testing.assert_array_equal(owner, np.repeat(np.delete(np.arange(120), 4), copies))
        if start == "points":
            np.testing.assert_allclose(points, evidence.points[owner], atol=1e-4)
        else:
            assert len(np.unique(points.round(3), axis=0)) == len(points)


def test_turns_stay_within_their_limits():
    config = Cascade(yaw=20, pitch=10, roll=5)
    rotation = np.repeat(euler_to_rotation([[30.0, -10.0, 8.0]], "mnn-yxz"), 500, axis=0)
    numbers, _ = placed(rotation, 1.1, 0.05)
    turned = refinement._turned(numbers, config, np.random.default_rng(0))
    np.testing.assert_array_equal(turned[:, 6:], numbers[:, 6:])
    third = np.cross(turned[:, :3], turned[:, 3:6])
    matrices = np.stack([turned[:, :3], turned[:, 3:6], third], axis=2)
    off = rotation_to_euler(matrices, "mnn-yxz") - [30, -10, 8]
    np.testing.assert_allclose(np.abs(off).max(axis=0), [20, 10, 5], rtol=0.02)
    assert (np.abs(off) <= [20.001, 10.001, 5.001]).all()


def test_points_of_no_weight_pull_nothing(learnt):
    evidence, truth = learnt
    rng = np.random.default_rng(3)
    weight = np.where(rng.random(truth.shape[:2]) < 0.2, 0.0, 1.0)
    weight[5] = 0
    config = SMALL.model_copy(update={"levels": 2, "trees": 5})
    found = []
    for junk in (0.0, 1e4, np.nan):
        given = np.where(weight[..., None] == 0, junk, truth)
        found.append(train_refiner(evidence, given, weight, config))
    assert len({one.digest() for one in found}) == 1


@pytest.mark.parametrize("some", [slice(17), slice(68)], ids=["jaw", "face"])
def test_points_of_little_weight_pull_little(learnt, others, some):
    evidence, truth = learnt
    # One level, since the next ones see which faces were pulled; large leaves, which hold both kinds.
    config = SMALL.model_copy(update={"levels": 1, "leaf": 40})

    def refined(amount, push):
        weight, given = np.ones(truth.shape[:2]), truth.copy()
        # Half of the faces have these points elsewhere.
        weight[::2, some] = amount
        given[::2, some] += push
        return train_refiner(evidence, given, weight, config).refine(others[0])[:, some]

    # 1 of 2, and 0.2 of 1.2: the weighted means of both kinds of faces.
    for amount, share in ((1.0, 0.5), (0.2, 0.2 / 1.2)):
        moved = (refined(amount, 0.1 * FACE) - refined(amount, 0.0)).mean()
        assert moved == pytest.approx(share * 0.1 * FACE, rel=0.1)


def test_nothing_to_learn_from_is_said(learnt):
    evidence, truth = learnt
    with pytest.raises(UsageError, match="No face with annotated points"):
        train_refiner(evidence, truth, np.zeros(truth.shape[:2]), SMALL)
    with pytest.raises(ValueError, match="expected points and weights of 120 faces"):
        train_refiner(evidence, truth[:3], np.ones((3, 68)), SMALL)


def test_without_scikit_learn_trees_are_used_but_not_grown(learnt, refiner, others, tmp_path, monkeypatch):
    evidence, truth = learnt
    expected = refiner.refine(others[0])
    save_refiner(tmp_path / "r.safetensors", refiner, "tiny")
    monkeypatch.setitem(sys.modules, "sklearn.tree", None)
    np.testing.assert_array_equal(load_refiner(tmp_path / "r.safetensors").refine(others[0]), expected)
    with pytest.raises(DataMissing, match=r"scikit-learn not installed.*facebench\[mnn\]"):
        train_refiner(evidence, truth, np.ones(truth.shape[:2]), SMALL)


def test_the_same_seed_grows_the_same_trees(learnt, refiner):
    evidence, truth = learnt
    titles = []

    def watch(items, total, title):
        titles.append((total, title))
        return items

    weight = np.ones(truth.shape[:2])
    again = train_refiner(evidence, truth, weight, SMALL, 3, watch)
    assert titles == [(15, f"level {level} of 3") for level in (1, 2, 3)]
    for name, value in refiner.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], value, err_msg=name)
    assert again.digest() == refiner.digest()
    assert train_refiner(evidence, truth, weight, SMALL, 4).digest() != refiner.digest()


def test_circles_shrink_and_stay_as_wide_as_a_cell():
    assert [round(Cascade().diameter(level), 3) for level in (0, 5, 9)] == [0.255, 0.029, 0.005]
    assert Cascade(levels=1).diameter(0) == 0.255
    for level in range(2):
        looked = []

        class Shares(np.ndarray):
            def __getitem__(self, which, looked=looked):
                looked.append(which)
                return np.ndarray.__getitem__(self, which)

        config, frame = Cascade(levels=2), np.array([10.0 + 0j])
        shares = np.zeros((1, 68, GRID, GRID), np.float16).view(Shares)
        refinement.look(config, level, shares, np.array([0]), np.full((1, 68), 7.25 + 7.25j), frame)
        columns = looked[0][0, 0] % GRID
        assert (columns.min(), columns.max()) == ((5, 8), (6, 7))[level]


def test_heat_maps_of_another_grid_are_refused(refiner, others):
    small = others[0].shares[:, :, ::2, ::2]
    with pytest.raises(ValueError, match="16 cells a side, found 8"):
        refiner.refine(dataclasses.replace(others[0], shares=small))
    with pytest.raises(ValueError, match="expected heat maps, placement and points"):
        dataclasses.replace(others[0], placement=others[0].placement[1:])


@pytest.fixture
def faces(tiny_recipe):
    source = tiny_recipe().data[0]
    return TrainingFaces([load_source(source, 0, None, lambda text: None).learn], 32, None)


def test_a_network_is_asked_batch_by_batch(tiny, faces):
    network = tiny().train()
    evidence, truth, weight = gather(network, faces, batch=5)
    assert network.training
    assert evidence.shares.shape == (len(faces), 68, 8, 8)
    assert evidence.shares.dtype == np.float16
    np.testing.assert_allclose(evidence.shares.sum(axis=(2, 3), dtype=float), 1, atol=2e-3)
    for row in (0, len(faces) - 1):
        face = faces[0, row]
        np.testing.assert_array_equal(truth[row], face["points"])
        np.testing.assert_array_equal(weight[row], face["point_weight"])
        with torch.no_grad():
            out = network.eval()(face["image"].permute(2, 0, 1)[None].float() / 255)
        alone = evidence_of(out, 32)
        np.testing.assert_allclose(evidence.points[row], alone.points[0], atol=1e-3)
        np.testing.assert_allclose(evidence.placement[row], alone.placement[0], atol=1e-5)
        np.testing.assert_allclose(evidence.shares[row], alone.shares[0], atol=1e-4)
    some, _, _ = gather(network, faces, [(0, 3), (0, 1)])
    np.testing.assert_allclose(some.points, evidence.points[[3, 1]], atol=1e-3)
    made = train_refiner(evidence, truth, weight, Cascade(levels=1, trees=2, leaf=1))
    assert made.refine(some).shape == (2, 68, 2)


def test_networks_without_points_are_refused(tiny, faces):
    with pytest.raises(UsageError, match="networks that place the points of ibug68"):
        gather(tiny(tasks=("pose",)), faces)


@pytest.fixture
def file(refiner, tmp_path):
    path = tmp_path / "tiny-refiner.safetensors"
    save_refiner(path, refiner, "tiny")
    return path


def test_refiners_come_back_from_their_files(refiner, others, file):
    read = load_refiner(file, Architecture(size=SIZE, stride=4))
    assert (read.config, read.grid, read.digest()) == (SMALL, GRID, refiner.digest())
    np.testing.assert_array_equal(read.refine(others[0]), refiner.refine(others[0]))


def head_of(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_head(path, head, body):
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def described(**changed):
    """Change what the header says of the refiner."""

    def change(path, refiner):
        head, body = head_of(path)
        head["__metadata__"].update(changed)
        with_head(path, {key: value for key, value in head.items() if value}, body)

    return change


def holding(**changed):
    """Save other arrays; a function changes one."""

    def change(path, refiner):
        parts = {name: alter(np.array(getattr(refiner, name))) for name, alter in changed.items()}
        save_refiner(path, dataclasses.replace(refiner, **parts), "tiny")

    return change


def another(value, place=(0, 0, 0)):
    def change(array):
        array[place] = value
        return array

    return change


WHOLE = SMALL.model_dump_json()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p, r: p.unlink(), DataMissing, "no such refiner file"),
        (lambda p, r: p.write_bytes(p.read_bytes()[:-100]), InvalidData, "not a whole safetensors file"),
        (lambda p, r: p.write_bytes(b""), InvalidData, "not a whole safetensors file"),
        (lambda p, r: p.write_text("x" * 50), InvalidData, "not a whole safetensors file"),
        (described(format="facebench-weights"), InvalidData, "not a refiner file .*'facebench-weights'"),
        (described(version="2"), InvalidData, "not a refiner file of facebench, version 1"),
        (described(cascade="{"), InvalidData, "its header does not describe a refiner"),
        (described(cascade=WHOLE.replace("15", "-1")), InvalidData, "header does not describe a refiner"),
        (described(cascade="[]"), InvalidData, "its header does not describe a refiner"),
        (described(grid="many"), InvalidData, "its header does not describe a refiner"),
        (described(scheme="cofw29"), InvalidData, "the points of 'cofw29'; expected 'ibug68'"),
        (
            described(cascade=WHOLE.replace('"levels":3', '"levels":50')),
            InvalidData,
            "does not fit its own header: answer, basis, feature, mean, threshold",
        ),
        (holding(basis=lambda a: a.astype(np.float64)), InvalidData, "own header: basis"),
        (holding(mean=lambda a: a[:, 1:]), InvalidData, "own header: mean"),
        (holding(feature=another(32000)), InvalidData, "no training leaves: feature"),
        (holding(feature=another(-1)), InvalidData, "no training leaves: feature"),
        (
            holding(answer=another(np.inf), threshold=another(np.nan), mean=another(np.nan, (0, 0))),
            InvalidData,
            "no training leaves: mean, answer, threshold",
        ),
    ],
)
def test_bad_files_are_one_message(refiner, file, change, error, message):
    change(file, refiner)
    with pytest.raises(error, match=message) as caught:
        load_refiner(file)
    assert str(file) in str(caught.value)


def test_files_of_weights_are_no_refiners(tiny, tmp_path):
    from facebench.mnn.weights import load_weights, save_weights

    path = tmp_path / "w.safetensors"
    save_weights(path, tiny(), "tiny")
    with pytest.raises(InvalidData, match="not a refiner file of facebench"):
        load_refiner(path)
    assert load_weights(path)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"size": 96}, "16 x 16 cells; the network has those of ibug68 and 24 x 24 cells"),
        ({"size": SIZE, "stride": 2}, "ibug68 and 32 x 32 cells"),
        ({"size": SIZE, "scheme": "cofw29"}, "the network has those of cofw29 and 16 x 16 cells"),
        ({"size": SIZE, "tasks": ("pose",)}, "the network has no landmarks"),
    ],
)
def test_refiners_of_other_networks_are_refused(file, network, message):
    with pytest.raises(InvalidData, match=message):
        load_refiner(file, Architecture(**network))


def test_a_finished_run_is_refined_and_measured_and_predicts_with_it(tiny_recipe, rendered, tmp_path):
    from facebench.formats import read_predictions
    from facebench.mnn.prediction import Predictor, predict_dataset
    from facebench.mnn.training import refine, train
    from facebench.mnn.weights import load_weights

    recipe, about = tiny_recipe(train={"epochs": 1}), {"method": "Tiny", "training_data": "none"}
    trained = train(recipe, tmp_path, device=torch.device("cpu"))
    done = refine(recipe, tmp_path, config=Cascade(levels=1, trees=2, leaf=1), device=torch.device("cpu"))
    assert done.refiner == tmp_path / "tiny-refiner.safetensors"
    assert np.isfinite([done.plain, done.refined]).all()
    network = load_weights(trained.weights)
    points = []
    for refiner in (None, load_refiner(done.refiner, network.architecture)):
        predict_dataset(Predictor(network, refiner=refiner), rendered, tmp_path / "p.h5", **about)
        points.append(read_predictions(tmp_path / "p.h5").landmarks)
    assert np.abs(points[0] - points[1]).max() > 0.1
