"""A closed surface through the points of the mean head, and the chart that unrolls it.

Seen from the origin of the head every direction meets the surface once, so longitude and latitude
are its coordinates: the chart is a picture on which the face can be painted flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.synthetic.mean_head import mean_head

__all__ = ["HeadSurface", "bare_radius", "directions", "head_surface", "to_chart", "to_degrees"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

# Chart cells per degree; the splines are evaluated on a chart that is coarser by this factor.
PER_DEGREE, COARSER = 2, 3
ROWS, COLUMNS = 180 * PER_DEGREE, 360 * PER_DEGREE

# The skull where no landmark says more: centre and half axes of an ellipsoid, millimetres.
SKULL_CENTRE, SKULL_AXES = np.array([0.0, -22.0, -2.0]), np.array([74.0, 94.0, 97.0])
SKULL_GUIDES, CLEAR_OF_FACE = 240, 20.0

# Longitude and latitude where hair meets skin, from mid-forehead to the nape, degrees.
HAIRLINE = (
    (0, -43), (18, -42), (34, -36), (46, -26), (56, -18), (62, -4), (66, 12), (72, 14),
    (76, -2), (96, 2), (108, 22), (120, 34), (180, 40),
)  # fmt: skip
# Cheekbones and cheeks, where there is no landmark: one side, millimetres.
FLESH = ((50.0, 28.0, -70.0), (63.0, 24.0, -44.0), (44.0, 60.0, -72.0), (58.0, 52.0, -42.0))
HAIR_THICKNESS = 5.0
# An ear: centre (longitude, latitude), half axes and tilt in degrees; how far it stands out.
EAR_CENTRE, EAR_AXES, EAR_TILT, EAR_THICKNESS = (105.0, 14.0), (9.5, 19.0), 12.0, 14.0


@dataclass(frozen=True, eq=False)
class HeadSurface:
    """The head sampled on the (rows, columns) cells of the chart.

    Attributes
    ----------
    points : (cells, 3) head axes, millimetres; the cells of the chart row by row.
    normals : (cells, 3) unit vectors out of the head.
    hair : (rows, columns) 1 on hair, 0 on skin, blurred in between.
    """

    points: Singles
    normals: Singles
    hair: Singles

    def visible(self, points: ArrayLike, rotation: ArrayLike) -> NDArray[np.bool_]:
        """Tell which (K, 3) points of the head a far camera sees: nothing of it lies before them.

        Parameters
        ----------
        points : head axes, millimetres.
        rotation : (3, 3) ``R_cam``.
        """
        # Walk towards the camera; the first step and the margin clear the point's own skin.
        steps = np.linspace(6.0, 90.0, 30)[:, None, None]
        walk = np.asarray(points, float) - steps * np.asarray(rotation, float)[2]
        column, row = np.moveaxis(np.round(to_chart(walk)).astype(int), -1, 0)
        cell = np.clip(row, 0, ROWS - 1) * COLUMNS + column % COLUMNS
        buried = np.linalg.norm(walk, axis=-1) < np.linalg.norm(self.points[cell], axis=-1) - 1.0
        seen: NDArray[np.bool_] = ~buried.any(axis=0)
        return seen


def to_chart(points: ArrayLike) -> Floats:
    """Return the (..., 2) column and row on the chart of (..., 3) head points.

    The nose lies in the middle; columns grow to the right of the image, rows downwards.
    """
    return degrees_to_chart(to_degrees(points))


def to_degrees(points: ArrayLike) -> Floats:
    """Return (..., 2) longitude and latitude in degrees of (..., 3) points in head axes."""
    x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
    return np.degrees(np.stack([np.arctan2(x, -z), np.arctan2(y, np.hypot(x, z))], axis=-1))


def directions(degrees: ArrayLike) -> Floats:
    """Return (..., 3) unit vectors of (..., 2) longitudes and latitudes."""
    longitude, latitude = np.moveaxis(np.radians(np.asarray(degrees, float)), -1, 0)
    across = np.cos(latitude)
    return np.stack([across * np.sin(longitude), np.sin(latitude), -across * np.cos(longitude)], axis=-1)


def degrees_to_chart(degrees: ArrayLike) -> Floats:
    """Return the (..., 2) column and row of (..., 2) longitudes and latitudes."""
    cells: Floats = (np.asarray(degrees, float) + np.array([180.0, 90.0])) * PER_DEGREE - 0.5
    return cells


def _cell_directions(rows: int, columns: int) -> Floats:
    """Return the (rows, columns, 3) unit vectors through the cells of a chart of that size."""
    latitude = (np.arange(rows) + 0.5) * 180.0 / rows - 90.0
    longitude = (np.arange(columns) + 0.5) * 360.0 / columns - 180.0
    return directions(np.stack(np.meshgrid(longitude, latitude), axis=-1))


def _skull_radius(directions: Floats) -> Floats:
    """Return the distance from the origin to the skull ellipsoid along (N, 3) unit vectors."""
    d, c = directions / SKULL_AXES, SKULL_CENTRE / SKULL_AXES
    a, b = np.square(d).sum(-1), d @ c
    radius: Floats = (b + np.sqrt(b**2 + a * (1 - c @ c))) / a
    return radius


def bare_radius(directions: Floats) -> Floats:
    """Return the distance of the bare head from its origin along (N, 3) unit vectors: (N,) mm.

    A spline through the landmarks of the mean head and the skull.
    """
    from scipy.interpolate import RBFInterpolator

    flesh = np.array(FLESH) * [[[1, 1, 1]], [[-1, 1, 1]]]
    landmarks = np.concatenate([mean_head(), flesh.reshape(-1, 3)])
    radius = np.linalg.norm(landmarks, axis=1)
    known = landmarks / radius[:, None]
    # Guides spread evenly over the sphere (a Fibonacci spiral), in mirrored pairs.
    count = np.arange(SKULL_GUIDES) + 0.5
    height, turn = 1 - 2 * count / SKULL_GUIDES, np.pi * (1 + 5**0.5) * count
    ring = np.sqrt(1 - height**2)
    spiral = np.stack([np.abs(ring * np.sin(turn)), height, ring * np.cos(turn)], axis=1)
    spiral = spiral[(spiral @ known.T).max(axis=1) < np.cos(np.radians(CLEAR_OF_FACE))]
    guides = np.concatenate([spiral, spiral * [-1, 1, 1]])
    known, radius = np.concatenate([known, guides]), np.concatenate([radius, _skull_radius(guides)])
    spline = RBFInterpolator(known, radius, smoothing=1e-4)
    smooth: Floats = spline(directions)
    return smooth


def ear_outline(side: int, size: float = 1.0) -> Floats:
    """Return the (40, 2) outline on the chart of the left (-1) or right (+1) ear."""
    t, tilt = np.linspace(0, 2 * np.pi, 40, endpoint=False), np.radians(EAR_TILT)
    oval = size * np.stack([np.cos(t), np.sin(t) * (1 - 0.12 * np.sin(t))], axis=1) * EAR_AXES
    turn = [[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]]
    return degrees_to_chart((oval @ turn + EAR_CENTRE) * (side, 1))


def _fill(polygons: list[Floats], blur: float) -> Singles:
    """Return the chart with 1 inside the (N, 2) polygons and a soft edge of ``blur`` cells."""
    mask = np.zeros((ROWS, COLUMNS), np.float32)
    cv2.fillPoly(mask, [np.round(polygon).astype(np.int32) for polygon in polygons], 1.0)
    return cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32)


@cache
def head_surface() -> HeadSurface:
    """Return the surface of the mean head; computed once."""
    line = degrees_to_chart([*((-lon, lat) for lon, lat in HAIRLINE[:0:-1]), *HAIRLINE])
    ears = [ear_outline(-1), ear_outline(+1)]
    stands_out = _fill(ears, 4.0)
    hair = _fill([np.concatenate([line, [[COLUMNS, 0], [0, 0]]])], 2.0)
    coarse = _cell_directions(ROWS // COARSER, COLUMNS // COARSER)
    radius = bare_radius(coarse.reshape(-1, 3)).reshape(coarse.shape[:2])
    radius = cv2.resize(radius, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC).astype(float)
    radius += HAIR_THICKNESS * cv2.GaussianBlur(hair, (0, 0), 4.0) + EAR_THICKNESS * stands_out
    points = radius[..., None] * _cell_directions(ROWS, COLUMNS)
    around = np.concatenate([points[:, -1:], points, points[:, :1]], axis=1)
    normals = np.cross(np.gradient(around, axis=1), np.gradient(around, axis=0))[:, 1:-1]
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    hair *= 1 - _fill(ears, 1.0)
    return HeadSurface(
        points.reshape(-1, 3).astype(np.float32), -normals.reshape(-1, 3).astype(np.float32), hair
    )
