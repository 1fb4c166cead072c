"""What a prepared-dataset file holds, written down once and checked on writing and on reading.

A file is a 512-byte text header followed by HDF5.  The header names the format and carries the SHA-256 of
everything behind it, so that a file proves its own integrity and ``head -c 512 aflw2000.h5`` tells what it
is.  Sizes: N faces, M images, K points of a scheme, B bytes, n faces of a split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from facebench.errors import InvalidData, UsageError
from facebench.geometry import get_scheme

__all__ = [
    "FORMAT",
    "HEADER_BYTES",
    "VERSION",
    "VISIBILITY",
    "Header",
    "as_text",
    "ids_sha256",
    "is_intact",
    "open_hdf5",
    "read_header",
    "seal",
    "validate",
]

FORMAT = "facebench-dataset"
VERSION = 1
HEADER_BYTES = 512

#: Visibility states of a point.
VISIBILITY = {"unknown": 0, "visible": 1, "occluded": 2, "hidden": 3}

ROOT_ATTRIBUTES = ("format", "version", "dataset", "licence", "citation", "provenance")

# The kinds are numpy's: i integer, u unsigned, f float, O and S text.
TEXT = "OS"


@dataclass(frozen=True)
class Field:
    """One array of the file: where it stands, its shape in named sizes, its kind and its meaning."""

    path: str
    shape: tuple[str | int, ...]
    kinds: str
    meaning: str
    required: bool = True


FIELDS = (
    Field("/faces/id", ("N",), TEXT, "face ids, sorted and unique"),
    Field("/faces/image", ("N",), "iu", "row of the face's image in /images"),
    Field("/images/path", ("M",), TEXT, "path of the image in the release"),
    Field("/images/size", ("M", 2), "iu", "width, height in pixels"),
    Field("/images/offset", ("M+1",), "iu", "where each image begins in bytes; the last is B"),
    Field("/images/sha256", ("M", 32), "u", "SHA-256 of each image's bytes"),
    Field("/images/bytes", ("B",), "u", "the release's own encoded images, one after another", False),
    Field("/pose/rotation", ("N", 3, 3), "f", "R_cam, head to OpenCV camera axes; NaN where unknown", False),
    Field("/pose/source", ("N", "*"), "f", "the release's own pose numbers, untouched", False),
)

#: Groups whose members are arrays of one shape each, named by the dataset.
BOX = Field("/boxes/*", ("N", 4), "f", "x_min, y_min, x_max, y_max in pixels", False)
SOURCE = Field("/source/*", ("N", "*"), "iuf", "other numbers of the release, in its own units", False)
SPLIT = Field("/splits/*", ("n",), "iu", "rows of the split's faces; attributes count, sha256", False)
ANNOTATION = (
    Field("/annotations/*/points", ("N", "K", 2), "f", "pixels, NaN where not annotated"),
    Field("/annotations/*/visibility", ("N", "K"), "u", "0 unknown, 1 visible, 2 occluded, 3 hidden"),
    Field("/annotations/*/points68", ("N", 68, 2), "f", "the same as ibug68, exact matches only"),
    Field("/annotations/*/visibility68", ("N", 68), "u", "the same as ibug68, exact matches only"),
)


def ids_sha256(ids: Iterable[str]) -> str:
    r"""Hash a list of face ids: SHA-256 of the sorted ids, one per line, each line ended by ``\n``."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(ids)).encode()).hexdigest()


def validate(path: Path, file: h5py.File) -> dict[str, int]:
    """Check every attribute, path, shape and kind of an open file against the schema.

    Returns
    -------
    the sizes N, M and B.

    Raises
    ------
    InvalidData : names the file, the path inside it, what was expected and what was found.
    """
    sizes: dict[str, int] = {}
    for name in ROOT_ATTRIBUTES:
        if name not in file.attrs:
            raise _wrong(path, f"attribute '{name}'", "present", "nothing")
    for field in FIELDS:
        if field.path in file:
            _check(path, file, field, field.path, sizes)
        elif field.required:
            raise _wrong(path, field.path, _describe(field, sizes), "nothing")
    for group, field in (("boxes", BOX), ("source", SOURCE), ("splits", SPLIT)):
        for name in file.get(group, {}):
            _check(path, file, field, f"/{group}/{name}", {**sizes})
    for name, annotation in file.get("annotations", {}).items():
        where = f"/annotations/{name}"
        try:
            scheme = get_scheme(str(annotation.attrs.get("scheme")))
        except UsageError as error:
            raise _wrong(path, f"{where} attribute 'scheme'", "a known scheme", str(error)) from error
        for field in ANNOTATION:
            member = field.path.replace("*", name)
            if member not in file:
                raise _wrong(path, member, _describe(field, sizes), "nothing")
            _check(path, file, field, member, {**sizes, "K": len(scheme)})
    return sizes


def _check(path: Path, file: h5py.File, field: Field, where: str, sizes: dict[str, int]) -> None:
    """Check one array, and learn the sizes that it is the first to show."""
    array = file[where]
    if not isinstance(array, h5py.Dataset):
        raise _wrong(path, where, _describe(field, sizes), "a group")
    for size, length in zip(field.shape, array.shape, strict=False):
        if size == "M+1":
            sizes.setdefault("M", length - 1)
        elif isinstance(size, str) and size != "*":
            sizes.setdefault(size, length)
    expected = tuple(sizes["M"] + 1 if size == "M+1" else sizes.get(str(size), size) for size in field.shape)
    fits = len(expected) == array.ndim and all(
        want in ("*", have) for want, have in zip(expected, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in field.kinds:
        raise _wrong(path, where, _describe(field, sizes), f"shape {array.shape} of {array.dtype}")


def _describe(field: Field, sizes: Mapping[str, int]) -> str:
    kind = {"O": "text", "f": "floats", "u": "unsigned integers", "i": "integers"}[field.kinds[0]]
    shape = ", ".join(str(sizes.get(str(size), size)) for size in field.shape)
    return f"shape ({shape}) of {kind} ({field.meaning})"


def _wrong(path: Path, where: str, expected: str, found: str) -> InvalidData:
    return InvalidData(
        f"{path}: {where}: expected {expected}, found {found}. "
        f"Prepare the dataset again with 'facebench prepare'."
    )


def open_hdf5(path: Path, what: str) -> h5py.File:
    """Open an HDF5 file for reading, or raise :class:`InvalidData` saying why it is not one."""
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        reason = "it was cut short" if "truncated" in str(error) else "it is not an HDF5 file"
        msg = f"{path}: expected {what}, but {reason} ({path.stat().st_size} bytes)."
        raise InvalidData(msg) from error


@dataclass(frozen=True)
class Header:
    """The text header of a prepared dataset."""

    dataset: str
    sha256: str

    def render(self) -> bytes:
        """Return the 512 bytes of the header."""
        text = (
            f"{FORMAT} {VERSION} {self.dataset}\n"
            f"sha256 {self.sha256}\n"
            f"SHA-256 of everything after these {HEADER_BYTES} bytes, which is an HDF5 file.\n"
            f"Licence of its images and annotations: facebench info {self.dataset}\n"
        )
        return text.encode().ljust(HEADER_BYTES - 1) + b"\n"


def seal(path: Path, dataset: str) -> None:
    """Write the text header of a finished file, with the SHA-256 of all bytes behind it."""
    header = Header(dataset, _body_sha256(path))
    with path.open("r+b") as file:
        file.write(header.render())


def read_header(path: Path) -> Header:
    """Read the text header, or raise :class:`InvalidData` when the file or its version is another."""
    with path.open("rb") as file:
        words = file.read(HEADER_BYTES).split()
    if len(words) < 5 or words[0] != FORMAT.encode() or words[3] != b"sha256":
        msg = (
            f"{path}: expected a prepared dataset of facebench, found no '{FORMAT}' header. "
            f"Make one with 'facebench prepare'."
        )
        raise InvalidData(msg)
    version, dataset, sha256 = (words[i].decode("ascii", "replace") for i in (1, 2, 4))
    if version != str(VERSION):
        msg = (
            f"{path}: written in version {version} of the format, this facebench reads version "
            f"{VERSION}. Prepare the dataset again with 'facebench prepare {dataset}'."
        )
        raise InvalidData(msg)
    return Header(dataset, sha256)


def is_intact(path: Path) -> bool:
    """Tell whether every byte of a prepared dataset is as it was written, by hashing all of it."""
    with path.open("rb") as file:
        written = file.read(HEADER_BYTES)
    return written == Header(read_header(path).dataset, _body_sha256(path)).render()


def _body_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def as_text(values: np.ndarray) -> list[str]:
    """Decode a column of HDF5 text."""
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
