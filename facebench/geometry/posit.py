"""Head pose from landmarks by modern POSIT, as the MNN and SPIGA code bases define their ground truth.

POSIT (DeMenthon and Davis) alternates between a scaled orthographic pose, linear in the points, and the
perspective correction that this pose implies, until the points stop moving (PROTOCOLS 2.4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["RECIPES", "posit", "posit_mnn", "posit_spiga"]

Floats = NDArray[np.float64]

#: Iterations at most, and the sum of squared pixel movements below which a face has converged.
ITERATIONS, CONVERGED = 100, 0.01

# A pose has four unknowns on each image axis.
FEWEST_POINTS = 4

# The rows of POSIT's rotation for a frontal face: world axes are (z, -x, -y) of the mean face.
FRONTAL = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])

# Both recipes take the focal length as 1.5 times the side of a crop of 1.6 times the face.
FOCAL, CROP = 1.5, 1.6
SPIGA_PIXELS = 256


def posit(points: ArrayLike, model: ArrayLike, focal: ArrayLike, centre: ArrayLike) -> Floats:
    """Estimate ``R_cam`` of faces from points whose 3D positions are known.

    Parameters
    ----------
    points : (N, K, 2) pixels; NaN points are left out.
    model : (K, 3) the points of the mean 3D face, in the axes of its file; NaN points are left out.
    focal : (N,) focal lengths in pixels.
    centre : (N, 2) principal points in pixels.

    Returns
    -------
    (N, 3, 3) rotations; NaN for faces with fewer than four points.
    """
    p, f, c = np.asarray(points, float), np.asarray(focal, float), np.asarray(centre, float)
    x, y, z = np.asarray(model, float).T
    world = np.stack([z, -x, -y], axis=1)
    rotations = np.full((len(p), 3, 3), np.nan)
    annotated = np.isfinite(p).all(axis=2) & np.isfinite(world).all(axis=1)
    # The pseudo-inverse of the model depends only on which points there are.
    for pattern in np.unique(annotated, axis=0):
        if pattern.sum() >= FEWEST_POINTS:
            rows = np.flatnonzero((annotated == pattern).all(axis=1))
            rotations[rows] = _posit(p[rows][:, pattern], world[pattern], f[rows], c[rows])
    return rotations


def _posit(points: Floats, world: Floats, focal: Floats, centre: Floats) -> Floats:
    homogeneous = np.column_stack([world, np.ones(len(world))])
    inverse = np.linalg.pinv(homogeneous)
    observed = (points - centre[:, None]) / focal[:, None, None]
    corrected = observed.copy()
    rotation = np.empty((len(points), 3, 3))
    moving = np.ones(len(points), bool)
    for iteration in range(ITERATIONS):
        axes = inverse @ corrected[moving]  # (m, 4, 2): scaled first and second row of the pose
        lengths = np.linalg.norm(axes[:, :3], axis=1)
        depth = 1.0 / np.sqrt(lengths.prod(axis=1))
        first, second = np.clip(axes[:, :3] * depth[:, None, None], -1.0, 1.0).transpose(2, 0, 1)
        third = np.cross(first, second)
        rotation[moving] = np.stack([first, second, third], axis=1)
        scale = np.column_stack([third, depth]) @ homogeneous.T / depth[:, None]
        update = scale[..., None] * observed[moving]
        moved = np.square(update - corrected[moving]).sum(axis=(1, 2)) * focal[moving] ** 2
        corrected[moving] = update
        if iteration:
            moving[moving] = moved >= CONVERGED
        if not moving.any():
            break
    u, _, vt = np.linalg.svd(rotation)
    return u @ vt @ FRONTAL.T


def posit_mnn(points: ArrayLike, boxes: ArrayLike, model: ArrayLike) -> Floats:
    """Estimate pose as MNN's code does: raw points, camera from the annotated box.

    The box is enlarged by 30 % on each side and squared by its height; the focal length is 1.5 times that.

    Parameters
    ----------
    points : (N, K, 2) pixels.
    boxes : (N, 4) annotated boxes.
    model : (K, 3) mean 3D face.
    """
    b = np.asarray(boxes, float)
    height = b[:, 3] - b[:, 1]
    return posit(points, model, FOCAL * CROP * height, (b[:, :2] + b[:, 2:]) / 2)


def posit_spiga(points: ArrayLike, boxes: ArrayLike, model: ArrayLike) -> Floats:
    """Estimate pose as SPIGA's code does: points mapped into a 256 x 256 crop and rounded there.

    Parameters
    ----------
    points : (N, K, 2) pixels.
    boxes : (N, 4) tight boxes of the landmarks; the crop's side is 1.6 times the longer one.
    model : (K, 3) mean 3D face.
    """
    b = np.asarray(boxes, float)
    side = CROP * (b[:, 2:] - b[:, :2]).max(axis=1)
    corner = (b[:, :2] + b[:, 2:] - side[:, None]) / 2
    scale = SPIGA_PIXELS / side
    crop = np.round((np.asarray(points, float) - corner[:, None]) * scale[:, None, None])
    middle = np.full((len(b), 2), SPIGA_PIXELS / 2)
    return posit(crop, model, np.full(len(b), FOCAL * SPIGA_PIXELS), middle)


#: The published ways to compute pose from landmarks, by name.
RECIPES = {"mnn": posit_mnn, "spiga": posit_spiga}
