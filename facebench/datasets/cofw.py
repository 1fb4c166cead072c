"""COFW: faces behind things, with 29 points and which of them are hidden, and the 68 points of COFW-68.

The release is one MATLAB v7.3 file (HDF5) for each part, which holds images and annotations; everything in it
is transposed.  The facts are in ``manifests/cofw.toml``; PROTOCOLS 1.5, 1.6.
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial as partial_call
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from facebench.datasets.manifest import Manifest
from facebench.datasets.mean_face import is_mean_face, read_mean_face
from facebench.datasets.refusals import no_release, not_used
from facebench.datasets.registry import Dataset, Release
from facebench.datasets.sources import Source
from facebench.datasets.splits import split_rows
from facebench.errors import DataMissing, Faults, InvalidData, name_some
from facebench.formats import VISIBILITY, AnnotationSet, Content, ImageFile, Progress
from facebench.geometry import RECIPES, tight_box

__all__ = ["DATASET", "read"]

Floats = NDArray[np.float64]
States = NDArray[np.uint8]
File = tuple[Source, str]

# The ending of the keys of each part; in the order of the face ids.
PARTS = {"test": "T", "train": "Tr"}

PART_FILE = re.compile(r"(?i)(.*/)?COFW_(?P<part>train|test)(_color)?\.mat")
POINTS_FILE = re.compile(r"(?P<folder>.*/)?(?P<number>[1-9]\d*)_points\.mat")
BOXES_FILE = re.compile(r"(?i)(.*/)?cofw68_test_bboxes\.mat")

POINTS = 29

# Both releases come from MATLAB, which counts pixels from 1.
FIRST_PIXEL = 1

# The images are of ordinary size; beyond this a file is damaged or hostile.
MOST_PIXELS = 1 << 26

# Level 3 takes a quarter of the time of 9 and gives files 5 % larger.
PNG_LEVEL = 3

BLOCK_BYTES = 8 << 20


@dataclass
class Part:
    """One opened ``.mat`` of the release.

    Attributes
    ----------
    points : (N, 29, 2) 0-based pixels; ``visibility`` their (N, 29) states.
    boxes : (N, 4) boxes of the release.
    images : the object in the file that holds each image.
    """

    source: Source
    name: str
    ids: list[str]
    points: Floats
    visibility: States
    boxes: Floats
    images: list[ImageFile]


def read(sources: Sequence[Source], manifest: Manifest, partial: bool, progress: Progress) -> Release:
    """Read the parts of the release that are there, and the 68 points of the test faces where given.

    Parameters
    ----------
    sources : hold any of ``COFW_train[_color].mat`` and ``COFW_test[_color].mat``, COFW68_Data, and the
        mean 3D face of 29 points, in folders, archives or by themselves.
    partial : accept fewer faces than a part of the release has.
    """
    places = _find_parts(sources, manifest)
    points68 = _find_points68(sources)
    boxes68 = _find_one(sources, lambda name: bool(BOXES_FILE.fullmatch(name)), "boxes of COFW-68")
    mean_face = _find_one(sources, lambda name: is_mean_face(name, POINTS), f"mean faces of {POINTS} points")
    used = {id(source) for source, _ in [*places.values(), *filter(None, (boxes68, mean_face))]}
    used |= {id(points68[0])} if points68 else set()
    if idle := [source for source in sources if id(source) not in used]:
        raise not_used(idle[0], manifest)
    parts = {
        part: _read_part(places[part], part, manifest, partial, progress) for part in PARTS if part in places
    }
    ids = [one for part in parts.values() for one in part.ids]
    points = np.concatenate([part.points for part in parts.values()])
    states = np.concatenate([part.visibility for part in parts.values()])
    boxes = {
        "dataset": np.concatenate([part.boxes for part in parts.values()]),
        "landmarks": tight_box(points),
    }
    annotations = {"cofw29": AnnotationSet("cofw29", points, states)}
    rows = {part: _rows_of(part, ids) for part in parts}
    roles = {part: (source, [name]) for part, (source, name) in places.items()}
    notes = [
        f"the split '{part}' is absent: no COFW_{part}_color.mat or COFW_{part}.mat given"
        for part in PARTS
        if part not in parts
    ]
    if points68 or boxes68:
        found = _read_cofw68(points68, boxes68, len(rows.get("test", ())), manifest, partial)
        annotations["cofw68"] = _for_all("ibug68", found.points, found.visibility, len(ids))
        rows["cofw68"] = rows["test"]
        roles["cofw68"] = (found.source, found.names)
        if found.boxes is None:
            notes.append("no box 'cofw68': cofw68_test_bboxes.mat is not beside the points of COFW-68")
        else:
            boxes["cofw68"] = _padded(found.boxes, len(ids))
    elif "test" in parts:
        notes.append(f"no 68 points (give a further --source: {manifest.sources['cofw68']})")
    poses = {}
    if mean_face:
        model = _read_mean_face(mean_face)
        taken = np.isfinite(model).all(axis=1)
        poses["mnn"] = RECIPES["mnn"](points[:, taken], boxes["dataset"], model[taken])
        roles["mean_face"] = (mean_face[0], [mean_face[1]])
    else:
        notes.append(f"no head pose (give a further --source: {manifest.sources['mean_face']})")
    notes += _of_a_part(rows, manifest, partial)
    present = {
        name: split
        for name, split in manifest.splits.items()
        if name in rows or (split.union_of and all(member in rows for member in split.union_of))
    }
    content = Content(
        dataset=manifest.name,
        licence=manifest.licence.text,
        citation=manifest.bibtex,
        ids=ids,
        images=[image for part in parts.values() for image in part.images],
        image_of=np.arange(len(ids)),
        annotations=annotations,
        splits=split_rows(ids, manifest.model_copy(update={"splits": present}), rows, partial=partial),
        boxes=boxes,
        poses=poses,
    )
    return Release(content, roles, notes)


def _rows_of(part: str, ids: Sequence[str]) -> NDArray[np.int64]:
    return np.array([row for row, one in enumerate(ids) if one.startswith(f"{part}/")], np.int64)


def _of_a_part(rows: dict[str, NDArray[np.int64]], manifest: Manifest, partial: bool) -> list[str]:
    return [
        f"a part of the release: {len(rows[part])} of {manifest.splits[part].count} faces of '{part}'"
        for part in PARTS
        if partial and part in rows and len(rows[part]) < manifest.splits[part].count
    ]


def _find_parts(sources: Sequence[Source], manifest: Manifest) -> dict[str, File]:
    found: dict[str, list[File]] = {}
    for source in sources:
        for name in source:
            if match := PART_FILE.fullmatch(name):
                found.setdefault(match["part"].lower(), []).append((source, name))
    for part, files in found.items():
        if len(files) > 1:
            places = name_some(source.where(name) for source, name in files)
            msg = (
                f"found {len(files)} files of the part '{part}' ({places}); give the one to use as --source. "
                f"The files in colour and in grey hold the same faces."
            )
            raise InvalidData(msg)
    if not found:
        raise no_release(sources, manifest, "COFW_test_color.mat, COFW_train_color.mat or the same in grey")
    return {part: found[part][0] for part in PARTS if part in found}


def _find_points68(sources: Sequence[Source]) -> tuple[Source, dict[int, str]] | None:
    """Find the one folder with ``N_points.mat``: its files by N."""
    found: dict[tuple[int, str], dict[int, str]] = {}
    for index, source in enumerate(sources):
        for name in source:
            if match := POINTS_FILE.fullmatch(name):
                found.setdefault((index, match["folder"] or ""), {})[int(match["number"])] = name
    if len(found) > 1:
        places = name_some(sources[index].where(folder) for index, folder in found)
        msg = f"found N_points.mat in {len(found)} folders ({places}); give the one to use as --source."
        raise InvalidData(msg)
    return next(((sources[index], files) for (index, _), files in found.items()), None)


def _find_one(sources: Sequence[Source], wanted: Callable[[str], bool], what: str) -> File | None:
    found = [(source, name) for source in sources for name in source if wanted(name)]
    if len(found) > 1:
        places = name_some(source.where(name) for source, name in found)
        msg = f"found {len(found)} {what} ({places}); give the one to use as --source."
        raise InvalidData(msg)
    return found[0] if found else None


def _read_part(place: File, part: str, manifest: Manifest, partial: bool, progress: Progress) -> Part:
    source, name = place
    where = source.where(name)
    file = _open_mat(source, name, progress)
    images, boxes, phis = (f"{key}{PARTS[part]}" for key in ("Is", "bboxes", "phis"))
    faults = Faults(where)
    expected = manifest.splits[part].count
    references = _references(file, images, expected, faults)
    faults.raise_if_any("Obtain the file again.")
    count = len(references)
    if not count or (count != expected and not partial):
        otherwise = ", or prepare the faces it has with '--partial'" if count else ""
        msg = (
            f"{where}: key '{images}': expected {expected} images, found {count}. "
            f"Obtain the file again{otherwise}."
        )
        raise InvalidData(msg)
    ids = [f"{part}/{number:04d}" for number in range(1, count + 1)]
    numbers = _matrix(file, phis, (3 * POINTS, count), ids, faults)
    corners = _matrix(file, boxes, (4, count), ids, faults)
    for row in progress(range(count), count, f"images of {part}"):
        try:
            _image_at(file, references[row])
        except ValueError as error:
            faults.add(f"key '{images}', {ids[row]}", str(error))
    if numbers is not None:
        _check_occlusion(numbers[:, 2 * POINTS :], f"key '{phis}'", ids, faults)
    if corners is not None:
        for row in map(int, np.flatnonzero((corners[:, 2:] <= 0).any(axis=1))):
            size = " x ".join(f"{side:g}" for side in corners[row, 2:])
            faults.add(f"key '{boxes}', {ids[row]}", f"expected a box of positive size, found {size}")
    faults.raise_if_any("Obtain the file again.")
    assert numbers is not None
    assert corners is not None
    points = np.stack([numbers[:, :POINTS], numbers[:, POINTS : 2 * POINTS]], axis=2) - FIRST_PIXEL
    return Part(
        source,
        name,
        ids,
        points,
        _states(numbers[:, 2 * POINTS :]),
        _corner_boxes(corners),
        [
            ImageFile(f"{one}.png", None, partial_call(_encode, file, reference, label), label)
            for one, reference in zip(ids, references, strict=True)
            for label in [f"{where}: key '{images}', {one}"]
        ],
    )


def _states(occluded: NDArray) -> States:
    return np.where(occluded != 0, VISIBILITY["occluded"], VISIBILITY["visible"]).astype(np.uint8)


def _corner_boxes(boxes: Floats) -> Floats:
    """Bring 1-based boxes ``x, y, width, height`` to 0-based corners."""
    first = boxes[:, :2] - FIRST_PIXEL
    return np.concatenate([first, first + boxes[:, 2:]], axis=1)


def _open_mat(source: Source, name: str, progress: Progress) -> h5py.File:
    """Open a MATLAB v7.3 file and hash it; one in an archive is unpacked into a nameless temporary file."""
    stream: IO[bytes]
    if source.archive is None:
        stream = (source.path / name if source.path.is_dir() else source.path).open("rb")
    else:
        stream = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the HDF5 file)
    try:
        source.digests[name] = _fill_and_hash(stream, source, name, progress)
        stream.seek(0)
        file = h5py.File(stream, "r")
    except Exception as error:  # a damaged file makes h5py and zipfile raise almost anything
        stream.close()
        if "truncated" in str(error):
            reason = f"it was cut short, found {source.sizes[name]} bytes"
        elif "signature" in str(error):
            reason = "expected a MATLAB v7.3 file (HDF5), found another format"
        else:
            reason = f"cannot be read ({error})"
        msg = f"{source.where(name)}: {reason}. Obtain the file again."
        raise InvalidData(msg) from error
    except BaseException:
        stream.close()
        raise
    weakref.finalize(file, stream.close)
    return file


def _fill_and_hash(stream: IO[bytes], source: Source, name: str, progress: Progress) -> str:
    """Hash a file block by block; where it is in an archive, write it to the stream."""
    digest = hashlib.sha256()
    blocks = range(0, source.sizes[name], BLOCK_BYTES)
    with nullcontext(stream) if source.archive is None else source.archive.open(name) as packed:
        for _ in progress(blocks, len(blocks), name.rpartition("/")[2]):
            block = packed.read(BLOCK_BYTES)
            digest.update(block)
            if packed is not stream:
                stream.write(block)
        # Only at its end is the archive's checksum compared.
        if packed.read(1):
            msg = "it is longer than its archive or folder says"
            raise OSError(msg)
    return digest.hexdigest()


def _array(file: h5py.File, key: str) -> h5py.Dataset:
    """Return an array of a file, or say why not; nothing outside the file is followed."""
    link = file.get(key, getlink=True)
    if link is None:
        msg = f"expected this key, found only {name_some(one for one in file if one != '#refs#') or 'none'}"
        raise ValueError(msg)
    array = file[key] if isinstance(link, h5py.HardLink) else None
    return _own_array(array)


def _own_array(array: Any) -> h5py.Dataset:
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        found = "one outside the file" if isinstance(array, h5py.Dataset) else "none"
        msg = f"expected an array, found {found}"
        raise ValueError(msg)
    return array


def _references(file: h5py.File, key: str, most: int, faults: Faults) -> list[h5py.Reference]:
    """Return the references of a MATLAB cell array in one row or column."""
    try:
        array = _array(file, key)
        if h5py.check_ref_dtype(array.dtype) is not h5py.Reference:
            faults.add(f"key '{key}'", f"expected a cell array of images, found {array.dtype}")
        elif array.ndim != 2 or (array.size and 1 not in array.shape):
            faults.add(f"key '{key}'", f"expected shape (1, N) or (N, 1), found {array.shape}")
        elif array.size > most:
            faults.add(f"key '{key}'", f"expected {most} images, found {array.size}")
        else:
            return list(array[()].ravel())
    except Exception as error:  # a damaged file makes h5py raise almost anything
        faults.add(f"key '{key}'", str(error))
    return []


def _matrix(
    file: h5py.File, key: str, shape: tuple[int, int], ids: Sequence[str], faults: Faults
) -> Floats | None:
    """Return a matrix with the faces first; None where something is wrong with it."""
    try:
        array = _array(file, key)
        if array.shape != shape:
            faults.add(f"key '{key}'", f"expected shape {shape}, found {array.shape}")
        elif array.dtype.kind not in "iufb":
            faults.add(f"key '{key}'", f"expected numbers, found {array.dtype}")
        else:
            values = np.ascontiguousarray(array[()].T, np.float64)
            for row in map(int, np.flatnonzero(~np.isfinite(values).all(axis=1))):
                faults.add(f"key '{key}', {ids[row]}", "expected finite numbers, found NaN or infinity")
            return values
    except Exception as error:  # a damaged file makes h5py raise almost anything
        faults.add(f"key '{key}'", str(error))
    return None


def _check_occlusion(values: NDArray, where: str, ids: Sequence[str], faults: Faults) -> None:
    odd_values = np.isfinite(values) & (values != 0) & (values != 1)
    for row in map(int, np.flatnonzero(odd_values.any(axis=1))):
        odd = name_some(f"{value:g}" for value in np.unique(values[row][odd_values[row]]))
        faults.add(f"{where}, {ids[row]}", f"expected 0 or 1 for occluded, found {odd}")


def _image_at(file: h5py.File, reference: h5py.Reference) -> h5py.Dataset:
    """Return the array of an image, checked by its head: (3, width, height) or (width, height) of bytes."""
    if not reference:
        msg = "expected an image, found a reference to nothing"
        raise ValueError(msg)
    try:
        array = file[reference]
    except Exception as error:
        msg = f"expected an image, found a reference to nothing ({error})"
        raise ValueError(msg) from error
    image = _own_array(array)
    shape = image.shape
    fits = len(shape) == 2 or (len(shape) == 3 and shape[0] == 3)
    if not fits or image.dtype != np.uint8 or not 0 < image.size <= MOST_PIXELS:
        msg = (
            f"expected an image of shape (width, height) or (3, width, height) of uint8, found {shape} of "
            f"{image.dtype}"
        )
        raise ValueError(msg)
    return image


def _encode(file: h5py.File, reference: h5py.Reference, where: str) -> bytes:
    """Encode one image as PNG, grey or in colour as it is in the release."""
    import cv2

    try:
        pixels = _image_at(file, reference)[()].T
    except Exception as error:  # a damaged file makes h5py raise almost anything
        msg = f"{where}: cannot be read ({error}). Obtain the file again."
        raise InvalidData(msg) from error
    ordered = pixels if pixels.ndim == 2 else pixels[:, :, ::-1]
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(ordered), [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    return encoded.tobytes()


@dataclass
class Cofw68:
    """The 68 points of the first N test faces, in 0-based pixels, and the files they were read from."""

    source: Source
    names: list[str]
    points: Floats
    visibility: States
    boxes: Floats | None


def _read_cofw68(
    place: tuple[Source, dict[int, str]] | None,
    boxes: File | None,
    count: int,
    manifest: Manifest,
    partial: bool,
) -> Cofw68:
    if place is None:
        source, name = boxes or (None, "")
        where = source.where(name) if source else ""
        msg = f"{where}: the boxes of COFW-68 without its points: expected test_annotations/N_points.mat too."
        raise DataMissing(msg)
    source, files = place
    if not count:
        msg = (
            f"{source.path}: COFW-68 annotates the test images, and none is given: add a --source with "
            f"COFW_test_color.mat or COFW_test.mat."
        )
        raise DataMissing(msg)
    if boxes and boxes[0] is not source:
        msg = (
            f"{boxes[0].where(boxes[1])}: the boxes and the points of COFW-68 are in two sources; give the "
            f"folder or archive that holds both."
        )
        raise InvalidData(msg)
    faults = Faults(str(source.path))
    for number in range(1, count + 1):
        if number not in files:
            faults.add(f"{number}_points.mat", f"missing; the release has the face test/{number:04d}")
    if not partial:
        for number in sorted(set(files) - set(range(1, count + 1))):
            faults.add(files[number], "the release has no such face")
    faults.raise_if_any("COFW-68 must have one file for each test face: unpack it again.")
    numbers = range(1, count + 1)
    points, states = np.empty((count, 68, 2)), np.empty((count, 68), np.uint8)
    for row, number in enumerate(numbers):
        values = _loadmat(source, files[number], ("Points", "Occ"), faults)
        found = _checked(values, "Points", (68, 2), files[number], faults)
        occluded = _checked(values, "Occ", (1, 68), files[number], faults)
        if found is not None:
            points[row] = found - FIRST_PIXEL
        if occluded is not None:
            _check_occlusion(occluded, files[number], ["key 'Occ'"], faults)
            states[row] = _states(occluded[0])
    names = [files[number] for number in numbers]
    given = None
    if boxes:
        name = boxes[1]
        values = _loadmat(source, name, ("bboxes",), faults)
        rows = manifest.splits["test"].count
        table = _checked(values, "bboxes", (rows, 4), name, faults)
        if table is not None:
            given = _corner_boxes(table[:count])
        names.append(name)
    faults.raise_if_any("Unpack COFW-68 again, or obtain these files again.")
    return Cofw68(source, names, points, states, given)


def _loadmat(source: Source, name: str, keys: Sequence[str], faults: Faults) -> dict[str, Any] | None:
    from scipy.io import loadmat

    data = source.read(name)
    try:
        return dict(loadmat(io.BytesIO(data), variable_names=list(keys)))
    except Exception as error:  # a damaged file makes loadmat raise almost anything
        faults.add(name, f"not a readable MATLAB file ({type(error).__name__}: {error})")
        return None


def _checked(
    values: dict[str, Any] | None, key: str, shape: tuple[int, int], name: str, faults: Faults
) -> Floats | None:
    if values is None:
        return None
    value = values.get(key)
    if value is None:
        faults.add(name, f"key '{key}': expected shape {shape}, found no such key")
    elif not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        faults.add(name, f"key '{key}': expected an array of numbers, found {found}")
    elif value.shape != shape:
        faults.add(name, f"key '{key}': expected shape {shape}, found {value.shape}")
    elif not np.isfinite(value).all():
        faults.add(name, f"key '{key}': expected finite numbers, found NaN or infinity")
    else:
        return value.astype(np.float64)
    return None


def _for_all(scheme: str, points: Floats, states: States, count: int) -> AnnotationSet:
    """Return a labelling of the first faces as one of all faces, without points for the others."""
    visibility = np.full((count, states.shape[1]), VISIBILITY["unknown"], np.uint8)
    visibility[: len(states)] = states
    return AnnotationSet(scheme, _padded(points, count), visibility)


def _padded(values: Floats, count: int) -> Floats:
    padded = np.full((count, *values.shape[1:]), np.nan)
    padded[: len(values)] = values
    return padded


def _read_mean_face(place: File) -> Floats:
    source, name = place
    data = source.read(name)
    try:
        return read_mean_face(data, "cofw29")
    except ValueError as error:
        msg = f"{source.where(name)}: {error}. Obtain the file again."
        raise InvalidData(msg) from error


DATASET = Dataset("cofw", read)
