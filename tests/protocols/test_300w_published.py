"""Published numbers of SPIGA on the public 300W (PROTOCOLS 2.4, 3.2, 3.7), through the whole of facebench.

The ground truth and the predictions of SPIGA's repository are the points of the release, from which the
poses are computed here.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import facebench
from facebench.datasets.mean_face import read_mean_face
from facebench.formats import AnnotationSet
from facebench.geometry import RECIPES, convert, tight_box
from facebench.protocols import predict_baseline
from tests.protocols.hand_made import check, write

LANDMARKS, SPIGA, MNN = "300w/landmarks", "300w/pose-spiga", "300w/pose-mnn"
FOLDERS = {"helen": "helen/testset", "lfpw": "lfpw/testset", "challenging": "ibug"}


@pytest.fixture(scope="module")
def published(spiga):
    return spiga[0]


@pytest.fixture(scope="module")
def ids(spiga):
    return spiga[1]


@pytest.fixture(scope="module")
def dataset(real_data, published, ids, tmp_path_factory):
    points = dict(zip(ids, published["gt_landmarks68"], strict=True))
    names = sorted(ids)
    truth = np.array([points[one] for one in names])
    splits = {
        split: np.flatnonzero([one.startswith(f"{folder}/") for one in names])
        for split, folder in FOLDERS.items()
    }
    splits["common"] = np.union1d(splits["helen"], splits["lfpw"])
    splits["full"] = np.arange(len(names))
    model = read_mean_face((real_data / "raw" / "mean_face_3d_68.csv").read_bytes(), "ibug68")
    used = np.isfinite(model).all(axis=1)
    box = tight_box(truth)
    return write(
        tmp_path_factory.mktemp("300w") / "300w.h5",
        "300w",
        names,
        annotations={"ibug68": AnnotationSet("ibug68", truth, np.zeros(truth.shape[:2], np.uint8))},
        splits=splits,
        boxes={"landmarks": box},
        poses={name: recipe(truth[:, used], box, model[used]) for name, recipe in RECIPES.items()},
    )


@pytest.fixture(scope="module")
def landmarks(dataset, spiga_predictions):
    return facebench.score(spiga_predictions, LANDMARKS, dataset)


def test_groups_have_their_published_sizes(landmarks):
    sizes = {group: landmarks.get("nme/corners", group).n for group in ("all", "common", "challenging")}
    assert sizes == {"all": 689, "common": 554, "challenging": 135}
    assert [landmarks.get("nme/corners", group).n for group in ("helen", "lfpw")] == [330, 224]
    assert landmarks.headline.metric == "nme/corners"


@pytest.mark.parametrize(
    ("normaliser", "full", "common", "challenging"),
    [
        ("corners", "2.9937", "2.5871", "4.6623"),
        ("pupils6", "4.2034", "3.5871", "6.7325"),
        ("pupils-corners", "4.2338", "3.6160", "6.7688"),
        ("box-height", "1.7497", "1.5663", "2.5026"),
        ("box-sqrt", "1.7417", "1.5522", "2.5193"),
        ("box-diagonal", "1.2294", "1.0960", "1.7767"),
    ],
)
def test_nme(landmarks, normaliser, full, common, challenging):
    key = f"nme/{normaliser}"
    check(landmarks, {(key, "all"): full, (key, "common"): common, (key, "challenging"): challenging})


def test_exact_auc_and_failure_rate(landmarks):
    numbers = {
        "auc8/corners": "62.7205",
        "fr8/corners": "0.7257",
        "auc10/corners": "70.0858",
        "fr10/corners": "0.2903",
        "auc8/pupils6": "48.5976",
        "fr8/pupils6": "4.0639",
    }
    check(landmarks, {(key, "all"): text for key, text in numbers.items()})


def test_all_faces_are_the_mean_over_faces_and_not_over_the_two_parts(landmarks):
    parts = [landmarks.get("nme/corners", group) for group in ("common", "challenging")]
    weighted = sum(one.value * one.n for one in parts) / 689
    assert weighted == pytest.approx(landmarks.get("nme/corners").value, rel=1e-12)


def test_one_pixel_everywhere(dataset):
    """What a pixel amounts to tells the normalisers apart, the two definitions of the pupils too."""
    moved = facebench.Predictions(
        dataset="300w",
        method="one pixel",
        ids=dataset.ids,
        scheme="ibug68",
        landmarks=dataset.annotations["ibug68"].points + np.array([0.6, 0.8]),
    )
    numbers = {
        "nme/pupils6": "1.1340",
        "nme/pupils-corners": "1.1408",
        "nme/corners": "0.8047",
        "nme/box-sqrt": "0.4652",
        "nme/box-diagonal": "0.3284",
    }
    check(facebench.score(moved, LANDMARKS, dataset), {(key, "all"): text for key, text in numbers.items()})


def test_points_of_another_scheme_are_scored_where_they_are_the_same(dataset, spiga_predictions):
    given = facebench.read_predictions(spiga_predictions)
    points = convert(given.landmarks, "ibug68", "cofw29")
    fewer = dataclasses.replace(given, landmarks=np.nan_to_num(points), scheme="cofw29")
    result = facebench.score(fewer, LANDMARKS, dataset, resamples=0)
    assert "points:16-of-ibug68-exact-from-cofw29" in result.signature
    whole = facebench.score(given, LANDMARKS, dataset, resamples=0)
    assert {name: whole.per_point[name] for name in result.per_point} == pytest.approx(result.per_point)


def test_the_poses_of_spiga_are_those_of_its_recipe(dataset, published, ids):
    stored = facebench.Predictions(
        dataset="300w",
        method="stored",
        ids=ids,
        euler=published["gt_headpose"][:, :3],
        euler_convention="mnn-yxz",
    )
    result = facebench.score(stored, SPIGA, dataset, resamples=0)
    assert max(result.per_face["mae/mnn-yxz"]) < 1e-6
    assert max(result.per_face["geodesic"]) < 1e-5


def test_pose(dataset, spiga_predictions):
    result = facebench.score(spiga_predictions, SPIGA, dataset)
    assert result.headline.metric == "mae/mnn-yxz"
    check(
        result,
        {
            ("mae/mnn-yxz", "all"): "1.2948",
            ("mae-yaw/mnn-yxz", "all"): "1.4117",
            ("mae-pitch/mnn-yxz", "all"): "1.7012",
            ("mae-roll/mnn-yxz", "all"): "0.7717",
            ("mae/mnn-yxz", "common"): "1.1383",
            ("mae/mnn-yxz", "challenging"): "1.9374",
            ("geodesic", "all"): "2.6580",
            ("maev", "all"): "2.0625",
            ("mae/raw-xyz", "all"): "1.2970",
        },
    )


def test_pose_against_the_recipe_of_mnn(dataset, spiga_predictions):
    check(facebench.score(spiga_predictions, MNN, dataset), {("mae/mnn-yxz", "all"): "1.2836"})


def test_the_two_recipes_differ_by_a_quarter_of_a_degree(dataset):
    other = facebench.Predictions(
        dataset="300w", method="MNN's poses", ids=dataset.ids, rotation=dataset.poses["mnn"]
    )
    numbers = {"mae-yaw/mnn-yxz": "0.25", "mae-pitch/mnn-yxz": "0.24", "mae-roll/mnn-yxz": "0.08"}
    check(facebench.score(other, SPIGA, dataset), {(key, "all"): text for key, text in numbers.items()})


def test_zero_predictor(dataset, tmp_path):
    predict_baseline("zero-pose", dataset, tmp_path / "zero.h5")
    check(
        facebench.score(tmp_path / "zero.h5", SPIGA, dataset),
        {
            ("mae-yaw/mnn-yxz", "all"): "9.8978",
            ("mae-pitch/mnn-yxz", "all"): "7.7599",
            ("mae-roll/mnn-yxz", "all"): "6.5332",
            ("mae/mnn-yxz", "all"): "8.0636",
            ("mae/mnn-yxz", "common"): "6.7698",
            ("mae/mnn-yxz", "challenging"): "13.3731",
        },
    )
