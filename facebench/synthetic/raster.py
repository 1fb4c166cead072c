"""A z-buffer over OpenCV's triangle rasteriser, and what one can see of a point by it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FAR", "NEAR", "ZBuffer", "box_of", "lies_behind", "turn"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

NEAR, FAR = 20.0, 20000.0  # mm that the camera can see
TOLERANCE = 1.5  # mm by which a z-buffer may differ at a point of the surface itself


def _settings(closed: bool) -> Any:
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    culling = cv2.RASTERIZE_CULLING_CCW if closed else cv2.RASTERIZE_CULLING_NONE
    settings.setCullingMode(culling)
    return settings


class ZBuffer:
    """Depth and three interpolated values at the centre of every pixel.

    OpenCV's rasteriser interpolates in perspective, samples pixel centres and has the principal
    point in the middle of the picture; its own axes point up and towards the viewer.

    Parameters
    ----------
    size : height and width in pixels.
    focal : (2,) focal length in pixels, across and down.
    """

    def __init__(self, size: tuple[int, int], focal: ArrayLike) -> None:
        self.depth = np.full(size, FAR, np.float32)
        self.values = np.zeros((*size, 3), np.float32)
        across, down = np.asarray(focal, float)
        # The rasteriser knows square pixels alone, and so gets a wider or narrower scene instead.
        self._axes = np.array([across / down, -1, -1], np.float32)
        self._angle = 2 * np.arctan(size[0] / 2 / down)

    def draw(
        self,
        vertices: Singles,
        triangles: NDArray[np.int32],
        values: Singles,
        closed: bool = False,
    ) -> None:
        """Draw triangles of (N, 3) vertices (camera frame, mm) with (N, 3) values from 0 to 1.

        Of a ``closed`` surface only the triangles that face the camera are drawn, which is faster.
        """
        flipped = vertices * self._axes
        cv2.triangleRasterize(
            flipped, triangles, values, self.values, self.depth, np.eye(4, dtype=np.float32),
            self._angle, NEAR, FAR, _settings(closed),
        )  # fmt: skip


def turn(points: Singles, matrix: Singles) -> Singles:
    """Return ``points @ matrix.T`` of (..., d) points and an (e, d) matrix: (..., e).

    BLAS would start threads for it, and keep them spinning for longer than a face takes.
    """
    flat = np.ascontiguousarray(points).reshape(1, -1, points.shape[-1])
    turned = np.asarray(cv2.transform(flat, np.ascontiguousarray(matrix)), np.float32)
    return turned.reshape(*points.shape[:-1], len(matrix))


def box_of(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the rows and columns that hold everything set in a mask, or None if nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def lies_behind(depth: Singles, pixels: Floats, z: Floats) -> NDArray[np.bool_]:
    """Tell which points a z-buffer hides: all four pixels around each are nearer than the point.

    A point outside the picture is not hidden by what the z-buffer does not hold.

    Parameters
    ----------
    depth : (H, W) mm.
    pixels : (K, 2) positions on it.
    z : (K,) depth of the points, mm.
    """
    height, width = depth.shape
    corner = np.floor(pixels)[:, None] + np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    outside = ((corner < 0) | (corner > (width - 1, height - 1))).any(axis=-1)
    at = np.clip(corner, 0, (width - 1, height - 1)).astype(np.intp)
    around = np.where(outside, FAR, depth[at[..., 1], at[..., 0]])
    behind: NDArray[np.bool_] = around.max(axis=1) < z - TOLERANCE
    return behind
