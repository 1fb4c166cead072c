"""Removal of a constant rotation between predictions and truth (PROTOCOLS 2.6).

Two sets of pose labels may differ by a constant turn of the head frame or of the camera frame.  Errors after
its removal stand beside the plain ones, never in their place: the turn is estimated from the truth.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError
from facebench.geometry import geodesic_distance, mean_rotation

__all__ = ["SIDES", "align"]

Floats = NDArray[np.float64]

#: On which side of the prediction the turn is removed: ``left`` undoes one of the camera frame
#: (images_framework, opal), ``right`` one of the head frame (opentrack).
SIDES = ("left", "right")

# Faces that are further off, in degrees, are errors of the method and do not count for the mean.
LIMIT = 90.0


def align(
    predicted: ArrayLike,
    truth: ArrayLike,
    side: Literal["left", "right"] | str,
    alike: ArrayLike | None = None,
) -> Floats:
    """Return predictions without their mean rotation from the truth.

    The offset of a face is ``P A^T`` on the left, ``A^T P`` on the right; M is the Karcher mean of the
    offsets below 90 degrees, and all predictions become ``M^T P``, or ``P M^T``.

    Parameters
    ----------
    predicted : (n, 3, 3) rotations P; a face without a prediction is NaN and stays so.
    truth : (n, 3, 3) rotations A.
    side : one of :data:`SIDES`.
    alike : (n,) numbers of the groups with a mean of their own; one group when not given.

    Returns
    -------
    (n, 3, 3) rotations.  A group without any offset below 90 degrees is left as it is.

    Raises
    ------
    UsageError : unknown side.
    """
    if side not in SIDES:
        msg = f"Unknown side '{side}'. Known sides: {', '.join(SIDES)}."
        raise UsageError(msg)
    p, a = np.asarray(predicted, float), np.asarray(truth, float)
    aligned = p.copy()
    groups = np.zeros(len(p), int) if alike is None else np.asarray(alike)
    near = geodesic_distance(p, a) < LIMIT  # False for NaN
    for group in np.unique(groups):
        rows = groups == group
        used = rows & near
        if not used.any():
            continue
        transposed = np.swapaxes(a[used], 1, 2)
        if side == "left":
            aligned[rows] = mean_rotation(p[used] @ transposed).T @ p[rows]
        else:
            aligned[rows] = p[rows] @ mean_rotation(transposed @ p[used]).T
    return aligned
