"""Landmark schemes: the names, order, parts and flip pairs of a set of points.

Each scheme is one table: ``schemes/<name>.csv`` here, or a table of an installed package, which names the
package that holds it by an entry point in the group ``facebench.schemes``.  Two points of different schemes
bear the same name exactly when the releases define them as the same point, so exact correspondences are
equal names (PROTOCOLS 1.1 and 1.2: the labels 1 to 24 that the data sets of one group share).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError

__all__ = [
    "MAPPINGS",
    "VISIBILITY",
    "Scheme",
    "carry",
    "convert",
    "correspondences",
    "get_scheme",
    "scheme_names",
]

#: The states of a point: occluded has a position, hidden has none.
VISIBILITY = {"unknown": 0, "visible": 1, "occluded": 2, "hidden": 3}

BUILT_IN = ("aflw19", "aflw21", "cofw29", "ibug68")
COLUMNS = ("index", "name", "part", "flip")


@dataclass(frozen=True)
class Scheme:
    """The points of a landmark scheme, in file order and counted from 0.

    Attributes
    ----------
    points : names of the points.
    parts : the face part of each point (``jaw``, ``left_eye``, ...).
    flip : index of each point's mirror image; applying it twice changes nothing.
    upm_labels : the numbers that UPM's files give the points; 1 to 24 are shared by all schemes, 0 is none.
    """

    name: str
    points: tuple[str, ...]
    parts: tuple[str, ...]
    flip: tuple[int, ...]
    upm_labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.points)

    def index(self, point: str) -> int:
        """Return the 0-based index of a point by name."""
        return self.points.index(point)

    def part(self, name: str) -> NDArray[np.intp]:
        """Return the 0-based indices of the points of one face part, or raise :class:`UsageError`."""
        if name not in self.parts:
            msg = (
                f"The scheme '{self.name}' has no part '{name}', only {', '.join(dict.fromkeys(self.parts))}."
            )
            raise UsageError(msg)
        return np.flatnonzero(np.array(self.parts) == name)


@cache
def _folders() -> dict[str, str | None]:
    """Return the schemes by name: None for those built in, else the package that holds the table."""
    found: dict[str, str | None] = dict.fromkeys(BUILT_IN)
    for point in entry_points(group="facebench.schemes"):
        found.setdefault(point.name, point.value)
    return found


def scheme_names() -> list[str]:
    """Return the names of all landmark schemes, sorted."""
    return sorted(_folders())


@cache
def get_scheme(name: str) -> Scheme:
    """Return a scheme by name.

    Raises
    ------
    UsageError : there is none of that name, or the package that brings it cannot be loaded, or its table is
        missing or wrong.
    """
    if name not in _folders():
        msg = f"Unknown landmark scheme '{name}'. Known schemes: {', '.join(scheme_names())}."
        raise UsageError(msg)
    package = _folders()[name]
    if package is None:
        return _read_scheme(name, _own_table(name))
    try:
        folder = resources.files(package)
    except Exception as error:
        msg = f"landmark scheme '{name}': the package '{package}' that brings it cannot be loaded: {error}."
        raise UsageError(msg) from error
    try:
        return _read_scheme(name, (folder / f"{name}.csv").read_text(encoding="utf-8"))
    except Exception as error:
        msg = f"landmark scheme '{name}': the package '{package}' has no usable table '{name}.csv': {error}."
        raise UsageError(msg) from error


def _read_scheme(name: str, table: str) -> Scheme:
    """Read a scheme; raises ValueError saying which line is wrong, and what was expected."""
    rows = _rows(table)
    for number, row in enumerate(rows):
        lacking = [column for column in COLUMNS if not row.get(column)]
        if lacking:
            msg = f"point {number} has no '{lacking[0]}' (expected the columns {', '.join(COLUMNS)})"
            raise ValueError(msg)
        if row["index"] != str(number):
            msg = f"expected index {number}, counting from 0, found '{row['index']}'"
            raise ValueError(msg)
    points = tuple(row["name"] for row in rows)
    flip = tuple(int(row["flip"]) for row in rows)
    if not points:
        msg = "expected a line for each point, found none"
        raise ValueError(msg)
    if twice := [point for k, point in enumerate(points) if point in points[:k]]:
        msg = f"expected points with names that all differ, found '{twice[0]}' twice"
        raise ValueError(msg)
    for k, mirror in enumerate(flip):
        if not 0 <= mirror < len(flip) or flip[mirror] != k:
            msg = f"the mirror image of point {k} is {mirror}, whose mirror image is not {k}"
            raise ValueError(msg)
    return Scheme(
        name=name,
        points=points,
        parts=tuple(row["part"] for row in rows),
        flip=flip,
        upm_labels=tuple(int(row.get("upm_label") or 0) for row in rows),
    )


def _own_table(name: str) -> str:
    table = resources.files("facebench.geometry") / "schemes" / f"{name}.csv"
    return table.read_text(encoding="utf-8")


def _rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(table.splitlines()))


@cache
def correspondences(source: str, target: str) -> tuple[tuple[int, int], ...]:
    """Return the pairs (index in source, index in target) of points with the same definition."""
    theirs = {point: index for index, point in enumerate(get_scheme(target).points)}
    return tuple((i, theirs[p]) for i, p in enumerate(get_scheme(source).points) if p in theirs)


def carry(values: NDArray, source: str, target: str, fill: float) -> NDArray:
    """Carry per-point values from one scheme to another through the exact correspondences.

    Parameters
    ----------
    values : (N, K, ...) values of the K points of ``source``.
    fill : what the points of ``target`` without a counterpart get.

    Returns
    -------
    (N, L, ...) values of the L points of ``target``, of the same type.
    """
    carried = np.full((len(values), len(get_scheme(target)), *values.shape[2:]), fill, values.dtype)
    for i, j in correspondences(source, target):
        carried[:, j] = values[:, i]
    return carried


#: How points of one scheme are had from another: only points of the same definition, or also the nearest
#: thing that the other scheme has (``schemes/approximate.csv``).
MAPPINGS = ("exact", "approximate")


def convert(points: NDArray, source: str, target: str, mapping: str = "exact") -> NDArray:
    """Express points in another scheme.

    Parameters
    ----------
    points : (N, K, 2) points of ``source``.
    mapping : ``exact`` fills only points with the same definition.  ``approximate`` fills further points of
        ``target`` by the mean of points of ``ibug68`` that lie close to them, or, where that is a single
        point, the other way round; it needs ``ibug68`` on one side.

    Returns
    -------
    (N, L, 2) points of ``target``; NaN where the mapping has none.

    Raises
    ------
    UsageError : unknown mapping or scheme.
    """
    if mapping not in MAPPINGS:
        msg = f"Unknown mapping '{mapping}'. Known mappings: {', '.join(MAPPINGS)}."
        raise UsageError(msg)
    if source == target:
        return points
    converted = carry(points, source, target, np.nan)
    if mapping == "approximate":
        known, wanted = get_scheme(source), get_scheme(target)
        for row in _rows(_own_table("approximate")):
            near = row["ibug68"].split()
            if source == "ibug68" and row["scheme"] == target:
                members = [known.index(name) for name in near]
                converted[:, wanted.index(row["point"])] = points[:, members].mean(axis=1)
            elif target == "ibug68" and row["scheme"] == source and len(near) == 1:
                converted[:, wanted.index(near[0])] = points[:, known.index(row["point"])]
    return converted
