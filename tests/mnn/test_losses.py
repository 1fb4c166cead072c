from __future__ import annotations

import numpy as np
import pytest
import torch

from facebench.geometry import euler_to_rotation, geodesic_distance
from facebench.mnn.losses import PARTS, losses, place_mean_face
from facebench.mnn.shape_space import unit_face

SIZE, GRID, COUNT = 32, 8, 3


@pytest.fixture(scope="module")
def mean_face():
    return torch.from_numpy(unit_face()).float()


@pytest.fixture
def truth():
    rng = np.random.default_rng(1)
    visible = rng.integers(0, 2, (COUNT, 68)).astype(np.float32)
    visible[0, :9] = np.nan
    return {
        "points": torch.from_numpy(rng.uniform(4, 28, (COUNT, 68, 2)).astype(np.float32)),
        "point_weight": torch.from_numpy(rng.choice([0, 0.3, 1], (COUNT, 68)).astype(np.float32)),
        "visible": torch.from_numpy(visible),
        "rotation": torch.from_numpy(
            euler_to_rotation(rng.uniform(-50, 50, (COUNT, 3)), "raw-xyz").astype(np.float32)
        ),
        "pose_weight": torch.tensor([1.0, 0.0, 1.0]),
        "face": torch.tensor([20.0, 17.0, 22.0]),
    }


@pytest.fixture
def out():
    torch.manual_seed(2)
    made = {
        "points": torch.rand(COUNT, 68, 2) * 32,
        "heatmaps": torch.randn(COUNT, 68, GRID, GRID) * 3,
        "visibility": torch.randn(COUNT, 68) * 2,
        "pose": torch.randn(COUNT, 6),
        "placement": torch.randn(COUNT, 9) * 0.3,
    }
    return {name: value.requires_grad_() for name, value in made.items()}


def rotation(six):
    a, b = np.array(six[:3], float), np.array(six[3:6], float)
    first = a / np.linalg.norm(a)
    second = b - first * (first @ b)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def averaged(values, weights):
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def slowly(out, truth, mean_face):
    """Return the parts of the loss, face by face and point by point."""
    o = {name: value.detach().double().numpy() for name, value in out.items()}
    t = {name: value.double().numpy() for name, value in truth.items()}
    points, heat, placed, weights, seen = [], [], [], [], []
    for n in range(COUNT):
        turn = rotation(o["placement"][n, :6])
        scale, shift = np.exp(o["placement"][n, 6]), o["placement"][n, 7:9]
        for k in range(68):
            x, y = t["points"][n, k]
            weights.append(t["point_weight"][n, k])
            points.append(np.hypot(*(o["points"][n, k] - (x, y))) / t["face"][n])
            mean = (turn @ mean_face[k])[:2] * scale * SIZE / 1.6 + (SIZE - 1) / 2 + SIZE * shift
            placed.append(np.hypot(*(mean - (x, y))) / t["face"][n])
            # A bell of one cell around the point, as it falls on the cells, against the heat map's share.
            cells = (np.arange(GRID) + 0.5) * SIZE / GRID - 0.5
            spread = SIZE / GRID
            bell = np.exp(-0.5 * ((cells[:, None] - y) ** 2 + (cells[None] - x) ** 2) / spread**2)
            log_share = o["heatmaps"][n, k] - np.log(np.exp(o["heatmaps"][n, k]).sum())
            heat.append(-(bell / bell.sum() * log_share).sum())
            if np.isfinite(t["visible"][n, k]):
                p = 1 / (1 + np.exp(-o["visibility"][n, k]))
                seen.append(-np.log(p if t["visible"][n, k] else 1 - p))
    found = np.array([rotation(six) for six in o["pose"]])
    angle = np.radians(geodesic_distance(found, t["rotation"]))
    return {
        "points": averaged(points, weights),
        "heatmaps": averaged(heat, weights),
        "placement": averaged(placed, weights),
        "pose": averaged(2 * np.sin(angle / 2), t["pose_weight"]),
        "visibility": np.mean(seen),
    }


def test_every_part_is_what_a_slow_loop_makes_of_it(out, truth, mean_face):
    found = losses(out, truth, mean_face, SIZE)
    assert found.keys() == PARTS.keys()
    for name, value in slowly(out, truth, mean_face.double().numpy()).items():
        assert found[name].item() == pytest.approx(value, rel=1e-4), name


def test_there_are_the_parts_of_the_outputs_only(out, truth, mean_face):
    parts = {"pose": {"pose"}, "visibility": {"visibility"}, "placement": {"placement"}}
    for name, expected in parts.items():
        assert losses({name: out[name]}, truth, mean_face, SIZE).keys() == expected
    both = {name: out[name] for name in ("points", "heatmaps")}
    assert losses(both, truth, mean_face, SIZE).keys() == {"points", "heatmaps"}


def test_what_weighs_nothing_does_not_matter(out, truth, mean_face):
    before = losses(out, truth, mean_face, SIZE)
    truth["points"][truth["point_weight"] == 0] = 5000.0
    truth["rotation"][1] = torch.eye(3)
    with torch.no_grad():
        out["visibility"][0, :9] = 1000.0
    after = losses(out, truth, mean_face, SIZE)
    assert {name: value.item() for name, value in after.items()} == pytest.approx(
        {name: value.item() for name, value in before.items()}
    )


def test_a_batch_without_any_label_costs_nothing(out, truth, mean_face):
    truth["point_weight"].zero_()
    truth["pose_weight"].zero_()
    truth["visible"].fill_(np.nan)
    found = losses(out, truth, mean_face, SIZE)
    torch.stack(list(found.values())).sum().backward()
    assert all(value == 0 for value in found.values())
    assert all((value.grad == 0).all() for value in out.values())


def test_gradients_are_finite_and_go_where_labels_are(out, truth, mean_face):
    torch.stack(list(losses(out, truth, mean_face, SIZE).values())).sum().backward()
    for value in out.values():
        assert torch.isfinite(value.grad).all()
        assert (value.grad != 0).any()
    assert (out["visibility"].grad[0, :9] == 0).all()
    assert (out["pose"].grad[1] == 0).all()
    assert (out["points"].grad[truth["point_weight"] == 0] == 0).all()


@pytest.fixture
def perfect(truth, mean_face):
    """Answers and truth of a mean face that is placed somewhere."""
    six = truth["rotation"][:, :, :2].transpose(1, 2).reshape(COUNT, 6)
    placement = torch.cat([six, torch.tensor([[0.1, 0.05, -0.02]]).expand(COUNT, 3)], dim=1)
    truth = {**truth, "points": place_mean_face(placement, mean_face, SIZE)}
    made = {
        "points": truth["points"].clone(),
        "heatmaps": torch.zeros(COUNT, 68, GRID, GRID),
        "pose": six * 3,
        "placement": placement,
        "visibility": torch.nan_to_num(truth["visible"]) * 200 - 100,
    }
    return {name: value.requires_grad_() for name, value in made.items()}, truth


def test_perfect_answers_cost_next_to_nothing(perfect, mean_face):
    found = losses(*perfect, mean_face, SIZE)
    for name in ("points", "pose", "placement", "visibility"):
        assert found[name] < 2e-3, name


def test_gradients_are_finite_and_small_at_perfection(perfect, mean_face):
    torch.stack(list(losses(*perfect, mean_face, SIZE).values())).sum().backward()
    for name, value in perfect[0].items():
        assert torch.isfinite(value.grad).all(), name
    assert perfect[0]["pose"].grad.abs().max() < 1e-2
    assert perfect[0]["points"].grad.abs().max() < 1e-2


def test_a_heat_map_costs_least_where_it_is_the_bell_around_the_point(truth, mean_face):
    def cost(x, y):
        cells = torch.arange(GRID, dtype=torch.float32)
        column, row = (torch.tensor([x, y]) + 0.5) * GRID / SIZE - 0.5
        heat = -0.5 * ((cells[:, None] - row) ** 2 + (cells - column) ** 2)
        out = {"heatmaps": heat.expand(COUNT, 68, GRID, GRID), "points": truth["points"]}
        return losses(out, truth, mean_face, SIZE)["heatmaps"]

    truth["points"] = torch.tensor([14.0, 9.0]).expand(COUNT, 68, 2)
    best = cost(14.0, 9.0)
    for other in [(15.0, 9.0), (13.0, 9.0), (14.0, 10.0), (14.0, 8.0), (9.0, 14.0)]:
        assert best < cost(*other)


def test_the_pose_costs_twice_the_sine_of_half_the_angle(mean_face, truth):
    for degrees in (1.0, 30.0, 90.0, 180.0):
        turned = euler_to_rotation([[degrees, 0.0, 0.0]], "raw-xyz")
        six = torch.from_numpy(turned[:, :, :2].transpose(0, 2, 1).reshape(1, 6)).float()
        one = {"rotation": torch.eye(3)[None], "pose_weight": torch.ones(1)}
        found = losses({"pose": six}, {**truth, **one}, mean_face, SIZE)["pose"]
        assert found.item() == pytest.approx(2 * np.sin(np.radians(degrees / 2)), abs=1e-3)


def test_the_untouched_mean_face_is_upright_in_the_middle_and_as_large_as_a_face_of_a_crop(mean_face):
    identity = torch.tensor([[1.0, 0, 0, 0, 1, 0, 0, 0, 0]])
    (points,) = place_mean_face(identity, mean_face, 160).numpy()
    low, high = points.min(axis=0), points.max(axis=0)
    np.testing.assert_allclose((low + high) / 2, 79.5, atol=1e-3)
    # A crop is a box with 30 % of it on each side.
    assert high[1] - low[1] == pytest.approx(100, abs=1e-3)
    assert points[8, 1] == pytest.approx(high[1], abs=2)  # the chin is below
    assert points[36, 0] < points[45, 0]  # the outer corner of its right eye is on the left
    assert points[27, 1] < points[33, 1] < points[57, 1]
    assert points[30, 0] == pytest.approx(79.5, abs=3)


def test_turn_scale_and_shift_of_a_placement(mean_face):
    turned = euler_to_rotation([[25.0, 10.0, -15.0]], "raw-xyz")
    six = torch.from_numpy(turned[:, :, :2].transpose(0, 2, 1).reshape(1, 6)).float()
    rest = torch.tensor([[np.log(1.25), 0.1, -0.05]], dtype=torch.float32)
    (points,) = place_mean_face(torch.cat([six, rest], dim=1), mean_face, 160).numpy()
    expected = (mean_face.numpy() @ turned[0].T)[:, :2] * 125 + 79.5 + [16.0, -8.0]
    np.testing.assert_allclose(points, expected, atol=1e-3)


def test_the_unit_face_is_one_unit_high_around_the_origin():
    face = unit_face()
    low, high = face.min(axis=0), face.max(axis=0)
    assert face.shape == (68, 3)
    assert high[1] - low[1] == pytest.approx(1)
    np.testing.assert_allclose((low + high)[:2], 0, atol=1e-12)
    assert face[:, 2].mean() == pytest.approx(0)
    assert face[30, 2] == pytest.approx(face[:, 2].min())  # the nose is nearest
