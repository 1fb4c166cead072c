"""Everything beside the head's own surface: neck, hair that hangs, glasses, hands and things.

Each part is a stack of grids of vertices, (M, rows, columns, 3) in mm, with one colour per vertex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from facebench.synthetic.head_mesh import chart

__all__ = ["Part", "bust", "curtain", "glasses", "merge", "shell", "things"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

# Rings around neck and chest: y, half axes along x and z, z of the centre, share of the body.
RINGS = np.array([
    (28, 46, 42, 26, 0.0), (60, 48, 44, 28, 0.15), (90, 49, 46, 30, 0.45), (118, 53, 48, 32, 0.8),
    (134, 64, 52, 34, 1.0), (148, 100, 62, 36, 1.0), (160, 150, 74, 36, 1.0), (176, 182, 84, 36, 1.0),
    (205, 200, 92, 36, 1.0), (260, 208, 100, 36, 1.0), (480, 214, 106, 36, 1.0),
])  # fmt: skip
COLLAR = 4  # first ring of the clothes
PIVOT = np.array([0.0, 75.0, 30.0])  # where the neck turns


@dataclass(frozen=True, eq=False)
class Part:
    """(M, rows, columns, 3) vertices, and their colours as RGB from 0 to 1 in the same shape.

    Of a part that is ``outside_only`` the inside is never seen, and not drawn.
    """

    points: Singles
    colours: Singles
    outside_only: bool = False


def _part(points: ArrayLike, colour: ArrayLike) -> Part:
    grids = np.asarray(points, np.float32)
    tint = np.broadcast_to(np.asarray(colour, np.float32) / np.float32(255), grids.shape)
    return Part(grids, tint)


@cache
def _grid_triangles(rows: int, columns: int) -> NDArray[np.int32]:
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)


def merge(parts: list[Part]) -> tuple[Singles, Singles, Singles, NDArray[np.int32]]:
    """Return vertices, normals, colours, (N, 3) each, and (T, 3) triangles of several parts."""
    points, normals, colours, triangles, start = [], [], [], [], 0
    for part in parts:
        count, rows, columns = part.points.shape[:3]
        across, down = (np.gradient(part.points, axis=axis) for axis in (2, 1))
        normal = np.cross(across, down)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
        one = _grid_triangles(rows, columns)
        starts = start + rows * columns * np.arange(count, dtype=np.int32)
        triangles.append((one[None] + starts[:, None, None]).reshape(-1, 3))
        points.append(part.points.reshape(-1, 3))
        normals.append(normal.reshape(-1, 3))
        colours.append(part.colours.reshape(-1, 3))
        start += count * rows * columns
    return (
        np.concatenate(points).astype(np.float32), np.concatenate(normals).astype(np.float32),
        np.concatenate(colours).astype(np.float32),
        np.ascontiguousarray(np.concatenate(triangles), np.int32),
    )  # fmt: skip


def _circle(columns: int) -> Floats:
    turn = np.linspace(0, 2 * np.pi, columns)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def tube(path: ArrayLike, radius: ArrayLike, columns: int = 9) -> Floats:
    """Return the (R, columns, 3) surface around an (R, 3) path; ``radius`` is one or (R,) mm."""
    line = np.asarray(path, float)
    ahead = np.gradient(line, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-9
    spare = np.where(np.abs(ahead[:, :1]) < 0.8, [[1.0, 0, 0]], [[0, 1.0, 0]])
    side = np.cross(ahead, spare)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(ahead, side)
    wide = np.broadcast_to(np.asarray(radius, float), len(line))[:, None, None]
    round_ = _circle(columns)
    surface: Floats = line[:, None] + wide * (
        round_[None, :, :1] * side[:, None] + round_[None, :, 1:] * up[:, None]
    )
    return surface


def bust(skin: ArrayLike, cloth: ArrayLike, to_camera: Floats, body: Floats, centre: Floats) -> Part:
    """Return neck and chest in the camera frame.

    Parameters
    ----------
    skin, cloth : (3,) RGB.
    to_camera, body : (3, 3) rotations of head and chest; the neck leads from one to the other.
    centre : (3,) the head's origin in the camera frame.
    """
    round_ = _circle(33)
    rings = np.stack([
        RINGS[:, None, 1] * round_[:, 0],
        RINGS[:, None, 0] - 0.12 * RINGS[:, None, 2] * round_[:, 1] * (RINGS[:, None, 4] > 0.9),
        RINGS[:, None, 3] + RINGS[:, None, 2] * round_[:, 1],
    ], axis=-1)  # fmt: skip
    with_head = rings @ to_camera.T
    with_body = (rings - PIVOT) @ body.T + to_camera @ PIVOT
    share = RINGS[:, 4][:, None, None]
    points = centre + with_head + share * (with_body - with_head)
    shade = np.linspace(0.62, 0.9, COLLAR + 1)[:, None]
    # The collar ends in a border of its own: its ring is there twice.
    throat = _part(points[None, : COLLAR + 1], (np.asarray(skin, float) * shade)[None, :, None])
    chest = points[COLLAR:].copy()
    chest[0] += 0.03 * (chest[0] - chest[0].mean(axis=0))
    garment = _part(chest[None], cloth)
    return _join(throat, garment)


def _join(*parts: Part) -> Part:
    """Return parts of one grid each as one closed part, the shorter padded by their last row."""
    rows = max(part.points.shape[1] for part in parts)

    def fit(grids: Singles) -> Singles:
        pad = rows - grids.shape[1]
        return np.concatenate([grids, np.repeat(grids[:, -1:], pad, axis=1)], axis=1)

    return Part(
        np.concatenate([fit(part.points) for part in parts]),
        np.concatenate([fit(part.colours) for part in parts]),
        outside_only=True,
    )


def curtain(vertices: Singles, hair: ArrayLike, length: float, strands: Singles) -> Part:
    """Return hair that hangs from the sides and the back of a head (head axes).

    Parameters
    ----------
    vertices : (N, 3) of the head, with its hair.
    length : mm below the ears.
    strands : (columns,) brightness around 1 of each line of the chart.
    """
    base = chart()
    grid = vertices.reshape(*base.shape, 3)
    behind = np.flatnonzero(np.abs(base.longitude) >= 66)
    # From one temple round the back to the other: the chart's ends meet at the back.
    order = np.concatenate([behind[base.longitude[behind] > 0], behind[base.longitude[behind] < 0]])
    order = order[::2]
    row = int(np.searchsorted(base.latitude, -24.0))
    top = grid[row, order].astype(float)
    out = top * (1, 0, 1) / np.linalg.norm(top * (1, 0, 1), axis=1, keepdims=True)
    fall = np.linspace(0, 1, 12)[:, None, None]
    end = 62.0 + length
    points = top + 5.0 * out * np.sqrt(fall)
    wave = np.sin(7 * fall + np.arange(len(order))[:, None] * 0.35) * 1.2
    points = points + wave * out
    # The ears and the neck decide how far it stands out on the way down.
    bulge = np.exp(-np.square((fall - 0.35) / 0.35)) * 17.0 * np.abs(out[:, :1])
    points = points + bulge * out
    points[..., 1] = top[:, 1] + fall[..., 0] * (end - top[:, 1])
    lower = np.clip((points[..., 1:2] - 20) / 60, 0, 1)
    points[..., [0, 2]] *= 1 - 0.14 * lower
    tint = np.asarray(hair, float) * strands[order][None, :, None] * (1.05 - 0.3 * fall)
    return _part(points[None], np.clip(tint, 0, 255)[None])


def glasses(vertices: Singles, frame: ArrayLike, lens: ArrayLike | None, style: int) -> list[Part]:
    """Return a frame in head axes, and dark lenses where ``lens`` has a colour.

    It rests on the nose and the ears of the head it is given.
    """
    base = chart()
    places = base.anchors([(-20.5, 0.8), (20.5, 0.8), (-88.0, -6.0), (88.0, -6.0)])
    left, right, left_ear, right_ear = places.on(vertices)
    front = min(left[2], right[2]) - 9.0
    turn = np.linspace(0, 2 * np.pi, 29)
    power = (1.0, 0.72, 0.55)[style % 3]
    bow = np.stack([np.cos(turn), np.sin(turn)], 1)
    bow = np.sign(bow) * np.abs(bow) ** power * ((25.0, 21.0), (25.5, 18.5), (26.5, 20.5))[style % 3]
    rims, sheets = [], []
    middle = (left[0] + right[0]) / 2
    for side, centre in ((-1, left), (1, right)):
        x = middle + side * max(abs(centre[0] - middle), 30.0) + bow[:, 0]
        y = centre[1] + 1.5 + bow[:, 1]
        z = front + 0.0022 * np.square(x - middle) * 1.6 - 1.5
        rim = np.stack([x, y, z], 1)
        rims.append(tube(rim, 1.9 if style % 2 else 1.2, 7))
        share = np.linspace(0.0, 1.0, 4)[:, None, None]
        sheets.append(rim.mean(axis=0) + share * (rim - rim.mean(axis=0)))
    inner = [middle - 6.5, middle + 6.5]
    bridge = [
        (x, left[1] * 0.5 + right[1] * 0.5 - 3.5 - 2.0 * (1 - k * k), front - 2.0 - 1.5 * (1 - k * k))
        for x, k in zip(np.linspace(inner[0], inner[1], 5), np.linspace(-1, 1, 5), strict=True)
    ]
    parts = [_part(np.stack(rims), frame), _part(tube(bridge, 1.6, 7)[None], frame)]
    arms = []
    for side, ear in ((-1, left_ear), (1, right_ear)):
        hinge = np.array([middle + side * 56.5, left[1] * 0.5 + right[1] * 0.5 - 5.0, front + 8.5])
        over = np.array([ear[0] + side * 3.5, ear[1] - 1.0, ear[2]])
        way = np.linspace(0, 1, 6)[:, None]
        bowed = hinge + way * (over - hinge) + 6.0 * side * np.sin(np.pi * way) * (1, 0, 0)
        arms.append(tube(np.concatenate([hinge[None] - (side * 4.0, 0, 1.0), bowed]), 1.7, 7))
    parts.append(_part(np.stack(arms), frame))
    if lens is not None:
        parts.append(_part(np.stack(sheets), lens))
    return parts


def shell(vertices: Singles, normals: Singles, colour: ArrayLike, kind: str) -> Part:
    """Return a mask over mouth and nose, or a scarf over the lower face (head axes)."""
    base = chart()
    low, high, reach, off = (13.0, 58.0, 74.0, 5.0) if kind == "mask" else (24.0, 76.0, 128.0, 13.0)
    rows = np.flatnonzero((base.latitude > low) & (base.latitude < high))[::2]
    columns = np.flatnonzero(np.abs(base.longitude) < reach)[::2]
    pick = (rows[:, None], columns)
    points = vertices.reshape(*base.shape, 3)[pick].astype(float)
    out = normals.reshape(*base.shape, 3)[pick]
    # Cloth spans hollows: smooth what lies below it before lifting it off.
    for _ in range(6):
        points[1:-1] = (points[:-2] + 2 * points[1:-1] + points[2:]) / 4
        points[:, 1:-1] = (points[:, :-2] + 2 * points[:, 1:-1] + points[:, 2:]) / 4
    lon = base.longitude[columns][None, :, None]
    outward = points / np.linalg.norm(points, axis=-1, keepdims=True)
    points = points + off * outward + 0 * out
    if kind == "mask":
        points[..., 1:2] += 7.0 * np.square(lon / reach) * np.linspace(0.6, -1.4, len(rows))[:, None, None]
        pleats = 1 - 0.10 * (np.arange(len(rows)) % 5 == 0)
    else:
        points += outward * (3.0 * np.sin(np.linspace(0, 16, len(rows)))[:, None, None])
        pleats = 0.9 + 0.15 * np.sin(np.linspace(0, 16, len(rows)))
    tint = np.asarray(colour, float) * pleats[:, None, None] * np.ones_like(points)
    return _part(points[None], np.clip(tint, 0, 255)[None])


def _hand(rng: np.random.Generator, skin: ArrayLike) -> tuple[list[Part], float]:
    """Return a hand around the origin of its middle finger's tip, pointing up (-y), and its depth."""
    spread, curl, thumb = rng.uniform(1.0, 7.0), rng.uniform(0, 9), rng.choice([-1, 1])
    rods = []
    for k, (length, radius) in enumerate(((62, 7.4), (72, 8.0), (68, 7.8), (52, 6.6))):
        angle = np.radians((k - 1.5) * spread)
        root = np.array([(k - 1.5) * 17.0, 75.0 + 3 * abs(k - 1.3), 0.0])
        tip = root + length * np.array([np.sin(angle), -np.cos(angle), 0.0])
        wrist = np.array([(k - 1.5) * 9.0, 150.0, 2.0])
        rods.append(_finger([wrist, root, 0.5 * (root + tip) - (0, 0, curl), tip], radius))
    side = np.array([thumb, 1, 1])
    rods.append(_finger(side * [(16, 146, 0), (34, 118, -3), (46, 100, -6), (52, 82, -6)], 8.6))
    # The palm: one flat tube from the wrist to the knuckles, which goes on as the arm.
    down = np.array([74.0, 79, 88, 104, 124, 140, 152, 176, 240, 420])
    wide = np.array([4.0, 30, 36, 38, 35, 29, 25, 25, 29, 36])
    thick = np.array([2.0, 9, 11, 12.5, 13, 13.5, 15, 17, 22, 28])
    lean = rng.uniform(-0.15, 0.15) * np.maximum(down - 152, 0)
    round_ = _circle(17)
    palm = np.stack([
        lean[:, None] + wide[:, None] * round_[:, 0],
        np.broadcast_to(down[:, None], (len(down), 17)),
        4.0 + thick[:, None] * round_[:, 1],
    ], axis=-1)  # fmt: skip
    return [_part(np.stack(rods), skin), _part(palm[None], skin)], 13.0


def _finger(joints: ArrayLike, radius: float) -> Floats:
    """Return the (22, 11, 3) surface of a finger through four joints; it is thickest at the joints."""
    bones = np.asarray(joints, float)
    along = np.linspace(0, 3, 18)
    line = PchipInterpolator(np.arange(4), bones)(along)
    bump = 1.0 + 0.06 * np.cos(2 * np.pi * along) - 0.05 * along / 3
    end = np.array([0.93, 0.75, 0.45, 0.03])
    way = (line[-1] - line[-2]) / np.linalg.norm(line[-1] - line[-2])
    cap = line[-1] + radius * np.sqrt(1 - end**2)[:, None] * way
    return tube(np.concatenate([line, cap]), radius * np.concatenate([bump, end]), 11)


def _rounded_box(size: tuple[float, float, float]) -> Floats:
    """Return the (R, C, 3) surface of a box with rounded edges."""
    a, b = np.linspace(-np.pi / 2, np.pi / 2, 21), np.linspace(-np.pi, np.pi, 41)

    def soft(values: Floats, power: float) -> Floats:
        rounded: Floats = np.sign(values) * np.abs(values) ** power
        return rounded

    ring = soft(np.cos(a), 0.16)[:, None]
    x, y = ring * soft(np.cos(b), 0.16), ring * soft(np.sin(b), 0.16)
    z = np.broadcast_to(soft(np.sin(a), 0.16)[:, None], x.shape)
    return np.stack([x, y, z], axis=-1) * np.array(size) / 2


def _phone(rng: np.random.Generator) -> tuple[list[Part], float]:
    return [_part(_rounded_box((74, 150, 9))[None], rng.uniform(15, 90, 3))], 5.0


def _mug(rng: np.random.Generator) -> tuple[list[Part], float]:
    wall = tube(np.stack([np.zeros(8), np.linspace(-46, 46, 8), np.zeros(8)], 1), 41.0, 33)
    ends = [tube([(0, y, 0), (0, y + 0.1, 0)], [41.0, 0.5], 33) for y in (-46, 45.9)]
    t = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 12)
    side = rng.choice([-1, 1])
    handle = tube(np.stack([side * (38 + 26 * np.cos(t)), 26 * np.sin(t), 0 * t], 1), 5.5, 9)
    colour = rng.uniform(40, 235, 3)
    return [
        _part(wall[None], colour),
        *(_part(end[None], 0.6 * colour) for end in ends),
        _part(handle[None], colour),
    ], 42.0


def things(rng: np.random.Generator, skin: ArrayLike) -> tuple[list[Part], float, bool]:
    """Return a hand, phone or mug around its own origin, half its depth, whether it comes from below.

    Axes are the camera's; the origin is the spot that shall cover a point of the face.
    """
    kind = rng.choice(["hand", "phone", "mug"], p=[0.65, 0.2, 0.15])
    if kind == "hand":
        return *_hand(rng, skin), True
    made = _phone(rng) if kind == "phone" else _mug(rng)
    return *made, False
