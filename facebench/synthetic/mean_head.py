"""The mean head: named 3D points of an average adult face.

The table ``mean_head.csv`` is our own, laid out from ordinary anthropometry (pupils 63 mm apart,
face 142 mm wide, eyes to chin 107 mm, ears to nose tip 121 mm) and exactly symmetric.  Head axes
are those of ``R_cam``: x to the right of the image, y down, z into the scene; millimetres; the
origin lies midway between the ears, level with the eyes.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError, name_some
from facebench.geometry.schemes import get_scheme

__all__ = ["mean_head"]


def mean_head(scheme: str = "ibug68") -> NDArray[np.float64]:
    """Return the (K, 3) points of a landmark scheme on the mean head, in millimetres.

    Raises
    ------
    UsageError : the head lacks a point of the scheme.
    """
    named = _table()
    points = get_scheme(scheme).points
    if lacking := [point for point in points if point not in named]:
        msg = f"The mean head lacks points of the scheme '{scheme}': {name_some(lacking)}."
        raise UsageError(msg)
    return np.array([named[point] for point in points])


@cache
def _table() -> dict[str, list[float]]:
    table = resources.files("facebench.synthetic").joinpath("mean_head.csv")
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return {row["name"]: [float(row[axis]) for axis in "xyz"] for row in rows}
