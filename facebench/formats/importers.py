"""Reading predictions from HDF5, NumPy archives, CSV and JSON, all with the same names.

The files come from strangers, so pickles are refused and a size is believed only when the file is large
enough to hold it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from facebench.errors import InvalidData
from facebench.formats.predictions import ARRAYS, ATTRIBUTES, FORMAT, VERSION
from facebench.formats.schema import as_text, open_hdf5

__all__ = ["READERS"]

# No benchmark of the field comes near a million faces; what asks for more memory is damaged or hostile.
MAX_BYTES = 4 << 30
MAX_FACES = 10_000_000


def _refuse(path: Path, where: str, what: str) -> InvalidData:
    return InvalidData(f"{path}: {where}: {what}. See 'Predictions file' in the documentation.")


def read_hdf5(path: Path) -> dict[str, Any]:
    """Read the attributes and arrays of an HDF5 predictions file."""
    with open_hdf5(path, "a predictions file") as file:
        found = file.attrs.get("format")
        if found != FORMAT:
            raise _refuse(path, "attribute 'format'", f"expected '{FORMAT}', found {found!r}")
        version = file.attrs.get("version")
        if version != VERSION:
            raise _refuse(path, "attribute 'version'", f"expected {VERSION}, found {version}")
        values: dict[str, Any] = {name: file.attrs[name] for name in ATTRIBUTES if name in file.attrs}
        for name in file:
            array = file[name]
            if not isinstance(array, h5py.Dataset):
                raise _refuse(path, f"/{name}", "expected an array, found a group")
            if array.size > MAX_FACES * 1000 or array.size * array.dtype.itemsize > MAX_BYTES:
                raise _refuse(path, f"/{name}", f"shape {array.shape} is too large to be predictions")
            if array.chunks is None and array.external is not None:
                raise _refuse(path, f"/{name}", "points to another file, which is not allowed")
            values[name] = as_text(array[()]) if array.dtype.kind in "OS" else array[()]
    return values


def read_npz(path: Path) -> dict[str, Any]:
    """Read a NumPy archive; attributes are arrays of one text each."""
    values: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    read_header = {
                        (1, 0): np.lib.format.read_array_header_1_0,
                        (2, 0): np.lib.format.read_array_header_2_0,
                    }[version]
                    shape, _, dtype = read_header(stream)
                    claimed = int(np.prod(shape, dtype=float)) * dtype.itemsize
                    if dtype.hasobject:
                        raise _refuse(path, name, "holds pickled objects, which are never loaded")
                    if claimed > member.file_size or claimed > MAX_BYTES:
                        raise _refuse(path, name, f"claims {claimed} bytes, more than the file holds")
        with np.load(path, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError) as error:
        raise _refuse(path, "file", f"not a readable .npz archive ({error})") from error
    return values


def read_csv(path: Path) -> dict[str, Any]:
    """Read a table with one row per face.

    Lines ``# name: value`` before the header give the attributes.  Columns: ``id``; ``x0, y0, x1, ...``
    the landmarks; ``v0, v1, ...`` the visibility; ``yaw, pitch, roll``; ``r00, r01, ... r22``.
    """
    import pandas as pd

    _check_size(path)
    values: dict[str, Any] = {}
    try:
        with path.open(encoding="utf-8-sig") as lines:
            skipped = 0
            for line in lines:
                if not line.startswith("#"):
                    break
                name, _, value = line[1:].partition(":")
                values[name.strip()] = value.strip()
                skipped += 1
        table = pd.read_csv(path, skiprows=skipped, dtype={"id": str}, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise _refuse(path, "file", f"not a readable table ({error})") from error
    if "id" not in table:
        raise _refuse(path, "header", "expected a column 'id'")
    columns = list(table.columns)
    known: dict[str, list[str]] = {"id": ["id"]}
    count = sum(name[1:].isdigit() and name[0] == "x" for name in columns)
    known["landmarks"] = [f"{axis}{point}" for point in range(count) for axis in "xy"]
    known["visibility"] = [f"v{k}" for k in range(sum(n[1:].isdigit() and n[0] == "v" for n in columns))]
    known["euler"] = ["yaw", "pitch", "roll"] if "yaw" in columns else []
    known["rotation"] = [f"r{i}{j}" for i in range(3) for j in range(3)] if "r00" in columns else []
    wanted = [name for names in known.values() for name in names]
    if sorted(wanted) != sorted(columns):
        odd = sorted(set(wanted) ^ set(columns))
        raise _refuse(path, "header", f"columns missing or unknown: {', '.join(odd[:10])}")
    values["id"] = table["id"].tolist()
    shapes: dict[str, tuple[int, ...]] = {
        "landmarks": (-1, count, 2),
        "visibility": (-1, len(known["visibility"])),
        "euler": (-1, 3),
        "rotation": (-1, 3, 3),
    }
    for name in ARRAYS:
        if known[name]:
            try:
                values[name] = table[known[name]].to_numpy(np.float64).reshape(shapes[name])
            except ValueError as error:
                raise _refuse(path, f"columns of {name}", f"expected numbers ({error})") from error
    return values


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object with the attributes and the arrays as nested lists."""
    _check_size(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _refuse(path, "file", f"not readable as JSON ({error})") from error
    if not isinstance(values, dict):
        raise _refuse(path, "file", f"expected one JSON object, found a {type(values).__name__}")
    return values


def _check_size(path: Path) -> None:
    if path.stat().st_size > MAX_BYTES:
        raise _refuse(path, "file", f"larger than {MAX_BYTES} bytes; use .h5 or .npz")


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".npz": read_npz,
    ".csv": read_csv,
    ".json": read_json,
}
