"""Rendered faces: photographs of random heads, with the exact truth about every point."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError, whole_number
from facebench.geometry.boxes import tight_box
from facebench.geometry.rotations import euler_to_rotation, not_rotations
from facebench.synthetic.head_mesh import Anchors, chart, random_looks
from facebench.synthetic.photograph import background, expose
from facebench.synthetic.scene import (
    FINER,
    build,
    coarse,
    draw,
    feature_places,
    landmark_anchors,
    random_lights,
    random_pose,
    states_of,
)
from facebench.synthetic.skin import paint, random_complexion

__all__ = ["FILL", "RenderedFace", "render_face", "render_faces"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Picture = NDArray[np.uint8]

FILL = 0.48  # share of the image's shorter side that a frontal mean face's 68 points are high
FACE_HEIGHT = 132.0  # of those points on the mean head, mm
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
    seed, index = whole_number("seed", seed, 0), whole_number("index", index, 0)
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
    lights = random_lights(rng)
    canvas = background((math.ceil(FINER * height), math.ceil(FINER * width)), rng)
    finer = np.array(canvas.shape[1::-1]) / (width, height)
    scene = build(rng, r, centre, looks, complexion, occluder)
    gloss = rng.uniform(0.02, 0.14)
    texture = paint(complexion, looks)
    person, everything = draw(scene, texture, lights, canvas, focal * finer, gloss)
    picture = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    image, jpeg = expose(picture.astype(np.uint8), rng)

    def truth(anchors: Anchors) -> tuple[Floats, Floats, NDArray[np.uint8]]:
        points = anchors.on(scene.vertices)
        flat = points[:, :2] / points[:, 2:] * focal + camera[:2, 2]
        # Both grids cover the same picture, and have 0 at the centre of their first pixel.
        pixels = finer * (flat + 0.5) - 0.5
        return points, flat, states_of(points, anchors.on(scene.normals), pixels, person, everything)

    points3d, points, visibility = truth(landmark_anchors())
    names, places = feature_places(complexion)
    features, _, states = truth(chart().anchors(places))
    return RenderedFace(
        image=image, jpeg=jpeg, rotation=r, points=points, visibility=visibility,
        points3d=points3d, centre=centre, camera=camera, depth=coarse(everything, (height, width)),
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
    count, seed = whole_number("count", count, 1), whole_number("seed", seed, 0)
    workers, sides = whole_number("workers", workers, 0), _checked_size(size)
    one = partial(_numbered, seed=seed, size=sides)
    if not workers:
        return map(one, range(count))
    return _in_processes(one, count, workers)


def _in_processes(one: partial[RenderedFace], count: int, workers: int) -> Iterator[RenderedFace]:
    from multiprocessing import get_context

    # A fresh process, because OpenCV's threads do not survive a fork.
    context = get_context("spawn")
    with context.Pool(min(workers, count), initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.imap(one, range(count), chunksize=4)
