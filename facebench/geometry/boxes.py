"""Boxes ``x_min, y_min, x_max, y_max`` in 0-based pixels; width is ``x_max - x_min``."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["box_size", "place_in_box", "relative_to_box", "tight_box"]

Floats = NDArray[np.float64]


def tight_box(points: ArrayLike) -> Floats:
    """Return the (N, 4) smallest boxes around (N, K, 2) points, leaving out NaN points.

    A face without any annotated point gets a box of NaN.
    """
    x, y = np.moveaxis(np.asarray(points, float), -1, 0)
    boxes = np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1)
    if np.isnan(boxes).any():  # rare; fmin and fmax prefer a number to a NaN, and are slower
        bounds = (np.fmin.reduce(x, 1), np.fmin.reduce(y, 1), np.fmax.reduce(x, 1), np.fmax.reduce(y, 1))
        boxes = np.stack(bounds, axis=1)
    return boxes


def box_size(boxes: ArrayLike) -> Floats:
    """Return the (N, 2) widths and heights of (N, 4) boxes, in pixels."""
    b = np.asarray(boxes, float)
    return b[:, 2:] - b[:, :2]


def relative_to_box(points: ArrayLike, boxes: ArrayLike) -> Floats:
    """Express (N, K, 2) points in units of (N, 4) boxes: (0, 0) is one corner, (1, 1) the other."""
    b = np.asarray(boxes, float)
    return (np.asarray(points, float) - b[:, None, :2]) / box_size(b)[:, None]


def place_in_box(points: ArrayLike, boxes: ArrayLike) -> Floats:
    """Place (N, K, 2) or (K, 2) points in box units into (N, 4) boxes; undoes :func:`relative_to_box`."""
    b = np.asarray(boxes, float)
    return np.asarray(points, float) * box_size(b)[:, None] + b[:, None, :2]
