"""Rendered faces: photographs of random heads, with the exact truth about every point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial, reduce

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError
from facebench.geometry.boxes import tight_box
from facebench.geometry.rotations import euler_to_rotation, not_rotations
from facebench.geometry.schemes import VISIBILITY
from facebench.synthetic import props
from facebench.synthetic.head_mesh import (
    BROW_THICKNESS,
    Anchors,
    Looks,
    chart,
    random_looks,
    shape_head,
    to_degrees,
)  # fmt: skip
from facebench.synthetic.mean_head import mean_head
from facebench.synthetic.photograph import background, expose
from facebench.synthetic.raster import FAR, ZBuffer, box_of, lies_behind
from facebench.synthetic.skin import (
    HAIRCUTS,
    TEXELS,
    Complexion,
    haircut_mask,
    paint,
    random_complexion,
    strand_lines,
)  # fmt: skip

__all__ = ["FILL", "RenderedFace", "random_pose", "render_face", "render_faces"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Picture = NDArray[np.uint8]

FILL = 0.48  # share of the image's shorter side that a frontal mean face's 68 points are high
FACE_HEIGHT = 132.0  # of those points on the mean head, mm
FINER = 2  # samples along a pixel of the image
SMALLEST, LARGEST = 32, 2048
# Where the middle of the 68 points of the mean head lies: the camera aims at it.
MIDDLE = np.array([0.0, 42.0, -62.0])


@dataclass(frozen=True, eq=False)
class RenderedFace:
    """A rendered photograph of one head and everything that is true about it.

    The camera stands at the origin of its own frame and looks along +z; x is to the right of the
    image, y down.  Pixels are 0-based, (0, 0) the centre of the top-left pixel.

    Attributes
    ----------
    image : (H, W, 3) uint8, RGB, as decoded from ``jpeg``.
    jpeg : the encoded bytes of the image.
    rotation : (3, 3) ``R_cam``, head axes to camera axes.
    points : (68, 2) ibug points in pixels of the image.
    visibility : (68,) uint8 states of ``facebench.geometry.VISIBILITY``: ``visible``, ``occluded``
        (an object lies before the point), ``hidden`` (the head itself does, or both).
    points3d : (68, 3) the points in the camera frame, mm; ``points`` is their projection.
    centre : (3,) the head's origin in the camera frame, mm.
    camera : (3, 3) the intrinsic matrix K.
    depth : (H, W) float32, mm along z; 0 where nothing but the background is.
    box : (4,) tight box of all 68 points: x_min, y_min, x_max, y_max.
    features : name to (3,) mm in the camera frame, for points beyond the 68: pupils, ears, centres
        of eyes and mouth, borders of brows, eyes and lips.
    feature_visibility : name to the state of that feature.
    """

    image: NDArray[np.uint8]
    jpeg: bytes
    rotation: NDArray[np.float64]
    points: NDArray[np.float64]
    visibility: NDArray[np.uint8]
    points3d: NDArray[np.float64]
    centre: NDArray[np.float64]
    camera: NDArray[np.float64]
    depth: NDArray[np.float32]
    box: NDArray[np.float64]
    features: dict[str, NDArray[np.float64]]
    feature_visibility: dict[str, int]


@dataclass(frozen=True, eq=False)
class _Scene:
    """One head before the camera: everything that is drawn, camera frame, mm."""

    vertices: Singles
    normals: Singles
    rest: list[props.Part]  # of the head itself: neck, chest, hanging hair
    objects: list[props.Part]  # whatever else is there


def random_pose(rng: np.random.Generator) -> Floats:
    """Draw yaw, pitch and roll in degrees, to be read as ``raw-xyz``.

    Our own choice, close to AFLW2000-3D: |yaw| is below 30 for 65 % of the heads, from 30 to 60 for
    19 % and from 60 to 90 for 16 %, uniform within each; pitch is normal with mean -4 and standard
    deviation 15, roll with 13, both cut at 60 and more narrowly at large yaw.
    """
    yaw = np.interp(rng.random(), [0, 0.65, 0.84, 1], [0, 30, 60, 90]) * rng.choice([-1, 1])
    calm = 1.0 if abs(yaw) < 60 else 0.7
    pitch, roll = np.clip(rng.normal([-4, 0], [15 * calm, 13 * calm]), -60, 60)
    return np.array([yaw, pitch, roll])


@cache
def _landmark_anchors() -> Anchors:
    return chart().anchors(to_degrees(mean_head()))


def _feature_places(complexion: Complexion) -> tuple[list[str], Floats]:
    """Return names and (K, 2) longitudes and latitudes of the points beyond the 68."""
    p = to_degrees(mean_head())
    ears = to_degrees(mean_head("aflw21"))[[12, 16]]
    places: dict[str, Floats] = {"left_ear": ears[0], "right_ear": ears[1]}
    for name, first, brow in (("left", 36, 19), ("right", 42, 24)):
        eye = p[first : first + 6]
        upper, lower = eye[1:3].mean(axis=0), eye[4:6].mean(axis=0)
        centre = eye[[1, 2, 4, 5]].mean(axis=0)
        places[f"{name}_eye_centre"] = centre
        places[f"{name}_pupil"] = centre + np.array(complexion.pupil_shift)
        places[f"{name}_eye_top"], places[f"{name}_eye_bottom"] = upper, lower
        places[f"{name}_brow_top_centre"] = p[brow]
        places[f"{name}_brow_bottom_centre"] = p[brow] + (0, 0.9 * BROW_THICKNESS)
    places["mouth_centre"] = (p[62] + p[66]) / 2
    places["nose_bottom"] = p[33]
    places["upper_lip_bottom"], places["lower_lip_top"] = p[62], p[66]
    return list(places), np.array(list(places.values()))


def _lights(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return the ambient (3,), directions to 1-3 lamps (L, 3) and their colours (L, 3)."""
    count = int(rng.integers(1, 4))
    directions = np.stack(
        [rng.uniform(-1.1, 1.1, count), rng.uniform(-1.0, 0.25, count), rng.uniform(-1.3, -0.35, count)], 1
    )
    directions[0, 1:] = -0.45 + 0.5 * directions[0, 1], -0.9
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = np.array([0.62, 0.28, 0.2])[:count] * rng.uniform(0.7, 1.15, count)
    colours = strength[:, None] * rng.uniform([0.92, 0.94, 0.86], [1.08, 1.02, 1.10], (count, 3))
    ambient = rng.uniform(0.34, 0.55) * rng.uniform(0.95, 1.05, 3)
    return ambient, directions, colours


def _shade(
    normals: Singles, towards: Singles, lights: tuple[Floats, Floats, Floats], gloss: float
) -> tuple[Singles, Singles]:
    """Return (N, 3) light on a surface (Lambert), and its (N,) shine (Blinn) of the first lamp."""
    ambient, directions, colours = (part.astype(np.float32) for part in lights)
    facing = normals @ directions.T
    # Light from above is brighter than from below even where no lamp shines.
    sky = (1.0 - 0.14 * normals[:, 1:2]) * ambient
    diffuse = sky + np.maximum(facing, 0) @ colours
    half = directions[0] - towards.mean(axis=0)
    half /= np.linalg.norm(half)
    shine = np.maximum(normals @ half.astype(np.float32), 0)
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    shine = gloss * shine * shine
    return diffuse.astype(np.float32), shine.astype(np.float32)


def _worn(
    rng: np.random.Generator, vertices: Singles, normals: Singles, wanted: bool | None
) -> tuple[list[props.Part], bool]:
    """Return glasses, mask or scarf in head axes, and whether something shall be held up too."""
    draw = rng.random(6)
    parts: list[props.Part] = []
    style, tint = int(6 * draw[0]), rng.uniform(10, 70, 3)
    cloth = rng.uniform(60, 235, 3)
    if wanted is False:
        return parts, False
    if draw[1] < 0.22:
        dark = draw[2] < 0.35
        parts += props.glasses(vertices, tint, (16, 16, 20) if dark else None, style)
    covered = wanted or draw[3] < 0.25
    if covered and draw[4] < 0.3:
        kind = "mask" if draw[5] < 0.6 else "scarf"
        parts.append(props.shell(vertices, normals, cloth, kind))
        covered = False
    return parts, bool(covered)


def _held(rng: np.random.Generator, landmarks: Floats, nearest: float, skin: Floats) -> list[props.Part]:
    """Return something held before the face, in the camera frame."""
    parts, half, from_below = props.things(rng, skin)
    target = landmarks[int(rng.integers(5, 68))] + np.append(rng.normal(0, 12, 2), 0)
    # Fingers come from below or from the sides, and things are held at any slant.
    angle = rng.normal(0, 0.7) if from_below else rng.normal(0, 0.4)
    cos, sin = np.cos(angle), np.sin(angle)
    tilt = euler_to_rotation([rng.normal(0, 10), rng.normal(0, 10), 0], "raw-xyz")
    turn = tilt @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    depth = nearest - half - rng.uniform(4, 25)
    # Keep it on the same line of sight as it comes nearer to the camera.
    place = target * (max(depth, 80.0) / target[2])
    scale = min(1.0, max(depth, 80.0) / target[2] + 0.1)
    turned = (scale * turn).astype(np.float32)
    return [props.Part(part.points @ turned.T + place.astype(np.float32), part.colours) for part in parts]


def _build(
    rng: np.random.Generator, rotation: Floats, centre: Floats, looks: Looks,
    complexion: Complexion, occluder: bool | None,
) -> _Scene:  # fmt: skip
    """Put a head, its neck and whatever covers it before the camera."""
    cut = HAIRCUTS[complexion.haircut]
    hair = haircut_mask(complexion.haircut)[2]
    vertices, normals = shape_head(looks, hair)
    r, t = rotation.astype(np.float32), centre.astype(np.float32)

    def placed(part: props.Part) -> props.Part:
        return props.Part(part.points @ r.T + t, part.colours)

    cloth = rng.uniform(25, 225, 3)
    yaw, pitch, roll = rng.normal(0, [12, 4, 4])
    # The chest follows half of a large turn of the head, and stays upright.
    across = np.degrees(np.arctan2(-rotation[0, 2], rotation[2, 2]))
    across = float(np.clip(across, -110, 110))
    body = euler_to_rotation([-0.55 * -across + yaw, pitch, roll], "raw-xyz")
    rest = [props.bust(complexion.skin, cloth, rotation, body, centre)]
    if cut.length:
        rest.append(placed(props.curtain(vertices, complexion.hair, cut.length, strand_lines())))
    worn, hold = _worn(rng, vertices, normals, occluder)
    objects = [placed(part) for part in worn]
    vertices, normals = vertices @ r.T + t, normals @ r.T
    if hold:
        landmarks = _landmark_anchors().on(vertices)
        other = random_complexion(rng).skin if rng.random() < 0.3 else complexion.skin
        objects += _held(rng, landmarks, float(vertices[:, 2].min()), other)
    return _Scene(vertices, normals, rest, objects)


@cache
def _chart_places() -> Singles:
    """Return the (N, 3) column and row of each vertex, 0 to 1, which the z-buffer interpolates."""
    rows, columns = chart().shape
    across, down = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    return np.stack([across, down, 0 * across], axis=-1).reshape(-1, 3).astype(np.float32)


def _add(buffer: ZBuffer, parts: list[props.Part], lights: tuple[Floats, Floats, Floats]) -> None:
    """Draw parts with their lit colours."""
    vertices, normals, colours, triangles = props.merge(parts)
    # Cloth and rods are seen from either side.
    away = np.einsum("nd,nd->n", normals, vertices) > 0
    normals[away] *= -1
    light, shine = _shade(normals, vertices / vertices[:, 2:], lights, 0.06)
    buffer.draw(vertices, triangles, np.clip(colours * light + shine[:, None], 0, 1))


def _draw(
    scene: _Scene, texture: Picture, lights: tuple[Floats, Floats, Floats],
    canvas: Picture, focal: float, gloss: float,
) -> tuple[Singles, Singles]:  # fmt: skip
    """Draw a scene on a canvas; return the z-buffer of the person alone, and of everything."""
    size = (canvas.shape[0], canvas.shape[1])
    face = ZBuffer(size, focal)
    face.draw(scene.vertices, chart().triangles, _chart_places(), closed=True)
    skin_depth = face.depth.copy()
    other = ZBuffer(size, focal)
    other.depth = face.depth
    _add(other, scene.rest, lights)
    person = other.depth.copy()
    if scene.objects:
        _add(other, scene.objects, lights)

    crop = box_of((skin_depth < FAR) & (other.depth == skin_depth))
    if crop is not None:
        _wrap(canvas, crop, face.values, scene, texture, lights, skin_depth, gloss)
    covers = (other.depth < skin_depth).astype(np.uint8)
    cv2.copyTo(cv2.convertScaleAbs(other.values, alpha=255), covers, canvas)
    return person, other.depth


def _wrap(
    canvas: Picture, crop: tuple[slice, slice], places: Singles, scene: _Scene, texture: Picture,
    lights: tuple[Floats, Floats, Floats], depth: Singles, gloss: float,
) -> None:  # fmt: skip
    """Lay the texture over the head, pixel by pixel, and light it."""
    rows, columns = chart().shape
    across = places[crop][..., 0] * np.float32(columns - 1)
    down = places[crop][..., 1] * np.float32(rows - 1)
    light, shine = _shade(scene.normals, scene.vertices / scene.vertices[:, 2:], lights, 255 * gloss)
    lit = np.concatenate([light, shine[:, None]], axis=1).reshape(rows, columns, 4)
    lit = cv2.remap(lit, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    painted = cv2.remap(
        texture, across * TEXELS, down * TEXELS, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    shown = cv2.multiply(painted, lit[..., :3], dtype=cv2.CV_32F)
    shown = shown + lit[..., 3:]
    covered = (depth[crop] < FAR).astype(np.uint8)
    part = canvas[crop]
    cv2.copyTo(cv2.convertScaleAbs(np.maximum(shown, 0)), covered, part)


def _coarse(depth: Singles) -> Singles:
    """Return the depth at the centres of the image's pixels; 0 where nothing but background is.

    The centre lies amid FINER x FINER samples: their mean where they are one surface, else the nearest.
    """
    height, width = (side // FINER for side in depth.shape)
    samples = [depth[row::FINER, column::FINER] for row in range(FINER) for column in range(FINER)]
    near, far = reduce(np.minimum, samples), reduce(np.maximum, samples)
    mean = cv2.resize(depth, (width, height), interpolation=cv2.INTER_AREA)
    whole = np.where(far - near < 4.0, mean, near)
    return np.where(near < FAR, whole, 0).astype(np.float32)


def _states(
    points: Floats, normals: Floats, pixels: Floats, person: Singles, everything: Singles
) -> NDArray[np.uint8]:
    """Return the visibility of (K, 3) points of the surface, whose pixels are those of the z-buffers."""
    turned_away = np.einsum("kd,kd->k", points, normals) > 0
    hidden = turned_away | lies_behind(person, pixels, points[:, 2])
    covered = lies_behind(everything, pixels, points[:, 2])
    states = np.where(covered, VISIBILITY["occluded"], VISIBILITY["visible"])
    return np.where(hidden, VISIBILITY["hidden"], states).astype(np.uint8)


def _checked_size(size: object) -> tuple[int, int]:
    sides = size if isinstance(size, tuple) else (size, size)
    fine = len(sides) == 2 and all(
        isinstance(side, int | np.integer) and not isinstance(side, bool) and SMALLEST <= side <= LARGEST
        for side in sides
    )
    if not fine:
        msg = (
            f"size is {size!r}; expected whole pixels from {SMALLEST} to {LARGEST}, "
            "one number or (height, width)."
        )
        raise UsageError(msg)
    return int(sides[0]), int(sides[1])


def _checked_rotation(rotation: ArrayLike | None) -> Floats | None:
    if rotation is None:
        return None
    try:
        matrix = np.asarray(rotation, float)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or not_rotations(matrix[None]).any():
        msg = "rotation is not a rotation matrix of shape (3, 3); expected R_cam."
        raise UsageError(msg)
    return matrix


def _whole(name: str, value: object, least: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        msg = f"{name} is {value!r}; expected a whole number of at least {least}."
        raise UsageError(msg)
    return int(value)


def render_face(
    seed: int,
    *,
    index: int = 0,
    size: tuple[int, int] | int = 256,
    rotation: ArrayLike | None = None,
    occluder: bool | None = None,
    fill: float = FILL,
) -> RenderedFace:
    """Render one random head.

    The same arguments give the same bytes with the same versions of the libraries.

    Parameters
    ----------
    seed, index : decide everything that is random; face ``index`` of ``render_faces`` with that seed.
    size : height and width of the image in pixels, or one number for both; 32 to 2048.
    rotation : (3, 3) ``R_cam``; random when None, see ``random_pose``.
    occluder : True puts a hand, thing, mask or scarf before the face, False nothing at all, not
        even glasses; None decides at random.
    fill : height of the 68 points of a frontal mean face as a share of the shorter side, 0.05 to 1.5.

    Raises
    ------
    UsageError : an argument is of the wrong type or out of range.
    """
    seed, index = _whole("seed", seed, 0), _whole("index", index, 0)
    height, width = _checked_size(size)
    given = _checked_rotation(rotation)
    if occluder not in (None, True, False):
        msg = f"occluder is {occluder!r}; expected True, False or None."
        raise UsageError(msg)
    if isinstance(fill, bool) or not isinstance(fill, int | float) or not 0.05 <= fill <= 1.5:
        msg = f"fill is {fill!r}; expected a number from 0.05 to 1.5."
        raise UsageError(msg)

    rng = np.random.default_rng([seed, index])
    looks, complexion = random_looks(rng), random_complexion(rng)
    pose = euler_to_rotation(random_pose(rng), "raw-xyz")
    r = pose if given is None else given
    side = min(height, width)
    focal = side * np.exp(rng.uniform(np.log(1.3), np.log(3.2)))
    distance = focal * FACE_HEIGHT / (fill * rng.uniform(0.9, 1.1) * side)
    # Aim at the middle of the face, a little off.
    aim = np.append(rng.normal(0, 0.025, 2) * side / focal * distance, distance)
    centre = aim - r @ MIDDLE
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    lights = _lights(rng)
    canvas = background((FINER * height, FINER * width), rng)
    scene = _build(rng, r, centre, looks, complexion, occluder)
    gloss = rng.uniform(0.02, 0.14)
    texture = paint(complexion, looks)
    person, everything = _draw(scene, texture, lights, canvas, FINER * focal, gloss)
    picture = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    image, jpeg = expose(picture.astype(np.uint8), rng)

    def truth(anchors: Anchors) -> tuple[Floats, Floats, NDArray[np.uint8]]:
        points = anchors.on(scene.vertices)
        flat = points[:, :2] / points[:, 2:] * focal + camera[:2, 2]
        # The centre of a pixel of the image lies amid the samples of the finer z-buffer.
        pixels = FINER * flat + (FINER - 1) / 2
        return points, flat, _states(points, anchors.on(scene.normals), pixels, person, everything)

    points3d, points, visibility = truth(_landmark_anchors())
    names, places = _feature_places(complexion)
    features, _, states = truth(chart().anchors(places))
    return RenderedFace(
        image=image, jpeg=jpeg, rotation=r, points=points, visibility=visibility,
        points3d=points3d, centre=centre, camera=camera, depth=_coarse(everything),
        box=tight_box(points[None])[0], features=dict(zip(names, features, strict=True)),
        feature_visibility=dict(zip(names, states.tolist(), strict=True)),
    )  # fmt: skip


def _numbered(index: int, seed: int, size: tuple[int, int]) -> RenderedFace:
    return render_face(seed, index=index, size=size)


def render_faces(
    count: int, seed: int, size: tuple[int, int] | int = 256, workers: int = 0
) -> Iterator[RenderedFace]:
    """Render faces one after the other; face i is the same for any count and number of workers.

    Parameters
    ----------
    count : how many, at least 1.
    seed : decides them; 0 or more.
    size : height and width in pixels, or one number for both.
    workers : processes that render; 0 renders in this one.

    Raises
    ------
    UsageError : an argument is of the wrong type or out of range; at once, before the first face.
    """
    count, seed = _whole("count", count, 1), _whole("seed", seed, 0)
    workers, sides = _whole("workers", workers, 0), _checked_size(size)
    one = partial(_numbered, seed=seed, size=sides)
    if not workers:
        return map(one, range(count))
    return _in_processes(one, count, workers)


def _in_processes(one: partial[RenderedFace], count: int, workers: int) -> Iterator[RenderedFace]:
    from multiprocessing import get_context

    # A fresh process, because OpenCV's threads do not survive a fork.
    with get_context("spawn").Pool(min(workers, count)) as pool:
        yield from pool.imap(one, range(count), chunksize=4)
