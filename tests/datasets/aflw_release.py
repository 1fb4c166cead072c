"""Writes releases of AFLW, CCL and MERL-RAV in their own formats."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

# PROTOCOLS 1.2, from the tools of TU Graz.
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


def write_database(path: Path, faces: list[dict]) -> Path:
    """Write ``aflw.sqlite``; a face has id, path, rect, pose (yaw, pitch, roll), points {feature: (x, y)}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = {}
    for face in faces:
        if face["path"] is not None:
            files.setdefault(face["path"], face["path"].rpartition("/")[2])
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(SCHEMA)
        insert = {
            "Faces": [(f["id"], (f["path"] or "gone").rpartition("/")[2], "FlickrAFLW") for f in faces],
            "FaceImages": [
                (i, "FlickrAFLW", name, path, 0, 90, 60) for i, (path, name) in enumerate(files.items())
            ],
            "FaceRect": [(f["id"], *f["rect"], 1) for f in faces if f.get("rect")],
            "FaceEllipse": [(f["id"], 1.5, 2.5, 9.0, 8.0, 0.1, 0, 1) for f in faces if f.get("meta")],
            "FacePose": [(f["id"], *f["pose"][::-1], 1) for f in faces if f.get("pose")],
            "FaceMetaData": [(f["id"], *f["meta"], 0, 1) for f in faces if f.get("meta")],
            "FeatureCoords": [
                (f["id"], feature, x, y, 1) for f in faces for feature, (x, y) in f.get("points", {}).items()
            ],
        }
        for table, rows in insert.items():
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    return path


def write_image(path: Path, seed: int = 0) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((60, 90, 3), 40 + seed % 200, np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


def link_images(folder: Path, paths: list[str]) -> None:
    """Put one small picture of each kind under many names."""
    made: dict[str, Path] = {}
    for name in paths:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix not in made:
            write_image(path)
            made[path.suffix] = path
        else:
            os.link(made[path.suffix], path)


def write_pts(path: Path, points: np.ndarray) -> None:
    """Write numbers as MERL-RAV stores them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(f"{float(x)!r} {float(y)!r}" for x, y in points)
    path.write_text(f"version: 1\nn_points:  {len(points)}\n{{\n{lines}\n}}\n", encoding="utf-8")


def write_ccl(path: Path, faces: list[dict], ra: np.ndarray | None = None) -> Path:
    """Write ``AFLWinfo_release.mat``; a face has path, rect, points19 (19, 2), mask (19,)."""
    from scipy.io import savemat

    names = np.empty((len(faces), 1), object)
    names[:, 0] = [face["path"] for face in faces]
    rects = np.array([face["rect"] for face in faces], float)
    points = np.array([face["points19"] for face in faces], float)
    order = np.arange(1, len(faces) + 1) if ra is None else ra
    savemat(
        path,
        {
            "bbox": np.stack(
                [rects[:, 0], rects[:, 0] + rects[:, 2], rects[:, 1], rects[:, 1] + rects[:, 3]], axis=1
            ),
            "data": np.hstack([points[..., 0], points[..., 1]]),
            "mask_new": np.array([face["mask"] for face in faces], np.uint8),
            "nameList": names,
            "ra": order[None].astype(float),
        },
    )
    return path
