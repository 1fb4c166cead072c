"""Reading a prepared-dataset file lazily, from any number of threads, forked or spawned workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, overload

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from facebench.errors import DataMissing, InvalidData, UsageError, name_some
from facebench.formats.content import AnnotationSet
from facebench.formats.home import prepared_path
from facebench.formats.progress import Progress, no_progress
from facebench.formats.schema import as_text, check_references, read_header, reading_hdf5, validate

__all__ = ["Face", "FaceAnnotation", "PreparedDataset", "is_intact", "open_dataset"]

Floats = NDArray[np.float64]

# An image is decoded as its annotators saw it in the file: EXIF rotation is not applied.
DECODE = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


class FaceAnnotation(NamedTuple):
    """One face in one annotation set: (K, 2) pixels and (K,) visibility states, also as ``ibug68``."""

    points: Floats
    visibility: NDArray[np.uint8]
    points68: Floats
    visibility68: NDArray[np.uint8]


class Face:
    """One annotated face of a prepared dataset; every attribute is read when it is asked for."""

    def __init__(self, dataset: PreparedDataset, row: int) -> None:
        self._dataset = dataset
        self.row = row
        self.id: str = dataset.ids[row]

    def __repr__(self) -> str:
        return f"Face({self.id!r} of {self._dataset.name})"

    @property
    def image(self) -> NDArray[np.uint8]:
        """The whole image, decoded: (height, width, 3) RGB."""
        return self._dataset.decode_image(self._dataset.image_of[self.row])

    @property
    def rotation(self) -> Floats:
        """(3, 3) ``R_cam``; NaN where the release gives no pose."""
        return self._dataset.rotation[self.row]

    @property
    def boxes(self) -> dict[str, Floats]:
        """(4,) box per origin: x_min, y_min, x_max, y_max in pixels."""
        return {name: boxes[self.row] for name, boxes in self._dataset.boxes.items()}

    @property
    def annotations(self) -> dict[str, FaceAnnotation]:
        """Points and visibility of this face in each annotation set."""
        return {
            name: FaceAnnotation(
                one.points[self.row],
                one.visibility[self.row],
                one.points68[self.row],
                one.visibility68[self.row],
            )
            for name, one in self._dataset.annotations.items()
        }


class PreparedDataset(Sequence[Face]):
    """The faces of a prepared-dataset file, in order of their ids.

    ``dataset[3]`` and ``dataset["image00008"]`` give a :class:`Face`; arrays over all faces are read
    on first use and kept.  No file handle is held: HDF5 is opened and closed within one call and images
    come from a memory map, so an instance may be used by threads, sent to spawned workers and inherited
    by forked ones.

    Raises
    ------
    InvalidData : the file was cut, is of another format or version, or contradicts the schema.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._open()

    def _open(self) -> None:
        header = read_header(self.path)
        self.name, self.sha256 = header.dataset, header.sha256
        with self._reading() as file:
            sizes = validate(self.path, file)
            self.ids: list[str] = as_text(file["/faces/id"][()])
            self.image_of: NDArray[np.int64] = file["/faces/image"][()]
            self.image_paths: list[str] = as_text(file["/images/path"][()])
            self.image_sizes: NDArray[np.int32] = file["/images/size"][()]
            offsets = file["/images/offset"][()]
            self.licence, self.citation = (str(file.attrs[name]) for name in ("licence", "citation"))
            self.provenance = self._parse_provenance(str(file.attrs["provenance"]))
            found = file.get("splits", {})
            self.splits: dict[str, NDArray[np.int64]] = {name: rows[()] for name, rows in found.items()}
            check_references(self.path, self.ids, self.image_of, sizes["M"], offsets, self.splits)
            self._offsets: list[int] = offsets.tolist()
            self._blob = self._map_images(file, sizes)

    def _map_images(self, file: h5py.File, sizes: Mapping[str, int]) -> NDArray[np.uint8] | None:
        """Map the embedded images into memory; nothing of them is read before it is looked at."""
        if "B" not in sizes:
            return None
        if self._offsets[-1] != sizes["B"]:
            msg = f"{self.path}: /images/offset: expected {sizes['B']} at its end, found {self._offsets[-1]}."
            raise InvalidData(msg)
        blob = file["/images/bytes"]
        begin = blob.id.get_offset()
        if not blob.size:
            return np.empty(0, np.uint8)
        if begin is None or begin + blob.size > self.path.stat().st_size:
            msg = f"{self.path}: /images/bytes: expected {blob.size} bytes in one piece. Prepare it again."
            raise InvalidData(msg)
        return np.memmap(self.path, np.uint8, "r", offset=begin, shape=blob.shape)

    def _parse_provenance(self, text: str) -> dict[str, Any]:
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError) as error:
            msg = f"{self.path}: attribute 'provenance': expected a JSON object ({error}). Prepare it again."
            raise InvalidData(msg) from error

    def _reading(self) -> AbstractContextManager[h5py.File]:
        return reading_hdf5(self.path, "a prepared dataset")

    def __getstate__(self) -> Path:
        return self.path.absolute()

    def __setstate__(self, path: Path) -> None:
        self.__init__(path)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"PreparedDataset({self.name}, {len(self)} faces, {self.path})"

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, key: int | str) -> Face: ...
    @overload
    def __getitem__(self, key: slice) -> list[Face]: ...
    def __getitem__(self, key: int | str | slice) -> Face | list[Face]:
        if isinstance(key, slice):
            return [Face(self, row) for row in range(*key.indices(len(self)))]
        if isinstance(key, str):
            return Face(self, int(self.rows([key])[0]))
        if not -len(self) <= key < len(self):
            msg = f"face {key} of {len(self)}"
            raise IndexError(msg)
        return Face(self, int(key) % len(self))

    def faces(self, split: str) -> Iterator[Face]:
        """Iterate over the faces of one split."""
        return (Face(self, int(row)) for row in self.split(split))

    def split(self, name: str) -> NDArray[np.int64]:
        """Return the rows of a split, or raise :class:`UsageError` listing the splits there are."""
        if name not in self.splits:
            msg = f"{self.path}: no split '{name}'. Its splits: {', '.join(self.splits)}."
            raise UsageError(msg)
        return self.splits[name]

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of faces by id, or raise :class:`UsageError` naming the unknown ones."""
        unknown = [name for name in ids if name not in self._row_of]
        if unknown:
            msg = f"{self.path}: no face {name_some(unknown)}."
            raise UsageError(msg)
        return np.array([self._row_of[name] for name in ids], np.int64)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    @cached_property
    def rotation(self) -> Floats:
        """(N, 3, 3) ``R_cam`` of every face; NaN where unknown."""
        return self._read("/pose/rotation", np.full((len(self), 3, 3), np.nan))

    @cached_property
    def poses(self) -> dict[str, Floats]:
        """(N, 3, 3) ``R_cam`` by each named source; :attr:`rotation` is one of them."""
        return self._read_group("poses")

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """What the faces belong to (a sequence, a subject), N labels by kind."""
        return {name: as_text(labels) for name, labels in self._read_group("groups").items()}

    @cached_property
    def paths(self) -> dict[str, list[str]]:
        """Further files of the release that belong to each face, N paths by kind."""
        return {name: as_text(paths) for name, paths in self._read_group("paths").items()}

    @cached_property
    def pose_source(self) -> Floats:
        """(N, c) the release's own pose numbers."""
        return self._read("/pose/source", np.full((len(self), 0), np.nan))

    @cached_property
    def image_sha256(self) -> NDArray[np.uint8]:
        """(M, 32) SHA-256 of each image's encoded bytes when the file was made."""
        return self._read("/images/sha256", np.empty((0, 32), np.uint8))

    @cached_property
    def boxes(self) -> dict[str, Floats]:
        """(N, 4) boxes per origin."""
        return self._read_group("boxes")

    @cached_property
    def source(self) -> dict[str, NDArray]:
        """Other numbers of the release, in its own units."""
        return self._read_group("source")

    @cached_property
    def annotations(self) -> dict[str, AnnotationSet]:
        """Every annotation set by name."""
        with self._reading() as file:
            return {
                name: AnnotationSet(str(one.attrs["scheme"]), one["points"][()], one["visibility"][()])
                for name, one in file.get("annotations", {}).items()
            }

    def annotation(self, name: str) -> AnnotationSet:
        """Return one annotation set, or raise :class:`DataMissing` saying which there are."""
        if name not in self.annotations:
            msg = (
                f"{self.path}: has no annotation set '{name}', only {', '.join(self.annotations)}. "
                f"'facebench info {self.name}' says how to obtain it; prepare again with a --source for it."
            )
            raise DataMissing(msg)
        return self.annotations[name]

    def encoded_image(self, image: int) -> NDArray[np.uint8]:
        """Return the release's own encoded bytes of one image, without a copy where they are embedded."""
        if self._blob is not None:
            return self._blob[self._offsets[image] : self._offsets[image + 1]]
        path = Path(self.provenance.get("image_root", "")) / self.image_paths[image]
        try:
            return np.fromfile(path, np.uint8)
        except OSError as error:
            msg = (
                f"{path}: image not found; {self.path} was prepared with '--images none' and reads it there. "
                f"Put the release back, or prepare again without that option."
            )
            raise DataMissing(msg) from error

    def decode_image(self, image: int) -> NDArray[np.uint8]:
        """Decode one image to (height, width, 3) RGB."""
        pixels: NDArray[np.uint8] | None = cv2.imdecode(self.encoded_image(image), DECODE)  # type: ignore[assignment]
        if pixels is None:
            msg = f"{self.path}: image {self.image_paths[image]} cannot be decoded."
            raise InvalidData(msg)
        return pixels

    def changed_images(self, progress: Progress = no_progress) -> Iterator[int]:
        """Yield the images whose bytes are not those that were there when the file was made.

        Raises
        ------
        DataMissing : an image that is read by path is not there.
        """
        for row in progress(range(len(self.image_paths)), len(self.image_paths), "images"):
            digest = hashlib.sha256(self.encoded_image(row).tobytes()).digest()
            if digest != self.image_sha256[row].tobytes():
                yield row

    def _read(self, path: str, default: NDArray) -> NDArray:
        with self._reading() as file:
            return file[path][()] if path in file else default

    def _read_group(self, group: str) -> dict[str, NDArray]:
        with self._reading() as file:
            return {name: values[()] for name, values in file.get(group, {}).items()}


def open_dataset(name: str | Path, home: str | Path | None = None) -> PreparedDataset:
    """Open a prepared dataset by name, or by the path of its file.

    Parameters
    ----------
    name : ``"aflw2000"``, looked for in the data home, or a path to a prepared file.
    home : the data home; by default ``$FACEBENCH_HOME``, else the platform's cache folder.

    Raises
    ------
    DataMissing : it has not been prepared; says which command does it.
    InvalidData : the file is damaged or of another version.
    """
    path = Path(name)
    if path.suffix != ".h5" and not path.is_file():
        path = prepared_path(str(name), home)
    if not path.is_file():
        msg = (
            f"{path}: no such prepared dataset. Make it with 'facebench prepare {path.stem}'; "
            f"'facebench info {path.stem}' says from what, and how to obtain that."
        )
        raise DataMissing(msg)
    return PreparedDataset(path)


def is_intact(path: str | Path) -> bool:
    """Tell whether every byte of a prepared dataset, images included, is as it was written."""
    try:
        return not any(True for _ in PreparedDataset(path).changed_images())
    except (InvalidData, DataMissing):
        return False
