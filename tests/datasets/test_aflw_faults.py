"""Every way in which a release of AFLW can be wrong is told by table, face or file."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from facebench.datasets import prepare
from facebench.errors import DataMissing, InvalidData
from tests.datasets.aflw_release import write_ccl, write_database, write_image, write_pts

ONE, TWO = "0/image00002.jpg", "3/image00102.jpg"
FACES = [
    {
        "id": 39341 + row,
        "path": path,
        "rect": (10, 5, 30, 30),
        "pose": (0, 0, 0),
        "points": {15: (20 + row, 20)},
    }
    for row, path in enumerate((ONE, TWO))
]
LABEL = "merl_rav_labels/frontal/testset/labels/image00002.pts"


@pytest.fixture
def release(tmp_path):
    folder = tmp_path / "aflw"
    write_database(folder / "aflw.sqlite", FACES)
    for name in (ONE, TWO):
        write_image(folder / "flickr" / name)
    write_pts(folder / LABEL, np.full((68, 2), 20.0))
    return folder


@pytest.fixture
def refused(tmp_path):
    """Prepare, expect a refusal, and see that nothing was left behind; return the message."""

    def call(*sources, kind=InvalidData, partial=True):
        with pytest.raises(kind) as error:
            prepare("aflw", sources, tmp_path / "out" / "aflw.h5", partial=partial)
        assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
        return str(error.value)

    return call


@pytest.fixture
def change(release):
    def call(*statements):
        with closing(sqlite3.connect(release / "aflw.sqlite")) as db, db:
            for one in statements:
                db.execute(one)
        return release

    return call


class TestSources:
    def test_none(self, refused):
        assert "no --source given" in refused(kind=DataMissing)

    def test_something_else(self, refused, tmp_path):
        (tmp_path / "holidays").mkdir()
        (tmp_path / "holidays" / "aflw-db.tar.gz").write_bytes(b"x")
        message = refused(tmp_path / "holidays", kind=DataMissing)
        assert message.startswith(f"{tmp_path / 'holidays'}: no AFLW release found: expected aflw.sqlite.")
        assert "aflw-db.tar.gz" in message
        assert "flickr/" in message

    def test_two_databases(self, refused, release):
        shutil.copytree(release, release / "backup")
        assert "found 2 databases" in refused(release)

    def test_two_folders_of_images(self, refused, release):
        shutil.copytree(release / "flickr", release / "backup")
        message = refused(release)
        assert "images of AFLW in 2 folders" in message
        assert str(release / "backup") in message

    def test_a_source_that_adds_nothing(self, refused, release, tmp_path):
        (tmp_path / "idle").mkdir()
        assert refused(release, tmp_path / "idle", kind=DataMissing).startswith(
            f"{tmp_path / 'idle'}: nothing"
        )

    def test_a_part_of_the_release(self, refused, release):
        message = refused(release, partial=False)
        assert "split 'all': expected 24384 faces, found 2" in message
        assert "--partial" in message


class TestDatabase:
    @pytest.mark.parametrize(
        "content", [b"", b"<html>Not found</html>", bytes(5000)], ids=["empty", "html", "zeros"]
    )
    def test_no_database(self, refused, release, content):
        (release / "aflw.sqlite").write_bytes(content)
        assert refused(release).startswith(f"{release / 'aflw.sqlite'}: not an SQLite database")

    @pytest.mark.parametrize("share", [0.1, 0.5])
    def test_cut_short(self, refused, release, share):
        path = release / "aflw.sqlite"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        assert refused(release).startswith(f"{path}: not a readable SQLite database")

    @pytest.mark.parametrize("table", ["Faces", "FaceImages", "FaceRect", "FacePose", "FeatureCoords"])
    def test_a_missing_table(self, refused, change, table):
        message = refused(change(f"DROP TABLE {table}"))
        assert f"aflw.sqlite: 1 fault found.\n  table '{table}': missing" in message

    @pytest.mark.parametrize(
        ("table", "column"), [("FaceRect", "w"), ("FeatureCoords", "feature_id"), ("FaceMetaData", "sex")]
    )
    def test_a_missing_column(self, refused, change, table, column):
        message = refused(change(f"ALTER TABLE {table} RENAME COLUMN {column} TO other"))
        assert f"table '{table}': column '{column}' is missing" in message

    def test_a_view_is_no_table(self, refused, change):
        release = change(
            "ALTER TABLE FaceRect RENAME TO Hidden", "CREATE VIEW FaceRect AS SELECT * FROM Hidden"
        )
        assert "table 'FaceRect': missing" in refused(release)

    def test_optional_tables(self, change, tmp_path):
        release = change("DROP TABLE FaceEllipse", "DROP TABLE FaceMetaData")
        assert prepare("aflw", [release], tmp_path / "x.h5", partial=True).path.is_file()

    @pytest.mark.parametrize("value", ["NULL", "'abc'", "9e999"])
    @pytest.mark.parametrize(
        ("table", "column", "what"),
        [
            ("FaceRect", "x", "face 39342"),
            ("FacePose", "roll", "face 39342"),
            ("FeatureCoords", "y", "face 39342, feature_id 15"),
        ],
    )
    def test_a_number_that_is_none(self, refused, change, table, column, value, what):
        release = change(f"UPDATE {table} SET {column} = {value} WHERE face_id = 39342")
        assert f"{table}: {what}: expected finite numbers" in refused(release)

    def test_a_face_that_is_there_twice(self, refused, change):
        release = change(
            "CREATE TABLE Other AS SELECT * FROM Faces",
            "DROP TABLE Faces",
            "ALTER TABLE Other RENAME TO Faces",
            "INSERT INTO Faces VALUES (39342, 'image00002.jpg', 'x')",
        )
        assert "Faces: face 39342 is there twice" in refused(release)

    @pytest.mark.parametrize(
        ("table", "row", "what"),
        [
            ("FaceRect", "39342, 1, 2, 3, 3, 1", "face 39342"),
            ("FacePose", "39342, 0, 0, 1, 1", "face 39342"),
            ("FeatureCoords", "39342, 15, 1, 1, 1", "face 39342, feature_id 15"),
        ],
    )
    def test_two_rows_that_contradict_each_other(self, refused, change, table, row, what):
        release = change(f"INSERT INTO {table} VALUES ({row})")
        assert f"{table}: {what} is there twice, with different numbers" in refused(release)

    def test_two_rows_that_agree(self, change, tmp_path):
        release = change("INSERT INTO FaceRect SELECT * FROM FaceRect")
        assert prepare("aflw", [release], tmp_path / "x.h5", partial=True).path.is_file()

    def test_an_image_with_two_paths(self, refused, change):
        release = change(
            "INSERT INTO FaceImages VALUES (77, 'x', 'image00002.jpg', '3/image00102.jpg', 0, 1, 1)"
        )
        assert "FaceImages: file image00002.jpg is there twice" in refused(release)

    @pytest.mark.parametrize("feature", [0, 22, -3])
    def test_a_point_that_aflw_does_not_have(self, refused, change, feature):
        release = change(f"UPDATE FeatureCoords SET feature_id = {feature} WHERE face_id = 39341")
        assert "FeatureCoords: face 39341: expected feature_id 1 to 21" in refused(release)

    def test_points_of_no_face_are_told_of(self, change, tmp_path):
        release = change("INSERT INTO FeatureCoords VALUES (7, 1, 2, 3, 1)")
        notes = prepare("aflw", [release], tmp_path / "x.h5", partial=True).notes
        assert "1 points in FeatureCoords belong to no face in Faces and are not read" in notes

    def test_a_face_without_a_rectangle_that_nobody_knows_of(self, change, tmp_path):
        release = change("DELETE FROM FaceRect WHERE face_id = 39342")
        notes = "\n".join(prepare("aflw", [release], tmp_path / "x.h5", partial=True).notes)
        assert "1 faces without a rectangle or image are left out: 39342; 1 of them" in notes

    def test_nothing_usable(self, refused, change):
        assert "no face has a rectangle and an image" in refused(change("DELETE FROM FaceRect"))


class TestImages:
    def test_missing(self, refused, release):
        (release / "flickr" / TWO).unlink()
        message = refused(release, partial=False)
        assert f"{TWO}: missing; aflw.sqlite has faces in it" in message
        assert "--partial" in message

    def test_missing_from_a_part(self, release, tmp_path):
        (release / "flickr" / TWO).unlink()
        notes = prepare("aflw", [release], tmp_path / "x.h5", partial=True).notes
        assert "1 faces are left out, since their 1 images are missing" in notes

    def test_all_missing(self, refused, release):
        shutil.rmtree(release / "flickr")
        message = refused(release, kind=DataMissing)
        assert f"none of the 2 images that aflw.sqlite names is there, such as {ONE}" in message

    def test_crops_of_aflw2000_are_not_mistaken_for_them(self, refused, release):
        """They bear the same names, but lie in another folder."""
        shutil.rmtree(release / "flickr")
        write_image(release / "AFLW2000" / "image00002.jpg")
        assert "none of the 2 images" in refused(release, kind=DataMissing)

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
    def test_cut_short(self, refused, release, share):
        path = release / "flickr" / TWO
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        assert TWO in refused(release)


class TestMerlRav:
    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("", "expected 68 lines of two numbers, found 0 points"),
            ("1 2\n" * 67, "found 67 points"),
            ("1 2\n" * 67 + "1 two\n", "could not convert"),
            ("1 2\n" * 67 + "1 nan\n", "expected finite numbers"),
            ("1 2\n" * 67 + "-1 2\n", "expected x and y of one sign"),
        ],
    )
    def test_a_wrong_file(self, refused, release, text, what):
        (release / LABEL).write_text(text, encoding="utf-8")
        message = refused(release)
        assert LABEL in message
        assert what in message

    def test_bytes_that_are_no_text(self, refused, release):
        (release / LABEL).write_bytes(b"\xff\xfe\xfa")
        assert LABEL in refused(release)

    def test_the_same_label_twice(self, refused, release):
        (release / "merl_rav_labels/left/trainset/labels").mkdir(parents=True)
        shutil.copy(release / LABEL, release / "merl_rav_labels/left/trainset/labels")
        assert "image00002.pts: expected one file for each label, found 2" in refused(release)

    def test_in_two_sources(self, refused, release, tmp_path):
        shutil.copytree(release / "merl_rav_labels", tmp_path / "again" / "merl_rav_labels")
        assert "found labels of MERL-RAV in 2 sources" in refused(release, tmp_path / "again")


class TestCcl:
    @pytest.fixture
    def mat(self, release):
        rows = [{**face, "points19": np.full((19, 2), 20.0), "mask": np.ones(19)} for face in FACES]
        return write_ccl(release / "AFLWinfo_release.mat", rows)

    @pytest.mark.parametrize(
        ("key", "value", "what"),
        [
            ("bbox", None, "key 'bbox': expected an array, found none"),
            ("ra", None, "key 'ra': expected an array, found none"),
            ("data", np.zeros((2, 37)), "key 'data': expected shape (2, 38) of numbers, found (2, 37)"),
            ("mask_new", np.zeros((3, 19)), "key 'mask_new': expected shape (2, 19)"),
            ("ra", np.array([[1, 1]]), "key 'ra': expected each of the numbers 1 to 2 once"),
            ("bbox", np.full((2, 4), np.nan), f"key 'bbox', {ONE}: expected finite numbers"),
            ("data", np.full((2, 38), np.inf), f"key 'data', {ONE}: a visible point is NaN or infinite"),
        ],
    )
    def test_a_wrong_key(self, refused, release, mat, key, value, what):
        values = {one: array for one, array in loadmat(mat).items() if not one.startswith("__")}
        values[key] = value
        savemat(mat, {one: array for one, array in values.items() if array is not None})
        message = refused(release)
        assert message.startswith(f"{mat}: ")
        assert what in message

    @pytest.mark.parametrize("content", [b"", b"x" * 500])
    def test_no_matlab_file(self, refused, release, mat, content):
        mat.write_bytes(content)
        assert refused(release).startswith(f"{mat}: not a readable MATLAB file")

    def test_two_files(self, refused, release, mat):
        shutil.copy(mat, release / "flickr" / "AFLWinfo_release.mat")
        assert "found 2 files of 19-point labels" in refused(release)
