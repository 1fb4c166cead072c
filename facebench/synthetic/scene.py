"""A head before the camera: what it wears and holds, how it is lit, and the drawing of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, reduce

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.geometry.rotations import euler_to_rotation
from facebench.geometry.schemes import VISIBILITY
from facebench.synthetic import props
from facebench.synthetic.head_mesh import (
    BROW_THICKNESS,
    Anchors,
    Looks,
    chart,
    shape_head,
)
from facebench.synthetic.mean_head import mean_head
from facebench.synthetic.raster import FAR, ZBuffer, box_of, lies_behind, turn
from facebench.synthetic.skin import (
    HAIRCUTS,
    TEXELS,
    Complexion,
    haircut_mask,
    random_complexion,
    strand_lines,
)
from facebench.synthetic.surface import to_degrees

__all__ = [
    "FINER",
    "Scene",
    "build",
    "coarse",
    "draw",
    "feature_places",
    "landmark_anchors",
    "random_lights",
    "random_pose",
    "states_of",
]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Picture = NDArray[np.uint8]

FINER = 1.5  # samples along a pixel of the image; a canvas has that many, rounded up
LIGHT = 120  # what stands for a light of 1 in eight bits


@dataclass(frozen=True, eq=False)
class Scene:
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
def landmark_anchors() -> Anchors:
    return chart().anchors(to_degrees(mean_head()))


def feature_places(complexion: Complexion) -> tuple[list[str], Floats]:
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


def random_lights(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
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
    facing = turn(normals, directions)
    # Light from above is brighter than from below even where no lamp shines.
    sky = (1.0 - 0.14 * normals[:, 1:2]) * ambient
    diffuse = sky + turn(np.maximum(facing, 0), colours.T)
    half = directions[0] - towards.mean(axis=0)
    half /= np.linalg.norm(half)
    shine = np.maximum(turn(normals, half[None].astype(np.float32))[:, 0], 0)
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
    pose = tilt @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    depth = nearest - half - rng.uniform(4, 25)
    # Keep it on the same line of sight as it comes nearer to the camera.
    place = target * (max(depth, 80.0) / target[2])
    scale = min(1.0, max(depth, 80.0) / target[2] + 0.1)
    turned = (scale * pose).astype(np.float32)
    return [props.Part(turn(part.points, turned) + place.astype(np.float32), part.colours) for part in parts]


def build(
    rng: np.random.Generator, rotation: Floats, centre: Floats, looks: Looks,
    complexion: Complexion, occluder: bool | None,
) -> Scene:  # fmt: skip
    """Put a head, its neck and whatever covers it before the camera."""
    cut = HAIRCUTS[complexion.haircut]
    hair = haircut_mask(complexion.haircut)[2]
    vertices, normals = shape_head(looks, hair)
    r, t = rotation.astype(np.float32), centre.astype(np.float32)

    def placed(part: props.Part) -> props.Part:
        return props.Part(turn(part.points, r) + t, part.colours)

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
    vertices, normals = turn(vertices, r) + t, turn(normals, r)
    if hold:
        landmarks = landmark_anchors().on(vertices)
        other = random_complexion(rng).skin if rng.random() < 0.3 else complexion.skin
        objects += _held(rng, landmarks, float(vertices[:, 2].min()), other)
    return Scene(vertices, normals, rest, objects)


@cache
def _chart_places() -> Singles:
    """Return the (N, 3) column and row of each vertex, 0 to 1, which the z-buffer interpolates."""
    rows, columns = chart().shape
    across, down = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    return np.stack([across, down, 0 * across], axis=-1).reshape(-1, 3).astype(np.float32)


def _add(buffer: ZBuffer, parts: list[props.Part], lights: tuple[Floats, Floats, Floats]) -> None:
    """Draw parts with their lit colours."""
    for outside_only in (True, False):
        chosen = [part for part in parts if part.outside_only is outside_only]
        if not chosen:
            continue
        vertices, normals, colours, triangles = props.merge(chosen)
        # Cloth and rods are seen from either side.
        away = np.einsum("nd,nd->n", normals, vertices) > 0
        normals[away] *= -1
        light, shine = _shade(normals, vertices / vertices[:, 2:], lights, 0.06)
        buffer.draw(vertices, triangles, np.clip(colours * light + shine[:, None], 0, 1), outside_only)


def draw(
    scene: Scene, texture: Picture, lights: tuple[Floats, Floats, Floats],
    canvas: Picture, focal: ArrayLike, gloss: float,
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
    canvas: Picture, crop: tuple[slice, slice], places: Singles, scene: Scene, texture: Picture,
    lights: tuple[Floats, Floats, Floats], depth: Singles, gloss: float,
) -> None:  # fmt: skip
    """Lay the texture over the head, pixel by pixel, and light it."""
    rows, columns = chart().shape
    light, shine = _shade(scene.normals, scene.vertices / scene.vertices[:, 2:], lights, gloss)
    # Light up to twice the texture's own, and shine, in eight bits each: finer than what JPEG keeps.
    levels = cv2.convertScaleAbs(light.reshape(rows, columns, 3), alpha=LIGHT)
    gleam = cv2.convertScaleAbs(shine.reshape(rows, columns), alpha=255)
    lights_and_gleam = np.asarray(cv2.merge([*cv2.split(levels), gleam]), np.uint8)

    def lay(picture: Picture, steps: float) -> Picture:
        laid = cv2.remap(
            picture,
            places[crop][..., 0] * np.float32((columns - 1) * steps),
            places[crop][..., 1] * np.float32((rows - 1) * steps),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(laid, np.uint8)

    lit = lay(lights_and_gleam, 1)
    shown = cv2.multiply(lay(texture, TEXELS), lit[..., :3], scale=1 / LIGHT)
    shown = cv2.add(shown, cv2.merge([lit[..., 3]] * 3))
    covered = (depth[crop] < FAR).astype(np.uint8)
    cv2.copyTo(shown, covered, canvas[crop])


def coarse(depth: Singles, size: tuple[int, int]) -> Singles:
    """Return the depth at the centres of the image's pixels; 0 where nothing but background is.

    A centre lies amid four samples: interpolated where they are one surface, else the nearest of them.
    """
    height, width = size
    rows, columns = (
        np.floor((np.arange(side) + 0.5) * samples / side - 0.5).astype(np.intp)
        for side, samples in zip(size, depth.shape, strict=True)
    )
    four = [depth[rows + down][:, columns + right] for down in (0, 1) for right in (0, 1)]
    near, far = reduce(np.minimum, four), reduce(np.maximum, four)
    between = cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)
    whole = np.where(far - near < 4.0, between, near)
    return np.where(near < FAR, whole, 0).astype(np.float32)


def states_of(
    points: Floats, normals: Floats, pixels: Floats, person: Singles, everything: Singles
) -> NDArray[np.uint8]:
    """Return the visibility of (K, 3) points of the surface, whose pixels are those of the z-buffers."""
    turned_away = np.einsum("kd,kd->k", points, normals) > 0
    hidden = turned_away | lies_behind(person, pixels, points[:, 2])
    covered = lies_behind(everything, pixels, points[:, 2])
    states = np.where(covered, VISIBILITY["occluded"], VISIBILITY["visible"])
    return np.where(hidden, VISIBILITY["hidden"], states).astype(np.uint8)
