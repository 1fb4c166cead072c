"""Head-pose errors (PROTOCOLS 5).  The geodesic distance itself is in :mod:`facebench.geometry`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["axis_errors", "euler_errors"]

Floats = NDArray[np.float64]


def euler_errors(predicted: ArrayLike, truth: ArrayLike) -> Floats:
    """Return the (N, 3) absolute errors of yaw, pitch and roll, wrapped to [0, 180] degrees.

    Both are (N, 3) degrees in the same convention.  The mean absolute error (MAE) of an axis is the mean
    of a column; the MAE is the mean of the three.

    Examples
    --------
    >>> euler_errors([[179.0, 0.0, 10.0]], [[-179.0, 5.0, 10.0]])
    array([[2., 5., 0.]])
    """
    turned = np.abs(np.asarray(predicted, float) - np.asarray(truth, float)) % 360.0
    return np.minimum(turned, 360.0 - turned)


def axis_errors(predicted: ArrayLike, truth: ArrayLike) -> Floats:
    """Return the (N,) mean angle in degrees between corresponding columns of two rotations.

    The columns are the head's axes seen by the camera; the mean over faces is the MAEV of TriNet (Cao et
    al. 2021).  Code that transposes its matrices compares rows instead, which is another number.
    """
    a, b = np.asarray(predicted, float), np.asarray(truth, float)
    # The half-angle form of the angle between unit vectors keeps its digits for small angles.
    apart, along = np.linalg.norm(a - b, axis=-2), np.linalg.norm(a + b, axis=-2)
    return np.degrees(2.0 * np.arctan2(apart, along)).mean(axis=-1)
