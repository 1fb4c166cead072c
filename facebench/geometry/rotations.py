"""Rotations of a head seen by an OpenCV camera, and the four published Euler readings of them.

Every head-pose dataset and method in the field describes the same rotation ``R_cam`` by one of four
conventions (PROTOCOLS 2.1).  They differ in the order of the elementary rotations and in the signs:

============  =====================================  ===========  =========  =================
name          R_cam                                  yaw > 0      pitch > 0  roll > 0
============  =====================================  ===========  =========  =================
``raw-xyz``   ``Rx(-pitch) Ry(+yaw) Rz(+roll)``      image left   up         clockwise
``upm-xyz``   ``Rx(-pitch) Ry(-yaw) Rz(+roll)``      image right  up         clockwise
``mnn-yxz``   ``Ry(-yaw) Rx(-pitch) Rz(+roll)``      image right  up         clockwise
``aflw-yxz``  ``Ry(+yaw) Rx(-pitch) Rz(-roll)``      image left   up         counter-clockwise
============  =====================================  ===========  =========  =================

Yaw is positive when the nose points to the side named.  ``Rx, Ry, Rz`` are the right-handed elementary
rotations of column vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError

__all__ = [
    "CONVENTIONS",
    "EulerConvention",
    "canonical_euler",
    "euler_to_rotation",
    "geodesic_distance",
    "get_convention",
    "mean_rotation",
    "not_rotations",
    "rotation_to_euler",
]

Floats = NDArray[np.float64]

# Below this cosine of the middle angle the outer two angles turn about the same axis.
GIMBAL_COSINE = 1e-9


@dataclass(frozen=True)
class EulerConvention:
    """A named Euler reading of ``R_cam``: the order of the axes, and the sign of each angle."""

    name: str
    order: str
    yaw_sign: int
    pitch_sign: int
    roll_sign: int

    @property
    def signs(self) -> Floats:
        """Signs of (yaw, pitch, roll), such that sign * angle is a right-handed rotation."""
        return np.array([self.yaw_sign, self.pitch_sign, self.roll_sign], float)


#: The Euler conventions by name.
CONVENTIONS = {
    convention.name: convention
    for convention in (
        EulerConvention("raw-xyz", "XYZ", +1, -1, +1),
        EulerConvention("upm-xyz", "XYZ", -1, -1, +1),
        EulerConvention("mnn-yxz", "YXZ", -1, -1, +1),
        EulerConvention("aflw-yxz", "YXZ", +1, -1, -1),
    )
}


def get_convention(name: str) -> EulerConvention:
    """Return an Euler convention by name, or raise :class:`UsageError` listing the known ones."""
    if name not in CONVENTIONS:
        msg = f"Unknown Euler convention '{name}'. Known conventions: {', '.join(CONVENTIONS)}."
        raise UsageError(msg)
    return CONVENTIONS[name]


def _elementary(axis: int, angle: Floats) -> Floats:
    """Return the (..., 3, 3) right-handed rotations about one axis by (...) radians."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.zeros((*angle.shape, 3, 3))
    rotation[..., axis, axis] = 1.0
    rotation[..., i, i] = rotation[..., j, j] = np.cos(angle)
    rotation[..., j, i] = np.sin(angle)
    rotation[..., i, j] = -rotation[..., j, i]
    return rotation


def euler_to_rotation(euler: ArrayLike, convention: str) -> Floats:
    """Build ``R_cam`` from Euler angles.

    Parameters
    ----------
    euler : (..., 3) yaw, pitch, roll in degrees; any number of turns.
    convention : a key of :data:`CONVENTIONS`.

    Returns
    -------
    (..., 3, 3) rotations, head axes to OpenCV camera axes; an angle that is NaN leaves NaN in its matrix.
    """
    named = get_convention(convention)
    yaw, pitch, roll = np.moveaxis(np.radians(np.asarray(euler, float)) * named.signs, -1, 0)
    about_x, about_y, about_z = _elementary(0, pitch), _elementary(1, yaw), _elementary(2, roll)
    first, second = (about_x, about_y) if named.order == "XYZ" else (about_y, about_x)
    return first @ second @ about_z


def rotation_to_euler(rotation: ArrayLike, convention: str) -> Floats:
    """Read Euler angles off ``R_cam`` (closed forms of PROTOCOLS 2.1).

    Parameters
    ----------
    rotation : (..., 3, 3) rotations, head axes to OpenCV camera axes.
    convention : a key of :data:`CONVENTIONS`.

    Returns
    -------
    (..., 3) canonical yaw, pitch, roll in degrees: the middle angle within [-90, 90], the others within
    [-180, 180].  At gimbal lock, where only the sum of the outer angles is known, roll is 0.
    """
    named = get_convention(convention)
    r = np.asarray(rotation, float)
    # The middle axis is yaw in XYZ and pitch in YXZ; (f, s) are the rows of the first and second axes.
    f, s, sign = (0, 1, 1.0) if named.order == "XYZ" else (1, 0, -1.0)
    cosine = np.hypot(r[..., s, 2], r[..., 2, 2])
    locked = cosine < GIMBAL_COSINE
    # Not the arc sine, which loses half its digits towards 90 degrees.
    middle = np.arctan2(sign * r[..., f, 2], cosine)
    outer = np.where(
        locked,
        np.arctan2(sign * r[..., 2, s], r[..., s, s]),
        np.arctan2(-sign * r[..., s, 2], r[..., 2, 2]),
    )
    roll = np.where(locked, 0.0, np.arctan2(-sign * r[..., f, s], r[..., f, f]))
    yaw, pitch = (middle, outer) if named.order == "XYZ" else (outer, middle)
    return np.degrees(np.stack([yaw, pitch, roll], axis=-1)) * named.signs


def canonical_euler(euler: ArrayLike, convention: str) -> Floats:
    """Return the canonical (..., 3) angles of the same rotation, degrees in the same convention."""
    return rotation_to_euler(euler_to_rotation(euler, convention), convention)


def geodesic_distance(first: ArrayLike, second: ArrayLike) -> Floats:
    """Angle of the rotation between two rotations, in degrees within [0, 180].

    Equal to ``arccos((trace(A B^T) - 1) / 2)`` (PROTOCOLS 5), computed from its half-angle sine and
    cosine, which stays exact for nearly equal rotations where the arc cosine loses half its digits.

    Parameters
    ----------
    first, second : (..., 3, 3) rotations, broadcast against each other.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    sine = np.sqrt(np.square(a - b).sum(axis=(-2, -1)) / 8.0)
    cosine = np.sqrt(np.clip((1.0 + (a * b).sum(axis=(-2, -1))) / 4.0, 0.0, None))
    return np.degrees(2.0 * np.arctan2(sine, cosine))


def mean_rotation(rotations: ArrayLike, tolerance: float = 1e-10, iterations: int = 100) -> Floats:
    """Intrinsic (Karcher) mean: the rotation with the least sum of squared geodesic distances.

    Parameters
    ----------
    rotations : (N, 3, 3) rotations, N at least 1, spread over less than half the rotation group.
    tolerance : stop when a step turns by less than this many radians.

    Returns
    -------
    (3, 3) rotation.

    Raises
    ------
    ValueError : there is no rotation, or one is not finite.
    """
    from scipy.spatial.transform import Rotation

    matrices = np.asarray(rotations, float)
    if not len(matrices) or not np.isfinite(matrices).all():
        msg = f"expected (N, 3, 3) finite rotations, found shape {matrices.shape} with NaN or none"
        raise ValueError(msg)
    stack = Rotation.from_matrix(matrices)
    mean = stack.mean()
    for _ in range(iterations):
        step = (mean.inv() * stack).as_rotvec().mean(axis=0)
        mean = mean * Rotation.from_rotvec(step)
        if np.linalg.norm(step) < tolerance:
            break
    return mean.as_matrix()


def not_rotations(matrices: ArrayLike, tolerance: float = 1e-3) -> NDArray[np.bool_]:
    """Tell which (N, 3, 3) matrices are not rotations: not orthonormal to ``tolerance``, or mirrored.

    Matrices with non-finite entries are reported as well.
    """
    m = np.asarray(matrices, float)
    with np.errstate(invalid="ignore", over="ignore"):
        defect = np.abs(m @ np.swapaxes(m, -1, -2) - np.eye(3)).max(axis=(-2, -1))
        proper = (defect <= tolerance) & (np.linalg.det(m) > 0)
    return ~proper
