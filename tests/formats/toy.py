"""A dataset built by hand: four faces in three small images, with points of a scheme other than ibug68."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facebench.formats import AnnotationSet, Content, ImageFile, write_dataset

IDS = ["a/1", "a/2", "b", "ć"]
IMAGE_OF = np.array([0, 0, 1, 2])
PROVENANCE = {"made": "by hand", "options": {"images": "embed"}}


def encoded(seed: int, width: int = 12, height: int = 8, ending: str = ".png") -> bytes:
    """Return an encoded image of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(ending, pixels)[1].tobytes()


PICTURES = {"a.png": encoded(1), "b.png": encoded(2, 20, 30), "c.jpg": encoded(3, ending=".jpg")}


def picture(name: str) -> ImageFile:
    data = PICTURES[name]
    return ImageFile(name, len(data), lambda: data)


def content(**changes: Any) -> Content:
    """Return the toy dataset, with some of its fields replaced."""
    rng = np.random.default_rng(5)
    faces = len(IDS)
    points = rng.uniform(0, 20, (faces, 21, 2))
    points[1, 3] = np.nan
    values: dict[str, Any] = {
        "dataset": "toy",
        "licence": "none; drawn by hand: ©",
        "citation": "@misc{toy}",
        "ids": IDS,
        "images": [picture(name) for name in PICTURES],
        "image_of": IMAGE_OF,
        "annotations": {
            "aflw": AnnotationSet("aflw21", points, rng.integers(0, 4, (faces, 21), dtype=np.uint8)),
            "ibug": AnnotationSet("ibug68", rng.uniform(0, 20, (faces, 68, 2)), np.ones((faces, 68), "u1")),
        },
        "splits": {"all": np.arange(faces), "some": np.array([0, 2]), "empty": np.array([], np.int64)},
        "boxes": {"dataset": rng.uniform(0, 20, (faces, 4)), "detector": rng.uniform(0, 20, (faces, 4))},
        "poses": {name: rng.normal(size=(faces, 3, 3)) for name in ("first", "second")},
        "pose_source": rng.normal(size=(faces, 2)),
        "pose_columns": "yaw, pitch",
        "groups": {"subject": ["F01", "F01", "M02", "é"]},
        "paths": {"depth": ["a_1.bin", "a_2.bin", "b.bin", "ć.bin"]},
        "source": {"roi": rng.integers(0, 9, (faces, 4)), "sex": rng.normal(size=(faces, 1))},
    }
    return Content(**{**values, **changes})


def write(path: Path, **changes: Any) -> Path:
    """Write the toy dataset, with some of its fields replaced."""
    write_dataset(path, content(**changes), lambda: PROVENANCE)
    return path
