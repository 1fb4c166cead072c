"""Reading a mean 3D face, from which POSIT computes the pose of faces with landmarks.

The published files are those of pcr-upm/faces_framework, ``headpose/posit/data/mean_face_3D_<points>.txt``
(``label|x|y|z``), or the same as CSV.  Each scheme has its own file: their shared points differ.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from facebench.geometry import get_scheme

__all__ = ["is_mean_face", "read_mean_face"]

NAME = re.compile(r"(?i)(.*/)?mean_face_3d_(?P<points>\d+)\.(txt|csv)")

# UPM's labels beyond these are local to a data set, and their POSIT leaves them out.
LAST_SHARED_LABEL = 24


def is_mean_face(name: str, points: int) -> bool:
    """Tell whether a file is the mean face of a scheme with so many points, by its name."""
    match = NAME.fullmatch(name)
    return match is not None and int(match["points"]) == points


def read_mean_face(data: bytes, scheme: str) -> NDArray[np.float64]:
    """Return the (K, 3) points of a mean face in the order of a scheme; NaN for those that POSIT leaves out.

    Raises
    ------
    ValueError : it is no table of a label and three numbers, or lacks the points that POSIT uses.
    """
    found: dict[int, list[float]] = {}
    for line in data.decode("utf-8-sig").splitlines():
        cells = re.split(r"[|,]", line.strip())
        if len(cells) != 4 or not cells[0].isdigit():
            if line.strip() and not line.startswith("label"):
                msg = f"expected lines of a label and three numbers, found {line.strip()[:40]!r}"
                raise ValueError(msg)
            continue
        found[int(cells[0])] = [float(cell) for cell in cells[1:]]
    labels = get_scheme(scheme).upm_labels
    shared = [label for label in labels if label <= LAST_SHARED_LABEL]
    lacking = [str(label) for label in shared if label not in found]
    if lacking:
        msg = f"expected the labels 1 to {LAST_SHARED_LABEL} of {scheme}, missing {', '.join(lacking)}"
        raise ValueError(msg)
    outside = [np.nan] * 3
    return np.array([found[label] if label <= LAST_SHARED_LABEL else outside for label in labels])
