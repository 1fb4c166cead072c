"""Numbers of published artefacts on the genuine AFLW2000-3D, through the whole of facebench.

Their sources are in the documentation under 'Facts and sources'.
"""

from __future__ import annotations

import numpy as np
import pytest

import facebench
from facebench.errors import InvalidData
from facebench.geometry import rotation_to_euler
from facebench.protocols import predict_baseline

POSE, ORIGINAL, REANNOTATED = (
    f"aflw2000/{name}" for name in ("pose", "landmarks-original", "landmarks-reannotated")
)


@pytest.fixture(scope="module")
def dataset(genuine):
    return facebench.open_dataset(genuine)


def test_2dasl_lacks_two_faces_and_is_refused_with_both_named(dataset, two_dasl):
    for protocol in (POSE, ORIGINAL, REANNOTATED):
        with pytest.raises(InvalidData, match=r"image02139, image03862.*--missing exclude"):
            facebench.score(two_dasl, protocol, dataset)


def test_2dasl_nme_against_the_original_labels(dataset, two_dasl):
    result = facebench.score(two_dasl, ORIGINAL, dataset, missing="exclude")
    assert result.n == 1998
    assert result.get("nme/box-sqrt").value == pytest.approx(3.152, abs=5e-4)
    for group, value in (("0-30", 2.671), ("30-60", 3.605), ("60-90", 4.659)):
        assert result.get("nme/box-sqrt", f"yaw-raw-{group}").value == pytest.approx(value, abs=5e-4)


def test_2dasl_nme_against_the_reannotated_labels(dataset, two_dasl):
    result = facebench.score(two_dasl, REANNOTATED, dataset, missing="exclude")
    assert result.get("nme/box-sqrt").value == pytest.approx(2.721, abs=5e-4)


def test_2dasl_pose(dataset, two_dasl):
    result = facebench.score(two_dasl, POSE, dataset, missing="exclude")
    assert result.n == 1967
    assert result.get("mae/raw-xyz").value == pytest.approx(3.755, abs=5e-4)
    for axis, value in (("pitch", 5.057), ("yaw", 2.711), ("roll", 3.498)):
        assert result.get(f"mae-{axis}/raw-xyz").value == pytest.approx(value, abs=5e-4)


@pytest.fixture(scope="module")
def baseline(dataset, tmp_path_factory):
    def run(model: str) -> facebench.Result:
        path = tmp_path_factory.mktemp("baseline") / "predictions.h5"
        predict_baseline(model, dataset, path)
        return facebench.score(path, POSE, dataset)

    return run


def test_zero_predictor(baseline):
    result = baseline("zero-pose")
    assert result.n == 1969
    expected = {
        "mae/raw-xyz": 17.87523,
        "mae-yaw/raw-xyz": 26.17338,
        "mae-pitch/raw-xyz": 13.95006,
        "mae-roll/raw-xyz": 13.50227,
        "geodesic": 34.43116,
        "maev": 25.7894,
        "mae/mnn-yxz": 15.49172,
    }
    for metric, value in expected.items():
        digits = len(str(value).partition(".")[2])
        assert round(result.get(metric).value, digits) == value, metric


def test_mean_predictor(baseline):
    assert baseline("mean-pose").get("mae/raw-xyz").value == pytest.approx(17.38635, abs=5e-6)


@pytest.fixture(scope="module")
def labels_against_labels(dataset):
    """Score the original labels as if they were predictions, against the reannotated ones."""
    predictions = facebench.Predictions(
        dataset="aflw2000",
        method="original labels",
        ids=dataset.ids,
        scheme="ibug68",
        landmarks=dataset.annotations["original"].points,
    )
    return facebench.score(predictions, REANNOTATED, dataset)


def test_original_against_reannotated_labels(labels_against_labels):
    result = labels_against_labels
    assert result.n == 2000
    expected = {
        ("nme/box-sqrt", "all"): 3.0832,
        ("nme/box-sqrt", "yaw-raw-0-30"): 2.7899,
        ("nme/box-sqrt", "yaw-raw-30-60"): 3.1978,
        ("nme/box-sqrt", "yaw-raw-60-90"): 4.2006,
        ("nme/box-sqrt", "balanced"): 3.3961,
        ("nme/box-diagonal", "all"): 2.1727,
        ("nme/box-height", "all"): 3.0246,
        ("auc6/box-sqrt", "all"): 49.8285,
        ("auc7/box-sqrt", "all"): 56.6948,
        ("fr6/box-sqrt", "all"): 3.30,
        ("fr7/box-sqrt", "all"): 1.35,
    }
    for (metric, group), value in expected.items():
        assert result.get(metric, group).value == pytest.approx(value, abs=5.1e-5), (metric, group)


def test_reannotated_against_original_labels(dataset):
    predictions = facebench.Predictions(
        dataset="aflw2000",
        method="reannotated labels",
        ids=dataset.ids,
        scheme="ibug68",
        landmarks=dataset.annotations["reannotated"].points,
    )
    result = facebench.score(predictions, ORIGINAL, dataset)
    assert result.get("nme/box-sqrt").value == pytest.approx(3.0884, abs=5e-5)


def test_stored_angles_of_valid_faces_are_canonical(dataset):
    stored = np.degrees(dataset.pose_source[:, [1, 0, 2]])
    canonical = rotation_to_euler(dataset.rotation, "raw-xyz")
    differs = np.abs(stored - canonical).max(axis=1) > 1e-3
    assert differs.sum() == 10
    assert not differs[dataset.split("valid")].any()
