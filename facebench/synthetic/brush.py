"""Antialiased shapes on a picture, and smooth lines through points."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Brush", "arc", "ring"]

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]

SHIFT = 4  # bits of a pixel's fraction that OpenCV's drawing functions keep


class Brush:
    """Antialiased shapes on one picture, at fractions of a pixel."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def fill(self, outline: Floats, colour: ArrayLike) -> None:
        cv2.fillPoly(self.picture, [self._fixed(outline)], self._tint(colour), cv2.LINE_AA, SHIFT)

    def stroke(self, line: Floats, colour: ArrayLike, width: int) -> None:
        points, tint = [self._fixed(line)], self._tint(colour)
        cv2.polylines(self.picture, points, False, tint, width, cv2.LINE_AA, SHIFT)

    def oval(self, centre: Floats, axes: tuple[float, float], colour: ArrayLike) -> None:
        turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        self.fill(centre + np.stack([np.cos(turn), np.sin(turn)], 1) * axes, colour)

    @staticmethod
    def _fixed(points: Floats) -> NDArray[np.int32]:
        fixed: NDArray[np.int32] = np.round(points * 2**SHIFT).astype(np.int32)
        return fixed

    @staticmethod
    def _tint(colour: ArrayLike) -> tuple[float, ...]:
        return tuple(np.clip(np.asarray(colour, float), 0, 255).tolist())


def arc(points: Floats, per_step: int = 6) -> Floats:
    """Return a smooth (M, 2) line through (N, 2) points, N at least 3 (a Catmull-Rom spline)."""
    p = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.arange(per_step)[:, None, None] / per_step
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    line = b + t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * b - a - 3 * c + d))) / 2
    return np.concatenate([line.swapaxes(0, 1).reshape(-1, 2), points[-1:]])


def ring(points: Floats, corner: int) -> Floats:
    """Return a smooth outline through (N, 2) points with sharp corners at 0 and ``corner``."""
    back = np.concatenate([points[corner:], points[:1]])
    return np.concatenate([arc(points[: corner + 1]), arc(back)])
