"""Rendered faces as a release of COFW in colour, with COFW-68 beside it (PROTOCOLS 1.5, 1.6)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from facebench.errors import UsageError
from facebench.synthetic.faces import RenderedFace
from facebench.synthetic.trees.files import empty_folder, mat_bytes
from facebench.synthetic.trees.points import is_visible, rectangle_around, scheme_points

__all__ = ["write_cofw_tree"]

# The faces of each part in the release, and the ending of its keys.
PARTS = {"test": (507, "T"), "train": (1345, "Tr")}
HEADER = b"MATLAB 7.3 MAT-file, Platform: facebench, HDF5 schema 1.00 .".ljust(124) + b"\0\x02IM"


def write_cofw_tree(folder: Path, faces: Iterable[RenderedFace]) -> list[str]:
    """Write ``COFW_test_color.mat``, ``COFW_train_color.mat`` and ``COFW68_Data``.

    The faces go to the test part and the training part in turn; COFW-68 has those of the test part.  Pixels
    count from 1 in all files; a point is occluded where the camera does not see it, and has a place all the
    same.  Boxes are x, y, width, height in whole pixels.

    Parameters
    ----------
    folder : a new or empty folder.
    faces : 1014 at most, as many as there are test faces in the release, and as many again.
    """
    root = empty_folder(folder)
    annotations = root / "COFW68_Data" / "test_annotations"
    boxes = np.zeros((PARTS["test"][0], 4), np.int16)
    ids = []
    with _Part(root, "test") as test, _Part(root, "train") as train:
        for number, face in enumerate(faces):
            part = train if number % 2 else test
            ids.append(part.add(face))
            if part is test:
                row = len(test.numbers) - 1
                annotations.mkdir(parents=True, exist_ok=True)
                occluded = ~is_visible(face.visibility)[None]
                values = {"Points": face.points + 1, "Occ": occluded.astype(np.uint8)}
                (annotations / f"{row + 1}_points.mat").write_bytes(mat_bytes(values))
                x, y, w, h = rectangle_around(face.points, margin=0.02)
                boxes[row] = x + 1, y + 1, w, h
    if ids:
        (root / "COFW68_Data" / "cofw68_test_bboxes.mat").write_bytes(mat_bytes({"bboxes": boxes}))
    return ids


class _Part:
    """A MATLAB v7.3 file that faces are added to: HDF5 behind a head of 512 bytes, everything transposed."""

    def __init__(self, root: Path, part: str) -> None:
        self.path = root / f"COFW_{part}_color.mat"
        self.part = part
        self.file: h5py.File | None = None
        self.images: list[h5py.Reference] = []
        self.numbers: list[np.ndarray] = []
        self.boxes: list[tuple[int, int, int, int]] = []

    def __enter__(self) -> _Part:
        return self

    def add(self, face: RenderedFace) -> str:
        """Write the image, keep the numbers for the end, and return the id of the face."""
        most, _ = PARTS[self.part]
        if len(self.images) == most:
            msg = f"COFW has {most} faces to {self.part}; there is no place for another one."
            raise UsageError(msg)
        if self.file is None:
            self.file = h5py.File(self.path, "w", userblock_size=512)
        array = self.file.create_dataset(f"/#refs#/i{len(self.images)}", data=face.image.T)
        array.attrs["MATLAB_class"] = np.bytes_("uint8")
        self.images.append(array.ref)
        points, states = scheme_points(face, "cofw29")
        self.numbers.append(np.concatenate([points[:, 0] + 1, points[:, 1] + 1, ~is_visible(states)]))
        x, y, w, h = rectangle_around(points)
        self.boxes.append((x + 1, y + 1, w, h))
        return f"{self.part}/{len(self.images):04d}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is None:
            return
        with self.file as file:
            ending = PARTS[self.part][1]
            cells = file.create_dataset(f"Is{ending}", (1, len(self.images)), h5py.ref_dtype)
            cells.attrs["MATLAB_class"] = np.bytes_("cell")
            cells[0] = self.images
            for key, values in (("phis", self.numbers), ("bboxes", self.boxes)):
                matrix = file.create_dataset(f"{key}{ending}", data=np.array(values, float).T)
                matrix.attrs["MATLAB_class"] = np.bytes_("double")
        with self.path.open("r+b") as stream:
            stream.write(HEADER)
