"""A prepared dataset as PyTorch wants it: one crop a face, with all that belongs to it.

``facebench.formats`` does not import this module, so that facebench works without PyTorch.

    from torch.utils.data import ConcatDataset, DataLoader
    from facebench.formats.torch_dataset import FaceCrops

    faces = FaceCrops("aflw2000", split="valid", size=256, margin=0.25)
    for batch in DataLoader(faces, batch_size=32, num_workers=4):
        batch["image"], batch["points"], batch["rotation"]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facebench.errors import DataMissing, InvalidData, UsageError, name_some
from facebench.formats.reader import PreparedDataset, open_dataset
from facebench.formats.selection import choose_annotation, choose_boxes, choose_rows
from facebench.geometry.crops import (
    crop_transform,
    cut,
    has_area,
    mirror_face,
    mirror_transform,
    transform_points,
)

try:
    import torch
    from torch.utils.data import Dataset, get_worker_info
except ImportError:  # the module can still be read, and its documentation built
    torch, Dataset = None, object

__all__ = ["FaceCrops"]


class FaceCrops(Dataset):
    """Faces cropped around a box, with points, states and pose moved along; a map-style PyTorch dataset.

    ``faces[i]`` is a dictionary of tensors that the default ``collate_fn`` stacks:

    ==============  ==============  =================================================================
    ``image``       (3, S, S)       RGB, float32 within [0, 1] or uint8; black outside the image
    ``points``      (K, 2) f4       pixels of the crop, 0-based; NaN where a point is not annotated
    ``visibility``  (K,) u1         states: 0 unknown, 1 visible, 2 occluded, 3 hidden
    ``rotation``    (3, 3) f4       ``R_cam``, which cropping leaves as it is; NaN where unknown
    ``index``       int             row of the face in the prepared dataset: ``faces.dataset.ids[index]``
    ``transform``   (2, 3) f8       from pixels of the image to pixels of the crop, mirroring included
    ==============  ==============  =================================================================

    There is no randomness in it.  An instance can be pickled, forked and spawned: no file stays open, and
    spawned workers map the same file.

    Parameters
    ----------
    dataset : name or path of a prepared dataset, or an open one.
    split : faces to take; by default all.
    annotation : points to take; by default ``original`` or the only set.
    box : origin of the boxes to crop around; ``landmarks`` is the tight box of the points.
    margin : on each side, as a share of the box's longer side.
    size : width and height of the crop, in pixels.
    flip : mirror every face: picture, points, states and rotation.  To train on both, join two instances
        with ``torch.utils.data.ConcatDataset``.
    as_uint8 : leave the image as bytes: a quarter of the memory on its way to the GPU.

    Raises
    ------
    DataMissing : PyTorch, the dataset or the annotation set is missing.
    UsageError : unknown or empty split, unknown box, a size or margin that leaves nothing.
    InvalidData : a face has no such box, or one without area.
    """

    def __init__(
        self,
        dataset: str | Path | PreparedDataset,
        split: str | None = None,
        annotation: str | None = None,
        box: str = "landmarks",
        margin: float = 0.3,
        size: int = 256,
        flip: bool = False,
        as_uint8: bool = False,
    ) -> None:
        if torch is None:
            msg = "PyTorch is not installed, which FaceCrops needs: pip install torch"
            raise DataMissing(msg)
        if not 1 <= size <= 1 << 14 or not -0.5 < margin < 100:
            msg = f"Expected a size of 1 to 16384 pixels and a margin above -0.5, found {size} and {margin}."
            raise UsageError(msg)
        self.dataset = dataset if isinstance(dataset, PreparedDataset) else open_dataset(dataset)
        self.rows = choose_rows(self.dataset, split)
        self.annotation, chosen = choose_annotation(self.dataset, annotation)
        self.scheme = chosen.scheme if chosen else None
        self.size, self.flip, self.as_uint8 = size, flip, as_uint8

        boxes = choose_boxes(self.dataset, box, chosen)[self.rows]
        bad = self.rows[~has_area(boxes)]
        if len(bad):
            names = name_some(self.dataset.ids[row] for row in bad)
            msg = f"{self.dataset.path}: no box '{box}' with an area for {names}. Take another box or split."
            raise InvalidData(msg)
        transforms = crop_transform(boxes, size, margin)
        count = len(self.rows)
        points = chosen.points[self.rows] if chosen else np.empty((count, 0, 2))
        states = chosen.visibility[self.rows] if chosen else np.empty((count, 0), np.uint8)
        points, rotation = transform_points(points, transforms), self.dataset.rotation[self.rows]
        if flip:
            points, states, rotation = mirror_face(points, states, rotation, self.scheme, size)
            transforms = mirror_transform(transforms, size)
        self.transforms, self.states = transforms, states
        self.points, self.rotation = points.astype(np.float32), rotation.astype(np.float32)

    def __repr__(self) -> str:
        return f"FaceCrops({self.dataset.name}, {len(self)} faces, {self.size} pixels)"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> dict[str, Any]:
        if not -len(self) <= position < len(self):
            msg = f"face {position} of {len(self)}"
            raise IndexError(msg)
        if get_worker_info() is not None:
            # Workers share the cores already, and a forked one has not inherited OpenCV's threads.
            cv2.setNumThreads(0)
        row = int(self.rows[position])
        whole = self.dataset.decode_image(int(self.dataset.image_of[row]))
        crop = cut(whole, self.transforms[position], self.size)
        image = torch.from_numpy(np.stack(cv2.split(crop)))
        if not self.as_uint8:
            image = image.to(torch.float32).div_(255.0)
        return {
            "image": image,
            "points": torch.from_numpy(self.points[position].copy()),
            "visibility": torch.from_numpy(self.states[position].copy()),
            "rotation": torch.from_numpy(self.rotation[position].copy()),
            "index": row,
            "transform": torch.from_numpy(self.transforms[position].copy()),
        }
