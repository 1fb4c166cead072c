"""What a prepared-dataset file holds, written down once and checked on writing and on reading.

A file is a 512-byte text header followed by HDF5.  The header names the format and carries the SHA-256 of
all that follows but the images, which have hashes of their own: a file proves its own integrity, and
``head -c 512 aflw2000.h5`` tells what it is.

Sizes: N faces, M images, K points of a scheme, B bytes, n faces of a split.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import lt
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from facebench.errors import FacebenchError, InvalidData, UsageError
from facebench.geometry import VISIBILITY, get_scheme

__all__ = [
    "FORMAT",
    "HEADER_BYTES",
    "VERSION",
    "VISIBILITY",
    "Contradiction",
    "Header",
    "as_text",
    "check_references",
    "ids_sha256",
    "read_header",
    "reading_hdf5",
    "seal",
    "validate",
]

FORMAT = "facebench-dataset"
VERSION = 1
HEADER_BYTES = 512

HEADER = re.compile(rb"\S+ \d+ \S+\nsha256 [0-9a-f]{64} without (?P<begin>\d{1,18}) to (?P<end>\d{1,18})\n")
BLOCK = 1 << 20

ROOT_ATTRIBUTES = ("format", "version", "dataset", "licence", "citation", "provenance")

# The kinds are numpy's: i integer, u unsigned, f float, O and S text.
TEXT = "OS"


class Contradiction(InvalidData):
    """An array that contradicts the schema; ``what`` is the message without advice for a file's reader."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} Prepare the dataset again with 'facebench prepare'.")
        self.what = what


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
POSE = Field("/poses/*", ("N", 3, 3), "f", "R_cam by a named source; one of them is /pose/rotation", False)
GROUP = Field("/groups/*", ("N",), TEXT, "what faces belong together: a sequence, a subject", False)
PATH = Field("/paths/*", ("N",), TEXT, "further files of the release that belong to the face", False)
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
    for field in (POSE, GROUP, PATH, BOX, SOURCE, SPLIT):
        group = field.path.split("/")[1]
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


def check_references(
    path: Path,
    ids: Sequence[str],
    image_of: NDArray,
    images: int,
    offsets: NDArray,
    splits: Mapping[str, NDArray],
) -> None:
    """Check that ids are sorted and that rows point to rows that exist.

    Raises
    ------
    InvalidData : names the array that does not.
    """
    checks = {
        "/faces/id": (all(map(lt, ids, ids[1:])), "sorted, unique ids"),
        "/faces/image": (_within(image_of, images), f"rows of the {images} images"),
        "/images/offset": (
            bool(offsets[0] == 0 and (np.diff(offsets) >= 0).all()),
            "offsets that begin with 0 and never go back",
        ),
    }
    for name, rows in splits.items():
        good = _within(rows, len(ids)) and bool((np.diff(rows) > 0).all())
        checks[f"/splits/{name}"] = (good, f"ascending rows of the {len(ids)} faces")
    for where, (good, expected) in checks.items():
        if not good:
            raise _wrong(path, where, expected, "others")


def _within(rows: NDArray, length: int) -> bool:
    return rows.size == 0 or bool(rows.min() >= 0 and rows.max() < length)


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


def _wrong(path: Path, where: str, expected: str, found: str) -> Contradiction:
    return Contradiction(f"{path}: {where}: expected {expected}, found {found}.")


@contextmanager
def reading_hdf5(path: Path, what: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; whatever the library stumbles over is :class:`InvalidData`."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FacebenchError:
        raise
    except Exception as error:
        # Damaged structures surface as almost any exception, from KeyError to UnicodeDecodeError.
        reason = "it was cut short" if "truncated" in str(error) else f"it cannot be read as HDF5 ({error})"
        msg = f"{path}: expected {what}, but {reason}. Make or obtain the file again."
        raise InvalidData(msg) from error


@dataclass(frozen=True)
class Header:
    """The text header of a prepared dataset.

    Attributes
    ----------
    sha256 : of everything behind the header but the embedded images, whose own hashes are in there.
    begin, end : where the embedded images lie in the file.
    """

    dataset: str
    sha256: str
    begin: int
    end: int

    def render(self) -> bytes:
        """Return the 512 bytes of the header."""
        text = (
            f"{FORMAT} {VERSION} {self.dataset}\n"
            f"sha256 {self.sha256} without {self.begin} to {self.end}\n"
            f"SHA-256 of all bytes from {HEADER_BYTES} on, where HDF5 begins, but those of the images.\n"
            f"The hash of each image is in /images/sha256.\n"
            f"Licence of images and annotations: facebench info {self.dataset}\n"
        )
        return text.encode().ljust(HEADER_BYTES - 1) + b"\n"


def seal(path: Path, dataset: str) -> None:
    """Write the text header of a finished file."""
    begin = end = HEADER_BYTES
    with reading_hdf5(path, "a prepared dataset") as file:
        blob = file.get("/images/bytes")
        if blob is not None and blob.size:
            begin = blob.id.get_offset()
            end = begin + blob.size
    header = Header(dataset, _sha256_without(path, begin, end), begin, end)
    with path.open("r+b") as stream:
        stream.write(header.render())


def read_header(path: Path) -> Header:
    """Read the text header, and check that all but the images is as it was written.

    HDF5 follows whatever its structures say, and damaged ones can hang or crash it; so nothing of a file is
    handed to it before its hash has been compared.

    Raises
    ------
    InvalidData : the file is of another format or version, or was cut short or changed.
    """
    with path.open("rb") as file:
        written = file.read(HEADER_BYTES)
    words = written.split()
    if words[:1] != [FORMAT.encode()]:
        msg = (
            f"{path}: expected a prepared dataset of facebench, found no '{FORMAT}' header. "
            f"Make one with 'facebench prepare'."
        )
        raise InvalidData(msg)
    found = HEADER.match(written)
    dataset = words[2].decode("ascii", "replace") if len(words) > 2 else "NAME"
    if len(words) > 1 and words[1] != str(VERSION).encode():
        version = words[1].decode("ascii", "replace")
        msg = (
            f"{path}: written in version {version} of the format, this facebench reads version "
            f"{VERSION}. Prepare the dataset again with 'facebench prepare {dataset}'."
        )
        raise InvalidData(msg)
    if found:
        begin, end = int(found["begin"]), int(found["end"])
        header = Header(dataset, _sha256_without(path, begin, end), begin, end)
        if header.render() == written and end <= path.stat().st_size:
            return header
    msg = (
        f"{path}: it was cut short or changed: its {path.stat().st_size} bytes are not those that were "
        f"written. Prepare the dataset again with 'facebench prepare {dataset}'."
    )
    raise InvalidData(msg)


def _sha256_without(path: Path, begin: int, end: int) -> str:
    """Hash the bytes of a file behind its header, leaving out those from begin to end."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while (at := file.tell()) < begin and (block := file.read(min(BLOCK, begin - at))):
            digest.update(block)
        file.seek(max(end, HEADER_BYTES))
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def as_text(values: np.ndarray) -> list[str]:
    """Decode a column of HDF5 text."""
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
