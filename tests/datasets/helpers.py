"""What several tests of datasets share: facts, damage to files, and a dataset of somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scipy.io import loadmat, savemat

STACK = "AFLW2000-3D-Reannotated.pts68.npy"
FACES = 4

# PROTOCOLS 1.1 and 1.2: the 16 of AFLW's 21 points that are the same point among the 68.
SHARED = {
    0: 17,
    1: 19,
    2: 21,
    3: 22,
    4: 24,
    5: 26,
    6: 36,
    8: 39,
    9: 42,
    11: 45,
    13: 31,
    14: 30,
    15: 35,
    17: 48,
    19: 54,
    20: 8,
}


def change_mat(path: Path, **changes: Any) -> None:
    """Rewrite a MATLAB file with some of its arrays replaced, or left out where None is given."""
    values = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
    values.update(changes)
    savemat(path, {key: value for key, value in values.items() if value is not None}, do_compression=True)


def flip(path: Path, offset: int, bits: int = 0xFF) -> None:
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ bits]))


MANIFEST = """
name = "thirds"
title = "Thirds"
summary = "Three files of somebody else."
homepage = "https://example.org"
images = 1
faces = 2
tree = "thirds/one.png"
pose = "none"
boxes = {}
faults = []
citations = []
archives = []

[sources]
release = "a folder with one.png"

[licence]
summary = "free"
text = "Free."
redistribution = true

[annotations.points]
scheme = "aflw21"
what = "points"
index_base = "0"
visibility = "none"

[splits.all]
what = "every face"
count = 2
sha256 = "e1722f3dcd04fc367b1c3e25ad6edf4d1183ec4fd2be697cad608588b19f275a"
"""

MODULE = """
from pathlib import Path

import numpy as np

from facebench.datasets import Dataset, Release
from facebench.formats import AnnotationSet, Content, ImageFile


def read(sources, manifest, partial, progress):
    source = sources[0]
    name = next(name for name in progress(source, 1, "files") if name.endswith("one.png"))
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation="",
        ids=["left", "right"],
        images=[ImageFile("one.png", source.sizes[name], lambda: source.read(name))],
        image_of=np.zeros(2, np.int64),
        annotations={"points": AnnotationSet("aflw21", np.zeros((2, 21, 2)), np.zeros((2, 21), np.uint8))},
        splits={"all": np.arange(2)},
    )
    return Release(content, {"release": (source, [name])}, ["read by its own module"], source.path)


DATASET = Dataset("thirds", read, Path(__file__).parent)
"""
