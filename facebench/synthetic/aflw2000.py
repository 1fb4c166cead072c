"""Drawn faces in the layout of the AFLW2000-3D release, to do without its images.

``AFLW2000/image9NNNN.jpg`` and ``.mat`` have the keys, shapes, types and habits of the release:
angles are radians in ``raw-xyz``, the model is in micrometres with y upwards, and a hidden one of
the 21 AFLW points is stored as (-1, 452).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError, name_some, whole_number
from facebench.geometry.rotations import euler_to_rotation
from facebench.geometry.schemes import get_scheme
from facebench.synthetic.drawing import draw_face, project
from facebench.synthetic.mean_head import mean_head
from facebench.synthetic.surface import head_surface
from facebench.synthetic.trees.aflw2000 import FIRST_ID, MOST_FACES, SIZE, STACK, face_mat

__all__ = ["DrawnFaces", "draw_aflw2000_tree"]

# Faces that the rule |angle| <= 99 of the protocols leaves out: one on its side, and one whose
# angle is a whole turn off, so that only its raw reading is out of range.
ON_ITS_SIDE, WHOLE_TURN = 15, 31


@dataclass(frozen=True, eq=False)
class DrawnFaces:
    """The exact truth behind a written tree; rows follow the sorted ids.

    Attributes
    ----------
    ids : names of the images without suffix.
    rotation : (N, 3, 3) ``R_cam``.
    points : (N, 68, 2) ibug points in pixels.
    visible21 : (N, 21) whether the camera sees each AFLW point.
    """

    ids: list[str]
    rotation: NDArray[np.float64]
    points: NDArray[np.float64]
    visible21: NDArray[np.bool_]


def _draw_pose(index: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return raw yaw, pitch, roll in degrees: 65 % of |yaw| below 30, 20 % to 60, 15 % to 85."""
    # Steps of the golden ratio fill the distribution evenly, however few faces are asked for.
    rank = (0.5 + index * 0.6180339887) % 1.0
    yaw = np.interp(rank, [0, 0.65, 0.85, 1], [0, 30, 60, 85]) * rng.choice([-1, 1])
    pitch, roll = np.clip(rng.normal(0, [12, 10]), -45, 45)
    if index == ON_ITS_SIDE:
        roll = 120.0
    return np.array([yaw - 360.0 if index == WHOLE_TURN else yaw, pitch, roll])


def _check(tree: Path, names: list[str]) -> None:
    """Refuse a folder with other files in it: a later reader would take them for faces as well."""
    written = {f"{name}{suffix}" for name in names for suffix in (".jpg", ".mat")}
    others = sorted({path.name for path in tree.iterdir()} - written) if tree.exists() else []
    if others:
        msg = f"{tree} holds other files ({name_some(others)}). Name a new or empty folder."
        raise UsageError(msg)


def draw_aflw2000_tree(folder: Path, faces: int = 48, seed: int = 7) -> DrawnFaces:
    """Draw faces and write them as an AFLW2000-3D release, with the second labelling beside it.

    The same arguments write the same bytes on the same platform, and fewer faces are the first
    ones of more.  With 16 faces or more, one is outside the range of angles that the protocols
    keep; with 32 or more, another one is so by a whole turn only.

    Parameters
    ----------
    folder : where ``AFLW2000/`` and ``AFLW2000-3D-Reannotated.pts68.npy`` go; made when missing.
    faces : how many, 1 to 9999.
    seed : decides poses, colours and backgrounds; 0 or more.

    Raises
    ------
    UsageError : an argument is out of range, or the folder already holds other faces.
    """
    whole_number("faces", faces, 1, MOST_FACES)
    whole_number("seed", seed, 0)
    ids = [f"image{FIRST_ID + index}" for index in range(faces)]
    tree = Path(folder) / "AFLW2000"
    _check(tree, ids)
    tree.mkdir(parents=True, exist_ok=True)

    head, aflw, surface = mean_head(), mean_head("aflw21"), head_surface()
    rotation = np.empty((faces, 3, 3))
    points = np.empty((faces, len(head), 2))
    again = np.empty((faces, 2, len(head)), np.float32)
    visible = np.empty((faces, len(get_scheme("aflw21"))), bool)
    for index, name in enumerate(ids):
        rng = np.random.default_rng([seed, index])
        euler = _draw_pose(index, rng)
        r, scale = euler_to_rotation(euler, "raw-xyz"), rng.uniform(1.15, 1.45)
        flat = project(head, r, scale, (0, 0))
        shift = SIZE / 2 + rng.uniform(-15, 15, 2) - (flat.min(axis=0) + flat.max(axis=0)) / 2
        rotation[index], points[index] = r, flat + shift
        visible[index] = surface.visible(aflw, r)
        again[index] = np.round(points[index] + rng.normal(0, 1, flat.shape)).T

        solid = np.vstack([points[index].T, -scale * (head @ r[2])])
        points21 = project(aflw, r, scale, shift)
        mat = face_mat(euler, scale, shift, solid, points21, visible[index])
        (tree / f"{name}.mat").write_bytes(mat)
        picture = cv2.cvtColor(draw_face(r, scale, shift, rng, SIZE), cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
        (tree / f"{name}.jpg").write_bytes(jpeg.tobytes())
    np.save(Path(folder) / STACK, again)
    return DrawnFaces(ids, rotation, points, visible)
