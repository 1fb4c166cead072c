"""Reading predictions from HDF5, NumPy archives, CSV and JSON, all with the same names.

The files come from strangers: nothing in them is executed, no other file is opened because they say so, and
arrays are read only after their shape has been found to fit the face ids.  Each reader yields the values by
name; arrays may be :class:`LazyArray`, to be read before the reader is left.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from facebench.errors import FacebenchError, InvalidData, UsageError
from facebench.formats.numpy_file import LazyArray, read_npy_head
from facebench.formats.predictions import ARRAYS, ATTRIBUTES, FORMAT, VERSION
from facebench.formats.schema import as_text, reading_hdf5

__all__ = ["READERS", "values_of"]

Values = dict[str, Any]

# A text file is parsed as a whole; no benchmark of the field comes near this size.
MAX_TEXT_BYTES = 4 << 30

# An attribute is a name or a sentence.
MAX_ATTRIBUTE_BYTES = 1 << 20

# Ids are short texts: even compressed, each takes at least a 16th of a byte on disk.
IDS_PER_BYTE = 16


def _refuse(path: Path | str, where: str, what: str) -> InvalidData:
    return InvalidData(f"{path}: {where}: {what}. See 'Predictions file' in the documentation.")


@contextmanager
def read_hdf5(path: Path) -> Iterator[Values]:
    """Read the attributes and arrays of an HDF5 predictions file."""
    with reading_hdf5(path, "a predictions file") as file:
        for name, expected in (("format", FORMAT), ("version", VERSION)):
            found = file.attrs.get(name)
            plain = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
            if np.shape(plain) != () or isinstance(plain, h5py.Empty) or plain != expected:
                shown = plain.item() if isinstance(plain, np.generic) else plain
                raise _refuse(path, f"attribute '{name}'", f"expected {expected!r}, found {shown!r}")
        values: Values = {name: file.attrs[name] for name in ATTRIBUTES if name in file.attrs}
        for name in file:
            values[name] = _lazy_dataset(path, file, name)
        yield values


def _lazy_dataset(path: Path, file: h5py.File, name: str) -> LazyArray:
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise _refuse(path, f"/{name}", "is a link to something else, which is not followed")
    array = file[name]
    if not isinstance(array, h5py.Dataset):
        raise _refuse(path, f"/{name}", "expected an array, found a group")
    if array.external or array.is_virtual:
        raise _refuse(path, f"/{name}", "points to another file, which is not allowed")
    if array.shape is None:
        raise _refuse(path, f"/{name}", "expected an array, found one without a shape")
    if name == "id" and array.size > IDS_PER_BYTE * array.id.get_storage_size():
        raise _refuse(path, "/id", f"claims {array.size} ids, more than the file can hold")

    def read() -> NDArray:
        try:
            values = array[()]
            return np.array(as_text(values), object) if name == "id" else values
        except Exception as error:
            raise _refuse(path, f"/{name}", f"cannot be read ({error})") from error

    return LazyArray(array.shape, array.dtype, read)


@contextmanager
def read_npz(path: Path) -> Iterator[Values]:
    """Read a NumPy archive; attributes are arrays of one text each."""
    where = "file"
    try:
        with zipfile.ZipFile(path) as archive:
            values: Values = {}
            for member in archive.infolist():
                where = member.filename.removesuffix(".npy")
                with archive.open(member) as stream:
                    shape, dtype = read_npy_head(stream)
                lazy = LazyArray(shape, dtype, partial(_read_member, archive, member))
                if lazy.nbytes > member.file_size or (lazy.shape and not dtype.itemsize):
                    msg = f"claims {shape} of {dtype}, more than there is"
                    raise ValueError(msg)
                if where not in ARRAYS and where != "id" and lazy.nbytes <= MAX_ATTRIBUTE_BYTES:
                    values[where] = lazy.read()
                else:
                    values[where] = lazy
            where = "file"
            yield values
    except FacebenchError:
        raise
    except Exception as error:
        # A damaged archive makes zipfile and numpy raise almost anything.
        raise _refuse(path, where, f"not a readable .npz archive ({error})") from error


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


@contextmanager
def read_csv(path: Path) -> Iterator[Values]:
    """Read a table with one row per face.

    Lines ``# name: value`` before the header give the attributes.  Columns: ``id``; ``x0, y0, x1, ...``
    the landmarks; ``v0, v1, ...`` the visibility; ``yaw, pitch, roll``; ``r00, r01, ... r22``.  An empty
    cell is a number that the method does not give.
    """
    _check_size(path)
    values: Values = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            first, skipped = next(lines, ""), 0
            while first.startswith("#"):
                name, _, value = first[1:].partition(":")
                values[name.strip()] = value.strip()
                first, skipped = next(lines, ""), skipped + 1
            rows = csv.reader(chain([first], lines), strict=True)
            columns = next(rows, [])
            table: list[list[str]] = []
            for row in rows:
                if row and len(row) != len(columns):
                    line = skipped + rows.line_num
                    msg = f"line {line} has {len(row)} cells under {len(columns)} columns"
                    raise _refuse(path, "table", msg)
                table += [row] if row else []
    except (csv.Error, UnicodeDecodeError) as error:
        raise _refuse(path, "file", f"not a readable table ({error})") from error
    if not columns:
        raise _refuse(path, "file", "not a readable table (it has no header)")
    values.update(_columns_to_arrays(path, columns, table))
    yield values


def _groups_of(path: Path | str, columns: Sequence[str]) -> dict[str, tuple[list[str], tuple[int, ...]]]:
    """Return the columns of each array and its shape per face, or refuse columns that do not fit."""
    if "id" not in columns:
        raise _refuse(path, "header", "expected a column 'id'")
    points = sum(name[0] == "x" and name[1:].isdigit() for name in columns if name)
    states = sum(name[0] == "v" and name[1:].isdigit() for name in columns if name)
    groups: dict[str, tuple[list[str], tuple[int, ...]]] = {}
    if points:
        groups["landmarks"] = ([f"{axis}{k}" for k in range(points) for axis in "xy"], (points, 2))
    if states:
        groups["visibility"] = ([f"v{k}" for k in range(states)], (states,))
    if {"yaw", "pitch", "roll"} & set(columns):
        groups["euler"] = (["yaw", "pitch", "roll"], (3,))
    if any(name.startswith("r") and name[1:].isdigit() for name in columns):
        groups["rotation"] = ([f"r{i}{j}" for i in range(3) for j in range(3)], (3, 3))
    wanted = Counter(["id", *chain.from_iterable(names for names, _ in groups.values())])
    odd = sorted((wanted - Counter(columns)) + (Counter(columns) - wanted))
    if odd:
        raise _refuse(path, "header", f"columns missing or unknown: {', '.join(odd[:10])}")
    return groups


def _columns_to_arrays(path: Path, columns: list[str], table: list[list[str]]) -> Values:
    groups = _groups_of(path, columns)
    place = {name: position for position, name in enumerate(columns)}
    arrays: Values = {"id": [row[place["id"]] for row in table]}
    for group, (names, shape) in groups.items():
        try:
            numbers = [[float(row[place[name]] or "nan") for name in names] for row in table]
        except ValueError as error:
            raise _refuse(path, f"columns of {group}", f"expected numbers ({error})") from error
        arrays[group] = np.array(numbers).reshape(len(table), *shape)
    return arrays


@contextmanager
def read_json(path: Path) -> Iterator[Values]:
    """Read one JSON object with the attributes and the arrays as nested lists."""
    _check_size(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _refuse(path, "file", f"not readable as JSON ({error})") from error
    if not isinstance(values, dict):
        raise _refuse(path, "file", f"expected one JSON object, found a {type(values).__name__}")
    yield values


def values_of(given: Any) -> Values:
    """Return the values of predictions that are in memory.

    Parameters
    ----------
    given : a mapping of the names in a predictions file to values; a data frame with the columns of a CSV
        file, whose ``attrs`` hold the attributes; or an iterable of such mappings, batch after batch.

    Raises
    ------
    InvalidData : columns are missing or unknown, or batches do not fit together.
    UsageError : it is nothing of the kind.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if hasattr(given, "columns") and hasattr(given, "attrs"):
        groups = _groups_of("data frame", [str(name) for name in given.columns])
        arrays = {name: given[names].to_numpy(float) for name, (names, _) in groups.items()}
        shaped = {name: arrays[name].reshape(-1, *shape) for name, (_, shape) in groups.items()}
        return {**given.attrs, "id": [str(one) for one in given["id"]], **shaped}
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        found = type(given).__name__
        msg = f"expected predictions, the path of a file, a mapping or a data frame, found {found}."
        raise UsageError(msg)
    batches = [dict(batch) for batch in given]
    if not batches:
        msg = "expected predictions, found no batch."
        raise UsageError(msg)
    joined = batches[0]
    for number, batch in enumerate(batches):
        same = {name: value for name, value in batch.items() if name not in (*ARRAYS, "id")}
        first = {name: value for name, value in joined.items() if name not in (*ARRAYS, "id")}
        if set(batch) != set(joined) or same != first:
            msg = f"batch {number} of the predictions: expected the names and attributes of batch 0."
            raise InvalidData(msg)
    for name in set(joined) & set(ARRAYS):
        try:
            joined[name] = np.concatenate([np.asarray(batch[name]) for batch in batches])
        except ValueError as error:
            msg = f"batches of the predictions: '{name}' has other shapes in some of them ({error})."
            raise InvalidData(msg) from error
    joined["id"] = list(chain.from_iterable(batch["id"] for batch in batches))
    return joined


def _check_size(path: Path) -> None:
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise _refuse(path, "file", f"larger than {MAX_TEXT_BYTES} bytes; use .h5 or .npz")


READERS: dict[str, Callable[[Path], AbstractContextManager[Values]]] = {
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".npz": read_npz,
    ".csv": read_csv,
    ".json": read_json,
}
