"""The dataset ``rendered``: random heads whose points, pose and visibility are known, not annotated.

It is made on the spot from a number of faces and a seed; nothing has to be obtained.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from threading import Lock

import numpy as np

from facebench.datasets import Dataset, Manifest, Release, split_rows
from facebench.formats import AnnotationSet, Content, ImageFile, Progress
from facebench.geometry import tight_box
from facebench.synthetic.faces import render_faces

__all__ = ["DATASET"]

# Every fifth face is a test face.
TEST = 5

# Digits kept of pixels and matrices: what is left of them may differ between two machines' arithmetic, and
# the signature of every score has a hash of them.
PIXEL_DIGITS, MATRIX_DIGITS = 4, 9


def make(count: int, seed: int, manifest: Manifest, workers: int, progress: Progress) -> Release:
    """Render faces, and keep their images in a nameless temporary file until they are written."""
    spool = _Spool()
    points, states, rotations, images = [], [], [], []
    ids = [f"s{seed}-{number:06d}" for number in range(count)]
    # One more process than this one pays only when there are at least two that render.
    rendered = render_faces(count, seed, workers=workers if workers > 1 else 0)
    for name, face in zip(ids, progress(rendered, count, "rendering"), strict=True):
        images.append(ImageFile(f"{name}.jpg", len(face.jpeg), spool.keep(face.jpeg), name))
        points.append(face.points)
        states.append(face.visibility)
        rotations.append(face.rotation)
    shapes = np.round(np.array(points), PIXEL_DIGITS)
    number = np.arange(count)
    computed = {"train": np.flatnonzero(number % TEST), "test": np.flatnonzero(number % TEST == 0)}
    published = (count, seed) == (manifest.faces, manifest.seed)
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation=manifest.bibtex,
        ids=ids,
        images=images,
        image_of=number,
        annotations={"truth": AnnotationSet("ibug68", shapes, np.array(states, np.uint8))},
        boxes={"landmarks": tight_box(shapes)},
        poses={"truth": np.round(np.array(rotations), MATRIX_DIGITS)},
        splits=split_rows(ids, manifest, computed, partial=not published),
    )
    return Release(content, {}, [])


class _Spool:
    """A nameless temporary file that lives as long as the images that are read from it."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this object)
        self.lock = Lock()  # a place in a file and the reading there are two steps, and readers are threads

    def __del__(self) -> None:
        self.file.close()

    def keep(self, data: bytes) -> Callable[[], bytes]:
        """Put bytes aside, and return what reads them back."""
        begin = self.file.seek(0, 2)
        self.file.write(data)
        return partial(self._read, begin, len(data))

    def _read(self, begin: int, size: int) -> bytes:
        with self.lock:
            self.file.seek(begin)
            return self.file.read(size)


DATASET = Dataset("rendered", make=make)
