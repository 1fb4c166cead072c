"""The faces of a release in memory, on their way into a prepared-dataset file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facebench.formats.schema import VISIBILITY
from facebench.geometry import carry

__all__ = ["AnnotationSet", "Content", "ImageFile"]

Floats = NDArray[np.float64]
States = NDArray[np.uint8]


@dataclass(frozen=True)
class AnnotationSet:
    """One labelling of N faces.

    Attributes
    ----------
    scheme : name of the landmark scheme, of K points.
    points : (N, K, 2) pixels, 0-based; NaN where a point is not annotated.
    visibility : (N, K) states, the values of ``VISIBILITY``.
    points68, visibility68 : (N, 68, 2) and (N, 68), the same as ``ibug68`` through exact
        correspondences; NaN and 0 (unknown) where ``ibug68`` has a point that the scheme has not.
    """

    scheme: str
    points: Floats
    visibility: States

    @property
    def points68(self) -> Floats:
        return self._as68(self.points, np.nan)

    @property
    def visibility68(self) -> States:
        return self._as68(self.visibility, VISIBILITY["unknown"])

    def _as68(self, values: NDArray, fill: float) -> NDArray:
        return values if self.scheme == "ibug68" else carry(values, self.scheme, "ibug68", fill)


@dataclass(frozen=True)
class ImageFile:
    """An encoded image of the release.

    Attributes
    ----------
    path : its path in the release, from the release's own folder on.
    nbytes : its size; None where the image has to be encoded first.
    read : reads its bytes.
    where : how to name it in a message: its place on the user's disk.
    sha256 : gives the SHA-256, in hex digits, of what was read last, where reading has hashed it already.
    """

    path: str
    nbytes: int | None
    read: Callable[[], bytes]
    where: str = ""
    sha256: Callable[[], str] | None = None


@dataclass(frozen=True)
class Content:
    """Everything that a prepared-dataset file holds, before the images have been read.

    Attributes
    ----------
    ids : N face ids, sorted.
    images : the M images; ``image_of`` gives the row of each face's image.
    poses : (N, 3, 3) ``R_cam`` by each named source of pose; the first is the dataset's own choice.
    pose_source : (N, c) the release's own pose numbers and, in ``pose_columns``, what they are.
    source : further numbers of the release in its own units, (N, c) each.
    groups : N labels of what faces belong together (a sequence, a subject), by kind.
    paths : N paths of further files of the release that belong to the face, by kind.
    splits : rows of the faces of each split, ascending.
    """

    dataset: str
    licence: str
    citation: str
    ids: Sequence[str]
    images: Sequence[ImageFile]
    image_of: NDArray[np.int64]
    annotations: Mapping[str, AnnotationSet]
    splits: Mapping[str, NDArray[np.int64]]
    boxes: Mapping[str, Floats] = field(default_factory=dict)
    poses: Mapping[str, Floats] = field(default_factory=dict)
    pose_source: Floats | None = None
    pose_columns: str = ""
    source: Mapping[str, NDArray] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    paths: Mapping[str, Sequence[str]] = field(default_factory=dict)
