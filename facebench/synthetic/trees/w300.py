"""Rendered faces as a release of 300W: images, ``.pts`` and the official boxes (PROTOCOLS 1.1)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError
from facebench.geometry.boxes import tight_box
from facebench.synthetic.faces import RenderedFace
from facebench.synthetic.trees.files import empty_folder, mat_bytes, png_bytes, pts_text
from facebench.synthetic.trees.points import smaller_box

__all__ = ["write_300w_tree"]

# Only the last two, the private set, have no official boxes.
FOLDERS = (
    "afw",
    "helen/trainset",
    "lfpw/trainset",
    "helen/testset",
    "lfpw/testset",
    "ibug",
    "300W/01_Indoor",
    "300W/02_Outdoor",
)
BOXED = FOLDERS[:6]
PNG = ("lfpw", "300W")


def write_300w_tree(folder: Path, faces: Iterable[RenderedFace]) -> list[str]:
    """Write faces in turn into the eight subsets, under names that the release has.

    A ``.pts`` and the boxes count pixels from 1; ``bb_ground_truth`` is the tight box of the numbers in the
    ``.pts``.  As in the release, the boxes of ibug are followed by rows left over from afw, some image names
    of ibug have a space, and nothing tells which points are visible.

    Parameters
    ----------
    folder : a new or empty folder; holds the subsets and ``Bounding Boxes`` afterwards.
    faces : 4437 at most.
    """
    root = empty_folder(folder)
    published = _published_names()
    rows: dict[str, list[dict[str, Any]]] = {place: [] for place in BOXED}
    ids = []
    for number, face in enumerate(faces):
        if number == len(published):
            msg = f"300W has {len(published)} faces; no name is left for another one."
            raise UsageError(msg)
        one = published[number]
        ids.append(one)
        place, _, name = one.rpartition("/")
        ending = "png" if place.startswith(PNG) else "jpg"
        (root / place).mkdir(parents=True, exist_ok=True)
        data = png_bytes(face.image) if ending == "png" else face.jpeg
        (root / place / f"{name}.{ending}").write_bytes(data)
        stored = np.round(face.points + 1, 6)
        (root / place / f"{name}.pts").write_text(pts_text(stored), encoding="ascii", newline="\n")
        if place in rows:
            rows[place].append(_box_row(f"{name}.{ending}", tight_box(stored[None])[0]))
    _write_boxes(root / "Bounding Boxes", rows)
    return ids


def _published_names() -> list[str]:
    """Return the names of the faces of the release, one of each subset in turn."""
    from facebench.datasets import get_dataset

    of_place: dict[str, list[str]] = {place: [] for place in FOLDERS}
    for line in get_dataset("300w").manifest.table("faces"):
        of_place[line["id"].rpartition("/")[0]].append(line["id"])
    return [one for turn in zip_longest(*map(sorted, of_place.values())) for one in turn if one]


def _box_row(image: str, box: NDArray[np.float64]) -> dict[str, Any]:
    return {"imgName": image, "bb_detector": smaller_box(box)[None], "bb_ground_truth": box[None]}


def _write_boxes(folder: Path, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Write a (1, N) cell array of structs for each subset with faces."""
    folder.mkdir()
    for place, own in rows.items():
        if not own:
            continue
        every = [*own, *rows["afw"]] if place == "ibug" else own
        cells = np.empty((1, len(every)), object)
        cells[0] = every
        name = f"bounding_boxes_{place.replace('/', '_')}.mat"
        (folder / name).write_bytes(mat_bytes({"bounding_boxes": cells}))
