"""One training run in several processes: sums over all of them, and normalisation over the whole batch."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

__all__ = ["SharedNorm", "begin", "rank", "share_norms", "sum_of_all", "world"]


def begin(device: torch.device) -> None:
    """Join the processes that ``torchrun`` started, if it started this one."""
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def world() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def sum_of_all(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, without a gradient."""
    total = value.detach().clone()
    if world() > 1:
        dist.all_reduce(total)
    return total


class SharedNorm(nn.BatchNorm2d):
    """Batch normalisation by the mean and variance of the batches of all processes together.

    PyTorch has this for GPUs only; on them, ``torch.nn.SyncBatchNorm`` is faster.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world() == 1:
            return super().forward(x)
        wide = x.float()
        count = x.numel() / x.shape[1] * world()
        sums = all_reduce(torch.stack([wide.sum(dim=(0, 2, 3)), wide.square().sum(dim=(0, 2, 3))]))
        mean = sums[0] / count
        variance = (sums[1] / count - mean.square()).clamp_min(0.0)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight / (variance + self.eps).sqrt()
        shift = self.bias - mean * scale
        return (wide * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


def share_norms(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network whose batch normalisation is that of all processes together, if there are several."""
    if world() == 1:
        return network
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedNorm
    return network
