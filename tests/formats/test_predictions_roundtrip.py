"""Predictions come back from every file format as they were given, digit for digit."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from facebench.errors import InvalidData, UsageError
from facebench.formats import Predictions, as_predictions, read_predictions, write_predictions
from facebench.geometry import euler_to_rotation
from tests.formats import wire

ATTRIBUTES = ("dataset", "method", "scheme", "euler_convention", "box", "training_data")


def assert_holds(found, given):
    assert list(found.ids) == list(given["id"])
    assert len(found) == len(given["id"])
    for name in ATTRIBUTES:
        assert getattr(found, name) == given.get(name), name
    for name in wire.ARRAYS:
        if name in given:
            np.testing.assert_array_equal(getattr(found, name), given[name], err_msg=name)
            assert getattr(found, name).dtype == np.float64
        else:
            assert getattr(found, name) is None


def save(path, values):
    words = dict(values)
    write_predictions(path, ids=words.pop("id"), **words)
    return path


SETS = {
    "everything": wire.values(),
    "angles": wire.with_euler(),
    "one face": wire.values(1),
    "landmarks": wire.values(visibility=None, rotation=None),
    "visibility": wire.values(landmarks=None, rotation=None),
    "rotation": wire.values(landmarks=None, visibility=None, scheme=None),
    "no optional attribute": wire.values(box=None, training_data=None),
    "aflw21": wire.values(
        scheme="aflw21", landmarks=np.arange(126.0).reshape(3, 21, 2), visibility=np.ones((3, 21))
    ),
    "ids in another order": wire.values(id=["é/2", "a b", "007"]),
}


@pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())
def test_written_by_facebench(tmp_path, values):
    assert_holds(read_predictions(save(tmp_path / "p.h5", values)), values)


@pytest.mark.parametrize("ending", wire.FORMATS)
@pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())
def test_written_by_others(tmp_path, values, ending):
    assert_holds(read_predictions(wire.write(tmp_path / f"p.{ending}", values)), values)


@pytest.mark.parametrize("ending", wire.FORMATS)
def test_the_file_is_known_by_its_hash(tmp_path, ending):
    path = wire.write(tmp_path / f"p.{ending}", wire.values())
    assert read_predictions(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_numpy_archives_may_be_compressed(tmp_path):
    np.savez_compressed(tmp_path / "p.npz", **wire.values())
    assert_holds(read_predictions(tmp_path / "p.npz"), wire.values())


def test_hdf5_may_be_compressed_and_of_any_float_type(tmp_path):
    values = wire.values(rotation=None, visibility=None)
    points = values["landmarks"].astype(np.float32)
    wire.write_h5(tmp_path / "p.h5", **{**values, "landmarks": points})
    with h5py.File(tmp_path / "p.h5", "r+") as file:
        del file["landmarks"]
        file.create_dataset("landmarks", data=points, chunks=(1, 68, 2), compression="gzip", shuffle=True)
    np.testing.assert_array_equal(read_predictions(tmp_path / "p.h5").landmarks, points)


def test_the_ending_hdf5_is_hdf5(tmp_path):
    wire.write_h5(tmp_path / "p.hdf5", **wire.values())
    assert_holds(read_predictions(tmp_path / "p.hdf5"), wire.values())


@pytest.mark.parametrize("ending", wire.FORMATS)
def test_a_face_that_was_not_found_is_a_row_of_nan(tmp_path, ending):
    values = wire.with_euler()
    for name in ("landmarks", "visibility", "euler"):
        values[name][1] = np.nan
    assert_holds(read_predictions(wire.write(tmp_path / f"p.{ending}", values)), values)
    rotation = wire.values(landmarks=None, visibility=None)
    rotation["rotation"][2] = np.nan
    assert_holds(read_predictions(wire.write(tmp_path / f"r.{ending}", rotation)), rotation)


def test_null_and_an_empty_cell_are_nan(tmp_path):
    start = '{"dataset": "d", "method": "m", "id": ["a"], "euler_convention": "raw-xyz", '
    (tmp_path / "p.json").write_text(start + '"euler": [[1, null, NaN]]}', encoding="utf-8")
    header = "# dataset: d\n# method: m\n# euler_convention: raw-xyz\nid,yaw,pitch,roll\n"
    (tmp_path / "p.csv").write_text(header + "a,1,,nan\n", encoding="utf-8")
    for name in ("p.json", "p.csv"):
        np.testing.assert_array_equal(read_predictions(tmp_path / name).euler, [[1, np.nan, np.nan]])


def test_a_spreadsheet_may_add_a_byte_order_mark_and_windows_line_ends(tmp_path):
    wire.write_csv(tmp_path / "p.csv", **wire.values())
    text = (tmp_path / "p.csv").read_text(encoding="utf-8")
    (tmp_path / "p.csv").write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
    assert_holds(read_predictions(tmp_path / "p.csv"), wire.values())


def test_columns_of_a_table_may_stand_in_any_order(tmp_path):
    header = "# method: m\n# euler_convention: raw-xyz\n# dataset: d\nroll,id,yaw,pitch\n"
    (tmp_path / "p.csv").write_text(header + "3,a,1,2\n", encoding="utf-8")
    np.testing.assert_array_equal(read_predictions(tmp_path / "p.csv").euler, [[1, 2, 3]])


@pytest.mark.parametrize("name", ["NA", "null", "nan", "None", "N/A", "#N/A", "1e5", "True", "-", "007"])
@pytest.mark.parametrize("ending", wire.FORMATS)
def test_an_id_is_the_text_that_it_is(tmp_path, ending, name):
    values = wire.with_euler(2, id=["image00002", name], landmarks=None, visibility=None, scheme=None)
    assert read_predictions(wire.write(tmp_path / f"p.{ending}", values)).ids == ["image00002", name]


@pytest.mark.parametrize("ids", [[39341, 65384], np.array([39341, 65384]), np.array(["39341", "65384"])])
def test_ids_may_be_given_as_the_numbers_that_they_are(tmp_path, ids):
    """AFLW counts its faces."""
    values = wire.with_euler(2, id=ids, landmarks=None, visibility=None, scheme=None)
    paths = [save(tmp_path / "ours.h5", values)]
    paths += [wire.write(tmp_path / f"p.{ending}", values) for ending in ("h5", "npz", "json")]
    for path in paths:
        assert read_predictions(path).ids == ["39341", "65384"], path.name


def test_a_backslash_is_a_character_like_any_other(tmp_path):
    ids = [r"01\xframe_00003", r"C:\u00e9"]
    values = wire.with_euler(2, id=ids, landmarks=None, visibility=None, scheme=None)
    for path in (
        save(tmp_path / "p.h5", values),
        *(wire.write(tmp_path / f"q.{e}", values) for e in wire.FORMATS),
    ):
        assert read_predictions(path).ids == ids


def test_visible_or_not_may_be_given_as_truth_values(tmp_path):
    seen = np.arange(136).reshape(2, 68) % 3 == 0
    values = wire.values(2, visibility=seen, rotation=None)
    for path in (save(tmp_path / "p.h5", values), wire.write(tmp_path / "q.npz", values)):
        np.testing.assert_array_equal(read_predictions(path).visibility, seen.astype(float))


@pytest.mark.parametrize("ending", ["h5", "npz"])
def test_text_of_fixed_length_bytes_is_text(tmp_path, ending):
    """As C, MATLAB and numpy's own byte strings store it."""
    values = wire.with_euler(2, id=np.array([b"image00002", b"image00004"]), method=np.bytes_(b"M"))
    found = read_predictions(wire.write(tmp_path / f"p.{ending}", values))
    assert found.ids == ["image00002", "image00004"]
    assert found.method == "M"


def test_a_format_attribute_of_fixed_length_bytes_is_recognised(tmp_path):
    path = wire.write(tmp_path / "p.h5", wire.values())
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = np.bytes_(b"facebench-predictions")
    assert_holds(read_predictions(path), wire.values())


def test_the_same_predictions_are_the_same_bytes(tmp_path):
    first = save(tmp_path / "one.h5", wire.values()).read_bytes()
    assert save(tmp_path / "new" / "two.h5", wire.values()).read_bytes() == first


def test_anything_array_like_can_be_written(tmp_path):
    ids = (f"image{number}" for number in range(2))
    write_predictions(
        tmp_path / "p.h5",
        dataset="d",
        method="m",
        ids=ids,
        euler=[(1, 2, 3), (4, 5, 6)],
        euler_convention="raw-xyz",
    )
    found = read_predictions(tmp_path / "p.h5")
    assert found.ids == ["image0", "image1"]
    np.testing.assert_array_equal(found.euler, [[1, 2, 3], [4, 5, 6]])
    with h5py.File(tmp_path / "p.h5") as file:
        assert file["euler"].attrs["columns"] == "yaw,pitch,roll"
        assert (file.attrs["format"], file.attrs["version"]) == ("facebench-predictions", 1)


def test_points_without_a_scheme_are_ibug68(tmp_path):
    save(tmp_path / "p.h5", wire.values(scheme=None))
    assert read_predictions(tmp_path / "p.h5").scheme == "ibug68"


class TestPose:
    def test_rotations_of_angles_follow_their_convention(self, tmp_path):
        values = wire.with_euler()
        found = read_predictions(save(tmp_path / "p.h5", values))
        assert found.has_pose
        np.testing.assert_array_equal(found.rotations(), euler_to_rotation(values["euler"], "mnn-yxz"))

    def test_angles_of_their_own_convention_keep_their_turns(self, tmp_path):
        values = wire.with_euler(euler=np.array([[370.0, -10, 725], [0, 200, 0], [1, 2, 3]]))
        found = read_predictions(save(tmp_path / "p.h5", values))
        np.testing.assert_array_equal(found.eulers("mnn-yxz"), values["euler"])
        again = euler_to_rotation(found.eulers("raw-xyz"), "raw-xyz")
        np.testing.assert_allclose(again, found.rotations(), atol=1e-12)

    def test_rotations_are_handed_on(self, tmp_path):
        values = wire.values()
        found = read_predictions(save(tmp_path / "p.h5", values))
        np.testing.assert_array_equal(found.rotations(), values["rotation"])

    def test_points_alone_have_no_pose(self, tmp_path):
        assert not read_predictions(save(tmp_path / "p.h5", wire.values(rotation=None))).has_pose


numbers = st.floats(allow_nan=True, allow_infinity=False, width=64)


@settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    euler=arrays(np.float64, (2, 3), elements=numbers),
    visibility=arrays(np.float64, (2, 21), elements=st.floats(0, 1)),
)
@pytest.mark.parametrize("ending", wire.FORMATS)
def test_any_number_survives(ending, euler, visibility):
    values = wire.with_euler(2, euler=euler, visibility=visibility, scheme="aflw21", landmarks=None)
    with tempfile.TemporaryDirectory() as folder:
        assert_holds(read_predictions(wire.write(Path(folder) / f"p.{ending}", values)), values)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).map(str.strip)


@settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(ids=st.lists(texts.filter(bool), min_size=1, max_size=4, unique=True), method=texts.filter(bool))
def test_any_text_survives(ids, method):
    values = wire.with_euler(len(ids), id=ids, method=method, landmarks=None, visibility=None, scheme=None)
    with tempfile.TemporaryDirectory() as folder:
        assert_holds(read_predictions(save(Path(folder) / "p.h5", values)), values)
        assert_holds(read_predictions(wire.write(Path(folder) / "p.json", values)), values)


# --- Predictions in memory


GIVEN = {"dataset": "aflw2000", "method": "mine", "scheme": "ibug68", "euler_convention": "raw-xyz"}


def in_memory(faces: int = 5) -> dict[str, object]:
    generator = np.random.default_rng(0)
    return {
        **GIVEN,
        "id": [f"face{row}" for row in range(faces)],
        "landmarks": generator.normal(100, 20, (faces, 68, 2)),
        "visibility": generator.integers(0, 2, (faces, 68)).astype(float),
        "euler": generator.normal(0, 10, (faces, 3)),
    }


def same(one: Predictions, other: Predictions) -> bool:
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("landmarks", "visibility", "euler")
    )
    return arrays and list(one.ids) == list(other.ids) and one.method == other.method


def test_a_mapping_holds_what_a_file_holds(tmp_path):
    values = in_memory()
    write_predictions(tmp_path / "p.h5", ids=values["id"], **{k: v for k, v in values.items() if k != "id"})
    assert same(as_predictions(values), as_predictions(tmp_path / "p.h5"))


def test_a_data_frame_holds_what_a_table_holds():
    values = in_memory()
    values["landmarks"][1, 2] = np.nan
    columns = {"id": values["id"]}
    for k in range(68):
        columns |= {f"x{k}": values["landmarks"][:, k, 0], f"y{k}": values["landmarks"][:, k, 1]}
    columns |= {f"v{k}": values["visibility"][:, k] for k in range(68)}
    columns |= {name: values["euler"][:, j] for j, name in enumerate(("yaw", "pitch", "roll"))}
    frame = pandas.DataFrame(columns)
    frame.attrs = dict(GIVEN)
    assert same(as_predictions(frame), as_predictions(values))
    with pytest.raises(InvalidData, match="data frame: header: columns missing or unknown: y3"):
        as_predictions(frame.drop(columns="y3"))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_batches_are_joined(size):
    values = in_memory()

    def batches():
        for begin in range(0, 5, size):
            part = slice(begin, begin + size)
            yield GIVEN | {name: values[name][part] for name in values if name not in GIVEN}

    assert same(as_predictions(batches()), as_predictions(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "other"}, "batch 1 of the predictions: expected the names and attributes of batch 0"),
        ({"euler": None}, "batch 1 of the predictions: expected the names and attributes of batch 0"),
        ({"landmarks": np.zeros((5, 21, 2))}, "'landmarks' has other shapes in some of them"),
    ],
)
def test_batches_that_do_not_fit_are_refused(change, message):
    values = in_memory()
    second = {name: value for name, value in {**values, **change}.items() if value is not None}
    with pytest.raises(InvalidData, match=message):
        as_predictions([values, second])


def test_a_face_in_two_batches_is_refused():
    with pytest.raises(InvalidData, match="face0"):
        as_predictions([in_memory(), in_memory()])


@pytest.mark.parametrize("given", [7, None, b"p.h5", []])
def test_anything_else_is_refused(given):
    with pytest.raises(UsageError, match="expected predictions"):
        as_predictions(given)
