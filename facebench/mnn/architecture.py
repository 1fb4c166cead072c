"""The multi-task network: an encoder-decoder of residual blocks with lateral connections.

Pose leaves at the bottleneck, heat maps and visibility at the last layer of the decoder, as the abstract of
the MNN paper says; depths and widths, which it does not say, are our own (PROTOCOLS 6).  A second pose
output places the mean 3D face in the crop, where the refinement starts.  Rotations are continuous inside
(the first two columns, orthonormalised) and ``R_cam`` outside.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from facebench.geometry import get_scheme

__all__ = ["MODELS", "Architecture", "Network", "rotation_of"]

#: Shapes of the networks by name: ``mnn`` for a GPU, with the paper's input; ``mnn-s`` for two CPU cores.
MODELS: dict[str, dict[str, object]] = {
    "mnn": {"size": 256, "widths": (64, 128, 256, 512, 512), "blocks": 2, "decoder": 128, "stride": 4},
    "mnn-s": {"size": 128, "widths": (24, 48, 96, 192, 256), "blocks": 2, "decoder": 64, "stride": 4},
}


class Architecture(BaseModel):
    """Everything that decides the shape of a network.

    Attributes
    ----------
    scheme : landmarks to place.
    size : width and height of the crop in pixels; a multiple of the coarsest stride.
    widths : channels of the stem (stride 2) and of each stage of the encoder, each halving the resolution;
        at least 3, so that no heat map is coarser than the bottleneck.
    blocks : residual blocks of a stage.
    decoder : channels of the decoder.
    stride : pixels of the crop for a cell of the heat maps; a power of two from 2 on.
    lateral : add the encoder's features to the decoder's, level by level.
    pose_at : where the pose leaves: at the ``bottleneck``, as in the paper, or at the ``decoder``'s end.
    tasks : what the network answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: str = "ibug68"
    size: int = Field(default=128, ge=32, le=1024)
    widths: tuple[PositiveInt, ...] = Field(default=(24, 48, 96, 192, 256), min_length=3)
    blocks: int = Field(default=2, ge=1, le=8)
    decoder: int = Field(default=64, ge=8, le=1024)
    stride: Literal[2, 4, 8] = 4
    lateral: bool = True
    pose_at: Literal["bottleneck", "decoder"] = "bottleneck"
    tasks: tuple[Literal["pose", "landmarks", "visibility"], ...] = Field(
        default=("pose", "landmarks", "visibility"), min_length=1
    )

    @property
    def coarsest(self) -> int:
        """Stride of the bottleneck."""
        return 2 ** len(self.widths)


class Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input passes unchanged, or projected where shapes differ."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)
        self.project: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            self.project = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(y)) + self.project(x))


class Network(nn.Module):
    """The multi-task network.

    ``network(images)`` takes (N, 3, S, S) RGB within [0, 1] and returns a dictionary:

    ================  ===============  ======================================================================
    ``heatmaps``      (N, K, H, W)     logits; their softmax over the cells is where each point may lie
    ``points``        (N, K, 2)        pixels of the crop, 0-based: the mean of that
    ``visibility``    (N, K)           logits of "visible"
    ``pose``          (N, 6)           first two columns of ``R_cam``, unnormalised: :func:`rotation_of`
    ``placement``     (N, 9)           the same of the placed mean face, logarithm of its scale, shift
    ================  ===============  ======================================================================

    Only the outputs of the architecture's tasks are there.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        points, widths = len(get_scheme(a.scheme)), a.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.encoder = nn.ModuleList(
            nn.Sequential(
                Residual(inside, outside, 2), *(Residual(outside, outside) for _ in range(a.blocks - 1))
            )
            for inside, outside in pairwise(widths)
        )
        # Levels of the encoder that the decoder climbs back to: the last has the stride of the heat maps.
        strides = [4 * 2**level for level in range(len(widths) - 1)]
        levels = [level for level, stride in enumerate(strides) if stride >= a.stride]
        if a.stride == 2:
            levels = [-1, *levels]
        # Pose alone, read off at the bottleneck, has no use for a decoder.
        self.decodes = a.tasks != ("pose",) or a.pose_at == "decoder"
        self.levels = levels[::-1] if self.decodes else []
        if self.decodes:
            self.entry = nn.Conv2d(widths[-1], a.decoder, 1)
        self.lateral = nn.ModuleList(
            nn.Conv2d(widths[level + 1], a.decoder, 1) for level in self.levels[1:] if a.lateral
        )
        self.decoder = nn.ModuleList(Residual(a.decoder, a.decoder) for _ in self.levels[1:])
        if "landmarks" in a.tasks or "visibility" in a.tasks:
            self.heat = nn.Conv2d(a.decoder, points, 1)
        if "visibility" in a.tasks:
            self.seen = nn.Parameter(torch.zeros(points, a.decoder))
            self.seen_bias = nn.Parameter(torch.zeros(points))
        if "pose" in a.tasks:
            features = widths[-1] if a.pose_at == "bottleneck" else a.decoder
            self.turn = _head(features, 6)
        if "landmarks" in a.tasks:
            self.place = _head(widths[-1], 9)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        a = self.architecture
        x = self.stem(images)
        features = [x]
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        bottleneck = x.mean(dim=(2, 3))
        out: dict[str, Tensor] = {}
        if "landmarks" in a.tasks:
            out["placement"] = _precisely(self.place, bottleneck)
        if self.decodes:
            y = self._decode(features)
        if "pose" in a.tasks:
            out["pose"] = _precisely(
                self.turn, bottleneck if a.pose_at == "bottleneck" else y.mean(dim=(2, 3))
            )
        if "landmarks" in a.tasks or "visibility" in a.tasks:
            heat = self.heat(y)
            share = torch.softmax(heat.float().flatten(2), dim=2)
        if "landmarks" in a.tasks:
            out["heatmaps"], out["points"] = heat, _expected_place(share, heat.shape[2:], a.size)
        if "visibility" in a.tasks:
            # What the decoder sees where it believes the point to be.
            there = share.to(y.dtype) @ y.flatten(2).transpose(1, 2)
            out["visibility"] = (there * self.seen).sum(dim=2) + self.seen_bias
        return out

    def _decode(self, features: list[Tensor]) -> Tensor:
        y = self.entry(features[-1])
        for step, block in enumerate(self.decoder):
            y = functional.interpolate(y, scale_factor=2.0, mode="nearest")
            if self.architecture.lateral:
                y = y + self.lateral[step](features[self.levels[step + 1] + 1])
            y = block(y)
        return y


def _head(features: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(features, outputs)
    # Upright and frontal to begin with: the first two columns of the identity.
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.zero_()
        last.bias[0] = last.bias[4] = 1.0
    return nn.Sequential(nn.Linear(features, features), nn.ReLU(), last)


def _precisely(head: nn.Module, features: Tensor) -> Tensor:
    answer: Tensor
    if features.dtype.itemsize > 2:
        answer = head(features)
    else:  # the 16 bits of autocast, in which a rotation is known to 0.2 degrees only
        with torch.autocast(features.device.type, enabled=False):
            answer = head(features.float())
    return answer


def _expected_place(share: Tensor, grid: tuple[int, ...], size: int) -> Tensor:
    """Return the mean (N, K, 2) place in pixels of shares (N, K, cells) over the cells of a grid."""
    height, width = grid[0], grid[1]
    rows = (torch.arange(height, device=share.device, dtype=share.dtype) + 0.5) * (size / height) - 0.5
    columns = (torch.arange(width, device=share.device, dtype=share.dtype) + 0.5) * (size / width) - 0.5
    # Sums and not a matrix product: autocast takes that in 16 bits, and so knows a place to half a pixel.
    down, across = (share.unflatten(2, (height, width)).sum(dim=axis) for axis in (3, 2))
    return torch.stack([(across * columns).sum(dim=2), (down * rows).sum(dim=2)], dim=2)


def rotation_of(six: Tensor) -> Tensor:
    """Return the (N, 3, 3) rotations whose first two columns are nearest to (N, 6) numbers (Gram-Schmidt).

    Zhou, Barnes, Lu, Yang, Li: On the Continuity of Rotation Representations in Neural Networks, CVPR 2019.
    """
    a, b = six[:, :3].float(), six[:, 3:6].float()
    first = functional.normalize(a, dim=1)
    second = functional.normalize(b - (first * b).sum(dim=1, keepdim=True) * first, dim=1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=2)
