from __future__ import annotations

import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest

from facebench.errors import InvalidData, UsageError
from facebench.formats import open_dataset
from facebench.formats.torch_dataset import FaceCrops
from facebench.geometry.crops import transform_points
from tests.formats import toy


def test_facebench_does_not_import_torch():
    code = "import facebench, facebench.cli, facebench.formats, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="session")
def data():
    return pytest.importorskip("torch.utils.data", reason="PyTorch is not installed", exc_type=ImportError)


def test_a_face_is_cropped_with_all_that_belongs_to_it(data, drawn):
    dataset = open_dataset(drawn)
    crops = FaceCrops(dataset, "valid", size=128, margin=0.25)
    assert len(crops) == 34
    one = crops[5]
    row = one["index"]
    assert row == dataset.split("valid")[5]
    assert one["image"].shape == (3, 128, 128)
    assert 0 <= one["image"].min() < one["image"].max() <= 1
    truth = dataset.annotations["original"]
    expected = transform_points(truth.points[row][None], one["transform"].numpy()[None])[0]
    np.testing.assert_allclose(one["points"], expected, atol=1e-4)
    np.testing.assert_allclose([one["points"].min(), one["points"].max()], [20.8, 106.2], atol=8)
    np.testing.assert_allclose(one["rotation"], dataset.rotation[row], atol=1e-6)
    np.testing.assert_array_equal(one["visibility"], truth.visibility[row])
    one = FaceCrops(dataset, "valid", size=256)[5]  # not so small that pixels are averaged
    whole = cv2.warpAffine(dataset[int(row)].image, one["transform"].numpy(), (256, 256))
    difference = np.abs(one["image"].numpy().transpose(1, 2, 0) * 255 - whole)
    assert difference.mean() < 1


def test_flipping_mirrors_picture_and_points_together(data, drawn):
    plain, flipped = (FaceCrops(drawn, size=96, flip=flip, as_uint8=True)[2] for flip in (False, True))
    difference = plain["image"].flip(2).int() - flipped["image"].int()
    assert difference.abs().float().mean() < 1
    nose = 30
    np.testing.assert_allclose(95 - plain["points"][nose, 0], flipped["points"][nose, 0], atol=1e-3)
    np.testing.assert_allclose(95 - plain["points"][0, 0], flipped["points"][16, 0], atol=1e-3)
    np.testing.assert_allclose(plain["rotation"][0, 2], -flipped["rotation"][0, 2], atol=1e-6)


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_workers_give_what_one_process_gives(data, drawn, start):
    if start == "fork" and sys.platform != "linux":
        pytest.skip("fork is not the way here")
    crops = FaceCrops(drawn, "valid", size=64, as_uint8=True)
    cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (900, 900))  # OpenCV's threads are running
    loader = data.DataLoader(crops, 8, num_workers=2, multiprocessing_context=start, timeout=120)
    rows = []
    for batch in loader:
        rows += batch["index"].tolist()
        np.testing.assert_array_equal(batch["image"][0], crops[len(rows) - len(batch["index"])]["image"])
    assert rows == crops.rows.tolist()


def test_it_can_be_pickled(data, drawn):
    crops = FaceCrops(drawn, size=32)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(crops))[7]["image"], crops[7]["image"])


def test_bad_requests_are_refused(data, drawn, tmp_path):
    for options, message in (
        ({"split": "none"}, "no split 'none'"),
        ({"box": "mtcnn"}, "no box 'mtcnn'. Its boxes: landmarks"),
        ({"size": 0}, "a size of 1"),
        ({"margin": -0.5}, "a margin above"),
    ):
        with pytest.raises(UsageError, match=message):
            FaceCrops(drawn, **options)
    path = toy.write(tmp_path / "t.h5", boxes={"dataset": np.full((4, 4), np.nan)})
    with pytest.raises(InvalidData, match="no box 'dataset' with an area for a/1, a/2"):
        FaceCrops(path, annotation="ibug", box="dataset")
