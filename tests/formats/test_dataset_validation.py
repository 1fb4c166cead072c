"""A prepared file that is not what it should be is refused: file, path inside, expected and found."""

from __future__ import annotations

import re
import zipfile

import h5py
import numpy as np
import pytest

from facebench.errors import DataMissing, InvalidData
from facebench.formats import PreparedDataset, open_dataset, write_predictions
from facebench.formats.schema import ROOT_ATTRIBUTES, seal


def replace(where, values):
    def edit(file):
        attributes = dict(file[where].attrs)
        del file[where]
        file[where] = values
        file[where].attrs.update(attributes)

    return edit


def remove(where):
    return lambda file: file.__delitem__(where)


def retitle(where, name, value=None):
    def edit(file):
        if value is None:
            del file[where].attrs[name]
        else:
            file[where].attrs[name] = value

    return edit


NOTHING = "found nothing"
SHAPES = {
    "no ids": (remove("/faces/id"), "/faces/id", "shape (N) of text", NOTHING),
    "no images": (remove("/images"), "/images/path", "shape (M) of text", NOTHING),
    "no offsets": (remove("/images/offset"), "/images/offset", "of integers", NOTHING),
    "no hashes": (remove("/images/sha256"), "/images/sha256", "shape (3, 32) of unsigned", NOTHING),
    "no visibility": (
        remove("/annotations/aflw/visibility"),
        "/annotations/aflw/visibility",
        "shape (4, K) of unsigned",
        NOTHING,
    ),
    "no 68 points": (
        remove("/annotations/aflw/points68"),
        "/annotations/aflw/points68",
        "shape (4, 68, 2) of floats",
        NOTHING,
    ),
    "fewer faces": (
        replace("/pose/rotation", np.zeros((3, 3, 3))),
        "/pose/rotation",
        "shape (4, 3, 3) of floats",
        "shape (3, 3, 3) of float64",
    ),
    "fewer dimensions": (
        replace("/boxes/dataset", np.zeros(4)),
        "/boxes/dataset",
        "shape (4, 4) of floats",
        "shape (4,) of float64",
    ),
    "more dimensions": (
        replace("/splits/some", np.zeros((2, 1), int)),
        "/splits/some",
        "shape (2) of integers",
        "shape (2, 1) of int64",
    ),
    "points of another scheme": (
        replace("/annotations/aflw/points", np.zeros((4, 68, 2))),
        "/annotations/aflw/points",
        "shape (4, 21, 2) of floats",
        "shape (4, 68, 2) of float64",
    ),
    "fewer offsets": (
        replace("/images/offset", np.arange(3)),
        "/images/offset",
        "of integers",
        "shape (3,) of int64",
    ),
    "text for floats": (
        replace("/boxes/detector", np.array([[b"x"] * 4] * 4)),
        "/boxes/detector",
        "shape (4, 4) of floats",
        "shape (4, 4) of |S1",
    ),
    "floats for states": (
        replace("/annotations/aflw/visibility", np.zeros((4, 21))),
        "/annotations/aflw/visibility",
        "of unsigned integers",
        "shape (4, 21) of float64",
    ),
    "numbers for ids": (
        replace("/faces/id", np.arange(4)),
        "/faces/id",
        "of text",
        "shape (4,) of int64",
    ),
    "floats for rows": (
        replace("/faces/image", np.zeros(4)),
        "/faces/image",
        "of integers",
        "shape (4,) of float64",
    ),
    "signed bytes": (
        lambda file: replace("/images/bytes", file["/images/bytes"][()].astype("i1"))(file),
        "/images/bytes",
        "of unsigned integers",
        "of int8",
    ),
    "a group for an array": (
        lambda file: (remove("/pose/source")(file), file.create_group("/pose/source")),
        "/pose/source",
        "of floats",
        "found a group",
    ),
    "unknown scheme": (
        retitle("/annotations/aflw", "scheme", "wflw98"),
        "/annotations/aflw attribute 'scheme'",
        "a known scheme",
        "wflw98",
    ),
    "no scheme": (
        retitle("/annotations/aflw", "scheme"),
        "/annotations/aflw attribute 'scheme'",
        "a known scheme",
        "None",
    ),
    **{
        f"no attribute {name}": (retitle("/", name), f"attribute '{name}'", "present", NOTHING)
        for name in ROOT_ATTRIBUTES
    },
}


@pytest.mark.parametrize(("edit", "where", "expected", "found"), SHAPES.values(), ids=SHAPES.keys())
def test_content_against_the_schema(toy_path, edit, where, expected, found):
    with h5py.File(toy_path, "r+") as file:
        edit(file)
    seal(toy_path, "toy")
    with pytest.raises(InvalidData) as refused:
        open_dataset(toy_path)
    message = str(refused.value)
    assert message.startswith(f"{toy_path}: {where}: expected ")
    before, after = message.split(", found ", 1)
    assert expected in before
    assert found.removeprefix("found ") in after
    assert "facebench prepare" in after


def put(where, row, value):
    def edit(file):
        file[where][row] = value

    return edit


REFERENCES = {
    "unsorted ids": (put("/faces/id", slice(None), ["b", "a/1", "a/2", "ć"]), "/faces/id"),
    "repeated id": (put("/faces/id", 1, "a/1"), "/faces/id"),
    "image beyond the last": (put("/faces/image", 2, 3), "/faces/image"),
    "negative image": (put("/faces/image", 2, -1), "/faces/image"),
    "offsets that go back": (put("/images/offset", 1, 10**6), "/images/offset"),
    "offsets that begin late": (put("/images/offset", 0, 1), "/images/offset"),
    "offsets that end early": (
        lambda file: put("/images/offset", 3, file["/images/bytes"].size - 1)(file),
        "/images/offset",
    ),
    "offsets that end late": (
        lambda file: put("/images/offset", 3, file["/images/bytes"].size + 1)(file),
        "/images/offset",
    ),
    "split row beyond the last": (put("/splits/some", 1, 4), "/splits/some"),
    "negative split row": (put("/splits/all", 0, -1), "/splits/all"),
    "repeated split row": (put("/splits/all", 1, 0), "/splits/all"),
}


@pytest.mark.parametrize(("edit", "where"), REFERENCES.values(), ids=REFERENCES.keys())
def test_rows_that_point_astray(toy_path, edit, where):
    with h5py.File(toy_path, "r+") as file:
        edit(file)
    seal(toy_path, "toy")
    with pytest.raises(InvalidData, match=re.escape(f"{toy_path}: {where}: expected ")):
        open_dataset(toy_path)


def test_provenance_that_is_not_json(toy_path):
    with h5py.File(toy_path, "r+") as file:
        file.attrs["provenance"] = "{not json"
    seal(toy_path, "toy")
    with pytest.raises(InvalidData, match=re.escape(f"{toy_path}: attribute 'provenance'")):
        open_dataset(toy_path)


def test_another_version_of_the_format(toy_path):
    data = toy_path.read_bytes()
    toy_path.write_bytes(data.replace(b"facebench-dataset 1 toy", b"facebench-dataset 2 toy", 1))
    with pytest.raises(InvalidData, match=r"version 2 of the format.*reads version 1.*facebench prepare toy"):
        open_dataset(toy_path)


def make_text(path):
    path.write_text("image,x,y\n" * 100, encoding="utf-8")


def make_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AFLW2000/image00002.jpg", b"x" * 1000)


def make_predictions(path):
    write_predictions(path, dataset="toy", method="M", ids=["a"], rotation=[np.eye(3)])


def make_other_hdf5(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["faces"] = np.zeros(3)


@pytest.mark.parametrize(
    "make", [lambda path: path.write_bytes(b""), make_text, make_zip, make_predictions, make_other_hdf5]
)
def test_a_file_of_another_format(tmp_path, make):
    path = tmp_path / "aflw2000.h5"
    make(path)
    with pytest.raises(InvalidData) as refused:
        open_dataset(path)
    assert str(path) in str(refused.value)
    assert "no 'facebench-dataset' header" in str(refused.value)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_behind_its_header(toy_path, share):
    data = toy_path.read_bytes()
    toy_path.write_bytes(data[: 512 + int(share * (len(data) - 512))])
    with pytest.raises(InvalidData, match=re.escape(str(toy_path)) + ".*cut short"):
        open_dataset(toy_path)


@pytest.mark.parametrize("length", [0, 1, 17, 30, 60, 101, 200, 511, 512, 515, 520])
def test_a_file_cut_short_within_its_header(toy_path, length):
    toy_path.write_bytes(toy_path.read_bytes()[:length])
    with pytest.raises(InvalidData, match=re.escape(str(toy_path))):
        open_dataset(toy_path)


def test_the_last_byte_is_missed(toy_path):
    toy_path.write_bytes(toy_path.read_bytes()[:-1])
    with pytest.raises(InvalidData, match="cut short"):
        open_dataset(toy_path)


def test_a_genuine_sized_file_cut_in_the_middle_of_its_images(drawn, tmp_path):
    data = drawn.read_bytes()
    path = tmp_path / "aflw2000.h5"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidData, match="cut short"):
        open_dataset(path)


def test_an_absent_dataset_says_how_to_make_it(tmp_path):
    with pytest.raises(DataMissing) as missing:
        open_dataset("aflw2000", tmp_path)
    assert str(tmp_path / "prepared" / "aflw2000.h5") in str(missing.value)
    assert "'facebench prepare aflw2000'" in str(missing.value)


def test_a_name_is_looked_for_in_the_data_home(drawn, tmp_path, monkeypatch):
    place = tmp_path / "home" / "prepared" / "aflw2000.h5"
    place.parent.mkdir(parents=True)
    place.write_bytes(drawn.read_bytes())
    monkeypatch.setenv("FACEBENCH_HOME", str(tmp_path / "home"))
    assert open_dataset("aflw2000").path == place
    assert open_dataset("aflw2000", tmp_path / "home").path == place
    assert len(PreparedDataset(place)) == 36
