"""Releases to prepare: genuine where FACEBENCH_TEST_DATA names some, else made in their own formats.

The pictures are smooth noise in the sizes of the originals: what an image shows changes no time here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from tests.datasets import aflw_release, biwi_release, w300_tree
from tests.datasets.test_cofw import write_mat

# So many pictures are encoded, and used in turn.
DIFFERENT = 5


@contextmanager
def aflw2000(faces: int = 300) -> Iterator[list[Path]]:
    """Yield the sources of AFLW2000-3D: genuine, zip and stack, or a drawn folder of some faces."""
    genuine = os.environ.get("FACEBENCH_TEST_DATA")
    if genuine:
        raw = Path(genuine) / "raw"
        yield [raw / "AFLW2000-3D.zip", raw / "AFLW2000-3D-Reannotated.pts68.npy"]
        return
    from facebench.synthetic import draw_aflw2000_tree

    with tempfile.TemporaryDirectory() as folder:
        draw_aflw2000_tree(Path(folder), faces=faces, seed=0)
        yield [Path(folder)]


def pictures(height: int, width: int, sharp: float = 2.0) -> list[np.ndarray]:
    """Return smooth noise, (height, width, 3) each."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(DIFFERENT)]
    return [cv2.normalize(cv2.GaussianBlur(one, None, sharp), None, 0, 255, cv2.NORM_MINMAX) for one in noise]


def encoded(kind: str, height: int, width: int, sharp: float = 2.0) -> list[bytes]:
    return [cv2.imencode(f".{kind}", one)[1].tobytes() for one in pictures(height, width, sharp)]


def write_300w(root: Path) -> None:
    """Write the 689 faces of the public test sets, with JPEGs of 640 x 480."""
    images = encoded("jpg", 480, 640)
    for folder in ("helen/testset", "lfpw/testset", "ibug"):
        w300_tree.write_faces(root, folder, w300_tree.ids_of(folder))
    for at, path in enumerate([*root.rglob("*.jpg"), *root.rglob("*.png")]):
        path.write_bytes(images[at % DIFFERENT])


def write_aflw(root: Path, faces: int, images: int, links: bool = False) -> None:
    """Write a database of faces with 21 points each, and their images.

    Parameters
    ----------
    links : one small picture under all names, instead of a JPEG of 500 x 667 in each file.
    """
    paths = [f"{at % 3}/image{at:05}.jpg" for at in range(images)]
    points = {feature: (100.0 + feature, 120.0 + 2 * feature) for feature in range(1, 22)}
    rows = [
        {
            "id": 39341 + at,
            "path": paths[at % images],
            "rect": (90 + at // images, 100, 80, 90),
            "pose": (0.1, 0.2, 0.3),
            "points": points,
        }
        for at in range(faces)
    ]
    aflw_release.write_database(root / "data" / "aflw.sqlite", rows)
    flickr = root / "data" / "flickr"
    if links:
        aflw_release.link_images(flickr, paths)
        return
    data = encoded("jpg", 667, 500)
    for at, name in enumerate(paths):
        (flickr / name).parent.mkdir(parents=True, exist_ok=True)
        (flickr / name).write_bytes(data[at % DIFFERENT])


def write_biwi(root: Path, frames: int, links: bool = False) -> None:
    """Write a number of frames to each of the 24 sequences, with PNGs of 640 x 480 of the original's size.

    Parameters
    ----------
    links : one picture under all names.
    """
    images = encoded("png", 480, 640, sharp=3.0)
    first = root / "01" / f"frame_{biwi_release.FIRST:05}_rgb.png"
    for sequence in range(1, 25):
        folder = root / f"{sequence:02}"
        folder.mkdir(parents=True)
        (folder / "rgb.cal").write_bytes(biwi_release.camera())
        for at in range(frames):
            name = f"frame_{biwi_release.FIRST + at:05}"
            (folder / f"{name}_pose.txt").write_bytes(biwi_release.pose())
            image = folder / f"{name}_rgb.png"
            if links and image != first:
                os.link(first, image)
            else:
                image.write_bytes(images[at % DIFFERENT])


def write_cofw(root: Path, faces: int) -> Path:
    """Write the part ``test`` with a number of colour images of 400 x 500."""
    rng = np.random.default_rng(0)
    drawn = pictures(500, 400)
    images = [drawn[at % DIFFERENT] for at in range(faces)]
    points = rng.uniform(50, 300, (faces, 29, 2))
    occluded = rng.random((faces, 29)) < 0.25
    boxes = np.tile([50.0, 50.0, 200.0, 220.0], (faces, 1))
    return write_mat(root / "COFW_test_color.mat", "test", images, points, occluded, boxes)
