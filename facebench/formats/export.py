"""Writing a prepared dataset as other tools read it: COCO keypoints, ``.pts`` files, CSV, NPZ.

Nothing is lost on purpose, and nothing is invented: coordinates are written with all their digits, a point
that is not annotated stays so.  The same dataset gives the same bytes.  Images are not written: COCO, CSV
and NPZ name them by their path in the release.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InvalidData, UsageError, name_some
from facebench.formats.atomic import atomic_folder, atomic_path
from facebench.formats.content import AnnotationSet
from facebench.formats.reader import PreparedDataset
from facebench.formats.schema import VISIBILITY
from facebench.formats.selection import choose_annotation, choose_rows
from facebench.geometry import get_scheme, rotation_to_euler, tight_box
from facebench.geometry.crops import has_area

__all__ = ["EXPORTS", "Excerpt", "coco", "csv_text", "excerpt", "export", "npz_arrays", "pts_texts"]

Floats = NDArray[np.float64]

#: The formats that a dataset can be exported to, and what each of them is.
EXPORTS = {
    "coco": "one JSON file of COCO keypoint annotations, 0-based",
    "pts": "a folder of 300W .pts files, one a face, 1-based",
    "csv": "one table, one row a face, 0-based",
    "npz": "one archive of numpy arrays, 0-based",
}

EULER = ("yaw", "pitch", "roll")
CORNERS = ("x_min", "y_min", "x_max", "y_max")

# COCO's flag by state.  COCO has no word for "unknown whether visible": such a point counts as visible.
COCO_FLAG = {
    VISIBILITY["unknown"]: 2,
    VISIBILITY["visible"]: 2,
    VISIBILITY["occluded"]: 1,
    VISIBILITY["hidden"]: 1,
}


@dataclass(frozen=True)
class Excerpt:
    """Some n faces of a dataset with one annotation set, in order of their ids.

    Attributes
    ----------
    rows : (n,) rows of the faces in the dataset.
    annotation : name of the annotation set; empty where the dataset has none.
    points, visibility : (n, K, 2) 0-based pixels, NaN where not annotated, and (n, K) states.
    euler : (n, 3) yaw, pitch, roll in degrees, ``raw-xyz``; NaN where the pose is unknown.
    boxes : (n, 4) by origin.
    """

    dataset: PreparedDataset
    rows: NDArray[np.int64]
    annotation: str
    scheme: str
    points: Floats
    visibility: NDArray[np.uint8]
    rotation: Floats
    euler: Floats
    boxes: dict[str, Floats]

    @property
    def ids(self) -> list[str]:
        return [self.dataset.ids[row] for row in self.rows]

    @property
    def image_paths(self) -> list[str]:
        return [self.dataset.image_paths[self.dataset.image_of[row]] for row in self.rows]

    @property
    def point_names(self) -> tuple[str, ...]:
        return get_scheme(self.scheme).points if self.scheme else ()


def excerpt(dataset: PreparedDataset, split: str | None = None, annotation: str | None = None) -> Excerpt:
    """Take the faces of a split, or all, with one annotation set.

    Raises
    ------
    UsageError : unknown or empty split, or several annotation sets and none named.
    DataMissing : the dataset has not that annotation set.
    """
    rows = choose_rows(dataset, split)
    name, chosen = choose_annotation(dataset, annotation)
    if chosen is None:
        chosen = AnnotationSet("", np.empty((len(dataset), 0, 2)), np.empty((len(dataset), 0), np.uint8))
    rotation = dataset.rotation[rows]
    return Excerpt(
        dataset=dataset,
        rows=rows,
        annotation=name,
        scheme=chosen.scheme,
        points=chosen.points[rows],
        visibility=chosen.visibility[rows],
        rotation=rotation,
        euler=rotation_to_euler(rotation, "raw-xyz"),
        boxes={origin: boxes[rows] for origin, boxes in dataset.boxes.items()},
    )


def export(
    dataset: PreparedDataset,
    kind: str,
    target: str | Path,
    split: str | None = None,
    annotation: str | None = None,
) -> int:
    """Write a dataset in another format, completely or not at all.

    Parameters
    ----------
    kind : a key of :data:`EXPORTS`.
    target : the file to write, or for ``pts`` the folder, which must be new or empty.
    split : faces to write; by default all.
    annotation : points to write; by default ``original`` or the only set.

    Returns
    -------
    How many faces were written.

    Raises
    ------
    UsageError : unknown format, split or set, a folder that is not empty, nothing to write.
    DataMissing : the dataset has not that annotation set.
    InvalidData : a face id that is no path within a folder.
    FacebenchError : the target cannot be written.
    """
    if kind not in EXPORTS:
        msg = f"Unknown format '{kind}'. Known formats: {', '.join(EXPORTS)}."
        raise UsageError(msg)
    faces, path = excerpt(dataset, split, annotation), Path(target)
    if kind in ("coco", "pts") and not faces.scheme:
        msg = f"{dataset.path}: has no landmarks to write as {kind}. Formats without: csv, npz."
        raise UsageError(msg)
    if kind == "pts":
        texts = pts_texts(faces)
        with atomic_folder(path) as folder:
            for name, text in texts.items():
                file = folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="\n")
        return len(faces.rows)
    if path.is_dir():
        msg = f"{path}: is a folder; give the file that {kind} is to be written to."
        raise UsageError(msg)
    make: dict[str, Callable[[Excerpt], bytes]] = {"coco": _coco_bytes, "csv": _csv_bytes, "npz": _npz_bytes}
    content = make[kind](faces)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return len(faces.rows)


def coco(faces: Excerpt) -> dict[str, Any]:
    """Return COCO keypoint annotations as a value for JSON.

    ``keypoints`` are x, y, v per point: 0 where it is not annotated (x and y are then 0), 1 where it is
    annotated but not visible, 2 where it is visible or the release does not say.  ``bbox`` is x, y, width,
    height of the box ``landmarks``, or of the smallest box around the points where the file has none.
    Beyond COCO's own keys, each annotation has ``face_id`` and ``euler_raw_xyz`` (yaw, pitch, roll in
    degrees, or null).
    """
    dataset = faces.dataset
    images = sorted({int(dataset.image_of[row]) for row in faces.rows})
    annotated: NDArray[np.bool_] = np.asarray(np.isfinite(faces.points).all(axis=2))
    flags = np.array([COCO_FLAG[state] for state in range(len(COCO_FLAG))])[faces.visibility] * annotated
    triples = np.concatenate([np.where(annotated[..., None], faces.points, 0.0), flags[..., None]], axis=2)
    stored = faces.boxes.get("landmarks", tight_box(faces.points))
    boxes = np.where(has_area(stored)[:, None], stored, tight_box(faces.points))
    sized = np.nan_to_num(np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1))
    annotations = []
    for at, row in enumerate(faces.rows):
        euler = faces.euler[at].tolist() if np.isfinite(faces.euler[at]).all() else None
        annotations.append(
            {
                "id": int(row) + 1,
                "image_id": int(dataset.image_of[row]) + 1,
                "category_id": 1,
                "keypoints": [number for x, y, flag in triples[at].tolist() for number in (x, y, int(flag))],
                "num_keypoints": int(annotated[at].sum()),
                "bbox": sized[at].tolist(),
                "area": float(sized[at, 2] * sized[at, 3]),
                "iscrowd": 0,
                "face_id": dataset.ids[row],
                "euler_raw_xyz": euler,
            }
        )
    return {
        "info": {
            "description": f"{dataset.name}, annotation set {faces.annotation} ({faces.scheme})",
            "source_sha256": dataset.sha256,
            "citation": dataset.citation,
        },
        "licenses": [{"id": 1, "name": dataset.licence, "url": ""}],
        "images": [
            {
                "id": image + 1,
                "file_name": dataset.image_paths[image],
                "width": int(dataset.image_sizes[image, 0]),
                "height": int(dataset.image_sizes[image, 1]),
                "license": 1,
            }
            for image in images
        ],
        "annotations": annotations,
        "categories": [
            {
                "id": 1,
                "name": "face",
                "supercategory": "person",
                "keypoints": list(faces.point_names),
                "skeleton": [],
            }
        ],
    }


def pts_texts(faces: Excerpt) -> dict[str, str]:
    """Return the text of each face's ``.pts`` file by its path, which is the face id.

    As in 300W the first pixel is 1, 1: every coordinate is one more than in the prepared file.  A point that
    is not annotated is ``nan nan``.

    Raises
    ------
    InvalidData : a face id that does not stay within a folder.
    """
    astray = [name for name in faces.ids if not _stays_inside(name)]
    if astray:
        msg = f"{faces.dataset.path}: face id {name_some(map(repr, astray))} is no path within a folder."
        raise InvalidData(msg)
    texts = {}
    for name, points in zip(faces.ids, faces.points + 1.0, strict=True):
        lines = [f"{x!r} {y!r}" for x, y in points.tolist()]
        texts[f"{name}.pts"] = "\n".join(
            ["version: 1", f"n_points: {len(points)}", "{", *lines, "}", ""],
        )
    return texts


def _stays_inside(name: str) -> bool:
    parts = name.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not set(name) & set('\\:\0*?"<>|\n\r')


def csv_text(faces: Excerpt) -> str:
    """Return a table, one row a face: id, image, points, states, pose and boxes.

    Columns ``x0, y0, ...`` are 0-based pixels in the order of the scheme, ``v0, ...`` the states of
    ``VISIBILITY``, ``yaw, pitch, roll`` degrees in ``raw-xyz``; a value that is not known is empty.
    """
    count = faces.points.shape[1]
    header = ["id", "image"]
    header += [f"{axis}{point}" for point in range(count) for axis in "xy"]
    header += [f"v{point}" for point in range(count)] + list(EULER)
    header += [f"box_{origin}_{corner}" for origin in faces.boxes for corner in CORNERS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for at, (name, image) in enumerate(zip(faces.ids, faces.image_paths, strict=True)):
        corners = [number for boxes in faces.boxes.values() for number in boxes[at].tolist()]
        row: list[object] = [name, image, *map(_cell, faces.points[at].ravel().tolist())]
        row += faces.visibility[at].tolist()
        writer.writerow([*row, *map(_cell, faces.euler[at].tolist()), *map(_cell, corners)])
    return text.getvalue()


def _cell(number: float) -> str:
    return repr(number) if np.isfinite(number) else ""


def npz_arrays(faces: Excerpt) -> dict[str, NDArray]:
    """Return the arrays of an NPZ archive, none of which needs pickle.

    ``id``, ``image`` (n,); ``points`` (n, K, 2) and ``visibility`` (n, K); ``point_names`` (K,); ``rotation``
    (n, 3, 3) and ``euler_raw_xyz`` (n, 3); ``box_<origin>`` (n, 4); ``dataset``, ``annotation``, ``scheme``,
    ``licence``, ``citation``, ``source_sha256`` as single strings.
    """
    dataset = faces.dataset
    texts = {
        "dataset": dataset.name,
        "annotation": faces.annotation,
        "scheme": faces.scheme,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "source_sha256": dataset.sha256,
    }
    return {
        "id": np.array(faces.ids, np.str_),
        "image": np.array(faces.image_paths, np.str_),
        "points": faces.points,
        "visibility": faces.visibility,
        "point_names": np.array(faces.point_names, np.str_),
        "rotation": faces.rotation,
        "euler_raw_xyz": faces.euler,
        **{f"box_{origin}": boxes for origin, boxes in faces.boxes.items()},
        **{key: np.array(text, np.str_) for key, text in texts.items()},
    }


def _coco_bytes(faces: Excerpt) -> bytes:
    return json.dumps(coco(faces), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _csv_bytes(faces: Excerpt) -> bytes:
    return csv_text(faces).encode()


def _npz_bytes(faces: Excerpt) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **npz_arrays(faces))  # type: ignore[arg-type]
    return stream.getvalue()
