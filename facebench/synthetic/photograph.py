"""What surrounds a rendered head, and what a camera does to the picture."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from facebench.synthetic.brush import Brush

__all__ = ["background", "expose"]

Singles = NDArray[np.float32]
Picture = NDArray[np.uint8]

COARSE = 96  # rows of the picture in which a background is painted: it is out of focus anyway
GRAIN = 512  # rows and columns of the tile of noise that all pictures take theirs from


def background(size: tuple[int, int], rng: np.random.Generator) -> Picture:
    """Return a (height, width, 3) picture of a gradient with soft or sharp clutter."""
    height, width = size
    rows, columns = COARSE, max(8, round(COARSE * width / height))
    ends = rng.uniform(30, 225, (2, 1)) + rng.normal(0, 22, (2, 3))
    way = np.linspace(0, 1, rows)[:, None, None]
    canvas = np.empty((rows, columns, 3), np.uint8)
    canvas[:] = np.clip(ends[0] + way * (ends[1] - ends[0]), 0, 255)
    brush = Brush(canvas)
    for _ in range(int(rng.integers(3, 14))):
        centre = rng.uniform(0, 1, 2) * (columns, rows)
        axes = rng.uniform(0.04, 0.3, 2) * rows
        tint = rng.uniform(10, 245, 1) + rng.normal(0, 30, 3)
        if rng.random() < 0.4:
            brush.oval(centre, (axes[0], axes[1]), tint)
        else:
            turn = rng.normal(0, 0.3)
            spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            brush.fill(centre + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * axes) @ spin, tint)
    soft = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.6, 3.5))
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


@cache
def _grain(tiles: int) -> Singles:
    """Return noise of unit variance, mostly alike in the three colours, tiled both ways."""
    rng = np.random.default_rng(11)
    grey = rng.standard_normal((GRAIN, GRAIN, 1), np.float32)
    tile = (0.85 * grey + 0.5 * rng.standard_normal((GRAIN, GRAIN, 3), np.float32)).astype(np.float32)
    return np.tile(tile, (tiles, tiles, 1))


def expose(picture: Picture, rng: np.random.Generator) -> tuple[Picture, bytes]:
    """Return what a camera makes of a picture, decoded and as JPEG: blur, gain, noise, compression."""
    height, width = picture.shape[:2]
    blur, gain = rng.uniform(0.0, 1.1) * min(height, width) / 256, rng.uniform(0.82, 1.12)
    amount, quality = rng.uniform(0.6, 5.0), int(rng.integers(70, 97))
    if blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), blur).astype(np.uint8)
    top, left = rng.integers(0, GRAIN, 2)
    noise = _grain(1 - -max(height, width) // GRAIN)[top : top + height, left : left + width]
    noisy = cv2.addWeighted(picture, gain, noise, amount, 0, dtype=cv2.CV_8U)
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR), settings)
    decoded = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB), np.uint8)
    return decoded, jpeg.tobytes()
