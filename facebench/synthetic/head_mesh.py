"""The head as a mesh: one fixed topology, bent into random heads with random expressions.

The vertices lie on a chart of longitude and latitude around the mean head whose lines are dense at
eyes and mouth.  Identity and expression are displacements of the vertices; nothing else ever moves.
A landmark is a fixed place *on the chart* (a triangle and its barycentric weights), and so are the
borders that the texture paints: the corner of an eye stays the corner of the painted eye on every
head, and every landmark lies exactly on the mesh.  That holds for the jaw line as well: its points
are fixed on the head and do not slide along the contour as the head turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.synthetic.mean_head import mean_head
from facebench.synthetic.raster import turn
from facebench.synthetic.surface import EAR_AXES, EAR_CENTRE, EAR_TILT, bare_radius, directions, to_degrees

__all__ = ["Anchors", "Chart", "Looks", "chart", "random_looks", "shape_head"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

# Lines of the chart per degree: everywhere, and more of them on spans (from, to, added).
ROWS_PER_DEGREE = (0.24, ((-22.0, 52.0, 0.41), (-7.0, 6.0, 0.95), (28.0, 38.0, 1.1)))
COLUMNS_PER_DEGREE = (0.26, ((-42.0, 42.0, 0.56), (-118.0, -92.0, 0.26), (92.0, 118.0, 0.26)))
HINGE = np.array([0.0, 22.0, 2.0])  # of the jaw, mm
BITE = 1.6  # degrees by which the mean head's jaw hangs open
BROW_THICKNESS = 4.6  # degrees of latitude, before identity stretches it


def smoothstep(values: ArrayLike, low: float, high: float) -> Floats:
    """Return 0 up to ``low``, 1 from ``high``, and a smooth rise between; ``low`` may be larger."""
    t = np.clip((np.asarray(values, float) - low) / (high - low), 0, 1)
    rise: Floats = t * t * (3 - 2 * t)
    return rise


def _axis(extent: float, density: tuple[float, tuple[tuple[float, float, float], ...]]) -> Floats:
    """Return increasing degrees from -extent to extent, spaced by a density of lines per degree."""
    fine = np.linspace(-extent, extent, 4001)
    lines = np.full_like(fine, density[0])
    for low, high, added in density[1]:
        lines += added * smoothstep(fine, low - 3, low + 3) * smoothstep(fine, high + 3, high - 3)
    count = np.concatenate([[0], np.cumsum((lines[1:] + lines[:-1]) / 2 * np.diff(fine))])
    return np.interp(np.linspace(0, count[-1], round(count[-1]) + 1), count, fine)


@dataclass(frozen=True, eq=False)
class Anchors:
    """Places on the mesh: ``corners`` (K, 3) vertex indices and ``weights`` (K, 3) that sum to 1."""

    corners: NDArray[np.intp]
    weights: Floats

    def on(self, vertices: Singles) -> Floats:
        """Return the (K, 3) points of the places on a head of (N, 3) vertices, or on normals."""
        points: Floats = np.einsum("kc,kcd->kd", self.weights, vertices[self.corners].astype(float))
        return points


@dataclass(frozen=True, eq=False)
class Chart:
    """What all heads share: the grid, its triangles and the displacements.

    Attributes
    ----------
    latitude, longitude : (rows,) and (columns,) degrees of the lines; the last column is the first.
    vertices : (rows * columns, 3) the bald mean head, mm, row by row.
    triangles : (T, 3) int32 vertex indices.
    fields : name of a displacement to its row in ``basis``.
    basis : (F, N * 3) millimetres per unit of each displacement.
    jaw : (N,) how far a vertex follows the jaw.
    inner_mouth : (N,) 1 in the middle of the slit between the lips, 0 outside.
    """

    latitude: Floats
    longitude: Floats
    vertices: Singles
    triangles: NDArray[np.int32]
    fields: dict[str, int]
    basis: Singles
    jaw: Singles
    inner_mouth: Singles

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return len(self.latitude), len(self.longitude)

    def cells(self, degrees: ArrayLike) -> Floats:
        """Return (..., 2) fractional column and row of (..., 2) longitude and latitude."""
        d = np.asarray(degrees, float)
        column = np.interp(d[..., 0], self.longitude, np.arange(len(self.longitude)))
        row = np.interp(d[..., 1], self.latitude, np.arange(len(self.latitude)))
        return np.stack([column, row], axis=-1)

    def anchors(self, degrees: ArrayLike) -> Anchors:
        """Return where (K, 2) longitudes and latitudes lie on the triangles."""
        cells = self.cells(degrees)
        whole = np.minimum(np.floor(cells), np.array(self.shape[::-1]) - 2).astype(np.intp)
        x, y = (cells - whole).T
        columns = self.shape[1]
        first = whole[:, 1] * columns + whole[:, 0]
        # The diagonal of a cell runs from its first to its last corner.
        upper = x >= y
        side = np.where(upper, first + 1, first + columns)
        weights = np.stack([1 - np.maximum(x, y), np.abs(x - y), np.minimum(x, y)], axis=1)
        return Anchors(np.stack([first, side, first + columns + 1], axis=1), weights)


def _triangles(rows: int, columns: int) -> NDArray[np.int32]:
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    both = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    return np.ascontiguousarray(both.reshape(-1, 3))


def _bell(points: Floats, centre: ArrayLike, sigma: ArrayLike) -> Floats:
    """Return (N,) values of a Gaussian bell around a point; sigma may differ by axis."""
    spread = (points - np.asarray(centre, float)) / np.asarray(sigma, float)
    bell: Floats = np.exp(-0.5 * np.square(spread).sum(axis=1))
    return bell


def _ear(degrees: Floats) -> tuple[Floats, Floats]:
    """Return (N,) how much a place belongs to an ear, and how much to the hollow in it."""
    tilt = np.radians(EAR_TILT)
    off = np.stack([np.abs(degrees[:, 0]), degrees[:, 1]], 1) - EAR_CENTRE
    turned = off @ np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    reach = np.hypot(*(turned / EAR_AXES).T)
    hollow = np.hypot(*((turned - (-1.5, 1.0)) / EAR_AXES).T)
    return smoothstep(reach, 1.25, 0.8), smoothstep(hollow, 0.75, 0.3)


def _slit(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return how far the jaw moves a place, and how near it is to the middle of the mouth's slit."""
    p = to_degrees(mean_head())
    top, bottom = p[60:65], p[[60, 67, 66, 65, 64]]
    upper = np.interp(x, top[:, 0], top[:, 1])
    lower = np.interp(x, bottom[:, 0], bottom[:, 1])
    beyond = np.maximum(np.abs(x) - top[-1, 0], 0)
    # Beyond the corners the jaw pulls at the cheek more and more softly.
    soft = 1.1 * beyond
    share = np.clip((y - upper + soft) / (lower - upper + 2 * soft + 1e-6), 0, 1)
    middle = 4 * share * (1 - share) * (beyond == 0) * smoothstep(lower - upper, 0.0, 0.8)
    return np.where(beyond > 0, share * share * (3 - 2 * share), share), middle


def _lids(degrees: Floats, side: int) -> tuple[Floats, Floats]:
    """Return (N,) latitudes by which a place moves as one eye closes, and its share of the ball."""
    p = to_degrees(mean_head())
    eye = p[36:42] if side < 0 else p[[45, 44, 43, 42, 47, 46]]
    x, y = degrees.T
    order = np.argsort(eye[:4, 0])
    up = np.interp(x, eye[:4, 0][order], eye[:4, 1][order])
    low_points = eye[[0, 5, 4, 3]]
    order = np.argsort(low_points[:, 0])
    low = np.interp(x, low_points[:, 0][order], low_points[:, 1][order])
    inside = (x > eye[[0, 3], 0].min()) & (x < eye[[0, 3], 0].max())
    drop = np.where(y > up, low - y, (low - up) * smoothstep(up - y, 13.0, 0.0))
    drop = np.where((y < low) & inside, drop, 0.0)
    share = np.clip((y - up) / np.maximum(low - up, 1e-6), 0, 1)
    return drop, np.where(inside, 4 * share * (1 - share), 0) * smoothstep(low - up, 0, 5)


def _fields(v: Floats, degrees: Floats) -> dict[str, Floats]:
    """Return the displacements, name to (N, 3) mm for one unit (about one standard deviation)."""
    x, y, z = v.T
    still = np.zeros_like(x)
    front, side = smoothstep(z, -20, -60), np.sign(x)
    ears, _ = _ear(degrees)

    def move(dx: Floats | float = 0.0, dy: Floats | float = 0.0, dz: Floats | float = 0.0) -> Floats:
        return np.stack([still + dx, still + dy, still + dz], axis=1)

    def pair(centre: tuple[float, float, float], sigma: ArrayLike) -> Floats:
        mirrored = (-centre[0], *centre[1:])
        return _bell(v, centre, sigma) + _bell(v, mirrored, sigma)

    eyes, tip = pair((31.5, 0.0, -84.0), (15, 11, 14)), _bell(v, (0, 33, -121), 14)
    eyes_and_brows = pair((32.0, -9.0, -84.0), (16, 20, 16))
    brows = pair((36.0, -25.0, -90.0), (22, 11, 25))
    lower = smoothstep(y, 8, 105)
    fields = {
        "width": move(dx=0.035 * x),
        "jaw_width": move(dx=0.055 * x * smoothstep(y, 30, 85)),
        "length": move(dy=3.8 * lower),
        "chin_forward": move(dz=-3.0 * _bell(v, (0, 105, -86), 20)),
        "chin_length": move(dy=2.6 * _bell(v, (0, 107, -86), (26, 16, 26))),
        "chin_width": move(dx=0.16 * x * _bell(v, (0, 104, -80), (40, 14, 30))),
        "nose_length": move(dy=2.4 * tip),
        "nose_forward": move(dz=-2.4 * tip - 1.2 * _bell(v, (0, 18, -112), 12)),
        "nose_width": move(dx=0.14 * x * _bell(v, (0, 41, -103), (20, 11, 16))),
        "nose_hump": move(dz=-1.7 * _bell(v, (0, 12, -106), (7, 8, 12))),
        "nose_tip_up": move(dy=-1.8 * _bell(v, (0, 35, -120), 9)),
        "upper_lip": move(dy=-1.3 * _bell(v, (0, 60.5, -108), (17, 4.0, 20))),
        "lower_lip": move(dy=1.5 * _bell(v, (0, 82.0, -105), (17, 5.5, 20))),
        "lips_forward": move(dz=-1.6 * _bell(v, (0, 71, -106), (17, 11, 20))),
        "mouth_width": move(dx=0.075 * x * _bell(v, (0, 70, -98), (30, 13, 25))),
        "eye_spacing": move(dx=1.4 * side * eyes_and_brows),
        "eye_size": move(dx=0.07 * (x - 31.5 * side) * eyes, dy=0.12 * y * eyes),
        "eye_slant": move(dy=-0.06 * (np.abs(x) - 31.5) * eyes),
        "eye_depth": move(dz=1.6 * eyes),
        "brow_height": move(dy=-1.7 * brows),
        "brow_slant": move(dy=-0.08 * (np.abs(x) - 36) * brows),
        "brow_ridge": move(dz=-1.6 * brows),
        "cheek_bones": move(dx=2.6 * side * pair((60.0, 26.0, -55.0), 17)),
        "cheeks": move(dx=3.2 * side * pair((54.0, 62.0, -48.0), 20)),
        "skull_height": move(dy=0.05 * np.minimum(y + 30, 0)),
        "skull_length": move(dz=0.05 * np.maximum(z, 0)),
        "forehead": move(dz=3.0 * smoothstep(y, -25, -75) * front),
        "ears_out": move(dx=2.5 * side * ears, dz=1.0 * ears),
        "ears_size": move(dy=0.10 * (y - 22) * ears, dx=1.0 * side * ears),
        # Slight asymmetry.
        "skew_nose": move(dx=0.9 * _bell(v, (0, 30, -115), 18)),
        "skew_mouth": move(dx=0.9 * _bell(v, (0, 70, -100), 22)),
        "skew_jaw": move(dx=1.2 * smoothstep(y, 45, 105)),
        "skew_eyes": move(dy=0.6 * side * eyes_and_brows),
        "skew_width": move(dx=0.012 * np.abs(x)),
        # Expression.
        "pucker": move(
            dx=-0.26 * x * _bell(v, (0, 70, -98), (28, 12, 25)),
            dz=-5.0 * _bell(v, (0, 71, -106), (15, 12, 20)),
        ),
    }
    for name, s in (("left", -1), ("right", 1)):
        corner = _bell(v, (s * 25.5, 69, -91), (13, 11, 18))
        cheek = _bell(v, (s * 42.0, 42, -80), 15)
        fields[f"smile_{name}"] = move(
            dx=s * 4.6 * corner + s * 1.0 * cheek,
            dy=-5.0 * corner - 2.2 * cheek,
            dz=3.0 * corner - 2.2 * cheek,
        )
        brow = _bell(v, (s * 36, -27, -90), (24, 12, 30))
        inner = _bell(v, (s * 14, -20, -99), (13, 11, 20))
        fields[f"raise_{name}"] = move(dy=-4.5 * brow)
        fields[f"frown_{name}"] = move(dy=2.8 * inner, dx=-s * 1.8 * inner)
        drop, _ = _lids(degrees, s)
        turned = degrees + np.stack([still, drop], axis=1)
        length = np.linalg.norm(v, axis=1)
        fields[f"close_{name}"] = (directions(turned) - directions(degrees)) * length[:, None]
    return fields


@cache
def chart() -> Chart:
    """Return the chart of the mean head; computed once, in about half a second."""
    latitude, longitude = _axis(90.0, ROWS_PER_DEGREE), _axis(180.0, COLUMNS_PER_DEGREE)
    grid = np.stack(np.meshgrid(longitude, latitude), axis=-1)
    degrees = grid.reshape(-1, 2)
    outward = directions(degrees)
    radius = bare_radius(outward)
    ear, hollow = _ear(degrees)
    ball = sum(_lids(degrees, side)[1] for side in (-1, 1))
    # Wide open eyes show a ball, which the spline through the lids leaves flat.
    vertices = outward * (radius + 1.3 * ball)[:, None]
    outwards = np.stack([np.sign(outward[:, 0]), 0 * ear, 0.55 + 0 * ear], axis=1)
    vertices += (17.0 * ear - 9.0 * ear * hollow)[:, None] * outwards / np.hypot(1, 0.55)
    jaw, middle = _slit(*degrees.T)
    jaw = jaw * smoothstep(vertices[:, 2], 30, -15) * (degrees[:, 1] > 0)
    # The first and last column, and all columns at a pole, are one place.
    named = _fields(vertices, degrees)
    basis = np.stack([field.reshape(-1) for field in named.values()]).astype(np.float32)
    shape = (len(latitude), len(longitude))
    return Chart(
        latitude, longitude, vertices.astype(np.float32), _triangles(*shape),
        {name: row for row, name in enumerate(named)}, basis,
        jaw.astype(np.float32), middle.astype(np.float32),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Looks:
    """What a head looks like: units of each displacement, and the state of mouth and eyes.

    Attributes
    ----------
    units : (F,) of the displacements of the chart.
    jaw : degrees by which the jaw hangs open; 0 is closed.
    closed : (2,) how far the left and right eye are closed, 0 to 1.
    """

    units: Singles
    jaw: float
    closed: tuple[float, float]


def random_looks(rng: np.random.Generator) -> Looks:
    """Draw an identity and an expression.

    Identity displacements are normal, cut at 2 standard deviations.  Expressions are our own
    choice: a third of the mouths open, a third smiling, one pair of eyes in twelve shut.
    """
    fields = chart().fields
    units = np.clip(rng.standard_normal(len(fields)), -2, 2)
    draw = rng.random(12)
    smile = 0.4 + 0.9 * draw[1] if draw[0] < 0.4 else 0.25 * (draw[1] - 0.5)
    lift = 0.4 + 0.8 * draw[3] if draw[2] < 0.2 else 0.3 * (draw[3] - 0.5)
    jaw = 13 * draw[5] ** 1.5 if draw[4] < 0.35 else 1.5 * draw[5]
    shut = 0.93 if draw[6] < 0.08 else 0.55 * draw[7] ** 2
    lopsided = 0.15 * (draw[8] - 0.5)
    chosen = {
        "smile_left": smile + lopsided,
        "smile_right": smile - lopsided,
        "raise_left": lift + lopsided,
        "raise_right": lift - lopsided,
        "pucker": draw[9] if draw[0] > 0.9 else 0.0,
        "frown_left": draw[10] if draw[2] > 0.85 else 0.0,
        "frown_right": draw[10] if draw[2] > 0.85 else 0.0,
        "close_left": shut,
        "close_right": shut if draw[11] > 0.04 else 0.9,  # some wink
    }
    for name, value in chosen.items():
        units[fields[name]] = value
    return Looks(units.astype(np.float32), jaw, (chosen["close_left"], chosen["close_right"]))


def shape_head(looks: Looks, hair: Singles | None = None) -> tuple[Singles, Singles]:
    """Return the vertices and the unit normals of a head, (N, 3) each; mm, head axes.

    Parameters
    ----------
    looks : identity and expression.
    hair : (N,) millimetres that hair adds to the skull.
    """
    base = chart()
    # Not a product of matrices: BLAS would keep threads spinning for the tenth of a millisecond.
    moved = np.einsum("f,fn->n", looks.units, base.basis)
    vertices = base.vertices + moved.reshape(-1, 3)
    opened = np.radians(looks.jaw - BITE)
    arm = vertices[:, 1:] - HINGE[1:].astype(np.float32)
    cos, sin = np.cos(opened) - 1, np.sin(opened)
    opening = np.array([[cos, -sin], [sin, cos]], np.float32)
    vertices[:, 1:] += base.jaw[:, None] * turn(arm, opening)
    vertices[:, 2] += (2.0 + 0.9 * looks.jaw) * base.inner_mouth
    if hair is not None:
        vertices += hair[:, None] * base.vertices * np.float32(1 / 95)
    return vertices, _normals(vertices.reshape(*base.shape, 3)).reshape(-1, 3)


def _normals(grid: Singles) -> Singles:
    """Return unit normals out of the head at the (rows, columns, 3) vertices."""
    across, down = np.empty_like(grid), np.empty_like(grid)
    across[:, 1:-1] = grid[:, 2:] - grid[:, :-2]
    across[:, 0] = across[:, -1] = grid[:, 1] - grid[:, -2]
    down[1:-1] = grid[2:] - grid[:-2]
    down[0], down[-1] = grid[1] - grid[0], grid[-1] - grid[-2]
    normals = np.empty_like(grid)
    (ax, ay, az), (dx, dy, dz) = np.moveaxis(across, -1, 0), np.moveaxis(down, -1, 0)
    normals[..., 0] = dy * az - dz * ay
    normals[..., 1] = dz * ax - dx * az
    normals[..., 2] = dx * ay - dy * ax
    # At a pole all columns meet, so that their own differences vanish.
    normals[0], normals[-1] = normals[1].mean(axis=0), normals[-2].mean(axis=0)
    normals /= np.sqrt(np.einsum("rcd,rcd->rc", normals, normals))[..., None] + np.float32(1e-12)
    return normals
