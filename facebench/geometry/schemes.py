"""Landmark schemes: the names, order, parts and flip pairs of a set of points.

Each scheme is one table in ``schemes/<name>.csv``.  Two points of different schemes bear the same name
exactly when the releases define them as the same point, so exact correspondences are equal names
(PROTOCOLS 1.1 and 1.2: the labels 1 to 24 that the data sets of one group share).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError

__all__ = ["MAPPINGS", "SCHEMES", "Scheme", "carry", "convert", "correspondences", "get_scheme"]

#: Names of the landmark schemes.
SCHEMES = ("aflw19", "aflw21", "cofw29", "ibug68")


@dataclass(frozen=True)
class Scheme:
    """The points of a landmark scheme, in file order and counted from 0.

    Attributes
    ----------
    points : names of the points.
    parts : the face part of each point (``jaw``, ``left_eye``, ...).
    flip : index of each point's mirror image; applying it twice changes nothing.
    upm_labels : the numbers that UPM's files give the points; 1 to 24 are shared by all schemes.
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
def get_scheme(name: str) -> Scheme:
    """Return a scheme by name.

    Raises
    ------
    UsageError : the name is not one of :data:`SCHEMES`.
    """
    if name not in SCHEMES:
        msg = f"Unknown landmark scheme '{name}'. Known schemes: {', '.join(SCHEMES)}."
        raise UsageError(msg)
    rows = _table(name)
    return Scheme(
        name=name,
        points=tuple(row["name"] for row in rows),
        parts=tuple(row["part"] for row in rows),
        flip=tuple(int(row["flip"]) for row in rows),
        upm_labels=tuple(int(row["upm_label"]) for row in rows),
    )


def _table(name: str) -> list[dict[str, str]]:
    table = resources.files("facebench.geometry") / "schemes" / f"{name}.csv"
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


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
        for row in _table("approximate"):
            near = row["ibug68"].split()
            if source == "ibug68" and row["scheme"] == target:
                members = [known.index(name) for name in near]
                converted[:, wanted.index(row["point"])] = points[:, members].mean(axis=1)
            elif target == "ibug68" and row["scheme"] == source and len(near) == 1:
                converted[:, wanted.index(near[0])] = points[:, known.index(row["point"])]
    return converted
