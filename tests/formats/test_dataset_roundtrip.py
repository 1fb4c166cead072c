"""What is written into a prepared dataset is what is read from it, and the same content is the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from facebench.errors import InvalidData
from facebench.formats import (
    VISIBILITY,
    AnnotationSet,
    ids_sha256,
    is_intact,
    open_dataset,
    write_dataset,
)
from tests.formats import toy

# PROTOCOLS 1.1 and 1.2: the labels of AFLW's 21 points, and where the labels shared by all releases stand
# among the 68.
AFLW_LABELS = [1, 2, 3, 4, 5, 6, 7, 101, 8, 11, 102, 12, 15, 16, 17, 18, 19, 20, 103, 21, 24]
IBUG_OF_LABEL = {
    1: 17,
    2: 19,
    3: 21,
    4: 22,
    5: 24,
    6: 26,
    7: 36,
    8: 39,
    11: 42,
    12: 45,
    16: 31,
    17: 30,
    18: 35,
    20: 48,
    21: 54,
    22: 51,
    23: 57,
    24: 8,
}
EXACT = {aflw: IBUG_OF_LABEL[label] for aflw, label in enumerate(AFLW_LABELS) if label in IBUG_OF_LABEL}


def test_every_array_comes_back(toy_path):
    given, found = toy.content(), open_dataset(toy_path)
    assert found.ids == list(given.ids)
    assert found.image_paths == list(toy.PICTURES)
    np.testing.assert_array_equal(found.image_of, given.image_of)
    assert list(found.poses) == ["first", "second"]
    for name, rotation in given.poses.items():
        np.testing.assert_array_equal(found.poses[name], rotation)
    np.testing.assert_array_equal(found.rotation, given.poses["first"])
    assert found.groups == given.groups
    assert found.paths == given.paths
    np.testing.assert_array_equal(found.pose_source, given.pose_source)
    for name in ("boxes", "source", "splits"):
        theirs, ours = getattr(given, name), getattr(found, name)
        assert set(ours) == set(theirs)
        for key, values in theirs.items():
            np.testing.assert_array_equal(ours[key], values)
            assert ours[key].dtype == values.dtype
    assert set(found.annotations) == {"aflw", "ibug"}
    for key, annotation in given.annotations.items():
        assert found.annotations[key].scheme == annotation.scheme
        for part in ("points", "visibility", "points68", "visibility68"):
            np.testing.assert_array_equal(getattr(found.annotation(key), part), getattr(annotation, part))


def test_texts_come_back(toy_path):
    found = open_dataset(toy_path)
    assert (found.name, found.licence, found.citation) == ("toy", "none; drawn by hand: ©", "@misc{toy}")
    assert found.provenance == toy.PROVENANCE
    with h5py.File(toy_path) as file:
        assert (file.attrs["format"], file.attrs["version"]) == ("facebench-dataset", 1)
        assert file["/pose/source"].attrs["columns"] == "yaw, pitch"


def test_image_sizes_and_hashes_are_those_of_the_encoded_images(toy_path):
    found = open_dataset(toy_path)
    np.testing.assert_array_equal(found.image_sizes, [[12, 8], [20, 30], [12, 8]])
    for row, data in enumerate(toy.PICTURES.values()):
        assert found.image_sha256[row].tobytes() == hashlib.sha256(data).digest()


def test_a_split_carries_its_count_and_the_hash_of_its_ids(toy_path):
    with h5py.File(toy_path) as file:
        some = file["/splits/some"]
        assert some.attrs["count"] == 2
        assert some.attrs["sha256"] == hashlib.sha256(b"a/1\nb\n").hexdigest()
        assert file["/splits/empty"].attrs["sha256"] == hashlib.sha256(b"").hexdigest()


def test_the_hash_of_ids_is_that_of_the_sorted_lines():
    assert ids_sha256(["b", "ć", "a"]) == hashlib.sha256("a\nb\nć\n".encode()).hexdigest()


def test_a_dataset_without_pose_boxes_or_splits_has_nan_and_nothing(tmp_path):
    bare = {
        "poses": {},
        "pose_source": None,
        "pose_columns": "",
        "boxes": {},
        "splits": {},
        "source": {},
    }
    found = open_dataset(toy.write(tmp_path / "toy.h5", **bare))
    assert found.rotation.shape == (4, 3, 3)
    assert np.isnan(found.rotation).all()
    assert np.isnan(found[0].rotation).all()
    assert found.pose_source.shape == (4, 0)
    assert (found.boxes, found.splits, found.source) == ({}, {}, {})
    assert found[1].boxes == {}


def test_head_of_the_file_tells_what_it_is(toy_path):
    data = toy_path.read_bytes()
    first, second = data[:512].decode("ascii").splitlines()[:2]
    assert first == "facebench-dataset 1 toy"
    begin = data.index(toy.PICTURES["a.png"])
    end = begin + sum(len(image.read()) for image in toy.content().images)
    digest = hashlib.sha256(data[512:begin] + data[end:]).hexdigest()
    assert second == f"sha256 {digest} without {begin} to {end}"
    assert data[512:520] == b"\x89HDF\r\n\x1a\n"
    assert open_dataset(toy_path).sha256 == second.split()[1]
    assert is_intact(toy_path) is True


class TestAsSixtyEightPoints:
    def test_a_scheme_of_21_gives_its_16_exact_points_and_nothing_else(self, toy_path):
        assert len(EXACT) == 16
        aflw = open_dataset(toy_path).annotations["aflw"]
        for annotation in (aflw, open_dataset(toy_path)[2].annotations["aflw"]):
            points, visibility = annotation.points68, annotation.visibility68
            for theirs, ours in EXACT.items():
                np.testing.assert_array_equal(points[..., ours, :], annotation.points[..., theirs, :])
                np.testing.assert_array_equal(visibility[..., ours], annotation.visibility[..., theirs])
            others = sorted(set(range(68)) - set(EXACT.values()))
            assert np.isnan(points[..., others, :]).all()
            assert (visibility[..., others] == VISIBILITY["unknown"]).all()

    def test_the_file_holds_them_too_for_readers_without_facebench(self, toy_path):
        aflw = toy.content().annotations["aflw"]
        with h5py.File(toy_path) as file:
            stored = file["/annotations/aflw"]
            np.testing.assert_array_equal(stored["points68"], aflw.points68)
            np.testing.assert_array_equal(stored["visibility68"], aflw.visibility68)
            assert stored["points68"].shape == (4, 68, 2)

    def test_for_ibug68_itself_they_are_a_second_link_to_the_same_array(self, toy_path):
        with h5py.File(toy_path) as file:
            for group, linked in (("ibug", True), ("aflw", False)):
                for name in ("points", "visibility"):
                    one, other = (file[f"/annotations/{group}/{name}{tail}"] for tail in ("", "68"))
                    assert (one == other) is linked


class TestSameContentSameBytes:
    def test_written_twice(self, tmp_path):
        first = toy.write(tmp_path / "one.h5").read_bytes()
        assert toy.write(tmp_path / "deeper" / "two.h5").read_bytes() == first

    def test_written_over_an_older_file(self, tmp_path):
        path = toy.write(tmp_path / "toy.h5")
        first = path.read_bytes()
        toy.write(path, splits={})
        assert path.read_bytes() != first
        assert toy.write(path).read_bytes() == first

    def test_from_another_process_at_another_time(self, drawn, tmp_path):
        """Nothing of the clock, the time zone, the hash seed or the working directory is in the file."""
        time.sleep(max(0.0, 1.1 - (time.time() - drawn.stat().st_mtime)))
        script = (
            "import sys; from pathlib import Path; from facebench.datasets import prepare\n"
            "prepare('aflw2000', [sys.argv[1]], Path('again.h5'), partial=True)\n"
        )
        environment = {**os.environ, "PYTHONHASHSEED": "123", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
        words = [sys.executable, "-c", script, str(drawn.parent / "release")]
        subprocess.run(words, cwd=tmp_path, env=environment, check=True, timeout=60)
        assert (tmp_path / "again.h5").read_bytes() == drawn.read_bytes()

    @pytest.mark.parametrize(
        "changes",
        [
            {"licence": "other"},
            {"splits": {"all": np.arange(3)}},
            {"poses": {"first": np.zeros((4, 3, 3))}},
            {"images": [toy.picture(name) for name in ("b.png", "a.png", "c.jpg")]},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_other_content_has_another_hash(self, toy_path, tmp_path, changes):
        other = open_dataset(toy.write(tmp_path / "other.h5", **changes))
        assert other.sha256 != open_dataset(toy_path).sha256


class TestContentThatNoReaderWouldAccept:
    """It must not be written: the mistake belongs to whoever adds a dataset, not to whoever opens it."""

    @pytest.mark.parametrize(
        ("changes", "where"),
        [
            ({"ids": ["b", "a/1", "a/2", "ć"]}, "/faces/id"),
            ({"ids": ["a/1", "a/1", "b", "ć"]}, "/faces/id"),
            ({"image_of": np.array([0, 0, 1, 3])}, "/faces/image"),
            ({"image_of": np.array([0, 0, 1, -1])}, "/faces/image"),
            ({"splits": {"all": np.array([0, 4])}}, "/splits/all"),
            ({"image_of": np.arange(3)}, "/faces/image"),
            ({"image_of": np.arange(4.0)}, "/faces/image"),
            ({"poses": {"first": np.zeros((3, 3, 3))}}, "/pose/rotation"),
            ({"boxes": {"dataset": np.zeros((4, 2))}}, "/boxes/dataset"),
            ({"source": {"roi": np.zeros((5, 4))}}, "/source/roi"),
            (
                {
                    "annotations": {
                        "x": AnnotationSet("ibug68", np.zeros((4, 21, 2)), np.zeros((4, 21), "u1"))
                    }
                },
                "/annotations/x/points",
            ),
        ],
        ids=[
            *(
                "unsorted ids",
                "repeated id",
                "image beyond the last",
                "negative image",
                "split beyond the last",
            ),
            *("too few faces", "fractional image", "rotation", "box", "source", "points"),
        ],
    )
    def test_is_refused_by_name_and_leaves_no_file(self, tmp_path, changes, where):
        target = tmp_path / "toy.h5"
        with pytest.raises(InvalidData) as refused:
            write_dataset(target, toy.content(**changes), dict)
        assert where in str(refused.value)
        assert str(target) in str(refused.value)
        assert list(tmp_path.iterdir()) == []
