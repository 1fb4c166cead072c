"""Rendered faces as a release of AFLW, with the labels of CCL and MERL-RAV beside it.

PROTOCOLS 1.2, 1.9, 2.1 and 2.5.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError
from facebench.geometry.rotations import rotation_to_euler
from facebench.geometry.schemes import VISIBILITY, get_scheme
from facebench.synthetic.faces import RenderedFace
from facebench.synthetic.mean_head import mean_head
from facebench.synthetic.trees.files import empty_folder, mat_bytes, png_bytes, pts_text
from facebench.synthetic.trees.points import is_visible, rectangle_around, scheme_points

__all__ = ["write_aflw_tree"]

Floats = NDArray[np.float64]

FIRST_ID, MOST_FACES = 90001, 9999
FOLDERS = ("0", "2", "3")
# Most images of the release are .jpg, some .png; of four of ours one is.
PNG_EVERY, TEST_EVERY = 4, 5

SCHEMA = """
CREATE TABLE Faces (face_id INTEGER PRIMARY KEY, file_id TEXT, db_id TEXT);
CREATE TABLE FaceImages (image_id INTEGER PRIMARY KEY, db_id TEXT, file_id TEXT, filepath TEXT,
  bw INTEGER, width INTEGER, height INTEGER);
CREATE TABLE FaceRect (face_id INTEGER, x INTEGER, y INTEGER, w INTEGER, h INTEGER, annot_type_id INTEGER);
CREATE TABLE FaceEllipse (face_id INTEGER, x REAL, y REAL, ra REAL, rb REAL, theta REAL, upsidedown INTEGER,
  annot_type_id INTEGER);
CREATE TABLE FacePose (face_id INTEGER, roll REAL, pitch REAL, yaw REAL, annot_type_id INTEGER);
CREATE TABLE FaceMetaData (face_id INTEGER, sex TEXT, occluded INTEGER, glasses INTEGER, bw INTEGER,
  annot_type_id INTEGER);
CREATE TABLE FeatureCoords (face_id INTEGER, feature_id INTEGER, x REAL, y REAL, annot_type_id INTEGER);
CREATE TABLE FeatureCoordTypes (feature_id INTEGER, descr TEXT, code TEXT, x REAL, y REAL, z REAL);
CREATE TABLE AnnotationType (annot_type_id INTEGER, name TEXT);
"""


def write_aflw_tree(folder: Path, faces: Iterable[RenderedFace]) -> list[str]:
    """Write ``aflw/data``, ``AFLWinfo_release.mat`` of CCL, and ``merl_rav_labels``.

    - ``aflw.sqlite``: poses are radians in ``aflw-yxz``; a point has a row, by a number from 1 to 21, only
      where the camera sees it; the rectangle is a square of whole pixels as x, y, width, height.
    - ``AFLWinfo_release.mat``: boxes as x1, x2, y1, y2, 19 x then 19 y of all points, a mask of those seen,
      and a permutation counted from 1.
    - MERL-RAV: (x, y) is visible, (-x, -y) occluded there, (-1, -1) hidden by the head.  The view follows
      from the yaw, by bounds of our own; one of five faces is a test face.

    Pixels count from 0 in all of them: nobody has said what the releases count from, and facebench shifts
    nothing.

    Parameters
    ----------
    folder : a new or empty folder.
    faces : 9999 at most.

    Raises
    ------
    UsageError : a point that is not hidden lies on or beyond the left or the upper border of the image:
        the signs of MERL-RAV cannot say so.
    """
    root = empty_folder(folder)
    ids: list[str] = []
    labels: list[dict[str, Any]] = []
    data = root / "aflw" / "data"
    data.mkdir(parents=True)
    with closing(sqlite3.connect(data / "aflw.sqlite")) as base, base:
        base.executescript(SCHEMA)
        _insert(base, "AnnotationType", [(1, "manual")])
        _insert(base, "FeatureCoordTypes", _feature_types())
        for number, face in enumerate(faces):
            if number == MOST_FACES:
                msg = f"There are names for {MOST_FACES} faces."
                raise UsageError(msg)
            one = FIRST_ID + number
            ending = "png" if number % PNG_EVERY == PNG_EVERY - 1 else "jpg"
            path = f"{FOLDERS[number % len(FOLDERS)]}/image{one}.{ending}"
            (data / "flickr" / path).parent.mkdir(parents=True, exist_ok=True)
            (data / "flickr" / path).write_bytes(png_bytes(face.image) if ending == "png" else face.jpeg)
            points, states = scheme_points(face, "aflw21")
            rectangle = rectangle_around(points, square=True)
            _insert_face(base, one, path, face, points, states, rectangle)
            labels.append(_ccl_label(face, path, rectangle))
            part = "testset" if number % TEST_EVERY == TEST_EVERY - 1 else "trainset"
            pts = root / "merl_rav_labels" / _view(face) / part / "labels" / f"image{one}.pts"
            pts.parent.mkdir(parents=True, exist_ok=True)
            pts.write_text(pts_text(_signed(face, str(one))), encoding="ascii", newline="\n")
            ids.append(str(one))
    (root / "AFLWinfo_release.mat").write_bytes(_ccl_file(labels))
    return ids


def _insert(base: sqlite3.Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        # The name is one of the schema's.
        base.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _feature_types() -> list[tuple[Any, ...]]:
    """Return the 21 features with their places on the mean face: x right, y up, z to the viewer."""
    places = (mean_head("aflw21") * (1, -1, -1)).tolist()
    names = get_scheme("aflw21").points
    return [(k, name, name, *place) for k, (name, place) in enumerate(zip(names, places, strict=True), 1)]


def _insert_face(
    base: sqlite3.Connection,
    one: int,
    path: str,
    face: RenderedFace,
    points: Floats,
    states: NDArray[np.uint8],
    rectangle: tuple[int, int, int, int],
) -> None:
    file_id = path.rpartition("/")[2]
    height, width = face.image.shape[:2]
    x, y, w, h = rectangle
    yaw, pitch, roll = np.radians(rotation_to_euler(face.rotation, "aflw-yxz")).tolist()
    covered = int((states == VISIBILITY["occluded"]).any())
    _insert(base, "Faces", [(one, file_id, "facebench")])
    _insert(base, "FaceImages", [(one, "facebench", file_id, path, 0, width, height)])
    _insert(base, "FaceRect", [(one, x, y, w, h, 1)])
    _insert(base, "FaceEllipse", [(one, x + w / 2, y + h / 2, w / 2, h / 2, 0.0, 0, 1)])
    _insert(base, "FacePose", [(one, roll, pitch, yaw, 1)])
    _insert(base, "FaceMetaData", [(one, "", covered, 0, 0, 1)])
    seen = np.flatnonzero(is_visible(states)).tolist()
    _insert(base, "FeatureCoords", [(one, k + 1, *points[k].tolist(), 1) for k in seen])


def _ccl_label(face: RenderedFace, path: str, rectangle: tuple[int, int, int, int]) -> dict[str, Any]:
    points, states = scheme_points(face, "aflw19")
    x, y, w, h = rectangle
    return {
        "bbox": [x, x + w, y, y + h],
        "data": np.concatenate([points[:, 0], points[:, 1]]),
        "mask_new": is_visible(states),
        "name": path,
    }


def _ccl_file(labels: list[dict[str, Any]]) -> bytes:
    """Return the (N, 4) boxes, (N, 38) coordinates, (N, 19) masks, N names and a permutation, as MATLAB."""
    names = np.empty((len(labels), 1), object)
    names[:, 0] = [label["name"] for label in labels]
    return mat_bytes(
        {
            "bbox": np.array([label["bbox"] for label in labels], float).reshape(-1, 4),
            "data": np.array([label["data"] for label in labels], float).reshape(-1, 38),
            "mask_new": np.array([label["mask_new"] for label in labels], np.uint8).reshape(-1, 19),
            "nameList": names,
            "ra": np.arange(len(labels), 0, -1, dtype=float)[None],
        }
    )


def _view(face: RenderedFace) -> str:
    """Return the view of MERL-RAV that a face is in: the side is that to which the nose points."""
    yaw = float(rotation_to_euler(face.rotation, "aflw-yxz")[0])
    side = "left" if yaw > 0 else "right"
    if abs(yaw) <= 15:
        return "frontal"
    return f"{side}half" if abs(yaw) <= 45 else side


def _signed(face: RenderedFace, one: str) -> Floats:
    """Return the (68, 2) numbers of MERL-RAV: points, with the state as their sign."""
    hidden = face.visibility == VISIBILITY["hidden"]
    outside = ~hidden & (np.round(face.points, 6) <= 0).any(axis=1)
    if outside.any():
        msg = f"Face {one} has points on or beyond the left or upper border; MERL-RAV cannot express them."
        raise UsageError(msg)
    signs = np.where(is_visible(face.visibility), 1.0, -1.0)[:, None]
    stored: Floats = np.where(hidden[:, None], -1.0, signs * face.points)
    return stored
