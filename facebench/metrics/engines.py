"""Engines: numbers recomputed by the published rule of somebody else's evaluation code, quirks included.

The exact numbers of :mod:`facebench.metrics` often differ from published ones only because the published
code integrates, averages or wraps in its own way.  An engine repeats that way, so that the difference can
be shown and explained; it is never the recommended number.

==========  ==================  ==================================================================
engine      defines             rule
==========  ==================  ==================================================================
upm         auc fr nme mae      histogram without the tail; whole pixels; twin triples
spiga       auc fr nme          histogram with the tail; division by all points
pipnet      auc fr              thresholds in steps of 0.0001, one of them beyond the last
luvli       auc nme             straight lines between the sorted errors; division by all points
san         auc                 2000 thresholds, strict comparison
hrnet       nme                 division by all points
3ddfa       balanced            mean and standard deviation of three yaw bins
6drepnet    mae                 least of e, e ± 180 and e ± 360 for each axis alone
==========  ==================  ==================================================================

An engine has a rule only where one is known (PROTOCOLS 3.1, 3.2, 3.3, 3.5, 5).  Details of a rule that
are UNCERTAIN are named where they are computed.

Absent and missed faces
-----------------------
A NaN error (no such face) is not part of any vector these programs ever saw: every engine leaves it out.
An infinite error (a missed face) is a face above every threshold for ``pipnet``, ``luvli`` and ``san``.
The histogram of ``upm`` and ``spiga`` takes finite errors only: images_framework skips a face without
prediction, so such faces are left out; what SPIGA's code would do with one is UNCERTAIN.  For ``3ddfa`` an
infinite error makes the mean of its bin infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import UsageError
from facebench.geometry import tight_box
from facebench.geometry.rotations import get_convention
from facebench.metrics.landmarks import nme, normalising_distance, point_errors
from facebench.metrics.pose import euler_errors

__all__ = [
    "ENGINES",
    "Balanced",
    "Engine",
    "Rule",
    "engine_auc",
    "engine_balanced",
    "engine_euler_errors",
    "engine_failure",
    "engine_nme",
    "engine_normalising_distance",
    "get_engine",
]

Floats = NDArray[np.float64]

HISTOGRAM_BINS = 10_000
PIPNET_STEP = 1e-4
SAN_POINTS = 2000


class Balanced(NamedTuple):
    """Mean and standard deviation of the means of the yaw bins."""

    mean: float
    std: float


@dataclass(frozen=True)
class Rule:
    """How an engine computes one measure, and in one line why that differs from the exact number."""

    compute: Callable[..., Any]
    why: str


@dataclass(frozen=True)
class Engine:
    """The rules of one evaluation code.

    Attributes
    ----------
    code : whose code it is, in one line.
    rules : what the engine defines, of ``auc``, ``fr``, ``nme``, ``mae``, ``balanced``.
    distance : how it measures the normalising distance of its ``nme``.
    """

    name: str
    code: str
    rules: Mapping[str, Rule]
    distance: Callable[..., Floats] = normalising_distance


# --- Area under the cumulative error distribution, and failures (PROTOCOLS 3.3)


def _present(errors: ArrayLike) -> Floats:
    e = np.asarray(errors, float)
    return e[~np.isnan(e)]


def _histogram_curve(errors: ArrayLike, threshold: float) -> tuple[Floats, Floats] | None:
    """Return the left edges below the threshold and the shares counted up to the end of their bins.

    None where the rule gives no number: no finite error, none below the threshold, or errors that differ
    in their last digits only, which numpy cannot part into so many bins.
    """
    e = np.asarray(errors, float)
    e = e[np.isfinite(e)]
    if not e.size:
        return None
    try:
        counts, edges = np.histogram(e, bins=HISTOGRAM_BINS)
    except ValueError:
        return None
    kept = edges[:-1] < threshold
    return (edges[:-1][kept], np.cumsum(counts)[kept] / e.size) if kept.any() else None


def _simpson(shares: Floats, x: Floats) -> float:
    # For an even number of points scipy's present rule; older releases had another, with which the peers
    # may have published.  It concerns the last interval only.
    from scipy.integrate import simpson

    return float(simpson(shares, x=x))


def _auc_upm(errors: ArrayLike, threshold: float) -> float:
    curve = _histogram_curve(errors, threshold)
    return np.nan if curve is None else 100.0 * _simpson(curve[1], curve[0]) / threshold


def _auc_spiga(errors: ArrayLike, threshold: float) -> float:
    curve = _histogram_curve(errors, threshold)
    if curve is None:
        return np.nan
    edges, shares = curve
    tail = threshold - edges[-1] if shares[-1] == 1.0 else 0.0
    return 100.0 * float(_simpson(shares, edges) + tail) / threshold


def _failure_histogram(errors: ArrayLike, threshold: float) -> float:
    curve = _histogram_curve(errors, threshold)
    return np.nan if curve is None else 100.0 * float(1.0 - curve[1][-1])


def _auc_pipnet(errors: ArrayLike, threshold: float) -> float:
    e = np.sort(_present(errors)) / 100.0
    if not e.size:
        return np.nan
    end = threshold / 100.0
    grid = np.arange(0.0, end + PIPNET_STEP, PIPNET_STEP)
    shares = np.searchsorted(e, grid, side="right") / e.size
    return 100.0 * _simpson(shares, grid) / end


def _failure_above(errors: ArrayLike, threshold: float) -> float:
    e = _present(errors)
    return 100.0 * float((e > threshold).mean()) if e.size else np.nan


def _auc_luvli(errors: ArrayLike, threshold: float) -> float:
    """Integrate straight lines through the points (k-th smallest error, k / N), up to the threshold.

    UNCERTAIN: the curve is taken to begin at the smallest error, and to stay at 1 beyond the largest.
    """
    e = np.sort(_present(errors))
    below = e[e <= threshold]
    if not below.size:
        return 0.0 if e.size else np.nan
    shares = np.arange(1, e.size + 1) / e.size
    at_threshold = shares[below.size - 1]
    if below.size < e.size:
        last, following = below[-1], e[below.size]
        at_threshold += (threshold - last) / (following - last) / e.size
    x, y = np.append(below, threshold), np.append(shares[: below.size], at_threshold)
    return 100.0 * _trapezoid(y, x) / threshold


def _auc_san(errors: ArrayLike, threshold: float) -> float:
    """Compare with 2000 thresholds.  UNCERTAIN: they are taken to include 0 and the threshold itself."""
    e = np.sort(_present(errors))
    if not e.size:
        return np.nan
    grid = np.linspace(0.0, threshold, SAN_POINTS)
    return 100.0 * _trapezoid(np.searchsorted(e, grid, side="left") / e.size, grid) / threshold


def _trapezoid(shares: Floats, x: Floats) -> float:
    return float((np.diff(x) * (shares[1:] + shares[:-1])).sum() / 2.0)


# --- Normalised mean error (PROTOCOLS 3.1, 3.2, 3.5)


def _distance_upm(
    truth: ArrayLike, normaliser: str, *, scheme: str = "ibug68", boxes: ArrayLike | None = None
) -> Floats:
    whole = np.round(np.asarray(truth, float))
    if boxes is None:  # the width of cv2.boundingRect counts pixels: one more than the difference
        boxes = tight_box(whole) + np.array([0.0, 0.0, 1.0, 1.0])
    return normalising_distance(whole, normaliser, scheme=scheme, boxes=boxes)


def _nme_upm(predicted: ArrayLike, truth: ArrayLike, distance: ArrayLike) -> Floats:
    return nme(predicted, np.round(np.asarray(truth, float)), distance)


def _nme_by_all_points(predicted: ArrayLike, truth: ArrayLike, distance: ArrayLike) -> Floats:
    present = ~np.isnan(point_errors(predicted, truth))
    return nme(predicted, truth, distance) * present.mean(axis=1)


# --- Pose (PROTOCOLS 5)


def _wrap(degrees: Floats) -> Floats:
    return (degrees + 180.0) % 360.0 - 180.0


def _euler_upm(predicted: Floats, truth: Floats, convention: str) -> Floats:
    """Measure from the twin of the prediction, the other triple of the same rotation, where it is closer.

    The twin turns the outer two angles by 180 and takes 180 minus the middle one.  UNCERTAIN: which of the
    two is closer is taken to be decided by their mean error before that is wrapped to min(e, 360 - e).
    """
    middle = 0 if get_convention(convention).order == "XYZ" else 1
    twin = predicted - 180.0
    twin[..., middle] = 180.0 - predicted[..., middle]
    twin = _wrap(twin)
    closer = np.abs(twin - truth).mean(axis=-1) < np.abs(predicted - truth).mean(axis=-1)
    return euler_errors(np.where(closer[..., None], twin, predicted), truth)


def _euler_6drepnet(predicted: Floats, truth: Floats, convention: str) -> Floats:
    turned = (predicted - truth) + np.array([0.0, 360.0, -360.0, 180.0, -180.0])[:, None, None]
    return np.abs(turned).min(axis=0)


# --- Balanced means (PROTOCOLS 3.5)


def _balanced_3ddfa(errors: ArrayLike, yaw: ArrayLike) -> Balanced:
    """Bins |yaw| <= 30, (30, 60] and > 60 degrees.

    UNCERTAIN: the standard deviation is taken to be numpy's, with the number of bins as divisor.
    """
    e, turned = np.asarray(errors, float), np.abs(np.asarray(yaw, float))
    bins = (turned <= 30), (turned > 30) & (turned <= 60), (turned > 60)
    members = [e[one & ~np.isnan(e)] for one in bins]
    means = np.array([one.mean() if one.size else np.nan for one in members])
    with np.errstate(invalid="ignore"):
        return Balanced(float(means.mean()), float(means.std()))


# --- The registry

_BY_ALL_POINTS = Rule(
    _nme_by_all_points,
    "divides the sum of the distances by all points of the scheme, the missing ones too: too low where "
    "points are missing",
)
_FAILURE_HISTOGRAM = Rule(
    _failure_histogram,
    "reads the curve at the end of the bin in which the threshold lies, so faces just above it pass",
)

_ALL = (
    Engine(
        "upm",
        "images_framework of UPM, the authors of MNN",
        {
            "auc": Rule(
                _auc_upm,
                "counts each of 10000 histogram bins from its left edge (a little high), and leaves out the "
                "area from the largest error to the threshold (far too low when no face fails)",
            ),
            "fr": _FAILURE_HISTOGRAM,
            "nme": Rule(
                _nme_upm,
                "rounds the true points to whole pixels and measures a box by cv2.boundingRect, one pixel "
                "wider and higher; skips faces without prediction",
            ),
            "mae": Rule(
                _euler_upm,
                "measures from the other Euler triple of the predicted rotation where that one is closer",
            ),
        },
        _distance_upm,
    ),
    Engine(
        "spiga",
        "SPIGA, with the area beyond the largest error that later versions add",
        {
            "auc": Rule(_auc_spiga, "counts each of 10000 histogram bins from its left edge: a little high"),
            "fr": _FAILURE_HISTOGRAM,
            "nme": _BY_ALL_POINTS,
        },
    ),
    Engine(
        "pipnet",
        "PIPNet, and STAR after it",
        {
            "auc": Rule(
                _auc_pipnet,
                "integrates a step function by Simpson's rule in steps of 0.01 %, and by rounding may add "
                "one step beyond the threshold: too high then",
            ),
            "fr": Rule(_failure_above, "the share of faces above the threshold, as in the exact number"),
        },
    ),
    Engine(
        "luvli",
        "LUVLi",
        {
            "auc": Rule(
                _auc_luvli,
                "joins the sorted errors of N faces by lines instead of steps: too high, by 50/N at most",
            ),
            "nme": _BY_ALL_POINTS,
        },
    ),
    Engine(
        "san",
        "SAN",
        {
            "auc": Rule(
                _auc_san,
                "samples the curve at 2000 thresholds with a strict comparison: off by 0.03 at most",
            )
        },
    ),
    Engine("hrnet", "HRNet", {"nme": _BY_ALL_POINTS}),
    Engine(
        "3ddfa",
        "3DDFA, and methods compared on its benchmark",
        {
            "balanced": Rule(
                _balanced_3ddfa,
                "is the mean of the means of three yaw bins, in which the few profile faces weigh as much "
                "as the many frontal ones",
            )
        },
    ),
    Engine(
        "6drepnet",
        "6DRepNet, and methods built on its test.py",
        {
            "mae": Rule(
                _euler_6drepnet,
                "takes for each axis alone the least of e, e ± 180 and e ± 360: no distance, an error of "
                "180 degrees counts as none",
            )
        },
    ),
)

#: The engines by name.
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ALL}


def get_engine(name: str) -> Engine:
    """Return an engine by name, or raise :class:`UsageError` listing the known ones."""
    if name not in ENGINES:
        msg = f"Unknown engine '{name}'. Known engines: {', '.join(ENGINES)}."
        raise UsageError(msg)
    return ENGINES[name]


def _rule(engine: str, measure: str) -> Callable[..., Any]:
    rules = get_engine(engine).rules
    if measure not in rules:
        able = ", ".join(name for name, one in ENGINES.items() if measure in one.rules)
        msg = f"The engine '{engine}' has no rule for '{measure}', only for {', '.join(rules)}. "
        msg += f"Engines that have one: {able}."
        raise UsageError(msg)
    return rules[measure].compute


def engine_auc(errors: ArrayLike, threshold: float, engine: str) -> float:
    """Return the AUC at a threshold by the rule of an engine, in percent.

    Parameters
    ----------
    errors : (N,) percent; NaN and infinity as the module says.
    threshold : percent.
    engine : ``upm``, ``spiga``, ``pipnet``, ``luvli`` or ``san``.

    Returns
    -------
    NaN where the rule gives no number: without any face, and for the histogram of ``upm`` and ``spiga``
    without any error below the threshold.

    Raises
    ------
    UsageError : unknown engine, or one without such a rule.

    Examples
    --------
    The exact AUC of these errors is 70.83.

    >>> [round(engine_auc([1.0, 2.0, 4.0], 8.0, engine), 1) for engine in ("upm", "spiga", "luvli")]
    [20.8, 70.8, 77.1]
    """
    return _rule(engine, "auc")(errors, threshold)


def engine_failure(errors: ArrayLike, threshold: float, engine: str) -> float:
    """Return the failure rate at a threshold by the rule of an engine, in percent.

    Arguments, NaN and errors as for :func:`engine_auc`; the engines are ``upm``, ``spiga`` and ``pipnet``.
    """
    return _rule(engine, "fr")(errors, threshold)


def engine_normalising_distance(
    truth: ArrayLike,
    normaliser: str,
    engine: str,
    *,
    scheme: str = "ibug68",
    boxes: ArrayLike | None = None,
) -> Floats:
    """Measure the (N,) normalising distances that go with :func:`engine_nme`, in pixels.

    Arguments as for :func:`facebench.metrics.normalising_distance`, of which only ``upm`` differs: it
    rounds the points (halves to even), and its tight box is one pixel wider and higher.  That is known of
    AFLW2000-3D (PROTOCOLS 3.5), whose points are nearly all whole; how it rounds halves, and whether it
    rounds the points of other data sets too, is UNCERTAIN.
    """
    _rule(engine, "nme")
    return get_engine(engine).distance(truth, normaliser, scheme=scheme, boxes=boxes)


def engine_nme(predicted: ArrayLike, truth: ArrayLike, distance: ArrayLike, engine: str) -> Floats:
    """Return the (N,) normalised mean error of each face by the rule of an engine, in percent.

    Arguments as for :func:`facebench.metrics.nme`.  The engines are ``upm`` (with the truth rounded),
    and ``spiga``, ``luvli`` and ``hrnet``, which divide by all points.  HRNet's own data give places for
    hidden points, and their distances count; here a point without a place adds none.

    Returns
    -------
    NaN for a face of which no point is both annotated and predicted.
    """
    return _rule(engine, "nme")(predicted, truth, distance)


def engine_euler_errors(predicted: ArrayLike, truth: ArrayLike, engine: str, *, convention: str) -> Floats:
    """Return the (N, 3) absolute errors of yaw, pitch and roll by the rule of an engine, in degrees.

    Parameters
    ----------
    predicted, truth : (N, 3) degrees.
    engine : ``upm`` (what it calls wrapped MAE) or ``6drepnet``.
    convention : of the angles; its order decides what the twin of ``upm`` is.
    """
    get_convention(convention)
    p, g = np.broadcast_arrays(np.asarray(predicted, float), np.asarray(truth, float))
    return _rule(engine, "mae")(p, g, convention)


def engine_balanced(errors: ArrayLike, yaw: ArrayLike, engine: str) -> Balanced:
    """Return the mean and the standard deviation of the means of the yaw bins.

    Parameters
    ----------
    errors : (N,) in any unit.
    yaw : (N,) degrees; ``3ddfa`` takes the raw ones of the release, not wrapped.
    engine : ``3ddfa``.

    Returns
    -------
    NaN where a bin has no face.
    """
    return _rule(engine, "balanced")(errors, yaw)
