from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from facebench.geometry import euler_to_rotation, not_rotations
from facebench.mnn.architecture import MODELS, Architecture, Network, rotation_of

TASKS = ("pose", "landmarks", "visibility")
OUTPUTS = {
    "pose": {"pose"},
    "landmarks": {"heatmaps", "points", "placement"},
    "visibility": {"visibility"},
}


class Spikes(nn.Module):
    """Heat maps whose whole mass lies in one cell, another one for each point."""

    def forward(self, y):
        n, _, height, width = y.shape
        heat = torch.zeros(n, 68, height * width)
        for k in range(68):
            heat[:, k, k % (height * width)] = 1000.0
        return heat.view(n, 68, height, width)


@pytest.mark.parametrize(
    ("changed", "side"),
    [
        ({}, 8),
        ({"stride": 2}, 16),
        ({"stride": 8}, 4),
        ({"size": 64}, 16),
        ({"size": 64, "stride": 2}, 32),
        ({"widths": (4, 8, 8)}, 8),
        ({"widths": (4, 8, 8), "stride": 8}, 4),
        ({"lateral": False}, 8),
        ({"pose_at": "decoder", "blocks": 2}, 8),
    ],
)
def test_shapes_of_the_outputs(tiny, changed, side):
    network = tiny(**changed)
    size = network.architecture.size
    out = network(torch.rand(2, 3, size, size))
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        "heatmaps": (2, 68, side, side),
        "points": (2, 68, 2),
        "visibility": (2, 68),
        "pose": (2, 6),
        "placement": (2, 9),
    }


def test_another_scheme_has_as_many_points_as_it_has(tiny):
    out = tiny(scheme="cofw29")(torch.rand(1, 3, 32, 32))
    assert out["points"].shape == (1, 29, 2)
    assert out["visibility"].shape == (1, 29)


@pytest.mark.parametrize("pose_at", ["bottleneck", "decoder"])
@pytest.mark.parametrize(
    "tasks",
    [("pose",), ("landmarks",), ("visibility",), ("pose", "visibility"), ("visibility", "landmarks"), TASKS],
)
def test_only_the_outputs_of_its_tasks_are_there(tiny, tasks, pose_at):
    out = tiny(tasks=tasks, pose_at=pose_at)(torch.rand(1, 3, 32, 32))
    assert set(out) == set().union(*(OUTPUTS[task] for task in tasks))


@pytest.mark.parametrize(
    ("tasks", "pose_at"),
    [
        (TASKS, "bottleneck"),
        (TASKS, "decoder"),
        (("landmarks",), "bottleneck"),
        (("visibility",), "bottleneck"),
        (("pose",), "decoder"),
        (("pose",), "bottleneck"),
    ],
)
def test_every_weight_has_a_say_in_some_output(tiny, tasks, pose_at):
    network = tiny(tasks=tasks, pose_at=pose_at).train()
    torch.manual_seed(0)
    if "visibility" in tasks:
        nn.init.normal_(network.seen)
    out = network(torch.rand(2, 3, 32, 32))
    torch.stack([value.square().sum() for value in out.values()]).sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_lateral_connections_add_weights_and_nothing_without_them(tiny):
    assert any("lateral" in name for name in tiny().state_dict())
    assert not any("lateral" in name for name in tiny(lateral=False).state_dict())


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_a_point_is_the_mean_place_of_its_heat_map(tiny, stride):
    network = tiny(stride=stride)
    nn.init.normal_(network.heat.weight, std=5.0)
    with torch.no_grad():
        out = network(torch.rand(2, 3, 32, 32))
    for n in range(2):
        for k in range(0, 68, 17):
            heat = out["heatmaps"][n, k].double().numpy()
            share = np.exp(heat - heat.max())
            share /= share.sum()
            x = y = 0.0
            for row in range(len(heat)):
                for column in range(len(heat)):
                    # Cell c covers pixels c * stride to c * stride + stride - 1.
                    x += share[row, column] * (column * stride + (stride - 1) / 2)
                    y += share[row, column] * (row * stride + (stride - 1) / 2)
            np.testing.assert_allclose(out["points"][n, k], [x, y], atol=1e-4)


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_a_spike_is_the_centre_of_its_cell(tiny, stride):
    network = tiny(stride=stride)
    network.heat = Spikes()
    points = network(torch.rand(1, 3, 32, 32))["points"][0].detach().numpy()
    side = 32 // stride
    for k in range(68):
        row, column = divmod(k % side**2, side)
        pixels = np.arange(stride)
        expected = [(column * stride + pixels).mean(), (row * stride + pixels).mean()]
        np.testing.assert_allclose(points[k], expected, atol=1e-4)


def test_points_are_exact_in_16_bits_too(tiny):
    network = tiny(size=256, widths=(4, 4, 4))
    network.heat = Spikes()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        points = network(torch.rand(1, 3, 256, 256))["points"]
    assert points.dtype == torch.float32
    # The cells of the first row, up to 253.5: bfloat16 counts in whole pixels there.
    np.testing.assert_allclose(points[0, :64, 0], 4 * np.arange(64) + 1.5, atol=1e-3)


def test_the_order_of_the_batch_does_not_matter(tiny):
    network, images, order = tiny(), torch.rand(4, 3, 32, 32), [2, 0, 3, 1]
    with torch.no_grad():
        plain, shuffled = network(images), network(images[order])
        alone = network(images[:1])
    for name in plain:
        torch.testing.assert_close(shuffled[name], plain[name][order], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone[name], plain[name][:1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [64, 96])
def test_the_weights_serve_crops_of_other_sizes(tiny, size):
    small, large = tiny(), tiny(size=size)
    large.load_state_dict(small.state_dict())
    images = torch.rand(2, 3, size, size)
    with torch.no_grad():
        own, other = large(images), small(images)
    assert own["heatmaps"].shape[2:] == (size // 4, size // 4)
    # A network takes any input for a crop of its own size: the places differ by the scale, nothing else.
    scaled = (own.pop("points") + 0.5) * 32 / size - 0.5
    torch.testing.assert_close(other.pop("points"), scaled, atol=1e-4, rtol=1e-4)
    for name in own:
        torch.testing.assert_close(other[name], own[name])


def test_it_begins_upright_frontal_and_in_the_middle(tiny):
    with torch.no_grad():
        out = tiny()(torch.rand(3, 3, 32, 32))
    turned = rotation_of(out["pose"])
    assert (turned.diagonal(dim1=1, dim2=2) > 0.5).all()
    assert out["placement"][:, 6:].abs().max() < 0.5


@given(st.lists(st.floats(-100, 100, width=32), min_size=6, max_size=6))
def test_six_numbers_give_a_rotation(six):
    a, b = np.array(six[:3]), np.array(six[3:])
    if np.linalg.norm(np.cross(a, b)) < 1e-2 * max(1.0, np.linalg.norm(a) * np.linalg.norm(b)):
        return
    found = rotation_of(torch.tensor([six])).double().numpy()
    assert not not_rotations(found, 1e-3).any()
    # Gram-Schmidt keeps the direction of the first column, and the plane of both.
    np.testing.assert_allclose(found[0, :, 0], a / np.linalg.norm(a), atol=1e-4)
    assert found[0, :, 2] @ b == pytest.approx(0, abs=1e-3 * np.linalg.norm(b))
    assert found[0, :, 1] @ b > 0


angles = st.tuples(st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180))


@given(angles, st.floats(0.01, 100), st.floats(0.01, 100))
def test_two_columns_of_a_rotation_give_it_back_at_any_scale(euler, first, second):
    rotation = euler_to_rotation([euler], "raw-xyz")
    columns = np.concatenate([first * rotation[..., 0], second * rotation[..., 1]], axis=1)
    found = rotation_of(torch.from_numpy(columns))
    np.testing.assert_allclose(found, rotation, atol=1e-5)


def test_rotations_are_exact_in_16_bits_too():
    rotation = torch.from_numpy(euler_to_rotation([[20.0, -10.0, 5.0]], "raw-xyz")).float()
    six = rotation[:, :, :2].transpose(1, 2).reshape(1, 6)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(rotation_of(six), rotation, atol=1e-5, rtol=0)


@pytest.mark.parametrize("where", ["bottleneck", "decoder"])
def test_poses_leave_the_network_in_32_bits_even_where_the_rest_has_16(where):
    network = Network(Architecture(size=32, widths=(4, 8, 8), decoder=8, pose_at=where)).eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        out = network(torch.rand(2, 3, 32, 32))
    assert out["heatmaps"].dtype == torch.bfloat16
    assert out["pose"].dtype == out["placement"].dtype == torch.float32


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_named_shapes_are_shapes(name):
    a = Architecture(**MODELS[name])
    assert a.size % a.coarsest == 0
    with torch.device("meta"):
        assert "points" in Network(a)(torch.empty(1, 3, a.size, a.size))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 16),
        ("widths", ()),
        ("widths", (8, 8)),
        ("widths", (8, 0, 8, 8)),
        ("blocks", 0),
        ("stride", 3),
        ("pose_at", "encoder"),
        ("tasks", ("gaze",)),
        ("tasks", ()),
        ("depth", 3),
    ],
)
def test_a_shape_that_is_none_is_refused_by_name(key, value):
    with pytest.raises(ValidationError, match=key):
        Architecture(**{key: value})
