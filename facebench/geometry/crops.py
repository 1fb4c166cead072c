"""Crops around boxes: affine maps from image pixels to crop pixels, and their mirror images.

All coordinates are 0-based with pixel centres on whole numbers.  A crop of S pixels therefore covers the
plane from -0.5 to S - 0.5, and a box is mapped edge to edge onto that: a box of
``(-0.5, -0.5, width - 0.5, height - 0.5)`` and no margin is the whole image, pixel for pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.geometry.schemes import get_scheme

__all__ = [
    "crop_transform",
    "cut",
    "has_area",
    "invert_transform",
    "mirror_face",
    "mirror_transform",
    "transform_points",
]

Floats = NDArray[np.float64]

# Mirrors the x axis: of the camera on one side of a rotation, of the head on the other.
MIRROR = np.array([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])


def has_area(boxes: ArrayLike) -> NDArray[np.bool_]:
    """Tell which of (N, 4) boxes are finite and at least a thousandth of a pixel wide and high."""
    b = np.asarray(boxes, float)
    with np.errstate(invalid="ignore", over="ignore"):
        sides = b[:, 2:] - b[:, :2]
        return np.isfinite(b).all(axis=1) & np.isfinite(sides).all(axis=1) & (sides > 1e-3).all(axis=1)


def crop_transform(boxes: ArrayLike, size: int, margin: float = 0.0, square: bool = True) -> Floats:
    """Map each box, with a margin around it, onto a crop.

    Parameters
    ----------
    boxes : (N, 4) x_min, y_min, x_max, y_max in pixels.
    size : width and height of the crop, in pixels.
    margin : added on each of the four sides, as a share of the box's longer side; negative cuts into it.
    square : take a square region around the box's centre, as long as its longer side: the map is then
        a similarity without rotation, which leaves ``R_cam`` as it is.  Otherwise each axis is
        stretched on its own to fill the crop, and the margin is a share of each side.

    Returns
    -------
    (N, 2, 3) affine maps from image pixels to crop pixels.

    Raises
    ------
    ValueError : a box without area (:func:`has_area`), or a size or margin that leaves none.
    """
    b = np.asarray(boxes, float).reshape(-1, 4)
    if size < 1 or not -0.5 < margin < np.inf:
        msg = f"expected a size of at least 1 and a margin above -0.5, found {size} and {margin}"
        raise ValueError(msg)
    if not has_area(b).all():
        msg = f"expected boxes with an area, found {b[~has_area(b)][0].tolist()}"
        raise ValueError(msg)
    sides = b[:, 2:] - b[:, :2]
    if square:
        sides = np.repeat(sides.max(axis=1, keepdims=True), 2, axis=1)
    sides = sides * (1.0 + 2.0 * margin)
    scale = size / sides
    transforms = np.zeros((len(b), 2, 3))
    transforms[:, 0, 0], transforms[:, 1, 1] = scale.T
    centres = b[:, :2] + (b[:, 2:] - b[:, :2]) / 2.0
    transforms[:, :, 2] = (size - 1) / 2.0 - centres * scale
    return transforms


def invert_transform(transforms: ArrayLike) -> Floats:
    """Return the (N, 2, 3) maps that undo (N, 2, 3) affine maps."""
    t = np.asarray(transforms, float)
    linear = np.linalg.inv(t[..., :2])
    return np.concatenate([linear, -linear @ t[..., 2:]], axis=-1)


def transform_points(points: ArrayLike, transforms: ArrayLike) -> Floats:
    """Apply (N, 2, 3) affine maps to (N, K, 2) points; NaN stays NaN."""
    t = np.asarray(transforms, float)
    return np.asarray(points, float) @ np.swapaxes(t[..., :2], -1, -2) + t[..., None, :, 2]


def mirror_transform(transforms: ArrayLike, width: int) -> Floats:
    """Follow (N, 2, 3) affine maps by left and right exchanged in a picture ``width`` pixels wide."""
    mirrored = np.array(transforms, float)
    mirrored[..., 0, :] *= -1.0
    mirrored[..., 0, 2] += width - 1
    return mirrored


def mirror_face(
    points: ArrayLike,
    visibility: NDArray[np.uint8],
    rotation: ArrayLike,
    scheme: str | None,
    width: int,
) -> tuple[Floats, NDArray[np.uint8], Floats]:
    """Mirror what is known of faces together with their picture; twice gives the same again.

    Parameters
    ----------
    points, visibility : (N, K, 2) pixels and (N, K) states in the order of ``scheme``.
    rotation : (N, 3, 3) ``R_cam``.
    scheme : landmark scheme, which says what each point becomes; None where there are no points.
    width : of the picture, in pixels: x becomes ``width - 1 - x``.

    Returns
    -------
    Points and states in the order of the scheme, and ``S R S`` with ``S = diag(-1, 1, 1)``.

    Raises
    ------
    UsageError : unknown scheme.
    """
    p, r = np.asarray(points, float), np.asarray(rotation, float)
    order = list(get_scheme(scheme).flip) if scheme else slice(None)
    flipped = p[:, order].copy()
    flipped[..., 0] = (width - 1) - flipped[..., 0]
    return flipped, visibility[:, order], r * MIRROR


def cut(image: NDArray[np.uint8], transform: ArrayLike, size: int, cubic: bool = False) -> NDArray[np.uint8]:
    """Cut a crop out of an image; what lies outside the image is black.

    A picture that is made less than half as large is first averaged over whole blocks of pixels, so that
    fine structure is blurred and not turned into false patterns.

    Parameters
    ----------
    image : (height, width, 3).
    transform : (2, 3) affine map from image pixels to crop pixels.
    size : width and height of the crop, in pixels.
    cubic : interpolate by cubics, which is sharper where the picture is enlarged, instead of linearly.

    Returns
    -------
    (size, size, 3) crop.
    """
    import cv2

    to_crop = np.array(transform, float)
    reach = 4.0
    corners = np.array([[[-0.5, -0.5], [size - 0.5, size - 0.5], [size - 0.5, -0.5], [-0.5, size - 0.5]]])
    seen = transform_points(corners, invert_transform(to_crop[None]))[0]
    shrink = 1.0 / np.sqrt(abs(np.linalg.det(to_crop[:, :2])))
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(seen.min(axis=0) - reach * max(1.0, shrink)), 0, limit).astype(int)
    high = np.clip(np.ceil(seen.max(axis=0) + reach * max(1.0, shrink)), 0, limit).astype(int)
    region = image[low[1] : high[1], low[0] : high[0]]
    if not region.size:
        return np.zeros((size, size, 3), np.uint8)
    to_crop[:, 2] += to_crop[:, :2] @ low
    factor = int(min(shrink, *region.shape[:2]))
    if factor >= 2:
        # The blocks tile the region from its first pixel on; the last ones are filled by its edge.
        below, right = (-length % factor for length in region.shape[:2])
        padded = cv2.copyMakeBorder(region, 0, below, 0, right, cv2.BORDER_REPLICATE)
        small = (padded.shape[1] // factor, padded.shape[0] // factor)
        region = cv2.resize(padded, small, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        to_crop[:, 2] += to_crop[:, :2] @ np.full(2, (factor - 1) / 2.0)
        to_crop[:, :2] *= factor
    flags = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    crop = cv2.warpAffine(region, to_crop, (size, size), flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return crop.astype(np.uint8, copy=False)
