"""Writing a prepared-dataset file: streamed, complete or absent, the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from facebench.errors import InvalidData
from facebench.formats.atomic import atomic_path, hdf5_file
from facebench.formats.content import Content, ImageFile
from facebench.formats.image_head import jpeg_size
from facebench.formats.progress import Progress, no_progress
from facebench.formats.schema import (
    FORMAT,
    HEADER_BYTES,
    VERSION,
    Contradiction,
    check_references,
    ids_sha256,
    seal,
    validate,
)

__all__ = ["write_dataset"]

# Large enough that HDF5's cost per call vanishes, small enough to stay in the processor's cache.
BLOCK_BYTES = 1 << 20

# How many images the reading threads may be ahead of the one writer; bounds the memory.
AHEAD = 32

END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


def write_dataset(
    target: Path,
    content: Content,
    provenance: Callable[[], dict[str, Any]],
    *,
    embed_images: bool = True,
    workers: int = 1,
    progress: Progress = no_progress,
) -> None:
    """Write a prepared dataset; ``target`` is replaced only when everything is in place.

    Parameters
    ----------
    provenance : called after the last image was read, when the hashes of all sources are known.
    embed_images : store the images' own bytes; otherwise readers open them by path.
    workers : threads that read, and encode where needed, images ahead of the writer; the outcome is the same
        bytes for any number.

    Raises
    ------
    InvalidData : an image cannot be read or was cut short, or the arrays contradict the schema.
    FacebenchError : the disk is full or not writable.
    """
    offsets = np.zeros(1)  # of no image yet; those written below are right by construction
    with _by_the_module(content.dataset):
        check_references(target, content.ids, content.image_of, len(content.images), offsets, content.splits)
    with atomic_path(target) as temporary:
        with hdf5_file(temporary, userblock_size=HEADER_BYTES) as file:
            _write_arrays(file, content)
            _write_images(file, content.images, target.parent, embed_images, workers, progress)
            file.attrs["format"] = FORMAT
            file.attrs["version"] = VERSION
            file.attrs["dataset"] = content.dataset
            file.attrs["licence"] = content.licence
            file.attrs["citation"] = content.citation
            file.attrs["provenance"] = json.dumps(provenance(), sort_keys=True)
            with _by_the_module(content.dataset):
                validate(target, file)
        seal(temporary, content.dataset)


@contextmanager
def _by_the_module(dataset: str) -> Iterator[None]:
    """Say of what contradicts the schema that the module of the dataset gave it."""
    try:
        yield
    except Contradiction as error:
        msg = f"{error.what} The module that reads '{dataset}' gives it so, and must be corrected."
        raise InvalidData(msg) from error


def _write_arrays(file: h5py.File, content: Content) -> None:
    file["/faces/id"] = list(content.ids)
    file["/faces/image"] = content.image_of
    for name, boxes in content.boxes.items():
        file[f"/boxes/{name}"] = boxes
    for name, values in content.source.items():
        file[f"/source/{name}"] = values
    for name, labels in content.groups.items():
        file[f"/groups/{name}"] = list(labels)
    for name, paths in content.paths.items():
        file[f"/paths/{name}"] = list(paths)
    for name, rotation in content.poses.items():
        file[f"/poses/{name}"] = rotation
    if content.poses:
        chosen = next(iter(content.poses))
        file["/pose/rotation"] = file[f"/poses/{chosen}"]
        file["/pose/rotation"].attrs["source"] = chosen
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


def _write_images(
    file: h5py.File,
    images: Sequence[ImageFile],
    folder: Path,
    embed: bool,
    workers: int,
    progress: Progress,
) -> None:
    sizes = np.empty((len(images), 2), np.int32)
    digests = np.empty((len(images), 32), np.uint8)
    lengths = np.empty(len(images), np.int64)
    with _open_blob(file, images, embed, folder) as append:
        for row, image in enumerate(progress(_read_ahead(images, workers), len(images), "images")):
            lengths[row], sizes[row] = len(image.data), image.size
            digests[row] = np.frombuffer(image.sha256, np.uint8)
            append(image.data)
    file["/images/path"] = [image.path for image in images]
    file["/images/size"] = sizes
    file["/images/offset"] = np.concatenate([[0], np.cumsum(lengths)])
    file["/images/sha256"] = digests


@contextmanager
def _open_blob(
    file: h5py.File, images: Sequence[ImageFile], embed: bool, folder: Path
) -> Iterator[Callable[[bytes], object]]:
    """Yield what appends one image's bytes to ``/images/bytes``, which is one contiguous array.

    HDF5 must know its length beforehand.  Where it is not known, since the images are encoded on the way,
    they wait in a nameless temporary file in the same folder.
    """
    if not embed:
        yield lambda data: None
        return
    known = [image.nbytes for image in images if image.nbytes is not None]
    if len(known) == len(images):
        blob = _Blob(file, sum(known))
        yield blob.write
        blob.flush()
        return
    with tempfile.TemporaryFile(dir=folder) as spool:
        yield spool.write
        blob = _Blob(file, spool.tell())
        spool.seek(0)
        while block := spool.read(BLOCK_BYTES):
            blob.write(block)
        blob.flush()


class _Blob:
    """Bytes written one after another into one contiguous HDF5 array, in large blocks."""

    def __init__(self, file: h5py.File, length: int) -> None:
        self.array = file.create_dataset("/images/bytes", (length,), np.uint8)
        self.at = 0
        self.waiting = bytearray()

    def write(self, data: bytes) -> None:
        self.waiting += data
        if len(self.waiting) >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        end = self.at + len(self.waiting)
        self.array[self.at : end] = np.frombuffer(self.waiting, np.uint8)
        self.at, self.waiting = end, bytearray()


class _Encoded(NamedTuple):
    """An image as it is stored: its bytes, its width and height, and its SHA-256."""

    data: bytes
    size: tuple[int, int]
    sha256: bytes


def _read_ahead(images: Sequence[ImageFile], workers: int) -> Iterator[_Encoded]:
    """Read and check images in other threads, a bounded number ahead, and yield them in order."""
    if workers <= 1:
        yield from map(_read, images)
        return
    with ThreadPoolExecutor(workers) as pool:
        coming: deque[Future[_Encoded]] = deque()
        try:
            for image in images:
                coming.append(pool.submit(_read, image))
                if len(coming) > AHEAD:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()


def _read(image: ImageFile) -> _Encoded:
    data = image.read()
    if image.nbytes not in (None, len(data)):
        msg = (
            f"{image.where or image.path}: expected {image.nbytes} bytes, read {len(data)}: "
            f"it changed meanwhile."
        )
        raise InvalidData(msg)
    digest = bytes.fromhex(image.sha256()) if image.sha256 else hashlib.sha256(data).digest()
    return _Encoded(data, _image_size(image.where or image.path, data), digest)


def _image_size(where: str, data: bytes) -> tuple[int, int]:
    """Width and height of an encoded image, from its header; the pixels are not decoded."""
    ordinary = jpeg_size(data)
    size, kind = (ordinary, "JPEG") if ordinary else _open_head(where, data)
    marker = END_MARKERS.get(kind, b"")
    if not data.rstrip(b"\0").endswith(marker):
        msg = f"{where}: the {kind} image was cut short: {len(data)} bytes without an end marker."
        raise InvalidData(msg)
    return size


def _open_head(where: str, data: bytes) -> tuple[tuple[int, int], str]:
    """Size and format of an image of any kind."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size, image.format or ""
    except Exception as error:
        # Damaged and hostile images make the readers raise almost anything.
        msg = f"{where}: expected an image, found {len(data)} bytes that no image reader takes ({error})."
        raise InvalidData(msg) from error
