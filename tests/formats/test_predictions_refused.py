"""Values that contradict each other are named, all of them at once, from whatever file they come."""

from __future__ import annotations

import re

import numpy as np
import pytest

from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import read_predictions, write_predictions
from tests.formats import wire

FLIP = np.diag([1.0, 1, -1])


def set_row(array, row, value):
    changed = np.array(array)
    changed[row] = value
    return changed


GOOD = wire.values()
FAULTS = {
    "no dataset": ({"dataset": None}, "attribute 'dataset': missing"),
    "blank method": ({"method": "  "}, "attribute 'method': missing"),
    "no ids": ({"id": None}, "id: missing or empty; expected one face id per row"),
    "repeated ids": ({"id": ["a", "b", "a"]}, "id: duplicated: a"),
    "no array": (
        {"landmarks": None, "visibility": None, "rotation": None},
        "expected at least one of landmarks, visibility, rotation, euler, found none",
    ),
    "fewer rows": (
        {"landmarks": GOOD["landmarks"][:2]},
        "landmarks: expected shape (3, 68, 2), found (2, 68, 2)",
    ),
    "points of another scheme": (
        {"scheme": "aflw21"},
        "landmarks: expected shape (3, 21, 2), found (3, 68, 2)",
    ),
    "transposed points": (
        {"landmarks": GOOD["landmarks"].transpose(0, 2, 1)},
        "landmarks: expected shape (3, 68, 2), found (3, 2, 68)",
    ),
    "visibility without points": (
        {"visibility": np.ones(3)},
        "visibility: expected shape (3, 68), found (3,)",
    ),
    "visibility of other points": (
        {"visibility": np.ones((3, 29))},
        "visibility: expected shape (3, 68), found (3, 29)",
    ),
    "one rotation": (
        {"rotation": np.eye(3)},
        "rotation: expected shape (3, 3, 3), found (3, 3)",
    ),
    "quaternions": (
        {"rotation": np.ones((3, 4))},
        "rotation: expected shape (3, 3, 3), found (3, 4)",
    ),
    "unknown scheme": ({"scheme": "wflw98"}, "attribute 'scheme': unknown 'wflw98'; known schemes: "),
    "unknown convention": (
        {"rotation": None, "euler": np.zeros((3, 3)), "euler_convention": "zyx"},
        "attribute 'euler_convention': unknown 'zyx'; known are raw-xyz, upm-xyz, mnn-yxz, aflw-yxz",
    ),
    "unknown convention beside a rotation": (
        {"euler_convention": "zyx"},
        "attribute 'euler_convention': unknown 'zyx'",
    ),
    "angles without convention": (
        {"rotation": None, "euler": np.zeros((3, 3))},
        "attribute 'euler_convention': missing; euler needs one of raw-xyz,",
    ),
    "angles and rotation": (
        {"euler": np.zeros((3, 3)), "euler_convention": "raw-xyz"},
        "rotation: given together with euler; keep one of them",
    ),
    "two angles": (
        {"rotation": None, "euler": np.zeros((3, 2)), "euler_convention": "raw-xyz"},
        "euler: expected shape (3, 3), found (3, 2)",
    ),
    "a scaled rotation": (
        {"rotation": set_row(GOOD["rotation"], 1, np.eye(3) * 1.1)},
        "rotation: not a rotation matrix (orthonormal, determinant +1): image00001",
    ),
    "a mirrored rotation": (
        {"rotation": set_row(GOOD["rotation"], 2, FLIP)},
        "rotation: not a rotation matrix (orthonormal, determinant +1): image00002",
    ),
    "rotations of nothing but zeros": (
        {"rotation": np.zeros((3, 3, 3))},
        "rotation: not a rotation matrix (orthonormal, determinant +1): image00000, image00001, image00002",
    ),
    "visibility above 1": (
        {"visibility": set_row(GOOD["visibility"], 1, 1.0000001)},
        "visibility: expected probabilities of visible within [0, 1]: image00001",
    ),
    "negative visibility": (
        {"visibility": set_row(GOOD["visibility"], (0, 5), -1e-9)},
        "visibility: expected probabilities of visible within [0, 1]: image00000",
    ),
    "infinite visibility": (
        {"visibility": set_row(GOOD["visibility"], (2, 5), np.inf)},
        "visibility: expected probabilities of visible within [0, 1]: image00002",
    ),
    "a box that is no name": ({"box": "my own | box"}, "attribute 'box': expected a short name such as"),
}


class TestFaults:
    @pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS.keys())
    def test_are_named_on_reading(self, tmp_path, changes, message):
        path = wire.write(tmp_path / "p.json", wire.values(**changes))
        with pytest.raises(InvalidData) as refused:
            read_predictions(path)
        assert re.match(rf"{re.escape(str(path))}: \d faults? found\.\n  ", str(refused.value))
        assert message in str(refused.value)

    @pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS.keys())
    def test_are_named_on_writing_and_nothing_is_written(self, tmp_path, changes, message):
        values = {"id": [], "dataset": "", "method": "", **wire.values(**changes)}
        with pytest.raises(InvalidData) as refused:
            write_predictions(tmp_path / "p.h5", ids=values.pop("id"), **values)
        assert message in str(refused.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("ending", [one for one in wire.FORMATS if one != "csv"])
    def test_an_array_that_nobody_knows_is_named(self, tmp_path, ending):
        path = wire.write(tmp_path / f"p.{ending}", wire.values())
        if ending == "h5":
            with wire.h5py.File(path, "r+") as file:
                file["confidence"] = np.ones(3)
        else:
            wire.write(path, {**wire.values(), "confidence": np.ones(3)})
        with pytest.raises(InvalidData, match=r"confidence: unknown; known are id, dataset, .*landmarks"):
            read_predictions(path)

    @pytest.mark.parametrize("ending", ["h5", "npz", "csv"])
    def test_are_named_whatever_the_format(self, tmp_path, ending):
        path = wire.write(tmp_path / f"p.{ending}", wire.values(scheme="aflw21", id=["a", "a", "b"]))
        with pytest.raises(InvalidData) as refused:
            read_predictions(path)
        for part in (f"{path}: 3 faults found", "id: duplicated: a", "landmarks: ", "visibility: "):
            assert part in str(refused.value)

    def test_are_told_all_at_once(self, tmp_path):
        values = wire.values(
            dataset=None,
            id=["a", "a", "b"],
            landmarks=np.zeros((3, 5, 2)),
            visibility=np.full((3, 68), 2.0),
            rotation=np.zeros((3, 3, 3)),
            box="a b",
            extra=1,
        )
        path = wire.write(tmp_path / "p.json", values)
        with pytest.raises(InvalidData) as refused:
            read_predictions(path)
        lines = str(refused.value).splitlines()
        assert lines[0] == f"{path}: 7 faults found."
        named = {re.match(r"  (.*?): ", line).group(1) for line in lines[1:8]}
        assert named == {
            *("extra", "attribute 'dataset'", "id", "landmarks", "visibility", "rotation", "attribute 'box'")
        }

    def test_many_names_are_cut_short(self, tmp_path):
        path = wire.write(tmp_path / "p.json", wire.values(40, visibility=np.full((40, 68), 7.0)))
        with pytest.raises(InvalidData, match=r"image00004 \.\.\. and 35 more"):
            read_predictions(path)


class TestKindsOfValues:
    """A name that holds something of another kind: text for numbers, lists for text."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"method": 5}, "attribute 'method': expected text, found int"),
            ({"dataset": ["a", "b"]}, "attribute 'dataset': expected text, found list"),
            ({"landmarks": [[1, 2], [3]]}, "landmarks: expected an array of numbers with equally long rows"),
            ({"landmarks": "many"}, "landmarks: expected an array of numbers"),
            ({"rotation": {"a": 1}}, "rotation: expected "),
            ({"visibility": [["yes"] * 68] * 3}, "visibility: expected an array of numbers"),
            ({"landmarks": [[[10**400, 0]] * 68] * 3}, "landmarks: expected an array of numbers"),
            ({"id": ["a", None, "c"]}, "id: "),
            ({"id": [["a"], ["b", "c"]]}, "id: "),
            ({"id": [["a"], ["b"], ["c"]]}, "id: "),
            ({"id": {"a": 1, "b": 2, "c": 3}}, "id: "),
            ({"id": ["a", "", "c"]}, "id: "),
        ],
        ids=[
            *("number for text", "texts for text", "ragged rows", "text for numbers", "names for numbers"),
            *(
                "words for numbers",
                "a number beyond all",
                "no id",
                "ragged ids",
                "lists of ids",
                "names of ids",
            ),
            "an empty id",
        ],
    )
    def test_in_json(self, tmp_path, changes, message):
        plain = {name: np.asarray(value).tolist() for name, value in wire.values().items()}
        path = tmp_path / "p.json"
        path.write_text(wire.json.dumps({**plain, **changes}), encoding="utf-8")
        with pytest.raises(InvalidData) as refused:
            read_predictions(path)
        assert str(path) in str(refused.value)
        assert f"\n  {message}" in str(refused.value)

    @pytest.mark.parametrize("ending", ["h5", "npz"])
    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((3, 68, 2), complex),
            np.full((3, 68, 2), b"x"),
            np.zeros((3, 68), [("x", "f8"), ("y", "f8")]),
            np.zeros((3, 68, 2), "V4"),
        ],
        ids=["complex", "text", "compound", "opaque"],
    )
    def test_in_binary_files(self, tmp_path, ending, array):
        path = wire.write(tmp_path / f"p.{ending}", wire.values(landmarks=array))
        with pytest.raises(InvalidData, match="landmarks: expected "):
            read_predictions(path)

    @pytest.mark.parametrize("ending", ["h5", "npz"])
    @pytest.mark.parametrize("name", ["id", "method"])
    def test_bytes_that_are_no_text(self, tmp_path, ending, name):
        wrong = np.array([b"a", b"\xff\xfe", b"c"]) if name == "id" else np.bytes_(b"\xff\xfe")
        path = wire.write(tmp_path / f"p.{ending}", wire.values(**{name: wrong}))
        with pytest.raises(InvalidData, match=re.escape(str(path)) + rf"[\s\S]*\b{name}\b"):
            read_predictions(path)


class TestTextsThatNoFileCanHold:
    """A NUL ends a text in HDF5, and half a surrogate pair is no character."""

    @pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=["nul", "surrogate"])
    @pytest.mark.parametrize("name", ["id", "method"])
    def test_are_refused_on_writing(self, tmp_path, name, text):
        values = wire.values(1, **{name: [text] if name == "id" else text})
        with pytest.raises(InvalidData, match=rf"p\.h5[\s\S]*\b{name}\b"):
            write_predictions(tmp_path / "p.h5", ids=values.pop("id"), **values)
        assert list(tmp_path.iterdir()) == []


class TestTheFileItself:
    @pytest.mark.parametrize("name", ["p.txt", "p.mat", "p.h5.gz", "predictions", "p.pkl", "p.npy"])
    def test_of_an_unknown_ending(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(UsageError) as refused:
            read_predictions(tmp_path / name)
        assert str(tmp_path / name) in str(refused.value)
        assert ".h5, .hdf5, .npz, .csv, .json" in str(refused.value)

    @pytest.mark.parametrize("ending", wire.FORMATS)
    def test_that_is_absent(self, tmp_path, ending):
        with pytest.raises(
            DataMissing, match=re.escape(f"{tmp_path / 'p'}.{ending}: no such predictions file")
        ):
            read_predictions(tmp_path / f"p.{ending}")

    @pytest.mark.parametrize("ending", wire.FORMATS)
    def test_that_is_a_folder(self, tmp_path, ending):
        (tmp_path / f"p.{ending}").mkdir()
        with pytest.raises(DataMissing, match="no such predictions file"):
            read_predictions(tmp_path / f"p.{ending}")

    @pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\xff\xfe\0" * 40, b"hello\n"])
    @pytest.mark.parametrize("ending", wire.FORMATS)
    def test_that_holds_something_else(self, tmp_path, ending, content):
        path = tmp_path / f"p.{ending}"
        path.write_bytes(content)
        with pytest.raises(InvalidData, match=re.escape(str(path))):
            read_predictions(path)

    @pytest.mark.parametrize("ending", ["h5", "npz", "json"])
    def test_that_was_cut_short(self, tmp_path, ending):
        path = wire.write(tmp_path / f"p.{ending}", wire.values())
        data = path.read_bytes()
        for share in (0.01, 0.2, 0.5, 0.8, 0.99):
            path.write_bytes(data[: int(share * len(data))])
            with pytest.raises(InvalidData, match=re.escape(str(path))):
                read_predictions(path)

    @pytest.mark.parametrize("ending", wire.FORMATS)
    def test_that_another_format_was_renamed_to(self, tmp_path, ending):
        for other in set(wire.FORMATS) - {ending}:
            path = tmp_path / f"p.{ending}"
            path.write_bytes(wire.write(tmp_path / f"other.{other}", wire.values()).read_bytes())
            with pytest.raises(InvalidData, match=re.escape(str(path))):
                read_predictions(path)

    def test_that_is_a_prepared_dataset(self, drawn):
        with pytest.raises(InvalidData, match=r"attribute 'format': expected 'facebench-predictions'"):
            read_predictions(drawn)
