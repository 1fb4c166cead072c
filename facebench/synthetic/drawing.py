"""Draw the mean head: paint the face on the unrolled surface, wrap it, and lay it on a background.

The camera is the weak-perspective one of the 3D face models in this field: a head point X lands on
the pixel ``scale * (R X)[:2] + translation``.  A seeded generator decides every colour, so that a
drawing can be repeated.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.synthetic.brush import Brush, arc, ring
from facebench.synthetic.mean_head import mean_head
from facebench.synthetic.surface import HeadSurface, ear_outline, head_surface, to_chart

__all__ = ["draw_face", "project"]

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]

SKINS = ((246, 212, 190), (232, 186, 152), (206, 154, 114), (164, 112, 78), (116, 78, 58))
HAIRS = ((38, 30, 28), (80, 52, 34), (130, 86, 48), (198, 160, 98), (150, 146, 142), (134, 62, 36))
IRISES = ((78, 54, 36), (92, 116, 62), (80, 116, 150))
MARGIN = 8  # pixels drawn beyond the picture, so that gaps close alike at its border
# Rings around neck and shoulders: y, half axes along x and z, z of the centre; millimetres.
NECK = ((40.0, 48.0, 42.0, 28.0), (152.0, 58.0, 50.0, 26.0))
SHOULDERS = ((138.0, 66.0, 40.0, 34.0), (185.0, 190.0, 80.0, 30.0), (420.0, 225.0, 100.0, 30.0))


def project(points: ArrayLike, rotation: ArrayLike, scale: float, translation: ArrayLike) -> Floats:
    """Return the (K, 2) pixels of (K, 3) head points: ``scale * (R X)[:2] + translation``."""
    across = scale * np.asarray(rotation, float)[:2]
    flat: Floats = np.asarray(points, float) @ across.T + np.asarray(translation, float)
    return flat


def _paint(surface: HeadSurface, skin: Floats, hair: Floats, rng: np.random.Generator) -> Picture:
    """Paint skin, hair and features on the chart of the head; return (rows, columns, 3)."""
    p = to_chart(mean_head())
    shadow, lips = 0.74 * skin, 0.72 * skin + np.array([40, 0, 8])
    chart = np.empty((*surface.hair.shape, 3), np.uint8)
    chart[:] = skin
    brush = Brush(chart)
    for cheek in (p[[1, 41, 48]].mean(0), p[[15, 46, 54]].mean(0)):
        brush.oval(cheek, (22, 20), skin * (1.03, 0.94, 0.93))
    brush.oval(p[30], (10, 8), skin * 1.06)
    rows, columns = surface.hair.shape
    front = chart[rows // 3 :, columns // 4 : -columns // 4]
    front[:] = cv2.GaussianBlur(front, (0, 0), 7)

    eye_colour = IRISES[rng.integers(len(IRISES))]
    for first in (36, 42):
        eye = p[first : first + 6]
        centre, outline = eye[[1, 2, 4, 5]].mean(0), ring(eye, 3)
        brush.fill((outline - centre) * (1.15, 1.7) + centre, 0.88 * skin)
        left, top = np.floor(centre).astype(int) - 24
        window, origin = chart[top : top + 48, left : left + 48], np.array([left, top])
        ball, inside = Brush(np.full_like(window, 236)), Brush(np.zeros_like(window))
        for radius, colour in ((8.5, eye_colour), (4.0, (16, 14, 14))):
            ball.oval(centre - origin, (radius, radius), colour)
        ball.oval(centre - origin - (3, 3), (1.6, 1.6), (255, 255, 255))
        inside.fill(outline - origin, (255, 255, 255))
        np.copyto(window, ball.picture, where=inside.picture > 127)
        brush.stroke(arc(eye[[3, 4, 5, 0]]), shadow, 1)
        brush.stroke(arc(eye[:4]), 0.25 * skin, 2)
    for brow in (p[17:22], p[26:21:-1]):
        line = arc(brow)
        depth = 4.5 * np.linspace(0.25, 1.0, len(line))[:, None] * (0, 1)
        brush.fill(np.concatenate([line - depth, (line + depth)[::-1]]), 0.8 * hair + 0.1 * skin)
    brush.stroke(arc(p[31:36]), shadow, 2)
    for nostril in (32, 34):
        brush.oval(p[nostril] - (0, 1), (4.5, 2.5), 0.4 * skin)
    brush.fill(ring(p[48:60], 6), lips)
    brush.fill(ring(p[60:68], 4), 0.45 * lips)
    for side in (-1, +1):
        brush.stroke(ear_outline(side, 0.68)[3:32], 0.8 * skin, 3)

    strands = rng.normal(1.0, 0.22, (1, surface.hair.shape[1], 1))
    combed = cv2.GaussianBlur(strands[..., 0], (0, 0), 0.8)[..., None] * hair
    return np.clip(chart + surface.hair[..., None] * (combed - chart), 0, 255).astype(np.uint8)


def _wrap(
    canvas: Picture,
    chart: Picture,
    surface: HeadSurface,
    camera: tuple[Floats, float, Floats],
    light: Floats,
) -> None:
    """Lay the chart over the surface, as a camera (rotation, scale, translation) sees it."""
    height, width = (side + 2 * MARGIN for side in canvas.shape[:2])
    rotation, scale, translation = (np.asarray(part, np.float32) for part in camera)
    # Cosines of the angles to the light and to the viewer.
    both = np.array([light, [0, 0, -1]], np.float32) @ rotation
    shine, facing = both @ surface.normals.T
    seen = np.flatnonzero(facing > -0.05)
    x, y, z = scale * rotation @ surface.points[seen].T
    column = np.floor(x + translation[0]).astype(np.int32) + MARGIN
    row = np.floor(y + translation[1]).astype(np.int32) + MARGIN
    inside = (column >= 0) & (column < width - 1) & (row >= 0) & (row < height - 1)
    # Far cells first: of several values written to one pixel the last stays.  A cell covers 2 x 2
    # pixels, so that the surface has no gaps where it is not stretched much.
    depth = ((z.max() - z[inside]) * (65535 / np.ptp(z))).astype(np.uint16)
    order = np.flatnonzero(inside)[np.argsort(depth, kind="stable")]
    corner = (row * width + column)[order]
    cell = np.full(height * width, -1, np.int32)
    cell[corner[:, None] + np.array([0, 1, width, width + 1])] = seen[order, None]

    covered = np.flatnonzero(cell >= 0)
    lit = 0.5 + 0.6 * np.clip(shine[cell[covered]], 0, None)
    head, solid = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    painted = chart.reshape(-1, 3)[cell[covered]]
    head.reshape(-1, 3)[covered] = np.clip(painted * lit[:, None], 0, 255)
    solid.ravel()[covered] = 255
    # Gaps are left only where the surface rises steeply towards the viewer.
    reach = np.ones((MARGIN + 1, MARGIN + 1), np.uint8)
    closed = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, reach)
    head = np.where((closed > solid)[..., None], cv2.dilate(head, reach), head)
    edge = cv2.GaussianBlur(cv2.erode(closed, np.ones((3, 3), np.uint8)), (3, 3), 0)
    crop = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    alpha = edge[crop][..., None] / np.float32(255)
    canvas[:] = canvas + alpha * (cv2.medianBlur(head, 3)[crop] - canvas.astype(np.float32))


def _background(size: int, rng: np.random.Generator) -> Picture:
    """Paint a gradient with soft, out-of-focus shapes; return (size, size, 3)."""
    ends, half = rng.uniform(40, 225, (2, 3)), (size + 1) // 2
    canvas = np.empty((half, half, 3), np.uint8)
    canvas[:] = ends[0] + np.linspace(0, 1, half)[:, None, None] * (ends[1] - ends[0])
    brush = Brush(canvas)
    for _ in range(9):
        centre, (wide, high) = rng.uniform(0, half, 2), rng.uniform(0.04, 0.22, 2) * half
        tint = (rng.uniform(30, 235, 3) + canvas[tuple(centre.astype(int)[::-1])]) / 2
        if rng.random() < 0.5:
            brush.oval(centre, (wide, high), tint)
        else:
            brush.fill(centre + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (wide, high), tint)
    soft = cv2.GaussianBlur(canvas, (0, 0), half / 90)
    return cv2.resize(soft, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def draw_face(
    rotation: ArrayLike,
    scale: float,
    translation: ArrayLike,
    rng: np.random.Generator,
    size: int = 450,
) -> Picture:
    """Draw the mean head.

    Parameters
    ----------
    rotation : (3, 3) ``R_cam``.
    scale : pixels per millimetre; beyond about 2 the grain of the surface shows.
    translation : (2,) pixel of the head's origin.
    rng : decides colours, light, background and noise.
    size : width and height of the picture in pixels.

    Returns
    -------
    (size, size, 3) picture, RGB.
    """
    r, t = np.asarray(rotation, float), np.asarray(translation, float)
    skin = np.array(SKINS[rng.integers(len(SKINS))]) * rng.uniform(0.94, 1.03)
    hair = np.array(HAIRS[rng.integers(len(HAIRS))]) * rng.uniform(0.85, 1.1)
    light = np.array([rng.uniform(-0.6, 0.6), -0.5, -0.9])
    canvas = _background(size, rng)
    brush, turn = Brush(canvas), np.linspace(0, 2 * np.pi, 40, endpoint=False)
    round_x, round_z = np.cos(turn), np.sin(turn)
    for rings, colour in ((SHOULDERS, rng.uniform(30, 200, 3)), (NECK, 0.72 * skin)):
        hoops = [(a * round_x, y - 0.35 * b * round_z, z + b * round_z) for y, a, b, z in rings]
        bust = project(np.concatenate(np.swapaxes(hoops, 1, 2)), r, scale, t).astype(np.float32)
        brush.fill(cv2.convexHull(bust)[:, 0].astype(float), colour)
    surface = head_surface()
    chart = _paint(surface, skin, hair, rng)
    _wrap(canvas, chart, surface, (r, scale, t), light / np.linalg.norm(light))
    grain = rng.integers(-5, 6, (size, size, 1), dtype=np.int8)
    np.clip(canvas.astype(np.int16) + grain, 0, 255, out=canvas, casting="unsafe")
    return canvas
