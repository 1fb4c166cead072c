"""Landmark errors: distances in pixels, and the normalised mean error (NME) under its many normalisers.

``NME_i = 100 / |K_i| * sum_k ||p_k - g_k|| / d_i`` for face i, with K_i the evaluated points and d_i the
normalising distance, measured on the ground truth (PROTOCOLS 3.1, 3.2).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError
from facebench.geometry import box_size, get_scheme, tight_box

__all__ = [
    "EYE_NORMALISERS",
    "NORMALISERS",
    "masked_mean",
    "nme",
    "normalising_distance",
    "point_errors",
]

Floats = NDArray[np.float64]


def _contour(eye: str) -> tuple[str, ...]:
    names = ("outer", "top_outer", "top_inner", "inner", "bottom_inner", "bottom_outer")
    return tuple(f"{eye}_{name}" for name in names)


#: The eye distances: from the mean of the first group of points to the mean of the second.  A group names
#: points, or a face part for all of its points.
EYE_NORMALISERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # outer corners: HRNet, PIPNet, mmpose, STAR "ocular", SPIGA "corners"
    "corners": (("left_eye_outer",), ("right_eye_outer",)),
    # the six contour points of each eye of ibug68: the 300W "inter-pupil" papers, SPIGA "pupils"
    "pupils6": (_contour("left_eye"), _contour("right_eye")),
    # the two corners of each eye: images_framework "pupils" on 68 and 21 points
    "pupils-corners": (
        ("left_eye_outer", "left_eye_inner"),
        ("right_eye_inner", "right_eye_outer"),
    ),
    # the four contour points of each eye of cofw29, not the pupil: images_framework "pupils" on COFW
    "pupils-contour": (
        ("left_eye_outer", "left_eye_inner", "left_eye_top", "left_eye_bottom"),
        ("right_eye_inner", "right_eye_outer", "right_eye_top", "right_eye_bottom"),
    ),
    # every point of each eye: faces_framework, so 6 points of ibug68, 5 of cofw29 and 3 of aflw21
    "pupils-part": (("left_eye",), ("right_eye",)),
    # the annotated pupils: RCPR, STAR "pupil"
    "pupils-annotated": (("left_pupil",), ("right_pupil",)),
}

#: The sizes of a box of width w and height h.
BOX_NORMALISERS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "box-height": lambda w, h: h,
    "box-sqrt": lambda w, h: np.sqrt(w * h),
    "box-diagonal": np.hypot,
    "box-max": np.maximum,
}

#: Names of all normalisers.
NORMALISERS = (*EYE_NORMALISERS, *BOX_NORMALISERS)

# Faces per step: the working arrays of a step stay in the processor's cache.
BLOCK = 512


def normalising_distance(
    points: ArrayLike, normaliser: str, *, scheme: str = "ibug68", boxes: ArrayLike | None = None
) -> Floats:
    """Measure the distance that the errors of each face are divided by.

    Parameters
    ----------
    points : (N, K, 2) ground truth in pixels.
    normaliser : one of :data:`NORMALISERS`.
    scheme : scheme of the points; eye distances are taken by the names of its points.
    boxes : (N, 4) boxes for the ``box-`` normalisers; the tight box of the points when not given.

    Returns
    -------
    (N,) pixels; NaN where a point that it needs is not annotated.

    Raises
    ------
    UsageError : unknown normaliser, or one that needs points which the scheme has not.
    """
    p = np.asarray(points, float)
    if normaliser in EYE_NORMALISERS:
        left, right = (_eye_centre(p, scheme, names) for names in EYE_NORMALISERS[normaliser])
        return np.hypot(*np.moveaxis(left - right, -1, 0))
    if normaliser in BOX_NORMALISERS:
        width, height = box_size(tight_box(p) if boxes is None else boxes).T
        return BOX_NORMALISERS[normaliser](width, height)
    msg = f"Unknown normaliser '{normaliser}'. Known normalisers: {', '.join(NORMALISERS)}."
    raise UsageError(msg)


def _eye_centre(points: Floats, scheme: str, names: tuple[str, ...]) -> Floats:
    """Return the (N, 2) mean of points named singly or by face part."""
    known = get_scheme(scheme)
    lacking = [name for name in names if name not in known.parts and name not in known.points]
    if lacking:
        msg = f"The scheme '{scheme}' has no point or part '{lacking[0]}', which the normaliser needs."
        raise UsageError(msg)
    chosen = [i for name in names for i in (known.part(name) if name in known.parts else [known.index(name)])]
    return points[:, chosen].mean(axis=1)


def point_errors(predicted: ArrayLike, truth: ArrayLike) -> Floats:
    """Return the (N, K) distances in pixels between (N, K, 2) points; NaN where either is NaN."""
    difference = np.asarray(predicted, float) - np.asarray(truth, float)
    np.square(difference, out=difference)
    distances = difference[..., 0] + difference[..., 1]
    return np.sqrt(distances, out=distances)


def masked_mean(values: ArrayLike) -> Floats:
    """Return the mean over the last axis of the values that are not NaN; NaN where there is none."""
    v = np.asarray(values, float)
    mean = v.mean(axis=-1)
    if np.isnan(mean).any():  # rare, so the extra passes are made only then
        present = ~np.isnan(v)
        with np.errstate(invalid="ignore"):
            mean = np.where(present, v, 0.0).sum(axis=-1) / present.sum(axis=-1)
    return mean


def nme(predicted: ArrayLike, truth: ArrayLike, distance: ArrayLike) -> Floats:
    """Return the (N,) normalised mean error of each face, in percent.

    The mean is over the points annotated in the truth and predicted (neither is NaN); it is NaN for a
    face without such a point.

    Parameters
    ----------
    predicted, truth : (N, K, 2) pixels.
    distance : (N,) pixels, from :func:`normalising_distance`.

    Raises
    ------
    ValueError : the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[[0.0, 0.0], [50.0, 0.0]]])
    >>> nme(truth + [3.0, 4.0], truth, distance=[100.0])
    array([5.])
    """
    p, g, d = (np.asarray(one, float) for one in (predicted, truth, distance))
    if p.shape != g.shape or d.shape != g.shape[:1]:
        msg = f"expected points of one shape and one distance a face, found {p.shape}, {g.shape}, {d.shape}"
        raise ValueError(msg)
    means = np.empty(len(g))
    for begin in range(0, len(g), BLOCK):
        block = slice(begin, begin + BLOCK)
        means[block] = masked_mean(point_errors(p[block], g[block]))
    return 100.0 * means / d
