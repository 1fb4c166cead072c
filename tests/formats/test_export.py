from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from facebench.errors import DataMissing, FacebenchError, InvalidData, UsageError
from facebench.formats import open_dataset
from facebench.formats.export import EXPORTS, export
from facebench.geometry import rotation_to_euler
from tests.formats import toy


@pytest.fixture
def faces(drawn):
    return open_dataset(drawn)


def test_coco_says_where_and_whether_seen(toy_path, tmp_path):
    dataset = open_dataset(toy_path)
    assert export(dataset, "coco", tmp_path / "c.json", annotation="aflw") == 4
    made = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    one = dataset.annotations["aflw"]
    for row, annotation in enumerate(made["annotations"]):
        found = np.array(annotation["keypoints"]).reshape(-1, 3)
        known = np.isfinite(one.points[row]).all(axis=1)
        np.testing.assert_array_equal(found[known, :2], one.points[row][known])
        np.testing.assert_array_equal(found[known, 2], np.where(one.visibility[row] <= 1, 2, 1)[known])
        assert not found[~known].any()
        assert annotation["num_keypoints"] == known.sum()
        low, high = np.nanmin(one.points[row], axis=0), np.nanmax(one.points[row], axis=0)
        np.testing.assert_allclose(annotation["bbox"], [*low, *(high - low)])
        assert annotation["face_id"] == toy.IDS[row]
    assert [image["file_name"] for image in made["images"]] == list(toy.PICTURES)
    assert (made["images"][1]["width"], made["images"][1]["height"]) == (20, 30)
    assert [a["image_id"] for a in made["annotations"]] == [1, 1, 2, 3]
    assert len(made["categories"][0]["keypoints"]) == 21


def test_coco_takes_the_stored_box(faces, tmp_path):
    export(faces, "coco", tmp_path / "c.json", "valid")
    made = json.loads((tmp_path / "c.json").read_text())
    box = faces.boxes["landmarks"][faces.split("valid")[0]]
    np.testing.assert_array_equal(made["annotations"][0]["bbox"][:2], box[:2])
    assert len(made["annotations"]) == len(made["images"]) == 34


def test_pts_are_one_based_in_folders_of_the_id(toy_path, tmp_path):
    dataset = open_dataset(toy_path)
    assert export(dataset, "pts", tmp_path / "new" / "p", annotation="ibug") == 4
    lines = (tmp_path / "new" / "p" / "a" / "2.pts").read_text().splitlines()
    assert lines[:3] == ["version: 1", "n_points: 68", "{"]
    assert lines[-1] == "}"
    found = np.array([line.split() for line in lines[3:-1]], float)
    np.testing.assert_allclose(found - 1, dataset.annotations["ibug"].points[1], atol=1e-12)
    assert (tmp_path / "new" / "p" / "ć.pts").is_file()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["p"]


def test_csv_has_everything_a_face_has(faces, tmp_path):
    export(faces, "csv", tmp_path / "t.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert [row["id"] for row in rows] == faces.ids
    points = [[[float(row[f"{axis}{k}"]) for axis in "xy"] for k in range(68)] for row in rows]
    np.testing.assert_array_equal(points, faces.annotations["original"].points)
    euler = [[float(row[axis]) for axis in ("yaw", "pitch", "roll")] for row in rows]
    np.testing.assert_array_equal(euler, rotation_to_euler(faces.rotation, "raw-xyz"))
    assert float(rows[3]["box_landmarks_y_max"]) == faces.boxes["landmarks"][3, 3]


def test_csv_leaves_the_unknown_empty(toy_path, tmp_path):
    export(open_dataset(toy_path), "csv", tmp_path / "t.csv", annotation="aflw")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text(encoding="utf-8"))))
    assert rows[1]["x3"] == rows[1]["y3"] == ""
    assert rows[1]["x4"] != ""


def test_npz_needs_no_pickle(toy_path, tmp_path):
    dataset = open_dataset(toy_path)
    export(dataset, "npz", tmp_path / "a.npz", "some", "aflw")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as made:
        assert made["id"].tolist() == ["a/1", "b"]
        np.testing.assert_array_equal(made["points"], dataset.annotations["aflw"].points[[0, 2]])
        np.testing.assert_array_equal(made["rotation"], dataset.rotation[[0, 2]])
        assert made["scheme"] == "aflw21"
        assert made["box_detector"].shape == (2, 4)


@pytest.mark.parametrize("kind", [kind for kind in EXPORTS if kind != "pts"])
def test_the_same_dataset_gives_the_same_bytes(faces, tmp_path, kind):
    for name in "ab":
        export(faces, kind, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


BAD = {
    "format": (("xml", "o"), UsageError, "Unknown format 'xml'"),
    "split": (("csv", "o", "none"), UsageError, "no split 'none'"),
    "empty split": (("csv", "o", "empty", "ibug"), UsageError, "no face in split 'empty'"),
    "set": (("csv", "o", None, "nose"), DataMissing, "no annotation set 'nose'"),
    "which set": (("csv", "o"), UsageError, "several annotation sets (aflw, ibug)"),
    "folder in the way": (("csv", "full", None, "ibug"), UsageError, "is a folder"),
    "full folder": (("pts", "full", None, "ibug"), UsageError, "not an empty folder"),
    "below a file": (("pts", "full/file/x", None, "ibug"), FacebenchError, "could not be written"),
    "table below a file": (("csv", "full/file/x", None, "ibug"), FacebenchError, "could not be written"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_one_message_and_leave_nothing(toy_path, tmp_path, case):
    (kind, target, *rest), error, message = BAD[case]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error) as raised:
        export(open_dataset(toy_path), kind, tmp_path / target, *rest)
    assert message in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../b", "/b", "b/../../c", "a//b", "b\\c", "C:b"])
def test_an_id_that_leaves_its_folder_is_refused(tmp_path, name):
    path = toy.write(tmp_path / "toy.h5", ids=sorted(["a/1", "a/2", name, "ć"]))
    with pytest.raises(InvalidData, match="no path within a folder"):
        export(open_dataset(path), "pts", tmp_path / "p", annotation="ibug")
    assert [path.name for path in tmp_path.iterdir()] == ["toy.h5"]


def test_an_empty_folder_is_filled(toy_path, tmp_path):
    (tmp_path / "p").mkdir()
    assert export(open_dataset(toy_path), "pts", tmp_path / "p", annotation="ibug") == 4
