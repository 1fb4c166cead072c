"""Reading ``.pts`` files, the text format of 300W and MERL-RAV: so many points, one ``x y`` a line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_pts"]


def read_pts(data: bytes, count: int = 68) -> NDArray[np.float64]:
    """Return the (count, 2) numbers of a ``.pts`` file as they stand there, in whatever index base.

    The head (``version: 1``, ``n_points: 68`` and braces) may be missing, as in some copies of Helen.

    Raises
    ------
    ValueError : it does not hold that many points; says what was found.
    """
    lines = data.decode("utf-8-sig").splitlines()
    body = [line for line in lines if line.strip() not in ("", "{", "}") and ":" not in line]
    rows = [line.split() for line in body]
    odd = next((line for line, row in zip(body, rows, strict=True) if len(row) != 2), None)
    if odd is not None or len(rows) != count:
        found = f"the line {odd.strip()!r}" if odd is not None else f"{len(rows)} points"
        msg = f"expected {count} lines of two numbers, found {found}"
        raise ValueError(msg)
    points = np.array([[float(x), float(y)] for x, y in rows])
    if not np.isfinite(points).all():
        msg = "expected finite numbers, found NaN or infinity"
        raise ValueError(msg)
    return points
