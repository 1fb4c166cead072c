"""The mean head as the file of a mean 3D face, from which POSIT computes poses (PROTOCOLS 2.4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.geometry.schemes import convert, get_scheme
from facebench.synthetic.mean_head import mean_head

__all__ = ["write_mean_face"]

# Millimetres between the line of a brow of the 68 points and its upper and lower border.
HALF_BROW = 2.5


def write_mean_face(folder: Path, scheme: str) -> Path:
    """Write ``mean_face_3D_<points>.txt``, lines of ``label|x|y|z``, and return its path.

    The labels are UPM's (PROTOCOLS 1.1), x points to the right of the image, y up, z to the viewer;
    millimetres.

    Parameters
    ----------
    folder : where the file goes; made when missing.
    scheme : ``ibug68`` or ``cofw29``.
    """
    points = _mean_cofw29() if scheme == "cofw29" else mean_head(scheme)
    labelled = zip(get_scheme(scheme).upm_labels, points * (1, -1, -1), strict=True)
    path = Path(folder) / f"mean_face_3D_{len(points)}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{label}|{x:.6f}|{y:.6f}|{z:.6f}\n" for label, (x, y, z) in labelled)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
    return path


def _mean_cofw29() -> NDArray[np.float64]:
    """Return the 29 points of COFW on the mean head; those that the head lacks are laid around others."""
    scheme = get_scheme("cofw29")
    points = convert(mean_head()[None], "ibug68", "cofw29", "approximate")[0]
    for side in ("left", "right"):
        top, bottom = (scheme.index(f"{side}_brow_{end}_centre") for end in ("top", "bottom"))
        points[bottom] = points[top] + (0, HALF_BROW, 0)
        points[top] -= (0, HALF_BROW, 0)
    return points
