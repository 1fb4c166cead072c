"""Rendered faces as a release of BIWI: RGB images, depth images, poses and cameras (PROTOCOLS 1.7, 2.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError
from facebench.geometry.rotations import euler_to_rotation
from facebench.synthetic.faces import RenderedFace
from facebench.synthetic.trees.files import empty_folder, png_bytes
from facebench.synthetic.trees.points import project

__all__ = ["DEPTH_CAMERA", "RGB_FROM_DEPTH", "Extrinsics", "seen_by_depth_camera", "write_biwi_tree"]

Floats = NDArray[np.float64]

SEQUENCES = 24
# The frames of the release begin with 3.
FIRST_FRAME = 3
WIDTH, HEIGHT = 640, 480
#: The matrix of the depth camera, the same in every sequence.
DEPTH_CAMERA = np.array([[575.816, 0.0, 320.0], [0.0, 575.816, 240.0], [0.0, 0.0, 1.0]])
# A surface is found where two lines of sight meet; so often they are moved towards each other.
STEPS = 8
# They have met when they end up in the same pixel, or in the next.
MET = 1.5


@dataclass(frozen=True, eq=False)
class Extrinsics:
    """Where the RGB camera is: ``X_rgb = rotation @ X_depth + translation``, mm."""

    rotation: Floats
    translation: Floats


#: Ours is turned further than those of the release (about one degree), so that a wrong turn stands out.
RGB_FROM_DEPTH = Extrinsics(
    euler_to_rotation([2.4, -1.7, 1.1], "raw-xyz").round(6), np.array([-24.5, 6.25, -12.75])
)


def write_biwi_tree(
    folder: Path, faces: Iterable[RenderedFace], extrinsics: Extrinsics = RGB_FROM_DEPTH
) -> list[str]:
    """Write ``hpdb/NN`` with the four files of each frame, ``rgb.cal`` and ``depth.cal``.

    The rendered image is that of the RGB camera.  ``_pose.txt`` has ``R_cam`` and the head centre in the
    frame of the depth camera, and ``_depth.bin`` what that camera sees, in whole millimetres.  Numbers in
    text have six digits.  The meshes ``NN.obj`` are not written.

    Parameters
    ----------
    folder : a new or empty folder.
    faces : those with the same camera matrix and image size are one sequence, and there are 24 at most; the
        images of the release have 640 x 480 pixels.
    """
    root = empty_folder(folder) / "hpdb"
    frames: dict[tuple[bytes, tuple[int, ...]], list[str]] = {}
    ids = []
    for face in faces:
        sequence = frames.setdefault((face.camera.tobytes(), face.image.shape), [])
        place = root / f"{list(frames).index((face.camera.tobytes(), face.image.shape)) + 1:02d}"
        if not sequence:
            if len(frames) > SEQUENCES:
                msg = f"The faces have more than {SEQUENCES} cameras, and a camera is one sequence."
                raise UsageError(msg)
            place.mkdir(parents=True)
            height, width = face.image.shape[:2]
            (place / "rgb.cal").write_text(
                _camera_text(face.camera, extrinsics, (width, height)), encoding="ascii", newline="\n"
            )
            itself = Extrinsics(np.eye(3), np.zeros(3))
            (place / "depth.cal").write_text(
                _camera_text(DEPTH_CAMERA, itself, (WIDTH, HEIGHT)), encoding="ascii", newline="\n"
            )
        frame = f"frame_{FIRST_FRAME + len(sequence):05d}"
        sequence.append(frame)
        rotation = extrinsics.rotation.T @ face.rotation
        centre = extrinsics.rotation.T @ (face.centre - extrinsics.translation)
        pose = f"{_rows(rotation)}\n{_rows(centre)}\n"
        (place / f"{frame}_rgb.png").write_bytes(png_bytes(face.image))
        (place / f"{frame}_pose.txt").write_text(pose, encoding="ascii", newline="\n")
        depth = seen_by_depth_camera(face.depth, face.camera, extrinsics)
        (place / f"{frame}_depth.bin").write_bytes(_runs(depth))
        ids.append(f"{place.name}/{frame}")
    return ids


def _rows(values: ArrayLike) -> str:
    """Return rows of numbers of six digits, with a space behind each, as the release prints them."""
    return "".join("".join(f"{value:g} " for value in row) + "\n" for row in np.atleast_2d(values))


def _camera_text(matrix: Floats, extrinsics: Extrinsics, size: tuple[int, int]) -> str:
    parts = (_rows(matrix), "0 0 0 0 \n", _rows(extrinsics.rotation), _rows(extrinsics.translation))
    return "\n".join((*parts, f"{size[0]} {size[1]}"))


def seen_by_depth_camera(
    depth: NDArray[np.float32], camera: Floats, extrinsics: Extrinsics
) -> NDArray[np.int16]:
    """Return the (480, 640) image of the depth camera, whole mm, of what the RGB camera sees; 0 is nothing.

    Along every line of sight the point is found at which the other camera sees the same distance.  There is
    none where the other camera looks past an edge; the Kinect's own images are empty beside edges as well.

    Parameters
    ----------
    depth : (H, W) mm along z of the RGB camera, 0 where nothing is.
    camera : (3, 3) K of the RGB camera.
    """
    image = np.zeros((HEIGHT, WIDTH), np.int16)
    y, x = _near(depth, camera, extrinsics)
    if not len(x):
        return image
    pixels = np.stack([x, y, np.ones_like(x)], axis=1).astype(float)
    rays, rays_rgb = pixels @ np.linalg.inv(DEPTH_CAMERA).T, np.linalg.inv(camera).T
    z = np.full(len(pixels), float(np.median(depth[depth > 0])))
    for _ in range(STEPS):
        there = (rays * z[:, None]) @ extrinsics.rotation.T + extrinsics.translation
        column, row = np.round(project(camera, there)).astype(int).T
        inside = (column >= 0) & (column < depth.shape[1]) & (row >= 0) & (row < depth.shape[0])
        found = np.where(inside, depth[row * inside, column * inside], 0.0).astype(float)
        on_ray = np.stack([column, row, np.ones_like(row)], axis=1) @ rays_rgb
        back = (on_ray * found[:, None] - extrinsics.translation) @ extrinsics.rotation
        z = np.where(found > 0, back[:, 2], z)
    met = found > 0
    met[met] = np.abs(project(DEPTH_CAMERA, back[met]) - pixels[met, :2]).max(axis=1) < MET
    image[y[met], x[met]] = np.round(z[met])
    return image


def _near(depth: NDArray[np.float32], camera: Floats, extrinsics: Extrinsics) -> NDArray[np.intp]:
    """Return the rows and columns (2, n) of the depth camera's pixels on or beside a surface."""
    y, x = np.nonzero(depth)
    rays = np.stack([x, y, np.ones_like(x)], axis=1) @ np.linalg.inv(camera).T
    points = (rays * depth[y, x, None] - extrinsics.translation) @ extrinsics.rotation
    column, row = np.round(project(DEPTH_CAMERA, points)).astype(int).T
    inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    hit = np.zeros((HEIGHT, WIDTH), np.uint8)
    hit[row[inside], column[inside]] = 1
    return np.array(np.nonzero(cv2.dilate(hit, np.ones((5, 5), np.uint8))))


def _runs(image: NDArray[np.int16]) -> bytes:
    """Return a depth image as runs: how many pixels are empty, how many are not, and these."""
    flat = image.ravel()
    full = np.concatenate([[False], flat > 0, [False]])
    edges = np.flatnonzero(full[1:] != full[:-1])
    parts, at = [struct.pack("<2i", image.shape[1], image.shape[0])], 0
    for begin, end in edges.reshape(-1, 2).tolist():
        parts += [struct.pack("<2i", begin - at, end - begin), flat[begin:end].astype("<i2").tobytes()]
        at = end
    if at < flat.size:
        parts.append(struct.pack("<2i", flat.size - at, 0))
    return b"".join(parts)
