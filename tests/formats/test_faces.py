"""Finding faces in a prepared dataset, by id, position, slice and split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebench.errors import DataMissing, UsageError
from facebench.formats import data_home, open_dataset, prepared_path
from tests.formats import toy


@pytest.fixture
def dataset(toy_path):
    return open_dataset(toy_path)


def test_by_id(dataset):
    for row, name in enumerate(toy.IDS):
        assert (dataset[name].row, dataset[name].id) == (row, name)


@pytest.mark.parametrize(("key", "row"), [(0, 0), (3, 3), (-1, 3), (-4, 0), (np.int64(2), 2)])
def test_by_position(dataset, key, row):
    assert (dataset[key].row, dataset[key].id) == (row, toy.IDS[row])


@pytest.mark.parametrize("key", [slice(1, 3), slice(None), slice(None, None, -1), slice(2, 99), slice(3, 1)])
def test_by_slice(dataset, key):
    assert [face.id for face in dataset[key]] == toy.IDS[key]


def test_iterates_in_order_of_ids_and_knows_its_length(dataset):
    assert [face.id for face in dataset] == toy.IDS
    assert len(dataset) == 4


@pytest.mark.parametrize("key", [4, -5, 10**6])
def test_a_position_beyond_the_last_face(dataset, key):
    with pytest.raises(IndexError, match=rf"face {key} of 4"):
        dataset[key]


def test_an_unknown_id_is_named(dataset, toy_path):
    with pytest.raises(UsageError) as unknown:
        dataset["image00002"]
    assert str(unknown.value) == f"{toy_path}: no face image00002."


def test_unknown_ids_are_named_together(dataset):
    with pytest.raises(UsageError, match=r"no face x0, x1, x2, x3, x4 \.\.\. and 2 more"):
        dataset.rows(["b", *(f"x{number}" for number in range(7))])


def test_rows_of_ids_in_the_order_asked_for(dataset):
    assert dataset.rows(["ć", "a/1", "ć"]).tolist() == [3, 0, 3]
    assert dataset.rows([]).tolist() == []


def test_faces_of_a_split(dataset):
    assert [face.id for face in dataset.faces("some")] == ["a/1", "b"]
    assert list(dataset.faces("empty")) == []


def test_an_unknown_split_lists_the_known_ones(dataset):
    with pytest.raises(UsageError, match=r"no split 'valid'. Its splits: all, empty, some"):
        dataset.split("valid")


def test_an_unknown_annotation_set_lists_the_known_ones(dataset):
    with pytest.raises(DataMissing, match=r"no annotation set 'reannotated', only aflw, ibug"):
        dataset.annotation("reannotated")


def test_a_face_has_its_own_rows_of_everything(dataset):
    for row, face in enumerate(dataset):
        np.testing.assert_array_equal(face.rotation, dataset.rotation[row])
        assert set(face.boxes) == {"dataset", "detector"}
        for name, box in face.boxes.items():
            np.testing.assert_array_equal(box, dataset.boxes[name][row])
        assert set(face.annotations) == {"aflw", "ibug"}
        for name, one in face.annotations.items():
            whole = dataset.annotations[name]
            for part in ("points", "visibility", "points68", "visibility68"):
                np.testing.assert_array_equal(getattr(one, part), getattr(whole, part)[row])


def test_says_what_it_is(dataset, toy_path):
    assert repr(dataset) == f"PreparedDataset(toy, 4 faces, {toy_path})"
    assert repr(dataset["b"]) == "Face('b' of toy)"


class TestDataHome:
    def test_given_comes_first(self, monkeypatch):
        monkeypatch.setenv("FACEBENCH_HOME", "/elsewhere")
        assert data_home("/given") == Path("/given")
        assert prepared_path("aflw2000", "/given") == Path("/given/prepared/aflw2000.h5")

    def test_then_the_environment(self, monkeypatch):
        monkeypatch.setenv("FACEBENCH_HOME", "~/faces")
        assert data_home() == Path.home() / "faces"

    @pytest.mark.parametrize("value", [None, ""])
    def test_then_a_folder_of_its_own_in_the_cache_of_the_platform(self, monkeypatch, value):
        monkeypatch.delenv("FACEBENCH_HOME")
        if value is not None:
            monkeypatch.setenv("FACEBENCH_HOME", value)
        monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
        assert data_home().name == "facebench"
        assert data_home().is_absolute()
