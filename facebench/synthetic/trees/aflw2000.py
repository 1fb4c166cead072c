"""Rendered faces as a release of AFLW2000-3D, with the reannotated points beside it.

PROTOCOLS 1.3, 1.4, 2.1 and 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError
from facebench.geometry.rotations import rotation_to_euler
from facebench.synthetic.faces import RenderedFace
from facebench.synthetic.trees.files import empty_folder, mat_bytes
from facebench.synthetic.trees.points import is_visible, project, scheme_points

__all__ = ["FIRST_ID", "MOST_FACES", "SIZE", "STACK", "face_mat", "write_aflw2000_tree"]

Floats = NDArray[np.float64]

SIZE = 450
FIRST_ID, MOST_FACES = 90001, 9999
STACK = "AFLW2000-3D-Reannotated.pts68.npy"
HIDDEN = np.array([[-1.0], [452.0]])


def face_mat(
    euler: ArrayLike,
    scale: float,
    origin: ArrayLike,
    solid: ArrayLike,
    points21: Floats,
    seen21: NDArray[np.bool_],
) -> bytes:
    """Return the ``.mat`` of one face, with the keys, shapes, types and habits of the release.

    ``Pose_Para`` is pitch, yaw, roll in radians, then the translation in pixels, whose y counts upwards from
    below the image, and the scale from micrometres to pixels.  A point that AFLW does not have is stored as
    (-1, 452).

    Parameters
    ----------
    euler : yaw, pitch, roll in degrees, ``raw-xyz``.
    scale : pixels to the millimetre.
    origin : (2,) pixels of the head's origin.
    solid : (3, 68) x, y in pixels, unshifted, and the depth in the same units, larger towards the camera.
    points21 : (21, 2) pixels of AFLW's points; ``seen21`` tells which of them the camera sees.
    """
    yaw, pitch, roll = np.radians(np.asarray(euler, float))
    x, y = np.asarray(origin, float)
    values: dict[str, NDArray[np.generic]] = {
        "pt2d": np.where(seen21, points21.T, HIDDEN),
        "Illum_Para": np.zeros((1, 10)),
        "Color_Para": np.zeros((1, 7), np.float32),
        "Tex_Para": np.zeros((199, 1)),
        "Shape_Para": np.zeros((199, 1)),
        "Exp_Para": np.zeros((29, 1)),
        "Pose_Para": np.array([[pitch, yaw, roll, x, SIZE + 1 - y, 0.0, scale / 1000]], np.float32),
        "roi": np.array([[1, 1, SIZE, SIZE]], np.int16),
        "pt3d_68": np.asarray(solid).astype(np.float32),
    }
    return mat_bytes(values)


def write_aflw2000_tree(folder: Path, faces: Iterable[RenderedFace]) -> list[str]:
    """Write ``AFLW2000/imageNNNNN.jpg`` and ``.mat``, and the stack of reannotated points.

    A rendered face is seen in perspective, the model of the release under a weak one: the scale is that at
    the head's origin, and the depths of ``pt3d_68`` are those of the head times it.  The reannotated points
    are the same points in whole pixels.  Faces drawn by :func:`facebench.synthetic.draw_aflw2000_tree` are
    exact in these respects, too.

    Parameters
    ----------
    folder : a new or empty folder.
    faces : 9999 at most, with images of 450 x 450 pixels.
    """
    root = empty_folder(folder)
    tree = root / "AFLW2000"
    tree.mkdir()
    ids, again = [], []
    for number, face in enumerate(faces):
        if number == MOST_FACES or face.image.shape != (SIZE, SIZE, 3):
            msg = (
                f"Face {number + 1}: expected {MOST_FACES} faces at most, of {SIZE} x {SIZE} pixels, found "
                f"an image of shape {face.image.shape}."
            )
            raise UsageError(msg)
        name = f"image{FIRST_ID + number}"
        scale = float(face.camera[0, 0] / face.centre[2])
        towards = scale * (face.centre[2] - face.points3d[:, 2])
        points21, states = scheme_points(face, "aflw21")
        mat = face_mat(
            rotation_to_euler(face.rotation, "raw-xyz"),
            scale,
            project(face.camera, face.centre),
            np.vstack([face.points.T, towards]),
            points21,
            is_visible(states),
        )
        (tree / f"{name}.mat").write_bytes(mat)
        (tree / f"{name}.jpg").write_bytes(face.jpeg)
        again.append(np.round(face.points.T).astype(np.float32))
        ids.append(name)
    np.save(root / STACK, np.array(again, np.float32).reshape(-1, 2, 68))
    return ids
