"""Writing a prepared-dataset file: streamed, complete or absent, the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from facebench.errors import InvalidData
from facebench.formats.atomic import atomic_path, hdf5_file
from facebench.formats.content import Content
from facebench.formats.progress import Progress, no_progress
from facebench.formats.schema import (
    FORMAT,
    HEADER_BYTES,
    VERSION,
    check_references,
    ids_sha256,
    seal,
    validate,
)

__all__ = ["write_dataset"]

# Large enough that HDF5's cost per call vanishes, small enough to be nothing in memory.
BLOCK_BYTES = 8 << 20

END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


def write_dataset(
    target: Path,
    content: Content,
    provenance: Callable[[], dict[str, Any]],
    *,
    embed_images: bool = True,
    progress: Progress = no_progress,
) -> None:
    """Write a prepared dataset; ``target`` is replaced only when everything is in place.

    Parameters
    ----------
    provenance : called after the last image was read, when the hashes of all sources are known.
    embed_images : store the images' own bytes; otherwise readers open them by path.

    Raises
    ------
    InvalidData : an image cannot be read or was cut short, or the arrays contradict the schema.
    FacebenchError : the disk is full or not writable.
    """
    offsets = np.zeros(1)  # of no image yet; those written below are right by construction
    check_references(target, content.ids, content.image_of, len(content.images), offsets, content.splits)
    with atomic_path(target) as temporary:
        with hdf5_file(temporary, userblock_size=HEADER_BYTES) as file:
            _write_arrays(file, content)
            _write_images(file, content, embed_images, progress)
            file.attrs["format"] = FORMAT
            file.attrs["version"] = VERSION
            file.attrs["dataset"] = content.dataset
            file.attrs["licence"] = content.licence
            file.attrs["citation"] = content.citation
            file.attrs["provenance"] = json.dumps(provenance(), sort_keys=True)
            validate(target, file)
        seal(temporary, content.dataset)


def _write_arrays(file: h5py.File, content: Content) -> None:
    file["/faces/id"] = list(content.ids)
    file["/faces/image"] = content.image_of
    for name, boxes in content.boxes.items():
        file[f"/boxes/{name}"] = boxes
    for name, values in content.source.items():
        file[f"/source/{name}"] = values
    if content.rotation is not None:
        file["/pose/rotation"] = content.rotation
    if content.pose_source is not None:
        file["/pose/source"] = content.pose_source
        file["/pose/source"].attrs["columns"] = content.pose_columns
    for name, annotation in content.annotations.items():
        group = file.create_group(f"/annotations/{name}")
        group.attrs["scheme"] = annotation.scheme
        group["points"] = annotation.points
        group["visibility"] = annotation.visibility
        # For ibug68 itself the consistent view is the same array: a second link, not a second copy.
        same = annotation.scheme == "ibug68"
        group["points68"] = group["points"] if same else annotation.points68
        group["visibility68"] = group["visibility"] if same else annotation.visibility68
    for name, rows in content.splits.items():
        split = file.create_dataset(f"/splits/{name}", data=rows, dtype=np.int64)
        split.attrs["count"] = len(rows)
        split.attrs["sha256"] = ids_sha256(content.ids[row] for row in rows)


def _write_images(file: h5py.File, content: Content, embed: bool, progress: Progress) -> None:
    images = content.images
    lengths = np.array([image.nbytes for image in images], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    sizes = np.empty((len(images), 2), np.int32)
    digests = np.empty((len(images), 32), np.uint8)
    file["/images/path"] = [image.path for image in images]
    blob = file.create_dataset("/images/bytes", (offsets[-1],), np.uint8) if embed else None
    waiting, begin = bytearray(), 0
    for row, image in enumerate(progress(images, len(images), "images")):
        data = image.read()
        if len(data) != image.nbytes:
            msg = (
                f"{image.where or image.path}: expected {image.nbytes} bytes, read {len(data)}: "
                f"it changed meanwhile."
            )
            raise InvalidData(msg)
        sizes[row] = _image_size(image.where or image.path, data)
        digests[row] = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
        if blob is not None:
            waiting += data
            if len(waiting) >= BLOCK_BYTES or row == len(images) - 1:
                blob[begin : begin + len(waiting)] = np.frombuffer(waiting, np.uint8)
                begin += len(waiting)
                waiting = bytearray()
    file["/images/size"] = sizes
    file["/images/offset"] = offsets
    file["/images/sha256"] = digests


def _image_size(where: str, data: bytes) -> tuple[int, int]:
    """Width and height of an encoded image, from its header; the pixels are not decoded."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            size, kind = image.size, image.format
    except Exception as error:
        # Damaged and hostile images make the readers raise almost anything.
        msg = f"{where}: expected an image, found {len(data)} bytes that no image reader takes ({error})."
        raise InvalidData(msg) from error
    marker = END_MARKERS.get(kind or "", b"")
    if not data.rstrip(b"\0").endswith(marker):
        msg = f"{where}: the {kind} image was cut short: {len(data)} bytes without an end marker."
        raise InvalidData(msg)
    return int(size[0]), int(size[1])
