"""Faces of the user's own: what is read is what the table says, and what contradicts itself is refused."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import struct
import tarfile
import zipfile
from itertools import chain

import cv2
import numpy as np
import pytest

from facebench.cli import main
from facebench.datasets import face_table, get_dataset, load_manifest, prepare
from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import VISIBILITY, open_dataset
from facebench.geometry import CONVENTIONS, euler_to_rotation, rotation_to_euler, tight_box

IDS = ["carl/2", "anna/1", "bea/1"]  # not in the order of the prepared file
NAN = np.nan


def encoded(suffix, seed=0, size=(12, 10)):
    """Encode a random picture of some height and width."""
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return cv2.imencode(suffix, picture)[1].tobytes()


def shapes(count=3, points=68, seed=0):
    return np.random.default_rng(seed).uniform(0, 9, (count, points, 2)).round(3)


@pytest.fixture
def tree(tmp_path):
    """A folder of three images, and what writes a table beside them."""
    root = tmp_path / "my-faces"
    for name, suffix in zip(IDS, (".jpg", ".png", ".webp"), strict=True):
        path = root / "images" / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(suffix))

    def write(kind="npz", **columns):
        values = {"name": IDS, **columns}
        values = {name: value for name, value in values.items() if value is not None}
        if kind == "npz":
            np.savez(root / "annotations.npz", **values)
        elif kind == "json":
            plain = {key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in values.items()}
            (root / "annotations.json").write_text(json.dumps(plain).replace("NaN", "null"), encoding="utf-8")
        return root

    write.root = root
    return write


@pytest.fixture
def run(tmp_path):
    def call(source, target="custom.h5", **options):
        done = prepare("custom", [source], tmp_path / "prepared" / target, **options)
        dataset = open_dataset(done.path)
        dataset.notes = done.notes
        return dataset

    return call


@pytest.fixture
def refused(run, tmp_path):
    """Prepare, expect a refusal that leaves nothing behind; return the message."""

    def call(source, kind=InvalidData):
        with pytest.raises(kind) as error:
            run(source)
        place = tmp_path / "prepared"
        assert not place.exists() or list(place.iterdir()) == []
        return str(error.value)

    return call


def packed(root, path, prefix="", extra=()):
    """Pack a folder, as its own zip would hold it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*"), reverse=True):
            if file.is_file():
                archive.write(file, f"{prefix}{file.relative_to(root).as_posix()}")
        for name, data in extra:
            archive.writestr(name, data)
    return path


class TestWhatIsRead:
    def test_points_in_the_order_of_the_ids(self, tree, run):
        points, states = shapes(), np.random.default_rng(1).integers(0, 4, (3, 68))
        points[0, :3] = NAN
        dataset = run(tree(points_ibug68=points, visibility_ibug68=states))
        assert dataset.ids == sorted(IDS)
        order = [IDS.index(name) for name in dataset.ids]
        found = dataset.annotation("ibug68")
        assert found.scheme == "ibug68"
        np.testing.assert_array_equal(found.points, points[order])
        np.testing.assert_array_equal(found.visibility, states[order])
        np.testing.assert_array_equal(dataset.boxes["landmarks"], tight_box(points[order]))
        assert list(dataset.boxes) == ["landmarks"]
        assert dataset.image_paths == ["images/anna/1.png", "images/bea/1.webp", "images/carl/2.jpg"]
        assert dataset["anna/1"].image.shape == (12, 10, 3)
        assert dataset.encoded_image(2).tobytes() == encoded(".jpg")
        assert list(dataset.splits) == ["all"]
        assert dataset.notes == []

    def test_several_schemes_and_points_without_visibility(self, tree, run):
        points = {"ibug68": shapes(), "aflw21": shapes(points=21), "cofw29": shapes(points=29)}
        points["cofw29"][1] = NAN
        dataset = run(tree(**{f"points_{scheme}": values for scheme, values in points.items()}))
        assert set(dataset.annotations) == set(points)
        for scheme, one in dataset.annotations.items():
            np.testing.assert_array_equal(one.points, points[scheme][[1, 2, 0]])
            assert (one.visibility == VISIBILITY["unknown"]).all()
        every = np.concatenate([one.points for one in dataset.annotations.values()], axis=1)
        np.testing.assert_array_equal(dataset.boxes["landmarks"], tight_box(every))

    def test_a_box_of_points_needs_two_of_them_with_an_area(self, tree, run):
        points = np.full((3, 68, 2), NAN)
        points[0, 5] = 3, 4
        points[1, :2] = [(1, 2), (1, 7)]
        points[2, :2] = [(1, 2), (4, 7)]
        dataset = run(tree(points_ibug68=points))
        boxes = {
            name: box.tolist() for name, box in zip(dataset.ids, dataset.boxes["landmarks"], strict=True)
        }
        assert np.isnan([boxes["carl/2"], boxes["anna/1"]]).all()
        assert boxes["bea/1"] == [1, 2, 4, 7]

    @pytest.mark.parametrize("kind", ["npz", "json"])
    def test_visible_or_not(self, tree, run, kind):
        points = shapes(points=21)
        points[:, 10:] = NAN
        points[2] = NAN
        visible = np.zeros((3, 21), bool)
        visible[:2, 5:15] = True
        found = run(tree(kind, points_aflw21=points, visibility_aflw21=visible)).annotation("aflw21")
        names = {value: name for name, value in VISIBILITY.items()}
        states = [[names[one] for one in row] for row in found.visibility]
        expected = ["occluded"] * 5 + ["visible"] * 10 + ["hidden"] * 6
        assert states == [expected, ["unknown"] * 21, expected]  # anna, bea, carl

    def test_rotations(self, tree, run):
        rotations = euler_to_rotation([(10, 20, 30), (NAN, 0, 0), (-70, 5, 1)], "raw-xyz")
        rotations[1] = NAN
        dataset = run(tree(rotation=rotations))
        np.testing.assert_array_equal(dataset.rotation, rotations[[1, 2, 0]])
        assert list(dataset.poses) == ["release"]
        assert dataset.pose_source.shape == (3, 0)
        assert dataset.boxes == {}
        assert dataset.annotations == {}

    @pytest.mark.parametrize("convention", CONVENTIONS)
    def test_angles(self, tree, run, convention):
        angles = np.array([(10, 20, 30), (NAN, NAN, NAN), (-70, 5, 1)], float)
        dataset = run(tree(euler=angles, euler_convention=convention))
        np.testing.assert_array_equal(dataset.pose_source, angles[[1, 2, 0]])
        np.testing.assert_allclose(rotation_to_euler(dataset.rotation, convention), angles[[1, 2, 0]])
        assert np.isnan(dataset.rotation[0]).all()

    def test_boxes(self, tree, run):
        given, detected = np.array([(1, 2, 3, 4), (0, 0, 9, 9), (-5, -5, 30, 30)]), np.full((3, 4), NAN)
        detected[1] = 1, 1, 2, 2
        dataset = run(tree(box=given, box_detector=detected))
        assert set(dataset.boxes) == {"dataset", "detector"}
        np.testing.assert_array_equal(dataset.boxes["dataset"], given[[1, 2, 0]])
        np.testing.assert_array_equal(dataset.boxes["detector"], detected[[1, 2, 0]])

    def test_splits(self, tree, run):
        dataset = run(tree(box=[[0, 0, 1, 1]] * 3, split=["test", "", "test"], split_fold=[1, 2, 1]))
        names = {name: [dataset.ids[row] for row in rows] for name, rows in dataset.splits.items()}
        assert names == {
            "all": ["anna/1", "bea/1", "carl/2"],
            "test": ["bea/1", "carl/2"],
            "fold-1": ["bea/1", "carl/2"],
            "fold-2": ["anna/1"],
        }

    def test_several_faces_in_one_image(self, tree, run):
        images = ["images/anna/1.png", "anna/1.png", ""]
        root = tree(name=["left", "right", "bea/1"], image=images, points_ibug68=shapes())
        dataset = run(root)
        assert dataset.ids == ["bea/1", "left", "right"]
        assert dataset.image_paths == ["images/anna/1.png", "images/bea/1.webp"]
        assert dataset.image_of.tolist() == [1, 0, 0]
        assert dataset.notes == ["1 images belong to no face: images/carl/2.jpg"]

    def test_names_that_are_numbers_or_bytes(self, tree, run):
        shutil.rmtree(tree.root / "images")
        for name in (1, 2, 3):
            (tree.root / f"{name}.png").write_bytes(encoded(".png"))
        for names in ([3, 1, 2], np.array([b"3", b"1", b"2"])):
            assert run(tree(name=names, box=[[0, 0, 1, 1]] * 3)).ids == ["1", "2", "3"]

    def test_ignored_columns_are_told(self, tree, run):
        root = tree(box=[[0, 0, 1, 1]] * 3, mood=[1, 2, 3], image_to_crop=np.zeros((3, 2, 3)))
        assert run(root).notes == ["columns ignored: mood, image_to_crop"]

    def test_an_image_in_any_folder_by_the_end_of_its_path(self, tree, run):
        shutil.move(tree.root / "images", tree.root / "deep")
        (tree.root / "deeper" / "x").mkdir(parents=True)
        shutil.move(tree.root / "deep", tree.root / "deeper" / "x" / "y")
        (tree.root / "deeper" / "1.jpg").write_bytes(encoded(".jpg"))  # of no face: 'anna/1' is longer
        dataset = run(tree(box=[[0, 0, 1, 1]] * 3))
        assert dataset.image_paths[0] == "deeper/x/y/anna/1.png"
        assert dataset.notes == ["1 images belong to no face: deeper/1.jpg"]

    def test_other_names_of_columns_are_in_the_manifest(self, tree, run):
        given = {"points68": shapes(), "points21": shapes(points=21), "visible21": np.ones((3, 21), bool)}
        states = np.full((3, 68), 2, np.uint8)
        angles = np.radians([(10.0, 20, 30), (-40, 3, 2), (0, 0, 1)])
        split = np.array(["train", "", "test"])
        root = tree(**given, visibility68=states, pose_yaw_pitch_roll_rad=angles, merl_rav_split=split)
        dataset = run(root)
        assert set(dataset.annotations) == {"ibug68", "aflw21"}
        assert (dataset.annotation("aflw21").visibility == VISIBILITY["visible"]).all()
        assert (dataset.annotation("ibug68").visibility == VISIBILITY["occluded"]).all()
        found = rotation_to_euler(dataset.rotation, "aflw-yxz")
        np.testing.assert_allclose(found, np.degrees(angles)[[1, 2, 0]], atol=1e-12)
        np.testing.assert_array_equal(dataset.pose_source, angles[[1, 2, 0]])
        assert set(dataset.splits) == {"all", "merl-rav-train", "merl-rav-test"}
        assert dataset.notes == []
        assert {row["name"] for row in get_dataset("custom").manifest.table("columns")} >= set(given)


class TestKindsOfTables:
    def everything(self):
        points = shapes()
        points[0, :60] = NAN
        angles = np.array([(10, 20, 30), (NAN, NAN, NAN), (-70, 5, 1)], float)
        return {
            "points_ibug68": points,
            "visibility_ibug68": np.random.default_rng(1).integers(0, 4, (3, 68)),
            "euler": angles,
            "euler_convention": "upm-xyz",
            "box": np.array([(1, 2, 3, 4), (0, 0, 9, 9), (NAN, NAN, NAN, NAN)]),
            "box_detector": np.array([(1, 2, 3, 4), (0, 0, 9, 9), (-5, -5, 30, 30)]),
            "split": ["train", "", "test"],
        }

    def as_csv(self, given, root, first=""):
        """Write the columns of a CSV table, those of the numbers one by one."""
        columns = {"name": IDS, "split": given["split"]}
        for k in range(68):
            for axis, letter in enumerate("xy"):
                columns[f"ibug68_{letter}{k}"] = given["points_ibug68"][:, k, axis]
            columns[f"ibug68_v{k}"] = given["visibility_ibug68"][:, k]
        columns |= dict(zip(("yaw", "pitch", "roll"), given["euler"].T, strict=True))
        for begin, box in (("", "box"), ("detector_", "box_detector")):
            edges = (f"{begin}{edge}" for edge in ("x_min", "y_min", "x_max", "y_max"))
            columns |= dict(zip(edges, given[box].T, strict=True))
        with (root / "annotations.csv").open("w", encoding="utf-8", newline="") as file:
            file.write(first)
            rows = zip(*columns.values(), strict=True)
            csv.writer(file).writerows([list(columns), *rows])  # NaN becomes 'nan' here

    def test_all_three_say_the_same(self, tree, run):
        given, found = self.everything(), {}
        for kind in ("npz", "json"):
            found[kind] = run(tree(kind, **given), f"{kind}.h5")
            (tree.root / f"annotations.{kind}").unlink()
        self.as_csv(given, tree.root, "# made by hand\n# euler_convention: upm-xyz\n")
        found["csv"] = run(tree.root, "csv.h5")
        first = found["npz"]
        np.testing.assert_array_equal(first.annotation("ibug68").points, given["points_ibug68"][[1, 2, 0]])
        for kind, other in found.items():
            assert other.notes == [], kind
            assert {name: list(rows) for name, rows in other.splits.items()} == {
                "all": [0, 1, 2], "test": [1], "train": [2],
            }  # fmt: skip
            np.testing.assert_array_equal(
                other.annotation("ibug68").points, first.annotation("ibug68").points
            )
            np.testing.assert_array_equal(
                other.annotation("ibug68").visibility, first.annotation("ibug68").visibility
            )
            np.testing.assert_array_equal(other.rotation, first.rotation)
            assert set(other.boxes) == {"dataset", "detector", "landmarks"}
            for name, boxes in other.boxes.items():
                np.testing.assert_array_equal(boxes, first.boxes[name])

    def test_csv_with_a_few_points_and_matrices(self, tree, run):
        matrix = euler_to_rotation((10, 20, 30), "raw-xyz")
        head = ["name", "ibug68_x30", "ibug68_y30", *(f"r{i}{j}" for i in range(3) for j in range(3))]
        rows = [["anna/1", 4.5, 6, *matrix.ravel()], ["bea/1", "", "nan", *[""] * 9]]
        text = "\n".join(",".join(map(str, row)) for row in (head, *rows))
        (tree.root / "annotations.csv").write_text("\ufeff" + text, encoding="utf-8")
        dataset = run(tree.root)
        points = dataset.annotation("ibug68").points
        assert points[0, 30].tolist() == [4.5, 6]
        assert np.isfinite(points).sum() == 2
        np.testing.assert_allclose(dataset.rotation[0], matrix, atol=1e-15)
        assert np.isnan(dataset.rotation[1]).all()

    def test_csv_with_the_convention_in_a_column(self, tree, run):
        text = "name,yaw,pitch,roll,euler_convention\nanna/1,1,2,3,mnn-yxz\nbea/1,,,,mnn-yxz\n"
        (tree.root / "annotations.csv").write_text(text, encoding="utf-8")
        np.testing.assert_allclose(
            run(tree.root).rotation[0], euler_to_rotation((1, 2, 3), "mnn-yxz"), atol=1e-15
        )


class TestWhereItLies:
    @pytest.fixture
    def root(self, tree):
        return tree(points_ibug68=shapes(), split=["a", "", "b"])

    def test_folder_and_archives_give_the_same_bytes(self, root, run, tmp_path):
        first = run(root, "0.h5").path.read_bytes()
        flat = packed(root, tmp_path / "flat.zip")
        below = packed(root, tmp_path / "below.zip", "some folder/", [("__MACOSX/._x.jpg", b"")])
        with tarfile.open(tmp_path / "tree.tgz", "w:gz") as archive:
            archive.add(root, "my-faces")
        outside = shutil.copytree(root, tmp_path / "outside" / "inside").parent
        for number, source in enumerate((root, outside, flat, below, tmp_path / "tree.tgz"), start=1):
            assert run(source, f"{number}.h5", workers=1 + number % 2).path.read_bytes() == first

    def test_partial_changes_nothing(self, root, run):
        one, other = run(root, "1.h5"), run(root, "2.h5", partial=True)
        assert one.path.read_bytes() == other.path.read_bytes()

    def test_the_file_says_that_it_is_open_and_nothing_whole(self, root, run):
        dataset = run(root)
        assert dataset.name == "custom"
        assert dataset.provenance["options"] == {"images": "embed", "open": True, "partial": True}
        assert dataset.provenance["sources"]["release"]["files"] == 4
        assert dataset.licence == get_dataset("custom").manifest.licence.text
        assert dataset.citation == ""

    def test_images_by_path(self, root, run, tmp_path):
        dataset = run(root, images="none")
        assert dataset["carl/2"].image.shape == (12, 10, 3)
        with pytest.raises(UsageError, match="needs the release unpacked"):
            run(packed(root, tmp_path / "flat.zip"), images="none")

    def test_a_table_deeper_down_is_not_that_of_the_tree(self, root, run):
        (root / "images" / "annotations.csv").write_text("of,something,else\n", encoding="utf-8")
        assert len(run(root)) == 3

    def test_from_the_command_line(self, root, tmp_path, capsys):
        with pytest.raises(SystemExit, match="0"):
            main(["prepare", "custom", "--source", str(root), "-o", str(tmp_path / "my.h5")])
        assert "custom: 3 faces" in capsys.readouterr().out
        for command in (["info", "custom"], ["datasets"], ["verify", str(tmp_path / "my.h5")]):
            with pytest.raises(SystemExit, match="0"):
                main(command)
        assert "annotations.npz" in capsys.readouterr().out


class TestOfTheManifest:
    def test_an_open_one_counts_nothing(self, tmp_path):
        folder = get_dataset("custom").manifest.folder
        text = (folder / "custom.toml").read_text(encoding="utf-8")
        for old, new in (
            ("\nfaces = 0", "\nfaces = 3"),
            ("count = 0", "count = 3"),
            ("\nopen", "\nseed = 1\nopen"),
        ):
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}.toml"
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
            with pytest.raises(
                InvalidData, match="an open dataset has no published faces: expected counts of 0"
            ):
                load_manifest(path)


def overlarge(root):
    """Write an archive whose array claims far more numbers than it has."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (3, 68, 2)})
    with zipfile.ZipFile(root / "annotations.npz", "a") as archive:
        archive.writestr("points_ibug68.npy", head.getvalue() + bytes(80))


class TestWhatIsRefused:
    def test_no_table(self, tree, refused):
        message = refused(tree.root, DataMissing)
        assert f"{tree.root}: no Your own faces release found: expected annotations.npz" in message
        assert "visibility_SCHEME" in message
        assert "one folder down" in message

    def test_two_tables(self, tree, refused):
        tree(box=[[0, 0, 1, 1]] * 3)
        message = refused(tree("json", box=[[0, 0, 1, 1]] * 3))
        for kind in ("npz", "json"):
            assert str(tree.root / f"annotations.{kind}") in message
        assert message.startswith("found 2 tables")

    def test_two_sources(self, tree, tmp_path):
        root = tree(box=[[0, 0, 1, 1]] * 3)
        other = tmp_path / "other"
        other.mkdir()
        with pytest.raises(DataMissing, match="nothing of Your own faces in it"):
            prepare("custom", [root, other], tmp_path / "my.h5")
        with pytest.raises(InvalidData, match="found 2 tables"):
            prepare("custom", [root, root], tmp_path / "my.h5")

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            ({"name": None}, "column 'name': missing; the columns are box"),
            ({"name": [], "box": np.zeros((0, 4))}, "column 'name': expected a text for each of 1 to 10"),
            ({"name": [1.5, 2, 3]}, "column 'name': expected a text for each"),
            ({"name": [IDS]}, "column 'name': expected a text for each"),
            ({"name": ["anna/1", "", "bea/1"]}, "expected a plain text or path, found ''"),
            ({"name": ["anna/1", "../bea", "bea/1"]}, "expected a plain text or path, found '../bea'"),
            ({"name": ["anna/1", "a\nb", "bea/1"]}, r"expected a plain text or path, found 'a\nb'"),
            ({"name": ["anna/1", "bea/1", "anna/1"]}, "expected each face once, found several of anna/1"),
            ({"box": None}, "columns: expected points, a pose or a box, found only name"),
            ({"box": None, "x0": [1, 2, 3]}, "expected points, a pose or a box, found only name, x0"),
            ({"points_ibug68": shapes(2)}, "(3, 68, 2), found shape (2, 68, 2)"),
            ({"points68": shapes(points=21)}, "column 'points68': expected numbers of shape (3, 68, 2)"),
            ({"points_ibug68": shapes().astype(str)}, "found shape (3, 68, 2) of <U32"),
            ({"points_ibug96": shapes()}, "column 'points_ibug96': expected 'points_' and a known scheme"),
            ({"points": shapes()}, "column 'points': expected 'points_' and a known scheme (aflw19,"),
            ({"visibility68": np.ones((3, 68))}, "'visibility68': needs the points too, in a column"),
            ({"points68": shapes(), "points_ibug68": shapes()}, "is column 'points68' by another name"),
            ({"points68": [[[1, NAN]] * 68] * 3}, "expected x and y, or NaN for both where a point is not"),
            ({"points68": [[[1, np.inf]] * 68] * 3}, "column 'points68': expected x and y"),
            ({"points68": shapes(), "visibility68": np.full((3, 68), 4)}, "states 0 (unknown), 1 (visible)"),
            ({"points68": shapes(), "visibility68": np.full((3, 68), 0.5)}, ": carl/2, anna/1, bea/1"),
            ({"rotation": np.full((3, 3, 3), 1.0)}, "orthonormal matrices, determinant +1: carl/2, anna/1"),
            ({"rotation": [np.diag([1, 1, -1.0])] * 3}, "expected orthonormal matrices"),
            ({"rotation": [np.eye(3), np.diag([NAN, 1, 1]), np.eye(3)]}, "numbers, or only NaN: anna/1"),
            ({"euler": [(1, 2, 3)] * 3}, "column 'euler_convention': expected one of raw-xyz, upm-xyz"),
            ({"euler": [(1, 2, 3)] * 3, "euler_convention": "xyz"}, "to read the angles by, found 'xyz'"),
            ({"euler": [(1, 2, 3)] * 3, "euler_convention": ["raw-xyz", "upm-xyz"]}, "expected one text"),
            ({"euler": [(1, 2, NAN)] * 3, "euler_convention": "raw-xyz"}, "'euler': expected finite"),
            ({"euler": [(1, 2, np.inf)] * 3, "euler_convention": "raw-xyz"}, "'euler': expected finite"),
            ({"euler": [(1, 2, 3)] * 3, "rotation": [np.eye(3)] * 3}, "given together with column 'euler'"),
            ({"box": [(0, 0, NAN, 1)] * 3}, "'box': expected finite numbers, or only NaN: carl/2, anna"),
            ({"box": [(0, 0, np.inf, 1)] * 3}, "column 'box': expected finite numbers"),
            ({"box": [(0, 0, 1, 1), (5, 0, 5, 9), (0, 0, 1, 1)]}, "x_min < x_max and y_min < y_max: anna/1"),
            ({"box_landmarks": [(0, 0, 1, 1)] * 3}, "other than 'landmarks'"),
            ({"box_a/b": [(0, 0, 1, 1)] * 3}, "expected a plain name after 'box_'"),
            ({"split": ["all", "", ""]}, "column 'split': expected a plain name, other than 'all'"),
            ({"split": ["a/b", "", ""]}, "found 'a/b'"),
            ({"split": ["a", "b"]}, "column 'split': expected a text for each of 3 faces"),
            ({"image": ["", "nowhere.png", ""]}, "anna/1: no image 'nowhere.png' (a jpg, png, webp or bmp)"),
            ({"image": ["", "annotations.npz", ""]}, "anna/1: no image 'annotations.npz'"),
            ({"name": ["anna/1", "bea/2", "bea/1"]}, "bea/2: no image: expected bea/2.jpg, .png"),
        ],
    )  # fmt: skip
    def test_tables(self, tree, refused, columns, said):
        message = refused(tree(**{"box": [[0, 0, 1, 1]] * 3, **columns}))
        assert message.startswith(str(tree.root / "annotations.npz"))
        assert said in message
        assert message.endswith("under 'Your own faces'.")

    def test_everything_wrong_is_said_at_once(self, tree, refused):
        root = tree(
            points68=shapes(points=21),
            box=[[0, 0, 0, 0]] * 3,
            split=["all", "", ""],
            rotation=[np.eye(2)] * 3,
        )
        message = refused(root)
        assert "4 faults found" in message
        for column in ("points68", "box", "split", "rotation"):
            assert f"  column '{column}': " in message

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "column 'name': missing"),
            ("name,box\n", "expected a text for each of 1 to 1000000"),
            ("name,yaw\na,b,c\n", "line 2 has 3 cells under 2 columns"),
            ("name,yaw\nanna/1,north\n", "column 'yaw': expected numbers (could not convert"),
            ("name,yaw,yaw\nanna/1,1,2\n", "expected each column once, found several of yaw"),
            ("# euler_convention: raw-xyz\nname,yaw,pitch\nanna/1,1,2\n", "column 'euler': expected finite"),
            ("name,x_min,y_min,x_max\nanna/1,1,2,3\n", "column 'box': expected finite numbers"),
            ("name,ibug68_x1\nanna/1,1\n", "expected x and y, or NaN for both"),
            ("name,ibug96_x1,ibug96_y1\nanna/1,1,2\n", "column 'ibug96_x1': unknown scheme 'ibug96'; known"),
            ("name,aflw21_x21,aflw21_y21\nanna/1,1,2\n", "'aflw21_x21': expected a point from 0 to 20"),
            ('name,yaw\n"anna/1,1\n', "not a readable table"),
            ("name,yaw\nanna/\xff,1\n", "not a readable table"),
        ],
    )
    def test_csv(self, tree, refused, text, said):
        (tree.root / "annotations.csv").write_bytes(text.encode("latin-1"))
        assert said in refused(tree.root)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", "not a readable table"),
            ("[" * 100000, "not a readable table"),
            ("[1]", "expected one JSON object, found a list"),
            ('{"name": "anna/1", "box": [0, 0, 1, 1]}', "column 'box': expected numbers of shape (1, 4)"),
            ('{"name": ["anna/1", ["x"]]}', "column 'name': expected a text for each"),
            ('{"name": ["\\ud800"]}', r"expected a plain text or path, found '\ud800'"),
            ('{"name": ["anna/1", "bea/1"], "box": [[0, 0, 1, 1], [0]]}', "(2, 4), found others"),
            ('{"name": ["anna/1"], "box": [[0, 0, 1, "1"]]}', "(1, 4), found others"),
            ('{"name": ["anna/1"], "box": [[0, 0, 1, 1%s]]}' % ("0" * 400), "(1, 4), found others"),
            ('{"name": ["anna/1"], "box": {"x": 1}}', "(1, 4), found others"),
            ('{"name": ["anna/1"], "euler": [[1, 2, 3]], "euler_convention": []}', "expected one text"),
        ],
    )
    def test_json(self, tree, refused, text, said):
        (tree.root / "annotations.json").write_text(text, encoding="utf-8")
        assert said in refused(tree.root)

    def test_pickles_are_not_loaded(self, tree, refused):
        class Trap:
            def __reduce__(self):
                return (os.mkdir, (str(tree.root / "trapped"),))

        for column in ("box", "mood"):
            message = refused(tree(**{column: np.array([Trap()] * 3, object)}))
            assert f"key '{column}': pickled objects, which are never loaded" in message
        assert not (tree.root / "trapped").exists()

    def test_claims_beyond_what_is_there(self, tree, refused):
        overlarge(tree())
        assert "'points_ibug68': cannot be read (an array of shape (3, 68, 2) of float64" in refused(
            tree.root
        )

    @pytest.mark.parametrize("shape", [(10**15,), (2_000_000, 4), (10**15, 4)])
    def test_claims_beyond_any_table(self, tree, refused, shape):
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "<U9", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(tree.root / "annotations.npz", "w") as archive:
            archive.writestr("name.npy", head.getvalue() + bytes(80))
            archive.writestr("box.npy", head.getvalue() + bytes(80))
        assert "column 'name': expected a text for each" in refused(tree.root)

    @pytest.mark.parametrize("kind", ["npz", "json"])
    def test_tables_that_are_too_large(self, tree, refused, monkeypatch, kind):
        monkeypatch.setattr(face_table, "MOST_BYTES", 2000)
        root = tree(kind, points_ibug68=np.zeros((3, 68, 2)))
        assert "bytes, more than the 2000 of the largest" in refused(root)
        # Packed it is small enough.
        (root / f"annotations.{kind}").unlink()
        np.savez_compressed(root / "annotations.npz", name=IDS, points_ibug68=np.zeros((3, 68, 2)))
        assert (root / "annotations.npz").stat().st_size < 2000
        assert "its arrays claim" in refused(root)

    def test_too_many_faces(self, tree, refused, monkeypatch):
        monkeypatch.setattr(face_table, "MOST_FACES", 2)
        assert "expected a text for each of 1 to 2 faces" in refused(tree(box=[[0, 0, 1, 1]] * 3))
        (tree.root / "annotations.npz").unlink()
        (tree.root / "annotations.csv").write_text("name,yaw\na,1\nb,1\nc,1\n", encoding="utf-8")
        assert "more than 2 faces" in refused(tree.root)

    def test_damaged_archives(self, tree, run, refused):
        path = tree(points68=shapes()) / "annotations.npz"
        whole = path.read_bytes()
        for at in chain(range(0, len(whole), 97), [len(whole) - 30, len(whole) - 1]):
            path.write_bytes(whole[:at])
            assert str(path) in refused(tree.root)
        for at in range(60, len(whole), 211):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
            try:
                found = run(tree.root).annotation("ibug68").points
            except InvalidData as error:
                found = error
            if isinstance(found, InvalidData):
                assert str(path) in str(found)
            else:  # a byte that nothing depends on, such as the time
                np.testing.assert_array_equal(found, shapes()[[1, 2, 0]])

    def test_two_images_for_one_name(self, tree, refused):
        root = tree(box=[[0, 0, 1, 1]] * 3)
        (root / "anna").mkdir()
        (root / "anna" / "1.jpeg").write_bytes(encoded(".jpg"))
        message = refused(root)
        assert (
            "anna/1: several images: anna/1.jpeg, images/anna/1.png; name one in a column 'image'" in message
        )

    @pytest.mark.parametrize(
        ("file", "data", "said"),
        [
            ("anna/1.png", b"not an image", "expected an image, found 12 bytes"),
            ("anna/1.png", encoded(".png")[:-20], "cut short"),
            ("carl/2.jpg", encoded(".jpg")[:-20], "cut short"),
            ("bea/1.webp", encoded(".webp")[:-20], "expected an image, found"),
            ("bea/1.webp", b"", "expected an image, found 0 bytes"),
        ],
    )
    def test_images_that_cannot_be_read(self, tree, refused, file, data, said):
        root = tree(box=[[0, 0, 1, 1]] * 3)
        (root / "images" / file).write_bytes(data)
        message = refused(root)
        assert message.startswith(str(root / "images" / file))
        assert said in message

    @pytest.mark.parametrize(
        "name", ["../evil.jpg", "/evil.jpg", "a/../../evil", "a\\evil.jpg", "a\x1bb.jpg"]
    )
    def test_unsafe_members(self, tree, refused, tmp_path, name):
        path = packed(tree(box=[[0, 0, 1, 1]] * 3), tmp_path / "my.zip", extra=[(name, b"")])
        message = refused(path)
        assert message.startswith(f"{path}: 1 fault found.\n  {name!r}: expected a path inside it")

    def test_a_member_that_claims_more_than_any_image(self, tree, refused, tmp_path):
        path = packed(tree(box=[[0, 0, 1, 1]] * 3), tmp_path / "my.zip")
        data = bytearray(path.read_bytes())
        at = data.index(b"PK\x01\x02")
        while b"images/anna/1.png" not in data[at : at + 70]:
            at = data.index(b"PK\x01\x02", at + 4)
        struct.pack_into("<I", data, at + 24, 1 << 31)
        path.write_bytes(data)
        assert f"anna/1: images/anna/1.png claims {1 << 31} bytes" in refused(path)

    def test_an_archive_inside(self, tree, refused, tmp_path):
        outer = tmp_path / "outer"
        outer.mkdir()
        packed(tree(box=[[0, 0, 1, 1]] * 3), outer / "my.zip")
        assert "There is an archive in it" in refused(outer, DataMissing)


class TestGenuine:
    def test_crops_of_aflw(self, real_data, run):
        source = real_data / "training" / "aflw_crops.zip"
        dataset = run(source)
        with zipfile.ZipFile(source) as members:
            table = np.load(io.BytesIO(members.read("annotations.npz")))
            first = members.read(dataset.image_paths[0])
        order = np.argsort(table["name"])
        assert dataset.notes == []
        assert dataset.ids == table["name"][order].tolist()
        assert len(dataset) == len(dataset.image_paths) == 18963
        assert dataset.encoded_image(0).tobytes() == first
        assert dataset[18962].image.shape == (120, 120, 3)
        assert set(dataset.annotations) == {"aflw21", "ibug68"}
        assert set(dataset.boxes) == {"landmarks"}
        for scheme, column in (("aflw21", "points21"), ("ibug68", "points68")):
            np.testing.assert_array_equal(dataset.annotation(scheme).points, table[column][order])
        np.testing.assert_array_equal(dataset.annotation("ibug68").visibility, table["visibility68"][order])
        states = np.where(table["visible21"], VISIBILITY["visible"], VISIBILITY["hidden"])
        np.testing.assert_array_equal(dataset.annotation("aflw21").visibility, states[order])
        assert np.isfinite(dataset.annotation("ibug68").points).any(axis=(1, 2)).sum() == 8802
        assert np.isfinite(dataset.boxes["landmarks"]).all()
        angles = np.degrees(table["pose_yaw_pitch_roll_rad"].astype(float))
        expected = euler_to_rotation(angles, "aflw-yxz")[order]
        np.testing.assert_array_equal(dataset.rotation, expected)
        counts = {name: len(rows) for name, rows in dataset.splits.items()}
        assert counts == {"all": 18963, "merl-rav-train": 7047, "merl-rav-test": 1755}

    def test_crops_of_300w(self, real_data, run):
        source = real_data / "training" / "300w_crops.zip"
        dataset = run(source)
        with zipfile.ZipFile(source) as members:
            table = np.load(io.BytesIO(members.read("annotations.npz")))
        order = np.argsort(table["name"])
        assert dataset.notes == ["columns ignored: image_to_crop"]
        assert dataset.ids == table["name"][order].tolist()
        assert len(dataset) == len(dataset.image_paths) == 1537
        assert dataset.ids[0] == "afw/1051618982_1"
        assert dataset.image_paths[0] == "images/afw/1051618982_1.webp"
        assert dataset[0].image.shape == (400, 400, 3)
        np.testing.assert_array_equal(dataset.annotation("ibug68").points, table["points68"][order])
        assert (dataset.annotation("ibug68").visibility == VISIBILITY["unknown"]).all()
        assert list(dataset.splits) == ["all"]
        assert dataset.poses == {}
