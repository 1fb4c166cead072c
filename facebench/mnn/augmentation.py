"""Random changes of training faces: geometry moves points and pose along, pictures change in light and cover.

All randomness comes from a generator that is passed in, so that a face of an epoch is the same in every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

__all__ = ["Augmentation", "cover", "random_similarity", "recolour"]

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]

# What a recipe may ask for.
Share = Annotated[float, Field(ge=0, le=1)]
Degrees = Annotated[float, Field(ge=0, le=90)]


@dataclass(frozen=True)
class Augmentation:
    """How much is changed.

    Attributes
    ----------
    roll : standard deviation of the turn of the picture, degrees, cut at twice that.
    scale : standard deviation of the logarithm of the size, cut likewise.
    shift : standard deviation of the shift, as a share of the crop, cut likewise.
    flip : share of mirrored faces.
    cover : share of faces with a patch over them.
    colour : 0 leaves colours alone, 1 changes them as far as photographs differ.
    """

    roll: Degrees = 15.0
    scale: Share = 0.1
    shift: Share = 0.03
    flip: Share = 0.5
    cover: Share = 0.3
    colour: Share = 1.0


def random_similarity(rng: np.random.Generator, size: int, how: Augmentation) -> tuple[Floats, Floats]:
    """Draw a turn, scale and shift of a crop around its middle.

    Returns
    -------
    (2, 3) map from pixels of the crop to pixels of the changed one, and the (3, 3) turn about the camera's
    axis that it is: what ``R_cam`` is multiplied by from the left.
    """
    angle, log_scale, *shift = np.clip(rng.standard_normal(4), -2, 2) * (
        np.radians(how.roll), how.scale, how.shift * size, how.shift * size,
    )  # fmt: skip
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    linear = np.exp(log_scale) * turn[:2, :2]
    middle = np.full(2, (size - 1) / 2)
    return np.column_stack([linear, middle - linear @ middle + shift]), turn


def recolour(rng: np.random.Generator, picture: Picture, strength: float) -> Picture:
    """Change light, contrast, tint, sharpness and noise of a picture."""
    draw = rng.random(6)
    gain = np.exp(strength * rng.normal(0, 0.22)) * np.exp(strength * rng.normal(0, 0.06, 3))
    gamma = np.exp(strength * rng.normal(0, 0.25))
    offset = strength * rng.normal(0, 12)
    table = 255 * (np.arange(256)[:, None] / 255) ** gamma
    table = np.clip((table - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
    changed = cv2.LUT(picture, np.ascontiguousarray(table[:, None]))
    if draw[0] < 0.15 * strength:
        changed = cv2.merge([cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY)] * 3)
    if draw[1] < 0.25 * strength:
        changed = cv2.GaussianBlur(changed, (0, 0), 0.4 + 1.2 * draw[2])
    elif draw[1] < 0.4 * strength:
        # As coarse as a small face that was enlarged.
        side = len(changed)
        small = cv2.resize(changed, (0, 0), fx=0.35 + 0.4 * draw[3], fy=0.35 + 0.4 * draw[3])
        changed = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    if draw[4] < 0.3 * strength:
        noise = rng.standard_normal(changed.shape, np.float32) * np.float32(10 * draw[5])
        changed = np.clip(changed + noise, 0, 255)
    return np.asarray(changed, np.uint8)


def cover(rng: np.random.Generator, picture: Picture, points: Floats) -> NDArray[np.bool_]:
    """Lay a patch over a part of the picture, in place; return which of (K, 2) points it covers."""
    size = len(picture)
    wide, high = (size * rng.uniform(0.12, 0.45, 2)).astype(int)
    left, top = (rng.uniform(-0.1, 0.9, 2) * size).astype(int)
    columns, rows = slice(max(left, 0), min(left + wide, size)), slice(max(top, 0), min(top + high, size))
    patch = picture[rows, columns]
    if patch.size:
        colour = rng.uniform(0, 255, 3)
        if rng.random() < 0.5:
            patch[:] = colour
        else:  # another part of the same picture
            turn = np.roll(picture, tuple(rng.integers(0, size, 2)), axis=(0, 1))[::-1]
            patch[:] = turn[rows, columns]
    x, y = points.T
    with np.errstate(invalid="ignore"):
        inside: NDArray[np.bool_] = (
            (x >= columns.start - 0.5) & (x < columns.stop - 0.5)
            & (y >= rows.start - 0.5) & (y < rows.stop - 0.5)
        )  # fmt: skip
    return inside
