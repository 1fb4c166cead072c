"""AFLW at full count, from its published poses, boxes and points, through the whole of facebench.

No method's output on AFLW is published; constant predictors and moved labels are compared with numbers that
are computed here from the published tables alone.
"""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import facebench
from facebench.datasets import prepare
from facebench.errors import InvalidData
from tests.datasets.aflw_release import link_images, write_database

POSE, POINTS = "aflw/pose-all", "aflw/landmarks-aflw21-all"
FIRST = 39341
BINS = ("yaw-0-30", "yaw-30-60", "yaw-60-90")

# Yaw, pitch and roll of a constant prediction, in mnn-yxz.
CONSTANT = np.array([10.0, -5.0, 3.0])


def folder_of(faces, place):
    write_database(place / "data" / "aflw.sqlite", faces)
    link_images(place / "data" / "flickr", sorted({face["path"] for face in faces}))
    return place


@pytest.fixture(scope="module")
def faces(real_data):
    """The 24384 published rectangles and poses, with the 21 points of 4244 of them."""
    with (real_data / "raw" / "aflw_faces.csv").open(encoding="utf-8") as file:
        made = [
            {
                "id": FIRST + at,
                "path": row["filepath"],
                "rect": tuple(int(row[f"rect_{one}"]) for one in "xywh"),
                "pose": tuple(float(row[f"{one}_rad"]) for one in ("yaw", "pitch", "roll")),
            }
            for at, row in enumerate(csv.DictReader(file))
        ]
    known = {(face["path"], face["rect"]): face for face in made}
    text = (real_data / "raw" / "aflw_21pt_4244_faces.txt").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        part = line.split(";")
        numbers = np.array(part[11:], float).reshape(-1, 3)
        face = known[part[0], tuple(int(one) for one in part[1:5])]
        face["points"] = {int(feature): (x, y) for feature, x, y in numbers}
    return made


@pytest.fixture(scope="module")
def dataset(faces, tmp_path_factory):
    place = tmp_path_factory.mktemp("aflw")
    source = folder_of(faces, place / "aflw")
    return facebench.open_dataset(prepare("aflw", [source], place / "aflw.h5", images="none").path)


@pytest.fixture(scope="module")
def labelled(faces, tmp_path_factory):
    """The 4244 faces of which the points are known, prepared as a part of the release."""
    place = tmp_path_factory.mktemp("labelled")
    source = folder_of([face for face in faces if "points" in face], place / "aflw")
    done = prepare("aflw", [source], place / "aflw.h5", images="none", partial=True)
    return facebench.open_dataset(done.path)


@pytest.fixture(scope="module")
def constant(dataset):
    predictions = facebench.Predictions(
        dataset="aflw",
        method="constant",
        ids=dataset.ids,
        euler=np.broadcast_to(CONSTANT, (len(dataset), 3)),
        euler_convention="mnn-yxz",
    )
    return facebench.score(predictions, POSE, dataset)


def canonical(faces):
    """Canonical yaw, pitch, roll in mnn-yxz by their closed forms, and the rotations (PROTOCOLS 2.1, 2.5).

    The pitch of three faces is a hair beyond 90 degrees: their canonical yaw is 180 off the published one.
    """
    yaw, pitch, roll = np.array([face["pose"] for face in faces]).T
    turn = Rotation.from_euler("YXZ", np.column_stack([yaw, -pitch, -roll]))
    r = turn.as_matrix().transpose(1, 2, 0)
    angles = -np.arctan2(r[0, 2], r[2, 2]), np.arcsin(r[1, 2]), np.arctan2(r[1, 0], r[1, 1])
    return np.degrees(angles).T, turn


@pytest.fixture(scope="module")
def truth(faces):
    return canonical(faces)


def test_mae_of_a_constant(constant, truth):
    angles, turn = truth
    off = np.abs(angles - CONSTANT)
    errors = np.minimum(off, 360 - off)
    assert constant.n == 24384
    assert constant.headline.metric == "mae/mnn-yxz"
    assert constant.headline.value == pytest.approx(errors.mean(), rel=1e-9)
    for axis, value in zip(("yaw", "pitch", "roll"), errors.mean(axis=0), strict=True):
        assert constant.get(f"mae-{axis}/mnn-yxz").value == pytest.approx(value, rel=1e-9)
    predicted = Rotation.from_euler("YXZ", CONSTANT * [-1, -1, 1], degrees=True)
    apart = np.degrees((turn.inv() * predicted).magnitude())
    assert constant.get("geodesic").value == pytest.approx(apart.mean(), rel=1e-9)


def test_bins_of_yaw_and_the_balanced_mean(constant, truth):
    angles, _ = truth
    off = np.abs(angles - CONSTANT)
    errors = np.minimum(off, 360 - off).mean(axis=1)
    yaw = np.abs(angles[:, 0])
    members = [yaw <= 30, (yaw > 30) & (yaw <= 60), yaw > 60]
    found = [constant.get("mae/mnn-yxz", name) for name in BINS]
    assert [one.n for one in found] == [int(which.sum()) for which in members]
    assert [one.value for one in found] == pytest.approx([errors[which].mean() for which in members])
    balanced = np.mean([errors[which].mean() for which in members])
    assert constant.get("mae/mnn-yxz", "balanced").value == pytest.approx(balanced)


def test_intervals_draw_images_and_not_faces(constant, dataset):
    assert "interval:bootstrap-1000-seed-0-by-image" in constant.signature
    errors = np.array(constant.per_face["mae/mnn-yxz"])
    # The linear approximation of the standard error of a ratio of sums over the 21121 images.
    by_image = np.bincount(dataset.image_of, errors - errors.mean())
    expected = np.sqrt(np.square(by_image).sum()) / len(errors)
    assert len(by_image) == 21121
    assert constant.headline.high - constant.headline.low == pytest.approx(2 * 1.96 * expected, rel=0.1)


def test_a_pixel_on_every_annotated_point(labelled, faces):
    """Its size against the tight box of the annotated points, and against the rectangle of the release."""
    of_id = {str(face["id"]): face for face in faces}
    assert len(labelled) == 4244
    moved = np.nan_to_num(labelled.annotation("aflw21").points, nan=-1e4) + np.array([0.6, 0.8])
    result = facebench.score(
        facebench.Predictions(
            dataset="aflw", method="one pixel", ids=labelled.ids, scheme="aflw21", landmarks=moved
        ),
        POINTS,
        labelled,
    )
    tight, height = [], []
    for one in labelled.ids:
        width, tall = np.ptp(np.array(list(of_id[one]["points"].values())), axis=0)
        tight.append(100 / np.sqrt(width * tall))
        height.append(100 / of_id[one]["rect"][3])
    assert result.n == 4244
    assert result.per_face["nme/box-sqrt"] == pytest.approx(tight)
    assert result.per_face["nme/box-height@dataset"] == pytest.approx(height)
    assert result.get("nme/box-height@dataset").value == pytest.approx(np.mean(height))
    assert result.get("fr4/box-height@dataset").value == pytest.approx(100 * (np.array(height) > 4).mean())
    angles, _ = canonical([of_id[one] for one in labelled.ids])
    groups = np.searchsorted([30, 60], np.abs(angles[:, 0]))
    means = [np.mean(np.array(tight)[groups == number]) for number in range(3)]
    assert result.headline.metric == "nme/box-sqrt"
    assert result.headline.group == "balanced"
    assert result.headline.value == pytest.approx(np.mean(means))


def test_faces_without_any_point_are_named(dataset):
    nothing = facebench.Predictions(
        dataset="aflw",
        method="nothing",
        ids=dataset.ids,
        scheme="aflw21",
        landmarks=np.zeros((len(dataset), 21, 2)),
    )
    with pytest.raises(InvalidData, match=r"393\d\d \(.*aflw\.h5\).* and \d+ more"):
        facebench.score(nothing, POINTS, dataset)
