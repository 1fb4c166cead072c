"""A table of faces that somebody made himself: NumPy archive, CSV or JSON, with the same columns in each.

The table comes from a stranger: nothing in it is executed, and an array is read only after its shape has been
found to fit the number of faces.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.datasets.sources import Source
from facebench.errors import Faults, InvalidData, name_some
from facebench.formats import read_npy
from facebench.formats.numpy_file import LazyArray, read_npy_head
from facebench.geometry import get_scheme, scheme_names

__all__ = ["UNSAFE", "FaceTable", "read_table"]

Columns = dict[str, Any]

# Beyond this a table is damaged or hostile: what it holds unpacked, and how many faces.
MOST_BYTES = 1 << 30
MOST_FACES = 1_000_000

#: What no id or path may have: steps out of its folder, backslashes, control characters, half characters.
UNSAFE = re.compile(r"^/|(^|/)\.\.(/|$)|[\\\x00-\x1f\x7f\ud800-\udfff]")

# Columns of a CSV table: a number of a point, or an edge of a box.
POINT = re.compile(r"(?P<scheme>.+)_(?P<axis>[xyv])(?P<index>\d{1,4})")
EDGE = re.compile(r"(?:(?P<box>.+)_)?(?P<edge>[xy]_(?:min|max))")
EDGES = ("x_min", "y_min", "x_max", "y_max")

# The other columns with numbers: their array, its shape for one face, and the place in it.
PLACES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    **{name: ("euler", (3,), (at,)) for at, name in enumerate(("yaw", "pitch", "roll"))},
    **{f"r{row}{column}": ("rotation", (3, 3), (row, column)) for row in range(3) for column in range(3)},
}


class FaceTable:
    """The columns of a table of N faces.

    Attributes
    ----------
    columns : what the file holds, by the name that each column stands for; numbers are not checked yet.
    given : what the file itself calls each column.
    names : N face ids, unique, in the order of the rows.
    faults : what has been found wrong so far.

    Raises
    ------
    InvalidData : there are no faces, or their ids are not usable; names them.
    """

    ADVICE = "'facebench info custom' shows the layout; the documentation explains it under 'Your own faces'."

    def __init__(self, columns: Columns, meanings: Mapping[str, str], faults: Faults) -> None:
        self.faults = faults
        self.columns: Columns = {}
        self.given: dict[str, str] = {}
        self.names: list[str] = []
        for name, value in columns.items():
            meaning = meanings.get(name, name)
            if meaning in self.columns:
                faults.add(f"column '{name}'", f"is {self.named(meaning)} by another name; leave one out")
            self.columns[meaning] = value
            self.given[meaning] = name
        if "name" in self.columns:
            self.names = self.texts("name")
        else:
            faults.add("column 'name'", f"missing; the columns are {name_some(columns) or 'none'}")
        for name in [name for name in self.names if not name or UNSAFE.search(name)]:
            faults.add("column 'name'", f"expected a plain text or path, found {name!r}")
        if twice := [name for name, count in Counter(self.names).items() if count > 1]:
            faults.add("column 'name'", f"expected each face once, found several of {name_some(twice)}")
        faults.raise_if_any(self.ADVICE)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def named(self, name: str) -> str:
        """Return how to call a column in a message."""
        return f"column '{self.given.get(name, name)}'"

    def refuse(self, name: str, wrong: ArrayLike, what: str) -> None:
        """Note what is wrong with those of the N faces that are, if any."""
        rows = np.flatnonzero(wrong)
        if len(rows):
            faces = name_some(self.names[row] for row in rows)
            self.faults.add(self.named(name), f"{what}: {faces}")

    def text(self, name: str) -> str:
        """Return a text that holds for all faces, given once or for each; empty where there is none."""
        found = set(self._listed(name)) if name in self else {""}
        if None in found or len(found) != 1:
            self.faults.add(self.named(name), "expected one text for all faces")
            return ""
        return next(iter(found)) or ""

    def texts(self, name: str) -> list[str]:
        """Return N texts; none at all, and a fault, where the column has others."""
        found = self._listed(name)
        if not found or None in found or len(found) != (len(self.names) or len(found)):
            rows = len(self.names) or f"1 to {MOST_FACES}"
            self.faults.add(self.named(name), f"expected a text for each of {rows} faces, found others")
            return []
        return [one or "" for one in found]

    def _listed(self, name: str) -> list[str | None]:
        """Return the texts of a column, None for one that is none."""
        value = self.columns[name]
        if isinstance(value, LazyArray):
            if value.dtype.kind not in "USiu" or len(value.shape) > 1 or sum(value.shape) > MOST_FACES:
                return [None]
            try:
                value = value.read().tolist()
            except Exception as error:  # a damaged archive makes zipfile and numpy raise almost anything
                self.faults.add(self.named(name), f"cannot be read ({error})")
                return [None]
        listed = value if isinstance(value, list) else [value]
        return [_text(one) for one in listed] if len(listed) <= MOST_FACES else [None]

    def numbers(self, name: str, *shape: int, flags: bool = False) -> NDArray | None:
        """Return (N, *shape) numbers; None, and a fault, where the column has others.

        Parameters
        ----------
        flags : yes and no are not to become numbers.
        """
        value = self.columns[name]
        array = value if isinstance(value, LazyArray | np.ndarray) else _numbers(value)
        expected = (len(self.names), *shape)
        if array.dtype.kind not in "biuf" or array.shape != expected:
            found = "others" if array.dtype.kind == "O" else f"shape {array.shape} of {array.dtype}"
            self.faults.add(self.named(name), f"expected numbers of shape {expected}, found {found}")
            return None
        try:
            read = array.read() if isinstance(array, LazyArray) else array
        except Exception as error:  # a damaged archive makes zipfile and numpy raise almost anything
            self.faults.add(self.named(name), f"cannot be read ({error})")
            return None
        return read if flags and read.dtype == bool else read.astype(np.float64)


def read_table(source: Source, name: str, meanings: Mapping[str, str]) -> FaceTable:
    """Read the table ``name`` of a source, which ends in ``.npz``, ``.csv`` or ``.json``.

    Parameters
    ----------
    meanings : other names that columns may have, and what they stand for.

    Raises
    ------
    InvalidData : it is no such table, larger than any, or without usable face ids.
    """
    where = source.where(name)
    try:
        if source.sizes[name] > MOST_BYTES:
            msg = f"it claims {source.sizes[name]} bytes, more than the {MOST_BYTES} of the largest"
            raise ValueError(msg)
        columns = READERS[name.rpartition(".")[2]](source.read(name))
    except InvalidData:
        raise
    except Exception as error:  # a damaged table makes its readers raise almost anything
        msg = f"{where}: not a readable table: {error}. {FaceTable.ADVICE}"
        raise InvalidData(msg) from error
    return FaceTable(columns, meanings, Faults(where))


def _read_npz(data: bytes) -> Columns:
    archive = zipfile.ZipFile(io.BytesIO(data))
    claimed = sum(member.file_size for member in archive.infolist())
    if claimed > MOST_BYTES:
        msg = f"its arrays claim {claimed} bytes, more than the {MOST_BYTES} of the largest"
        raise ValueError(msg)
    columns: Columns = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        try:
            with archive.open(member) as stream:
                shape, dtype = read_npy_head(stream)
        except Exception as error:
            msg = f"key '{name}': {error}"
            raise ValueError(msg) from error
        columns[name] = LazyArray(shape, dtype, partial(_read_member, archive, member))
    return columns


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray:
    with archive.open(member) as stream:
        return read_npy(stream, member.file_size)


def _read_csv(data: bytes) -> Columns:
    """Read a table with one row per face; an empty cell is a number that is not known."""
    lines = io.StringIO(data.decode("utf-8-sig"), newline="")
    columns: Columns = {}
    first, skipped = next(lines, ""), 0
    while first.startswith("#"):
        name, colon, value = first[1:].partition(":")
        if colon:
            columns[name.strip()] = value.strip()
        first, skipped = next(lines, ""), skipped + 1
    rows = csv.reader(chain([first], lines), strict=True)
    header = [name.strip() for name in next(rows, [])]
    table: list[list[str]] = []
    for row in rows:
        if row and len(row) != len(header):
            msg = f"line {skipped + rows.line_num} has {len(row)} cells under {len(header)} columns"
            raise ValueError(msg)
        table += [row] if row else []
        if len(table) > MOST_FACES:
            msg = f"it has more than {MOST_FACES} faces"
            raise ValueError(msg)
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        msg = f"expected each column once, found several of {name_some(twice)}"
        raise ValueError(msg)
    for at, name in enumerate(header):
        cells = [row[at] for row in table]
        place = _place(name)
        if place is None:
            columns[name] = cells
            continue
        array, shape, index = place
        if not isinstance(columns.get(array), np.ndarray):
            columns[array] = np.full((len(table), *shape), np.nan)
        where = (slice(None), *index)
        try:
            columns[array][where] = [float(cell.strip() or "nan") for cell in cells]
        except ValueError as error:
            msg = f"column '{name}': expected numbers ({error})"
            raise ValueError(msg) from error
    return columns


def _place(name: str) -> tuple[str, tuple[int, ...], tuple[int, ...]] | None:
    """Return where a column's numbers belong: array, shape for one face, place in it; None for texts."""
    if name in PLACES:
        return PLACES[name]
    if edge := EDGE.fullmatch(name):
        return "_".join(filter(None, ("box", edge["box"]))), (4,), (EDGES.index(edge["edge"]),)
    point = POINT.fullmatch(name)
    if point is None:
        return None
    scheme, index = point["scheme"], int(point["index"])
    if scheme not in scheme_names():
        msg = f"column '{name}': unknown scheme '{scheme}'; known schemes: {', '.join(scheme_names())}"
        raise ValueError(msg)
    count = len(get_scheme(scheme))
    if index >= count:
        msg = f"column '{name}': expected a point from 0 to {count - 1}, counted from 0"
        raise ValueError(msg)
    if point["axis"] == "v":
        return f"visibility_{scheme}", (count,), (index,)
    return f"points_{scheme}", (count, 2), (index, "xy".index(point["axis"]))


def _read_json(data: bytes) -> Columns:
    values = json.loads(data)
    if not isinstance(values, dict):
        msg = f"expected one JSON object, found a {type(values).__name__}"
        raise ValueError(msg)
    return values


def _numbers(value: Any) -> NDArray:
    """Return nested lists as an array: of bool, of floats with NaN for null, or of objects for any others."""
    try:
        array = np.array(value, object)
        kinds = set(map(type, array.flat))
        if kinds == {bool}:
            return array.astype(bool)
        return array.astype(np.float64) if kinds <= {int, float, type(None)} else array
    except (ValueError, OverflowError):
        return np.array(None, object)


def _text(value: Any) -> str | None:
    """Return a text, empty for null; None for anything else but the whole numbers that some ids are."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return "" if value is None else value if isinstance(value, str) else None


READERS: dict[str, Callable[[bytes], Columns]] = {"npz": _read_npz, "csv": _read_csv, "json": _read_json}
