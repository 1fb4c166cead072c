"""What the annotators of a release would mark on a rendered face."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError, name_some
from facebench.geometry.boxes import tight_box
from facebench.geometry.schemes import VISIBILITY, get_scheme
from facebench.synthetic.faces import RenderedFace

__all__ = ["project", "rectangle_around", "scheme_points", "smaller_box"]

Floats = NDArray[np.float64]


def project(camera: ArrayLike, points: ArrayLike) -> Floats:
    """Return the (..., 2) 0-based pixels of (..., 3) points in the frame of a camera with matrix K."""
    seen = np.asarray(points, float) @ np.asarray(camera, float).T
    flat: Floats = seen[..., :2] / seen[..., 2:]
    return flat


def scheme_points(face: RenderedFace, scheme: str) -> tuple[Floats, NDArray[np.uint8]]:
    """Return the points of a scheme on a face: (K, 2) 0-based pixels, and their (K,) states.

    Points that ``ibug68`` has are those 68, the others are features of the face.

    Raises
    ------
    UsageError : the face lacks a point of the scheme.
    """
    known = {name: (face.points[k], face.visibility[k]) for k, name in enumerate(get_scheme("ibug68").points)}
    for name, place in face.features.items():
        known.setdefault(name, (project(face.camera, place), np.uint8(face.feature_visibility[name])))
    names = get_scheme(scheme).points
    if lacking := [name for name in names if name not in known]:
        msg = f"The rendered face lacks points of the scheme '{scheme}': {name_some(lacking)}."
        raise UsageError(msg)
    points = np.array([known[name][0] for name in names])
    states = np.array([known[name][1] for name in names], np.uint8)
    return points, states


def is_visible(states: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which points the camera sees."""
    seen: NDArray[np.bool_] = states == VISIBILITY["visible"]
    return seen


def rectangle_around(points: Floats, margin: float = 0.1, square: bool = False) -> tuple[int, int, int, int]:
    """Return x, y, width, height in whole 0-based pixels around (K, 2) points.

    The rectangles of the releases were drawn or computed by other means; this one is larger than the points
    by a margin on each side, as a share of their extent, and reaches a little further down than up.

    Parameters
    ----------
    square : whether both sides are as long as the longer one.
    """
    x_min, y_min, x_max, y_max = tight_box(points[None])[0]
    width, height = (x_max - x_min) * (1 + 2 * margin), (y_max - y_min) * (1 + 2 * margin)
    if square:
        width = height = max(width, height)
    x = (x_min + x_max - width) / 2
    y = (y_min + y_max - height) / 2 + 0.1 * margin * height
    return round(x), round(y), round(width), round(height)


def smaller_box(box: ArrayLike) -> Floats:
    """Return a (4,) box as a detector of faces might, a tenth smaller and off the middle."""
    x_min, y_min, x_max, y_max = np.asarray(box, float)
    width, height = x_max - x_min, y_max - y_min
    return np.array(
        [x_min + 0.07 * width, y_min + 0.02 * height, x_max - 0.03 * width, y_max - 0.08 * height]
    )
