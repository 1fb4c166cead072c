"""Random heads as a linear space of 3D shapes, and the fit of one to what is known of a face.

A release says where the visible points of a face are, and coarsely how the head is turned.  A network that
shall place all 68 points needs the others too, and one frame of head axes for the poses of all its training
sets.  Both come from the shape that explains the visible points best: a mean head and its variations under
scaled orthographic projection, with the released pose as a prior.  Such points and poses are for training
only; no score is ever computed against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from facebench.geometry import mean_rotation, not_rotations, posit, tight_box
from facebench.geometry.crops import has_area
from facebench.synthetic.head_mesh import random_looks, shape_head
from facebench.synthetic.scene import landmark_anchors

__all__ = ["Fitted", "ShapeSpace", "fit_shapes", "frame_offset", "shape_space", "unit_face"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

HEADS, SEED, DIMENSIONS = 1500, 5, 30
# Standard deviations of an annotated point, as a share of the face, and of a released pose, in degrees.
POINT_NOISE, POSE_NOISE = 0.015, 8.0
ITERATIONS, CHUNK = 12, 1000
# Fewer located points than this say too little about 30 dimensions of shape.
FEWEST_POINTS = 8


@dataclass(frozen=True, eq=False)
class ShapeSpace:
    """Shapes ``mean + sum(a[d] * basis[d])`` of the 68 ibug points, with ``a`` standard normal.

    Attributes
    ----------
    mean : (68, 3) head axes, mm.
    basis : (D, 68, 3) mm for one standard deviation.
    """

    mean: Floats
    basis: Floats


@cache
def shape_space() -> ShapeSpace:
    """Return the principal variations of rendered heads; computed once, in a few seconds."""
    rng, anchors = np.random.default_rng(SEED), landmark_anchors()
    shapes = np.array([anchors.on(shape_head(random_looks(rng))[0]) for _ in range(HEADS)])
    mean = shapes.mean(axis=0)
    _, spread, directions = np.linalg.svd((shapes - mean).reshape(HEADS, -1), full_matrices=False)
    basis = directions[:DIMENSIONS] * (spread[:DIMENSIONS, None] / np.sqrt(HEADS))
    return ShapeSpace(mean, basis.reshape(DIMENSIONS, -1, 3))


def unit_face() -> Floats:
    """Return the (68, 3) mean shape in head axes, its frontal box one unit high and around the origin."""
    mean = shape_space().mean
    box = tight_box(mean[None, :, :2])[0]
    middle = np.append((box[:2] + box[2:]) / 2, mean[:, 2].mean())
    unit: Floats = (mean - middle) / (box[3] - box[1])
    return unit


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a shape fitted to each of N faces says; NaN where there were too few points.

    Attributes
    ----------
    rotation : (N, 3, 3) ``R_cam``, in the head axes of the mean head.
    points : (N, 68, 2) all points, in the pixels of the given ones.
    residual : (N,) mean distance of the known points to it, as a share of the face's size.
    """

    rotation: Floats
    points: Floats
    residual: Floats


def fit_shapes(points: ArrayLike, prior: ArrayLike | None = None) -> Fitted:
    """Fit shapes of :func:`shape_space` to known points, by Gauss-Newton steps on all unknowns at once.

    Parameters
    ----------
    points : (N, 68, 2) pixels in the order of ``ibug68``; NaN where a point is not known.
    prior : (N, 3, 3) poses in the head axes of the mean head, good to ``POSE_NOISE`` degrees; NaN where
        there is none.
    """
    p = np.asarray(points, float)
    known = np.full((len(p), 3, 3), np.nan) if prior is None else np.asarray(prior, float)
    rotation, whole = np.full((len(p), 3, 3), np.nan), np.full(p.shape, np.nan)
    residual = np.full(len(p), np.nan)
    # Points in one place or on one line across say nothing either.
    enough = np.flatnonzero(
        (np.isfinite(p).all(axis=2).sum(axis=1) >= FEWEST_POINTS) & has_area(tight_box(p))
    )
    for start in range(0, len(enough), CHUNK):
        rows = enough[start : start + CHUNK]
        rotation[rows], whole[rows], residual[rows] = _fit(p[rows], known[rows])
    return Fitted(rotation, whole, residual)


def _fit(points: Floats, prior: Floats) -> tuple[Floats, Floats, Floats]:
    space = shape_space()
    count, dimensions = len(points), len(space.basis)
    located: Flags = np.asarray(np.isfinite(points).all(axis=2))
    box = tight_box(points)
    sides = box[:, 2:] - box[:, :2]
    has_prior: Flags = np.asarray(np.isfinite(prior).all(axis=(1, 2)))
    rotation = np.where(has_prior[:, None, None], prior, _first_guess(points, box))
    # The size of the face: that of all points, of which a profile shows half.
    size = np.maximum(sides.max(axis=1), 1e-6)
    weight = located / (POINT_NOISE * size)[:, None]
    target = np.where(located[..., None], points, 0.0)

    scale = size / np.ptp(space.mean[:, 1])
    turned = space.mean @ np.swapaxes(rotation, 1, 2)
    shift = _weighted_mean(target - scale[:, None, None] * turned[..., :2], located)
    amounts = np.zeros((count, dimensions))
    pose_weight = has_prior / np.radians(POSE_NOISE)
    for _ in range(ITERATIONS):
        shape = space.mean + np.einsum("nd,dkc->nkc", amounts, space.basis)
        turned = shape @ np.swapaxes(rotation, 1, 2)
        seen = scale[:, None, None] * turned[..., :2]
        error = (target - seen - shift[:, None]) * weight[..., None]
        moved = np.einsum("nij,dkj->nkid", rotation[:, :2], space.basis) * scale[:, None, None, None]
        x, y, z = (
            scale[:, None] * turned[..., 0],
            scale[:, None] * turned[..., 1],
            scale[:, None] * turned[..., 2],
        )
        zero, one = np.zeros_like(x), np.ones_like(x)
        # Columns: a turn about the camera's axes, the logarithm of the scale, the shift.
        across = np.stack([zero, z, -y, x, one, zero], axis=-1)
        down = np.stack([-z, zero, x, y, zero, one], axis=-1)
        jacobian = (
            np.concatenate([np.stack([across, down], axis=2), moved], axis=-1) * weight[..., None, None]
        )
        jacobian = jacobian.reshape(count, -1, 6 + dimensions)
        normal = np.swapaxes(jacobian, 1, 2) @ jacobian
        right = np.einsum("nrp,nr->np", jacobian, error.reshape(count, -1))
        off = Rotation.from_matrix(
            np.where(has_prior[:, None, None], prior, rotation) @ np.swapaxes(rotation, 1, 2)
        )
        right[:, :3] += off.as_rotvec() * pose_weight[:, None] ** 2
        right[:, 6:] -= amounts
        diagonal = np.ones((count, 6 + dimensions))
        diagonal[:, :3] = pose_weight[:, None] ** 2 + 1e-3
        diagonal[:, 3:6] = 1e-9
        normal[:, np.arange(6 + dimensions), np.arange(6 + dimensions)] += diagonal
        step = np.linalg.solve(normal, right[..., None])[..., 0]
        turn = step[:, :3]
        turn *= np.minimum(1.0, 0.5 / np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-12))
        rotation = Rotation.from_rotvec(turn).as_matrix() @ rotation
        scale = scale * np.exp(np.clip(step[:, 3], -0.3, 0.3))
        shift = shift + step[:, 4:6]
        amounts = np.clip(amounts + step[:, 6:], -3, 3)
    shape = space.mean + np.einsum("nd,dkc->nkc", amounts, space.basis)
    turned = shape @ np.swapaxes(rotation, 1, 2)
    whole = scale[:, None, None] * turned[..., :2] + shift[:, None]
    distance = np.linalg.norm(target - whole, axis=2) * located
    return rotation, whole, distance.sum(axis=1) / located.sum(axis=1) / size


def _first_guess(points: Floats, box: Floats) -> Floats:
    """Return poses by POSIT with the mean head, frontal where it finds none."""
    model = shape_space().mean * [1.0, -1.0, -1.0]
    side = np.maximum((box[:, 2:] - box[:, :2]).max(axis=1), 1e-6)
    guess = posit(points, model, 4.0 * side, (box[:, :2] + box[:, 2:]) / 2)
    return np.where(not_rotations(guess)[:, None, None], np.eye(3), guess)


def _weighted_mean(values: Floats, located: Flags) -> Floats:
    mean: Floats = (values * located[..., None]).sum(axis=1) / located.sum(axis=1)[:, None]
    return mean


def frame_offset(rotation: ArrayLike, fitted: ArrayLike) -> Floats:
    """Return the (3, 3) turn of the head axes with which ``rotation @ offset`` is ``fitted`` on average.

    Parameters
    ----------
    rotation, fitted : (N, 3, 3) poses of the same faces in two sets of head axes; NaN rows are left out.
    """
    a, b = np.asarray(rotation, float), np.asarray(fitted, float)
    both = np.isfinite(a).all(axis=(1, 2)) & np.isfinite(b).all(axis=(1, 2))
    return mean_rotation(np.swapaxes(a[both], 1, 2) @ b[both])
