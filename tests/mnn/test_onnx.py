from __future__ import annotations

import numpy as np
import pytest
import torch

from facebench.errors import InvalidData
from facebench.mnn import onnx as exporting
from facebench.mnn.architecture import rotation_of
from facebench.mnn.onnx import export_onnx

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


def test_onnxruntime_answers_as_pytorch_does_for_any_number_of_faces(tiny, tmp_path):
    network, target = tiny(), tmp_path / "tiny.onnx"
    assert export_onnx(network, target) < exporting.TOLERANCE
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == ["rotation", "points", "visibility"]
    for count in (1, 5):
        images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))
        rotation, points, visibility = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            out = network(images)
        np.testing.assert_allclose(points, out["points"], atol=1e-3)
        np.testing.assert_allclose(visibility, torch.sigmoid(out["visibility"]), atol=1e-4)
        np.testing.assert_allclose(rotation, rotation_of(out["pose"]), atol=1e-4)


def test_a_file_that_answers_otherwise_is_not_kept(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(InvalidData, match="tiny.onnx: onnxruntime differs from PyTorch by"):
        export_onnx(tiny(), tmp_path / "tiny.onnx")
    assert list(tmp_path.iterdir()) == []
