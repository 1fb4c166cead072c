"""The texture of a head: skin, eyes, brows, lips and hair, painted on the chart of its mesh.

Whatever does not depend on the head (shading of the sockets, pores, strands, hairlines) is computed
once; a head's own texture is a look-up of its colours and a few small shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from facebench.synthetic.brush import Brush, arc, ring
from facebench.synthetic.head_mesh import BROW_THICKNESS, Looks, chart
from facebench.synthetic.mean_head import mean_head
from facebench.synthetic.surface import EAR_AXES, EAR_CENTRE, EAR_TILT, HAIRLINE, to_degrees

__all__ = [
    "HAIRCUTS",
    "TEXELS",
    "Complexion",
    "Haircut",
    "haircut_mask",
    "paint",
    "random_complexion",
    "strand_lines",
]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Picture = NDArray[np.uint8]

TEXELS = 4  # along a cell of the chart
LEVEL = 200  # of the shading chart that means the skin's own colour
IRIS = 3.7  # radius in degrees of the mean head
# Discs of an eye from the rim of the iris to the glint: radii in those of the iris, and offsets in degrees.
DISCS = np.array([1, 0.86, 0.55, 0.42, 0.2])[:, None, None]
OFFSETS = np.array([(0, 0), (0, 0), (0, 0), (0, 0), (-1.3, -1.2)])[:, None]

SKINS = (
    (250, 218, 198), (244, 208, 184), (236, 192, 160), (224, 174, 138), (208, 156, 116),
    (184, 132, 94), (156, 106, 74), (124, 82, 58), (96, 64, 48),
)  # fmt: skip
HAIRS = (
    (34, 28, 27), (48, 36, 30), (74, 50, 36), (104, 70, 42), (138, 96, 58), (196, 160, 104),
    (160, 156, 152), (208, 204, 200), (138, 66, 36),
)  # fmt: skip
IRISES = ((70, 46, 30), (86, 60, 36), (96, 112, 62), (84, 116, 150), (104, 122, 128))


@dataclass(frozen=True)
class Haircut:
    """A hairline and what stands on it.

    Attributes
    ----------
    lift : degrees by which the hairline lies higher than the mean one.
    thickness : mm on the skull.
    cover : how much of the skin the hair hides, 0 to 1.
    length : mm that the sides and the back hang down below the ears; 0 is none.
    crown : whether the top is bare.
    """

    lift: float
    thickness: float
    cover: float = 1.0
    length: float = 0.0
    crown: bool = False


HAIRCUTS = {
    "short": Haircut(0, 7),
    "full": Haircut(1, 13),
    "high": Haircut(-7, 8),
    "cropped": Haircut(-3, 1.5, 0.6),
    "afro": Haircut(1, 24),
    "wreath": Haircut(-2, 4, 0.9, crown=True),
    "bald": Haircut(0, 0, 0.0),
    "bob": Haircut(1, 10, length=45),
    "long": Haircut(-2, 9, length=135),
}


@dataclass(frozen=True, eq=False)
class Complexion:
    """Colours and marks of one head; colours are (3,) RGB, 0 to 255."""

    skin: Floats
    hair: Floats
    iris: Floats
    lips: Floats
    brow: float
    beard: float
    gaze: tuple[float, float]
    haircut: str
    variant: int

    @property
    def pupil_shift(self) -> tuple[float, float]:
        """Degrees of longitude and latitude from the centre of an eye to its pupil."""
        return 2.2 * self.gaze[0], 1.5 * self.gaze[1]


def random_complexion(rng: np.random.Generator) -> Complexion:
    """Draw colours, hair, beard and gaze."""
    draw = rng.random(12)
    tone = draw[0] * (len(SKINS) - 1.001)
    low = int(tone)
    skin = np.array(SKINS[low]) + (tone - low) * (np.array(SKINS[low + 1]) - SKINS[low])
    skin = skin * (1 + 0.05 * (rng.random(3) - 0.5))
    dark = draw[0] > 0.55
    hair = np.array(HAIRS[int(draw[1] * (3 if dark else len(HAIRS)))]) * (0.8 + 0.35 * draw[2])
    iris = np.array(IRISES[int(draw[3] * (2 if dark else len(IRISES)))]) * (0.8 + 0.4 * draw[4])
    painted = draw[5] < 0.2
    lips = (0.62 if painted else 0.76) * skin + np.array([52, -6, 8] if painted else [22, -4, 2])
    names = list(HAIRCUTS)
    cut = names[int(rng.choice(len(names), p=[0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.08, 0.1, 0.15]))]
    bearded = draw[6] < (0.0 if HAIRCUTS[cut].length else 0.35)
    return Complexion(
        skin, hair, iris, lips, 0.7 + 0.6 * draw[7], (0.25 + 0.7 * draw[8]) * bearded,
        (2.2 * (draw[9] - 0.5), 0.8 * (draw[10] - 0.5)), cut, int(8 * draw[11]),
    )  # fmt: skip


def _shape() -> tuple[int, int]:
    rows, columns = chart().shape
    return (rows - 1) * TEXELS + 1, (columns - 1) * TEXELS + 1


def _texels(degrees: object) -> Floats:
    """Return (..., 2) column and row on the texture of (..., 2) longitude and latitude."""
    cells: Floats = chart().cells(np.asarray(degrees, float)) * TEXELS
    return cells


def _oval(centre: tuple[float, float], axes: tuple[float, float], tilt: float = 0.0) -> Floats:
    """Return the (40, 2) outline, in degrees, of an oval on the chart."""
    t, turn = np.linspace(0, 2 * np.pi, 40, endpoint=False), np.radians(tilt)
    oval = np.stack([np.cos(t), np.sin(t)], axis=1) * axes
    turned: Floats = oval @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + centre
    return turned


def _soft(outlines: list[Floats], blur: float) -> Singles:
    """Return the texture with 1 inside the outlines (texels) and edges of ``blur`` texels."""
    mask = np.zeros(_shape(), np.uint8)
    for outline in outlines:
        Brush(mask).fill(outline, (255,))
    blurred = cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32)
    return (blurred / np.float32(255)).astype(np.float32)


@cache
def _landmarks() -> tuple[Floats, Floats]:
    """Return the (68, 2) landmarks in degrees and in texels."""
    degrees = to_degrees(mean_head())
    return degrees, _texels(degrees)


@cache
def _curve(*points: int) -> Floats:
    """Return the smooth line of texels through landmarks."""
    return arc(_landmarks()[1][list(points)])


@cache
def _outline(first: int, end: int, corner: int) -> Floats:
    """Return the outline of texels around landmarks ``first`` to ``end - 1``, with a second sharp corner."""
    return ring(_landmarks()[1][first:end], corner)


def _ears() -> list[Floats]:
    outline = _oval((0, 0), (1.1 * EAR_AXES[0], 1.1 * EAR_AXES[1]), EAR_TILT) + EAR_CENTRE
    return [_texels(outline * (side, 1)) for side in (-1, 1)]


@cache
def _shading() -> tuple[Picture, Picture]:
    """Return what is darker or lighter than the skin's own colour (LEVEL), in two variants."""
    gain = np.ones(_shape(), np.float32)

    def shade(outline: Floats, amount: float, blur: float) -> None:
        gain.__imul__(1 + amount * _soft([_texels(outline)], blur))

    for s in (-1, 1):
        shade(_oval((s * 20.0, -3.0), (12, 6)), -0.13, 7)  # sockets
        shade(_oval((s * 19.0, 6.5), (10, 1.6), -8 * s), -0.08, 4)  # below the lower lid
        shade(_oval((s * 11.5, 0.5), (3, 4)), -0.16, 5)
        shade(_oval((s * 8.5, 15.0), (2.2, 8), -10 * s), -0.10, 5)  # sides of the nose
        shade(_oval((s * 37.0, 33.0), (8, 9)), -0.06, 12)  # hollow of the cheek
        shade(_oval((s * 31.0, 17.0), (9, 6)), 0.07, 10)
        fold = np.array([[s * 12.0, 21.0], [s * 15.0, 26.0], [s * 17.5, 31.0]])
        thin = np.concatenate([fold - (0.5, 0), fold[::-1] + np.array([0.5, 0])])
        shade(thin, -0.15, 3)
        shade(_oval((s * 2.4, 25.2), (1.5, 2.6)), -0.05, 2)
    shade(_oval((0.0, 23.6), (6.5, 1.3)), -0.22, 3)  # below the nose
    shade(_oval((0.0, 28.5), (1.6, 1.6)), -0.08, 3)
    shade(_oval((0.0, 39.3), (7, 1.2)), -0.16, 4)  # below the lips
    shade(_oval((0.0, 10.0), (2.0, 11)), 0.05, 5)
    shade(_oval((0.0, 43.5), (5, 3)), 0.05, 6)
    shade(np.array([[-180, 56], [180, 56], [180, 90], [-180, 90]], float), -0.35, 14)
    for side in (-1, 1):
        for axes, amount, blur in (((9.5, 19.0), -0.10, 3.0), ((4.6, 10.0), -0.36, 4.0)):
            tilted = _oval((0, 0), axes, EAR_TILT) + EAR_CENTRE
            shade(tilted * (side, 1), amount, blur)
    variants = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        rows, columns = _shape()
        blotches = cv2.resize(
            rng.normal(0, 1, (rows // 14, columns // 14)).astype(np.float32),
            (columns, rows),
            interpolation=cv2.INTER_CUBIC,
        )
        pores = cv2.GaussianBlur(rng.normal(0, 1, (rows, columns)).astype(np.float32), (0, 0), 0.8)
        variants.append(
            np.clip(LEVEL * gain * (1 + 0.018 * blotches + 0.05 * pores), 0, 255).astype(np.uint8)
        )
    return variants[0], variants[1]


@cache
def _strands() -> tuple[Picture, Picture]:
    """Return grey strands combed along the meridians, and curly ones; 128 is the hair's colour."""
    rng = np.random.default_rng(5)
    rows, columns = _shape()
    line = cv2.GaussianBlur(rng.normal(0, 1, (1, columns)).astype(np.float32), (0, 0), 0.9)
    wide = cv2.GaussianBlur(rng.normal(0, 1, (1, columns)).astype(np.float32), (0, 0), 5.0)
    drift = cv2.resize(
        rng.normal(0, 1, (rows // 40, columns // 12)).astype(np.float32),
        (columns, rows),
        interpolation=cv2.INTER_CUBIC,
    )
    combed = 128 * (1 + 0.30 * line + 0.75 * wide + 0.10 * drift)
    curls = cv2.GaussianBlur(rng.normal(0, 1, (rows, columns)).astype(np.float32), (0, 0), 1.6)
    return (
        np.clip(combed, 30, 255).astype(np.uint8),
        np.clip(128 * (1 + 0.9 * curls), 30, 255).astype(np.uint8),
    )


@cache
def strand_lines() -> Singles:
    """Return the brightness around 1 of the strand on each column of the chart."""
    return (_strands()[0][0, ::TEXELS] / np.float32(128)).astype(np.float32)


@cache
def haircut_mask(name: str) -> tuple[Singles, Singles, Singles]:
    """Return a haircut on the texture, how much skin and how much hair, and mm on the (N,) mesh."""
    cut = HAIRCUTS[name]
    columns = _shape()[1]
    half = [(lon, lat + cut.lift * np.clip((70 - lon) / 40, 0, 1)) for lon, lat in HAIRLINE]
    if cut.length:  # hair falls over the temples
        half = [(lon, max(lat, 30.0) if lon > 66 else lat) for lon, lat in half]
    line = _texels([*((-lon, lat) for lon, lat in half[:0:-1]), *half])
    mask = _soft([np.concatenate([line, [[columns, 0], [0, 0]]])], 2.2)
    if cut.crown:
        top = _texels(
            [(-180, -40), (-120, -38), (-75, -34), (-50, -12), (50, -12), (75, -34), (120, -38), (180, -40)]
        )
        mask = mask * (1 - _soft([np.concatenate([top, [[columns, 0], [0, 0]]])], 5.0))
    lifted = cv2.GaussianBlur(mask, (0, 0), 7.0 if cut.thickness > 15 else 4.0).astype(np.float32)
    ears = _soft(_ears(), 3.0)
    # The upper ends of the jaw line stay on the skin, however thick the hair is.
    temples = [_texels(_oval((s * 87.0, 4.0), (9, 14))) for s in (-1, 1)]
    lifted = lifted * (1 - ears) * (1 - _soft(temples, 3.0))
    # Strands at the border are uneven, so that no hairline is a clean curve.
    ragged = np.random.default_rng(9).normal(0, 1, (1, columns)).astype(np.float32)
    ragged = cv2.GaussianBlur(ragged, (0, 0), 0.8).astype(np.float32)
    edge = 4 * mask * (1 - mask)
    hair = np.clip(mask + 0.5 * edge * ragged, 0, 1) * (1 - _soft(_ears(), 1.0)) * cut.cover
    hair = hair.astype(np.float32)
    thick = (cut.thickness * lifted)[::TEXELS, ::TEXELS]
    return 1 - hair, hair, np.ascontiguousarray(thick.reshape(-1), np.float32)


@cache
def _beard() -> tuple[Singles, tuple[slice, slice]]:
    """Return where a beard grows, 0 to 1, within a window of the texture, and the window."""
    half = [
        (0, 25.5),
        (9, 26.5),
        (17, 32),
        (22, 38),
        (33, 36),
        (50, 30),
        (62, 20),
        (66, 26),
        (62, 44),
        (40, 60),
        (0, 64),
    ]
    outline = _texels([*half, *((-lon, lat) for lon, lat in half[::-1])])
    _, p = _landmarks()
    rng = np.random.default_rng(3)
    stubble = rng.normal(0.85, 0.25, _shape()).astype(np.float32)
    full = np.clip(_soft([outline], 4.0) * stubble, 0, 1)
    full *= 1 - _soft([p[48:60]], 1.5)
    box = np.floor(outline.min(axis=0)).astype(int) - 12, np.ceil(outline.max(axis=0)).astype(int) + 12
    window = (slice(box[0][1], box[1][1]), slice(box[0][0], box[1][0]))
    return np.ascontiguousarray(full[window][..., None]), window


def _ramp(colour: Floats, level: float, warmth: float) -> Picture:
    """Return the (256, 1, 3) table from a shading to a colour; shadows are warmer than the skin."""
    gain = np.arange(256)[:, None] / level
    warm = np.array([1 - warmth, 1.0, 1 + warmth])
    table = 255 * (colour / 255) * np.clip(gain, 0, None) ** np.where(gain < 1, warm, 1.0)
    return np.clip(table, 0, 255).astype(np.uint8)[:, None, :]


def paint(complexion: Complexion, looks: Looks) -> Picture:
    """Return the (rows, columns, 3) RGB texture of a head."""
    degrees, p = _landmarks()
    skin, hair = complexion.skin, np.clip(complexion.hair, 0, 255)
    shading = _shading()[complexion.variant & 1]
    if complexion.variant & 2:
        shading = shading[:, ::-1]
    picture: Picture = np.asarray(cv2.applyColorMap(shading, _ramp(skin, LEVEL, 0.22)), np.uint8)
    if complexion.beard:
        grown, window = _beard()
        part = picture[window]
        colour = (0.85 * hair + 0.1 * skin).astype(np.float32)
        part[:] = part + complexion.beard * grown * (colour - part.astype(np.float32))
    brush = Brush(picture)
    _paint_mouth(picture, brush, complexion, looks)
    for closed, s in zip(looks.closed, (-1, 1), strict=True):
        _paint_eye(picture, complexion, closed, s)
    for line in (degrees[17:22], degrees[26:21:-1]):
        _paint_brow(picture, line, complexion)
    for nostril in (32, 34):
        brush.oval(p[nostril] - (0, 0.8), (5.0, 3.0), 0.36 * skin)
    brush.stroke(_curve(*range(31, 36)), 0.66 * skin, 2)
    cut = HAIRCUTS[complexion.haircut]
    if cut.cover:
        bare, covered, _ = haircut_mask(complexion.haircut)
        strands = _strands()[cut.thickness > 20 or cut.thickness < 2]
        combed = cv2.applyColorMap(strands, _ramp(hair, 128, 0.0))
        picture = np.asarray(cv2.blendLinear(picture, combed, bare, covered), np.uint8)
    return picture


def _window(picture: Picture, outline: Floats, margin: int) -> tuple[Picture, Floats]:
    """Return the part of a picture around an outline, and the texel of its first pixel."""
    low = np.floor(outline.min(axis=0)).astype(int) - margin
    high = np.ceil(outline.max(axis=0)).astype(int) + margin
    return picture[low[1] : high[1], low[0] : high[0]], low.astype(float)


def _blend(part: Picture, colour: Floats, mask: Picture, strength: float) -> None:
    alpha = (mask.astype(np.float32) * np.float32(strength / 255))[..., None]
    part[:] = np.clip(part + alpha * (np.asarray(colour, np.float32) - part), 0, 255)


def _paint_brow(picture: Picture, line: Floats, complexion: Complexion) -> None:
    """Paint a brow whose upper border runs through its five landmarks (degrees)."""
    top = arc(line)
    along = np.linspace(0, 1, len(top))
    thick = (
        BROW_THICKNESS * (0.12 + 0.88 * np.minimum(1.6 * along, 1) ** 0.8) * np.minimum(8 * (1.06 - along), 1)
    )
    bottom = top + np.stack([0 * thick, thick], 1)
    outline = _texels(np.concatenate([top, bottom[::-1]]))
    part, origin = _window(picture, outline, 5)
    mask = np.zeros(part.shape[:2], np.uint8)
    Brush(mask).fill(outline - origin, (255,))
    mask = cv2.GaussianBlur(mask, (0, 0), 1.3).astype(np.uint8)
    hairs = _strands()[1][: part.shape[0], : part.shape[1]]
    mask = cv2.multiply(mask, hairs, scale=1 / 140).astype(np.uint8)
    _blend(part, 0.62 * complexion.hair + 0.08 * complexion.skin, mask, min(0.95, 0.8 * complexion.brow))


def _paint_eye(picture: Picture, complexion: Complexion, closed: float, s: int) -> None:
    """Paint one eye, stretched so that it looks round again where the lids have come closer."""
    degrees, p = _landmarks()
    first = 36 if s < 0 else 42
    eye, skin = p[first : first + 6], complexion.skin
    outline = _outline(first, first + 6, 3)
    part, origin = _window(picture, outline, 9)
    shown = max(1 - closed, 0.12)
    ball = np.empty_like(part)
    ball[:] = np.clip(0.82 * np.array([236, 232, 228]) + 0.1 * skin, 0, 255)
    brush = Brush(ball)
    centre = degrees[[first + k for k in (1, 2, 4, 5)]].mean(axis=0)
    look = centre + np.array(complexion.pupil_shift)
    stretch = np.array([1.0, 1 / shown])
    discs = _texels(look + (DISCS * _oval((0, 0), (IRIS, IRIS)) + OFFSETS) * stretch) - origin
    iris = complexion.iris
    colours = np.array([0.45 * iris, iris, 1.18 * iris, (12, 10, 10), (250, 250, 250)])
    for disc, colour in zip(discs, colours, strict=True):
        brush.fill(disc, colour)
    # The upper lid's shadow on the ball.
    lid = _curve(*range(first, first + 4))
    band = np.concatenate([lid, lid[::-1] + np.array([0, 5.5])])
    shadow = np.zeros(part.shape[:2], np.uint8)
    Brush(shadow).fill(band - origin - (0, 1), (255,))
    _blend(ball, 0.3 * skin, cv2.GaussianBlur(shadow, (0, 0), 1.6).astype(np.uint8), 0.55)
    inside = np.zeros(part.shape[:2], np.uint8)
    Brush(inside).fill(outline - origin, (255,))
    alpha = (inside.astype(np.float32) / 255)[..., None]
    part[:] = part + alpha * (ball.astype(np.float32) - part)
    edge = Brush(part)
    corner = eye[3 if s < 0 else 0] - origin
    edge.oval(
        corner + np.array([-1.5 if s < 0 else 1.5, 0.5]), (2.0, 1.8), 0.6 * skin + np.array([50, 10, 14])
    )
    edge.stroke(_curve(*(first + k for k in (3, 4, 5, 0))) - origin, 0.62 * skin, 1)
    edge.stroke(lid - origin - (0, 0.5), 0.2 * skin, 3 if complexion.variant & 4 else 2)
    crease = lid - origin - (0, 7.0)
    edge.stroke(crease[3:-3], 0.74 * skin, 1)


def _paint_mouth(picture: Picture, brush: Brush, complexion: Complexion, looks: Looks) -> None:
    """Paint lips between their borders, and the slit, whose inside shows as the jaw opens."""
    lips = np.clip(complexion.lips, 0, 255)
    brush.fill(_outline(48, 60, 6), lips)
    top, bottom = _curve(*range(60, 65)), _curve(60, 67, 66, 65, 64)
    brush.fill(np.concatenate([_curve(*range(48, 55)), top[::-1]]), 0.88 * lips)
    lower = _curve(59, 58, 57, 56, 55)[6:-6] * 0.55 + bottom[6:-6] * 0.45
    brush.stroke(lower, 1.10 * lips, 3)
    slit = _outline(60, 68, 4)
    part, origin = _window(picture, slit, 2)
    inside = np.zeros(part.shape[:2], np.uint8)
    Brush(inside).fill(slit - origin, (255,))
    deep = np.empty_like(part)
    deep[:] = (58, 18, 20)
    inner = Brush(deep)
    if looks.jaw > 2.5:
        reach = 0.9 * min(1.0, 6.0 / looks.jaw)
        teeth = np.concatenate([top[4:-4], (top + reach * (bottom - top))[4:-4][::-1]])
        inner.fill(teeth - origin, (226, 220, 208))
        tongue = np.concatenate([(bottom + 0.35 * (top - bottom))[7:-7], bottom[7:-7][::-1]])
        if looks.jaw > 8:
            inner.fill(tongue - origin, (150, 66, 68))
    alpha = (inside.astype(np.float32) / 255)[..., None]
    part[:] = part + alpha * (deep.astype(np.float32) - part)
    # The line where closed lips meet.
    Brush(picture).stroke(top, 0.5 * lips, 1)
