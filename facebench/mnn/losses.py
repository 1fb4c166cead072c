"""What the network is trained to make small; each part is a mean over what is annotated."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from facebench.mnn.architecture import rotation_of
from facebench.mnn.processes import sum_of_all, world

__all__ = ["PARTS", "losses", "place_mean_face"]

#: The parts of the loss, and their weights unless a recipe has others: chosen so that each is about 0.2 when
#: the network has learnt what it can.
PARTS = {"points": 6.0, "heatmaps": 0.08, "pose": 2.0, "visibility": 0.5, "placement": 1.0}

# Standard deviation of the target on a heat map, in cells.
SPREAD = 1.0


def losses(
    out: Mapping[str, Tensor], truth: Mapping[str, Tensor], mean_face: Tensor, size: int
) -> dict[str, Tensor]:
    """Return the parts of the loss for the outputs that there are.

    Parameters
    ----------
    out : of a network.
    truth : ``points`` (N, K, 2) in pixels of the crop, ``point_weight`` (N, K), ``visible`` (N, K) as 0, 1
        or NaN, ``rotation`` (N, 3, 3), ``pose_weight`` (N,), ``face`` (N,) pixels of the crop that are 1.
    mean_face : (K, 3) in head axes, one unit high.
    size : of the crop, in pixels.
    """
    parts: dict[str, Tensor] = {}
    weight, face = truth["point_weight"], truth["face"]
    if "points" in out:
        distance = (out["points"].float() - truth["points"]).square().sum(dim=2).add(1e-6).sqrt()
        parts["points"] = _mean(distance / face[:, None], weight)
        parts["heatmaps"] = _mean(_surprise(out["heatmaps"].float(), truth["points"], size), weight)
    if "placement" in out:
        placed = place_mean_face(out["placement"], mean_face, size)
        distance = (placed - truth["points"]).square().sum(dim=2).add(1e-6).sqrt()
        parts["placement"] = _mean(distance / face[:, None], weight)
    if "pose" in out:
        turned = rotation_of(out["pose"]).transpose(1, 2) @ truth["rotation"]
        # The chord of the angle between the two, which is smooth where they agree: 2 sqrt(2) sin(angle / 2).
        chord = (turned - torch.eye(3, device=turned.device)).square().sum(dim=(1, 2)).add(1e-6).sqrt()
        parts["pose"] = _mean(chord / 2**0.5, truth["pose_weight"])
    if "visibility" in out:
        known = torch.isfinite(truth["visible"])
        target = torch.nan_to_num(truth["visible"])
        surprise = functional.binary_cross_entropy_with_logits(
            out["visibility"].float(), target, reduction="none"
        )
        parts["visibility"] = _mean(surprise, known.float())
    return parts


def place_mean_face(placement: Tensor, mean_face: Tensor, size: int) -> Tensor:
    """Return the (N, K, 2) pixels of the mean face placed by (N, 9) numbers: turn, log of scale, shift."""
    turned = mean_face @ rotation_of(placement).transpose(1, 2)
    height = size * torch.exp(placement[:, 6:7, None].float()) / 1.6
    centre = (size - 1) / 2 + size * placement[:, None, 7:9].float()
    return turned[..., :2] * height + centre


def _surprise(heat: Tensor, points: Tensor, size: int) -> Tensor:
    """Return the (N, K) cross-entropy of heat maps with a bell around each point."""
    height, width = heat.shape[2:]
    cells = (points + 0.5) * (width / size) - 0.5
    rows = torch.arange(height, device=heat.device, dtype=cells.dtype)
    columns = torch.arange(width, device=heat.device, dtype=cells.dtype)
    down = torch.softmax(-0.5 * ((rows - cells[..., 1:]) / SPREAD).square(), dim=2)
    across = torch.softmax(-0.5 * ((columns - cells[..., :1]) / SPREAD).square(), dim=2)
    log_share = torch.log_softmax(heat.flatten(2), dim=2).view_as(heat)
    along = (log_share * across[:, :, None]).sum(dim=3)
    return -(along * down).sum(dim=2)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return a weighted mean over the batches of all processes, whose gradients are averaged afterwards."""
    total = sum_of_all(weight.sum()) / world()
    return (values * weight).sum() / total.clamp_min(1.0)
