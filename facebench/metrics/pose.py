"""Head-pose errors (PROTOCOLS 5).  The geodesic distance itself is in :mod:`facebench.geometry`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["YAW_CLASS", "axis_errors", "euler_errors", "yaw_class", "yaw_confusion"]

Floats = NDArray[np.float64]

#: Width of a class of yaw in degrees.
YAW_CLASS = 15.0


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


def yaw_class(yaw: ArrayLike) -> Floats:
    """Return the number of the class of each yaw: -6 to 6 for -90 to 90 degrees in steps of 15.

    A class reaches 7.5 degrees to both sides of its centre, those at the ends take in all that lies beyond.
    NaN stays NaN.

    Examples
    --------
    >>> yaw_class([-120.0, -7.6, 7.4, 45.0])
    array([-6., -1.,  0.,  3.])
    """
    y = np.asarray(yaw, float)
    wrapped = (y + 180.0) % 360.0 - 180.0
    return np.clip(np.floor(wrapped / YAW_CLASS + 0.5), -6, 6)


def yaw_confusion(predicted: ArrayLike, truth: ArrayLike) -> NDArray[np.int64]:
    """Count the faces of each true class of yaw (rows) by their predicted class (columns), as (13, 13).

    Both are (N,) degrees in the same convention; faces without a prediction are left out.
    """
    p, t = yaw_class(predicted), yaw_class(truth)
    known = ~np.isnan(p) & ~np.isnan(t)
    counts = np.zeros((13, 13), np.int64)
    np.add.at(counts, (t[known].astype(int) + 6, p[known].astype(int) + 6), 1)
    return counts
