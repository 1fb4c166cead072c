"""A 300W release in its own layout and format: tiny grey images, invented points and official boxes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from facebench.datasets import manifest_folder
from facebench.geometry import get_scheme

SUBSETS = {
    "afw": 337,
    "helen/trainset": 2000,
    "lfpw/trainset": 811,
    "helen/testset": 330,
    "lfpw/testset": 224,
    "ibug": 135,
    "300W/01_Indoor": 300,
    "300W/02_Outdoor": 300,
}
IMAGE = np.full((8, 8, 3), 128, np.uint8)
ENCODED = {kind: cv2.imencode(f".{kind}", IMAGE)[1].tobytes() for kind in ("jpg", "png")}


def ids_of(folder: str) -> list[str]:
    """Names of the faces of a subset, sorted."""
    with (manifest_folder() / "300w.faces.csv").open(encoding="utf-8", newline="") as file:
        every = [row["id"] for row in csv.DictReader(file)]
    return sorted(one for one in every if one.rpartition("/")[0] == folder)


def invented(one: str) -> np.ndarray:
    """The (68, 2) points of a face as its .pts has them, counted from 1."""
    rng = np.random.default_rng(sum(one.encode()) * 7919 + len(one))
    turned = get_model()[:, :2] * [1, 1.2] * rng.uniform(60, 90) + rng.uniform(150, 250, 2)
    return np.round(turned + rng.normal(0, 1, (68, 2)), 6)


@cache
def get_model() -> np.ndarray:
    """A mean face of nobody: 68 points on a bowl, in the axes of the published file."""
    rng = np.random.default_rng(5)
    flat = rng.uniform(-1, 1, (68, 2))
    return np.column_stack([flat, 0.5 * np.square(flat).sum(axis=1)])


def pts(points: np.ndarray, head: bool) -> bytes:
    lines = "".join(f"{x:.6f} {y:.6f}\n" for x, y in points)
    return (f"version: 1\nn_points:  68\n{{\n{lines}}}\n" if head else lines).encode()


def faces(folder: str, ids: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of every file of a subset."""
    kind = "png" if folder.startswith(("lfpw", "300W")) else "jpg"
    for one in ids:
        yield f"{one}.{kind}", ENCODED[kind]
        yield f"{one}.pts", pts(invented(one), head=not folder.startswith("helen"))


def write_faces(root: Path, folder: str, ids: list[str]) -> None:
    (root / folder).mkdir(parents=True)
    for name, data in faces(folder, ids):
        (root / name).write_bytes(data)


def box_row(one: str, kind: str = "jpg", shift: float = 0.0) -> dict:
    """A row of the official boxes; the detector's is smaller by 10 on each side."""
    points = invented(one)
    truth = np.hstack([points.min(axis=0), points.max(axis=0)]) + shift
    name = f"{one.rpartition('/')[2]}.{kind}"
    return {
        "imgName": name,
        "bb_detector": truth[None] + [[10, 10, -10, -10]],
        "bb_ground_truth": truth[None],
    }


def write_boxes(root: Path, folder: str, rows: list[dict]) -> Path:
    (root / "Bounding Boxes").mkdir(exist_ok=True)
    cells = np.empty((1, len(rows)), object)
    cells[0] = rows
    path = root / "Bounding Boxes" / f"bounding_boxes_{folder.replace('/', '_')}.mat"
    savemat(path, {"bounding_boxes": cells}, do_compression=True)
    return path


def write_mean_face(root: Path) -> Path:
    labels = get_scheme("ibug68").upm_labels
    lines = [
        f"{label}|{x:.9f}|{y:.9f}|{z:.9f}\n" for label, (x, y, z) in zip(labels, get_model(), strict=True)
    ]
    path = root / "mean_face_3D_68.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path
