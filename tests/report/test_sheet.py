from __future__ import annotations

import cv2
import numpy as np
import pytest

from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import open_dataset
from facebench.report import Sheet, contact_sheet, headline_error, worst_faces, write_sheet
from facebench.report.sheet import AXES, STATES
from tests.formats import toy


def has_colour(picture, colour):
    return bool((np.abs(picture.astype(int) - colour).max(axis=2) == 0).any())


def test_a_sheet_shows_points_axes_and_is_the_same_each_time(drawn, tmp_path):
    dataset = open_dataset(drawn)
    sheet = Sheet(range(7), title="a title")
    picture = contact_sheet(dataset, sheet)
    np.testing.assert_array_equal(picture, contact_sheet(dataset, sheet))
    faces = picture[90:]
    for colour in (STATES["unknown"], STATES["visible"], *(axis[-1] for axis in AXES)):
        assert has_colour(faces, colour)
    assert has_colour(picture[:90], STATES["hidden"])
    assert not has_colour(faces, STATES["hidden"])
    write_sheet(tmp_path / "s.png", picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "s.png"))[..., ::-1], picture)


def test_faces_without_pose_box_or_points_are_shown(tmp_path):
    path = toy.write(tmp_path / "t.h5", poses={}, boxes={"dataset": np.full((4, 4), np.nan)})
    assert contact_sheet(open_dataset(path), Sheet(range(4), "aflw", "dataset")).shape[2] == 3
    path = toy.write(tmp_path / "u.h5", annotations={})
    assert contact_sheet(open_dataset(path), Sheet([0, 3], box="detector")).shape[2] == 3


def test_bad_sheets_are_refused(drawn, tmp_path):
    dataset = open_dataset(drawn)
    with pytest.raises(UsageError, match="1 to 600 faces, not 0"):
        contact_sheet(dataset, Sheet([]))
    with pytest.raises(UsageError, match="no box 'mtcnn'"):
        contact_sheet(dataset, Sheet([1], box="mtcnn"))
    with pytest.raises(DataMissing, match="no annotation set 'nose'"):
        contact_sheet(dataset, Sheet([1], "nose"))
    with pytest.raises(UsageError, match=r"ends in \.png"):
        write_sheet(tmp_path / "s.gif", np.zeros((2, 2, 3), np.uint8))


TABLE = "protocol,id,error,value\np,a,e,1\np,b,e,inf\np,c,e,nan\np,d,e,3\np,a,f,9\nq,a,f,8\n"


def test_worst_faces_come_first(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    assert worst_faces(tmp_path / "t.csv", "e") == [("b", np.inf), ("d", 3.0), ("a", 1.0)]
    assert worst_faces(tmp_path / "t.csv", "f", "q") == [("a", 8.0)]


@pytest.mark.parametrize(
    ("text", "arguments", "error", "message"),
    [
        (TABLE, ("g",), UsageError, "no error 'g'. Its errors: e, f"),
        (TABLE, ("f",), UsageError, "several protocols"),
        (TABLE, ("e", "q"), UsageError, "only of p"),
        ("id,value\na,1\n", ("e",), InvalidData, "expected the columns"),
        (TABLE + "p,a,e,much\n", ("e",), InvalidData, "not a table"),
        (TABLE + "p,a\n", ("e",), InvalidData, "not a table"),
        (None, ("e",), DataMissing, "cannot be read"),
    ],
)
def test_odd_tables_get_one_message(tmp_path, text, arguments, error, message):
    if text:
        (tmp_path / "t.csv").write_text(text)
    with pytest.raises(error, match=message):
        worst_faces(tmp_path / "t.csv", *arguments)


def test_the_error_to_sort_by_is_that_of_the_first_headline_with_one_for_each_face(tmp_path):
    head = "protocol,id,error,value\n"
    pose, points = "aflw2000/pose,a,mae/raw-xyz,1\n", "aflw2000/landmarks-original,a,nme/box-sqrt,2\n"
    beside = "aflw2000/pose,a,geodesic,1\n"
    path = tmp_path / "t.csv"
    for text, expected in ((beside + pose + points, "mae/raw-xyz"), (beside + points, "nme/box-sqrt")):
        path.write_text(head + text)
        assert headline_error(path)[1] == expected
    assert headline_error(path, "aflw2000/landmarks-original")[0] == "aflw2000/landmarks-original"
    for text, protocol in ((beside, None), (pose, "aflw2000/landmarks-original"), ("", None)):
        path.write_text(head + text)
        with pytest.raises(UsageError, match="Name an error with --metric"):
            headline_error(path, protocol)
