"""Networks as ONNX files, checked against PyTorch before they are kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facebench.errors import DataMissing, InvalidData
from facebench.formats.atomic import atomic_path
from facebench.mnn.architecture import Network, rotation_of
from facebench.mnn.prediction import folded

__all__ = ["OUTPUTS", "TOLERANCE", "export_onnx"]

#: Outputs of the graph by task: pixels of the crop, probability of visible, ``R_cam``.
OUTPUTS = {"landmarks": "points", "visibility": "visibility", "pose": "rotation"}
#: Largest difference to PyTorch that is accepted: of a pixel, a probability, an element of a rotation.
TOLERANCE = 1e-3

CHECKED = 3  # crops that are compared; not the number that the graph is traced with


class _Answering(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        out = self.network(images)
        made = {
            "landmarks": lambda: out["points"],
            "visibility": lambda: torch.sigmoid(out["visibility"]),
            "pose": lambda: rotation_of(out["pose"]),
        }
        return tuple(made[task]() for task in self.network.architecture.tasks)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def export_onnx(network: Network, target: Path) -> float:
    """Write a network as ONNX, and return how far it is from PyTorch at most.

    The graph takes ``images`` (N, 3, S, S), RGB within [0, 1], for any N, cut as
    :func:`~facebench.mnn.data.crop_to_face` says; its outputs are those of :data:`OUTPUTS`.

    Raises
    ------
    DataMissing : onnx, onnxscript or onnxruntime is not installed.
    InvalidData : onnxruntime's answers differ by more than :data:`TOLERANCE`; nothing is written.
    """
    lacking = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if lacking:
        msg = f"{', '.join(lacking)} not installed, which --onnx needs: pip install 'facebench[onnx]'"
        raise DataMissing(msg)
    import onnxruntime

    model = _Answering(folded(network)).eval()
    size, names = network.architecture.size, [OUTPUTS[task] for task in network.architecture.tasks]
    images = torch.rand(CHECKED, 3, size, size, generator=torch.Generator().manual_seed(0))
    with atomic_path(target) as temporary:
        with warnings.catch_warnings(), _quiet("torch.onnx"):
            warnings.simplefilter("ignore")  # of the exporter, about itself
            torch.onnx.export(
                model, (images[:2],), temporary, input_names=["images"], output_names=names,
                dynamic_shapes={"images": {0: torch.export.Dim("faces")}}, dynamo=True, external_data=False,
                verbose=False,
            )  # fmt: skip
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        found = session.run(names, {"images": images.numpy()})
        with torch.inference_mode():
            expected = model(images)
        worst = max(float(np.abs(a - b.numpy()).max()) for a, b in zip(found, expected, strict=True))
        if not worst <= TOLERANCE:
            msg = f"{target}: onnxruntime differs from PyTorch by {worst:.2g}, more than {TOLERANCE:g}."
            raise InvalidData(msg)
    return worst
