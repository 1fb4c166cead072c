"""Suites: families of metrics over the same arrays.  Predictions and truth go in, columns come out.

A suite says which metrics it has (:attr:`metrics`) and computes the columns that they summarise, one number
for each face wherever that is possible.  A protocol is a suite applied to named faces of a dataset; the
accumulators apply one to batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facebench.errors import InvalidData, UsageError, name_some
from facebench.geometry import (
    CONVENTIONS,
    VISIBILITY,
    box_size,
    geodesic_distance,
    get_scheme,
    rotation_to_euler,
)
from facebench.metrics.alignment import SIDES, align
from facebench.metrics.landmarks import (
    BOX_NORMALISERS,
    NORMALISERS,
    masked_mean,
    nme,
    normalising_distance,
    point_errors,
)
from facebench.metrics.pose import YAW_CLASS, axis_errors, euler_errors, yaw_class, yaw_confusion
from facebench.metrics.resampling import Column, Floats, Pooled, Statistic
from facebench.metrics.summaries import auc_share, failure, success
from facebench.metrics.visibility import PooledCurve, is_hard

__all__ = [
    "Columns",
    "LandmarkSuite",
    "Metric",
    "PoseSuite",
    "Suite",
    "VisibilitySuite",
    "normaliser_meaning",
]

AXES = ("yaw", "pitch", "roll")

#: Which points of the truth an error is over.
COUNTED = ("all", "annotated", "visible", "occluded")

States = NDArray[np.uint8]


@dataclass(frozen=True)
class Metric:
    """One metric of a suite.

    Attributes
    ----------
    key : its name in results and entries, such as ``nme/box-sqrt``.
    title : its name in tables.
    meaning : what it measures, in a clause.
    better : whether lower or higher values are better.
    column : what it summarises.
    quantile : None for the mean over faces.
    over : None for the mean over faces, else the column whose sum that of ``column`` is divided by.
    binned : reported for each group of faces too, not only over all faces.
    """

    key: str
    title: str
    meaning: str
    unit: Literal["%", "°"]
    better: Literal["lower", "higher"]
    column: str
    quantile: float | None = None
    over: str | None = None
    binned: bool = True

    @property
    def arrow(self) -> str:
        """Which way is better, for a table."""
        return "↓" if self.better == "lower" else "↑"

    @property
    def worst(self) -> float:
        """What a face without a prediction gets where such faces count as failures."""
        if self.better == "higher":
            return 0.0
        return 100.0 if self.column.startswith("fr") else np.inf

    def over_groups(self, groups: tuple[str, ...]) -> Statistic:
        """Return the statistic that this metric is over groups of faces."""
        return Statistic(self.column, groups, self.quantile, self.over)


@dataclass(frozen=True)
class Columns:
    """What the metrics of a suite summarise, of n faces.

    Attributes
    ----------
    of : (n,) numbers by name, or numbers over the pooled points of all faces.
    point_nme : mean NME of each point over the faces, where points are scored; ``part_nme`` of each part.
    yaw_mae : mean error of the faces of each true class of yaw, by its centre in degrees, where pose is
        scored.
    yaw_confusion : (13, 13) faces by true (rows) and predicted class of yaw.
    """

    of: Mapping[str, Column]
    point_nme: Mapping[str, float] = field(default_factory=dict)
    part_nme: Mapping[str, float] = field(default_factory=dict)
    yaw_mae: Mapping[str, float] = field(default_factory=dict)
    yaw_confusion: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class LandmarkSuite:
    """Landmarks: NME under each normaliser, AUC and FR at thresholds of it, percentiles.

    Attributes
    ----------
    scheme : scheme of predicted and true points.
    normalisers : the normalisers, each with the thresholds in percent at which AUC and FR are given; the
        first is that of the headline and the percentiles.  ``box-height@dataset`` is the height of the box
        ``dataset``; a plain ``box-`` normaliser takes the tight box of the true points.
    counted : which points the errors are over: those that are ``annotated``; ``all``, so that a face without
        one of them is refused; or only the ``visible`` or the ``occluded`` ones.
    apart : of which of these the NME under the first normaliser is given too.
    """

    scheme: str
    normalisers: Mapping[str, tuple[float, ...]]
    counted: Literal["all", "annotated", "visible", "occluded"] = "annotated"
    apart: tuple[str, ...] = ()
    percentiles: tuple[int, ...] = (50, 90, 95)

    def __post_init__(self) -> None:
        _check_known("choice of points", [self.counted, *self.apart], COUNTED)
        rules = [name.partition("@") for name in self.normalisers]
        _check_known("normaliser", [rule for rule, _, _ in rules], NORMALISERS)
        if not rules or any(at and not (box and rule in BOX_NORMALISERS) for rule, at, box in rules):
            found = ", ".join(self.normalisers) or "none"
            msg = f"expected normalisers, with a box after '@' for box- ones only, found {found}."
            raise UsageError(msg)

    @property
    def normaliser(self) -> str:
        """The normaliser of the headline."""
        return next(iter(self.normalisers))

    @property
    def boxes(self) -> tuple[str, ...]:
        """Names of the boxes that the normalisers are measured on."""
        named = (name.partition("@")[2] for name in self.normalisers)
        return tuple(dict.fromkeys(name for name in named if name))

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        first, *also = self.normalisers
        found = [self._nme(first), *self._curve(first)]
        for which in self.apart:
            key, meaning = f"nme/{first}/{which}", _meaning_of_nme(first, which)
            found.append(Metric(key, f"NME {first}, {which} points", meaning, "%", "lower", key))
        for p in self.percentiles:
            below = f"NME that {p} % of the faces stay below"
            title, share = f"{p}th percentile", p / 100
            found.append(
                Metric(f"p{p}/{first}", title, below, "%", "lower", f"nme/{first}", share, binned=False)
            )
        for name in also:
            found += [self._nme(name), *self._curve(name)]
        return tuple(found)

    def _nme(self, normaliser: str) -> Metric:
        key, meaning = f"nme/{normaliser}", _meaning_of_nme(normaliser, self.counted)
        return Metric(key, f"NME {normaliser}", meaning, "%", "lower", key)

    def _curve(self, normaliser: str) -> list[Metric]:
        found = []
        of = "" if normaliser == self.normaliser else f" {normaliser}"
        for t in self.normalisers[normaliser]:
            area = f"area under the cumulative error curve up to an NME of {t:g} %, exact"
            failed = f"share of faces with an NME above {t:g} %"
            auc, fr = f"auc{t:g}/{normaliser}", f"fr{t:g}/{normaliser}"
            found += [
                Metric(auc, f"AUC@{t:g}{of}", area, "%", "higher", auc),
                Metric(fr, f"FR@{t:g}{of}", failed, "%", "lower", fr),
            ]
        return found

    def columns(
        self,
        predicted: ArrayLike,
        truth: ArrayLike,
        *,
        visibility: States | None = None,
        boxes: Mapping[str, ArrayLike] | None = None,
        names: Sequence[str] | None = None,
    ) -> Columns:
        """Compute the columns of n faces.

        Parameters
        ----------
        predicted, truth : (n, K, 2) pixels; NaN where a point is not predicted or not annotated.
        visibility : (n, K) states of the true points, where not all annotated ones count.
        boxes : (n, 4) boxes by name, where a normaliser names one.
        names : what to call the faces in messages; their numbers when not given.

        Raises
        ------
        InvalidData : a face has no point to measure, or a normaliser of it is zero or undefined.
        UsageError : an array that a metric needs is not given.
        """
        given, true = np.asarray(predicted, float), np.asarray(truth, float)
        faces = names if names is not None else [str(row) for row in range(len(true))]
        measured = self._only(true, visibility, self.counted)
        absent = np.isnan(measured[..., 0] + measured[..., 1])
        for counted, what, faulty in (
            ("annotated", "no point is annotated", np.all(absent, axis=1)),
            ("all", "not all points are annotated", np.any(absent, axis=1)),
        ):
            if self.counted == counted and np.any(faulty):
                msg = f"{what} of {name_some(_chosen(faces, np.asarray(faulty)))}."
                raise InvalidData(msg)
        sizes = {name: self._distance(true, name, boxes or {}, faces) for name in self.normalisers}
        columns: dict[str, Column] = {}
        for name, size in sizes.items():
            errors = columns[f"nme/{name}"] = nme(given, measured, size)
            for t in self.normalisers[name]:
                columns[f"auc{t:g}/{name}"] = auc_share(errors, t)
                columns[f"fr{t:g}/{name}"] = failure(errors, t)
        first = sizes[self.normaliser]
        for which in self.apart:
            of_these = self._only(true, visibility, which)
            columns[f"nme/{self.normaliser}/{which}"] = nme(given, of_these, first)
        return Columns(columns, *self._by_point(given, measured, first))

    def _only(self, truth: Floats, visibility: States | None, counted: str) -> Floats:
        """Return the points with NaN in place of those that do not count."""
        if counted in ("all", "annotated"):
            return truth
        if visibility is None:
            msg = f"errors over the {counted} points need the visibility of the true points."
            raise UsageError(msg)
        return np.where((visibility == VISIBILITY[counted])[..., None], truth, np.nan)

    def _distance(
        self, truth: Floats, normaliser: str, boxes: Mapping[str, ArrayLike], faces: Sequence[str]
    ) -> Floats:
        rule, _, box = normaliser.partition("@")
        if box and box not in boxes:
            msg = f"the normaliser '{normaliser}' needs boxes named '{box}'."
            raise UsageError(msg)
        found = boxes[box] if box else None
        with np.errstate(invalid="ignore"):  # the root of a negative area
            distance = normalising_distance(truth, rule, scheme=self.scheme, boxes=found)
        degenerate = ~((distance > 0) & np.isfinite(distance))
        if found is not None:  # a box whose corners are swapped may still have an area or a diagonal
            degenerate |= (box_size(found) < 0).any(axis=1)
        if degenerate.any():
            msg = (
                f"normaliser '{normaliser}' is zero or undefined for {name_some(_chosen(faces, degenerate))}."
            )
            raise InvalidData(msg)
        return distance

    def _by_point(
        self, given: Floats, truth: Floats, distance: Floats
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the mean NME of each point over the faces, and of each part over its points."""
        if not len(truth):
            return {}, {}
        per_point = masked_mean((100.0 * point_errors(given, truth) / distance[:, None]).T)
        scheme = get_scheme(self.scheme)
        scored = np.isfinite(per_point)
        points = {name: float(per_point[k]) for k, name in enumerate(scheme.points) if scored[k]}
        inside = {part: scheme.part(part) for part in dict.fromkeys(scheme.parts)}
        parts = {
            part: float(masked_mean(per_point[which]))
            for part, which in inside.items()
            if scored[which].any()
        }
        return points, parts


def normaliser_meaning(normaliser: str) -> str:
    """Say in a clause what an NME is divided by."""
    rule, _, box = normaliser.partition("@")
    of = f"the box '{box}' that comes with the dataset" if box else "the tight box of the true points"
    sizes = {
        "corners": "the distance of the outer eye corners",
        "pupils6": "the distance of the means of the 6 points of each eye",
        "pupils-corners": "the distance of the middles of the two corners of each eye",
        "pupils-contour": "the distance of the means of the 4 contour points of each eye",
        "pupils-part": "the distance of the means of all points of each eye",
        "pupils-annotated": "the distance of the annotated pupils",
        "box-height": f"the height of {of}",
        "box-sqrt": f"sqrt(width * height) of {of}",
        "box-diagonal": f"the diagonal of {of}",
        "box-max": f"the longer side of {of}",
    }
    return f"divided by {sizes[rule]}"


def _meaning_of_nme(normaliser: str, counted: str) -> str:
    points = f"points that are {counted}" if counted in ("visible", "occluded") else "points"
    return f"mean distance of predicted and true {points}, {normaliser_meaning(normaliser)}"


@dataclass(frozen=True, kw_only=True)
class PoseSuite:
    """Head pose: MAE of the Euler angles in a named convention, geodesic distance, MAEV, success rates.

    Attributes
    ----------
    convention : the Euler convention of the headline.
    also : further conventions, in which the MAE is given too: the same errors, read differently.
    thresholds : geodesic distances in degrees at which success rates are given.
    aligned : give MAE and geodesic distance also after a constant rotation between the head or camera frames
        of predictions and truth has been removed.
    """

    convention: str
    also: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = (5.0, 10.0, 15.0)
    aligned: bool = True

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        found = []
        for name in (self.convention, *self.also):
            key = f"mae/{name}"
            order = " then ".join(CONVENTIONS[name].order.lower())
            mean = f"mean absolute error of yaw, pitch and roll in the convention {name}: turns about {order}"
            found.append(Metric(key, f"MAE {name}", mean, "°", "lower", key))
            for axis in AXES if name == self.convention else ():
                key, one = f"mae-{axis}/{name}", f"mean absolute error of {axis} in {name}"
                found.append(Metric(key, f"MAE {axis}", one, "°", "lower", key))
        turn = "angle of the rotation between prediction and truth, whatever the Euler convention"
        axes = "mean angle between the head axes of prediction and truth"
        found += [
            Metric("geodesic", "Geodesic", turn, "°", "lower", "geodesic"),
            Metric("maev", "MAEV", axes, "°", "lower", "maev"),
        ]
        for t in self.thresholds:
            within = f"share of faces with a geodesic distance of at most {t:g}°"
            key = f"success{t:g}"
            found.append(Metric(key, f"Geodesic ≤ {t:g}°", within, "%", "higher", key, binned=False))
        for key, title, meaning in (
            (
                "yaw-class",
                "Yaw class",
                f"share of faces whose yaw falls into the right class of {YAW_CLASS:g}°",
            ),
            (
                "yaw-class-adjacent",
                "Yaw class ± 1",
                "share of faces with the right class of yaw or one beside",
            ),
        ):
            found.append(Metric(key, title, meaning, "%", "higher", key, binned=False))
        for side in SIDES if self.aligned else ():
            frame = {"left": "camera", "right": "head"}[side]
            after = f"after removing a constant rotation of the {frame} frame"
            for key, title in ((f"mae/{self.convention}", "MAE"), ("geodesic", "Geodesic")):
                name = f"{key}/aligned-{side}"
                what = f"{title} {after}"
                found.append(Metric(name, f"{title}, aligned {side}", what, "°", "lower", name, binned=False))
        return tuple(found)

    def columns(
        self,
        predicted: ArrayLike,
        truth: ArrayLike,
        *,
        eulers: Mapping[str, ArrayLike] | None = None,
        alike: ArrayLike | None = None,
    ) -> Columns:
        """Compute the columns of n faces.

        Parameters
        ----------
        predicted, truth : (n, 3, 3) ``R_cam``; the truth is finite, a prediction may be NaN.
        eulers : (n, 3) predicted yaw, pitch, roll in degrees by convention, where they are to be taken as
            given rather than read off the rotations: they may make several turns.
        alike : (n,) numbers of the groups of faces that are aligned each for itself, such as the
            sequences; one group when not given.
        """
        rotations, true = np.asarray(predicted, float), np.asarray(truth, float)
        columns: dict[str, Column] = {}
        for name in (self.convention, *self.also):
            given = (eulers or {}).get(name)
            read = rotation_to_euler(rotations, name) if given is None else np.asarray(given, float)
            angles = rotation_to_euler(true, name)
            errors = euler_errors(read, angles)
            mean = columns[f"mae/{name}"] = errors.mean(axis=1)
            if name == self.convention:
                for axis, column in zip(AXES, errors.T, strict=True):
                    columns[f"mae-{axis}/{name}"] = column
                classes = yaw_class(angles[:, 0])
                off = np.abs(yaw_class(read[:, 0]) - classes)
                confusion = yaw_confusion(read[:, 0], angles[:, 0])
                by_class = {one: masked_mean(mean[classes == one]) for one in np.unique(classes)}
                columns["yaw-class"] = success(off, 0)
                columns["yaw-class-adjacent"] = success(off, 1)
        turn = columns["geodesic"] = geodesic_distance(rotations, true)
        columns["maev"] = axis_errors(rotations, true)
        for t in self.thresholds:
            columns[f"success{t:g}"] = success(turn, t)
        for side in SIDES if self.aligned else ():
            moved = align(rotations, true, side, alike)
            errors = euler_errors(*(rotation_to_euler(r, self.convention) for r in (moved, true)))
            columns[f"mae/{self.convention}/aligned-{side}"] = errors.mean(axis=1)
            columns[f"geodesic/aligned-{side}"] = geodesic_distance(moved, true)
        by_yaw = {
            f"{one * YAW_CLASS:g}": float(value) for one, value in by_class.items() if not np.isnan(value)
        }
        return Columns(columns, yaw_mae=by_yaw, yaw_confusion=confusion)


CurveNumber: TypeAlias = Literal["ap", "recall", "interpolated"]


@dataclass(frozen=True)
class _CurveNumber:
    """A number read off the precision-recall curve of pooled points, under any counts of the faces."""

    scores: Floats
    positive: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    number: CurveNumber
    level: float

    @cached_property
    def curve(self) -> PooledCurve:
        return PooledCurve(self.scores, self.positive, self.counts)

    def of(self, counts: Floats) -> Floats:
        if self.number == "ap":
            return self.curve.average_precision(counts)
        return self.curve.recall_at_precision(counts, self.level, self.number == "interpolated")

    def beside(self, other: Pooled) -> _CurveNumber:
        assert isinstance(other, _CurveNumber)
        return replace(
            self,
            scores=np.concatenate([self.scores, other.scores]),
            positive=np.concatenate([self.positive, other.positive]),
            counts=np.concatenate([self.counts, other.counts]),
        )


@dataclass(frozen=True, kw_only=True)
class VisibilitySuite:
    """Visibility of points, all points of all faces pooled (PROTOCOLS 4).

    The predicted probability that a point is visible, v, is swept as the score ``1 - v`` of the positive
    class.  Labels that are only 0 and 1 are an operating point: then there is no sweep.

    Attributes
    ----------
    positive : the visibility states of the positive class.  Points that are ``visible`` are negative; points
        in any other state do not count.
    level : precision in percent at which the recall is given.
    """

    scheme: str
    positive: tuple[str, ...] = ("occluded",)
    level: float = 80.0

    def __post_init__(self) -> None:
        _check_known("positive state", self.positive, ("occluded", "hidden"))

    @property
    def positive_class(self) -> str:
        return "+".join(self.positive)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        of = self.positive_class
        at, level = f"recall{self.level:g}", f"{self.level:g} %"
        swept = f"largest recall of the class {of} at any threshold with a precision of at least {level}"
        between = f"recall of the class {of} at a precision of exactly {level}, by linear interpolation"
        area = f"average precision of the class {of} over all operating points"
        at_half = "where points count as visible from a predicted probability of 0.5 on"
        return (
            Metric(at, f"Recall@{self.level:g}P", swept, "%", "higher", at),
            Metric("ap", "AP", area, "%", "higher", "ap"),
            Metric(
                f"{at}-interpolated", f"Recall@{self.level:g}P interp.", between, "%", "higher",
                f"{at}-interpolated",
            ),
            Metric("precision", "Precision", f"precision of the class {of}, {at_half}", "%", "higher", "hits",
                   over="claimed"),
            Metric("recall", "Recall", f"recall of the class {of}, {at_half}", "%", "higher", "hits",
                   over="true"),
            Metric("f1", "F1", f"harmonic mean of precision and recall of the class {of}, {at_half}", "%",
                   "higher", "twice-hits", over="claimed+true"),
        )  # fmt: skip

    def columns(self, predicted: ArrayLike, truth: States) -> Columns:
        """Compute the columns of n faces.

        Parameters
        ----------
        predicted : (n, K) probability that a point is visible; NaN counts as never claimed to be hidden.
        truth : (n, K) visibility states.
        """
        v, states = np.asarray(predicted, float), np.asarray(truth)
        positive = np.isin(states, [VISIBILITY[name] for name in self.positive])
        counts = positive | (states == VISIBILITY["visible"])
        claimed = counts & (v < 0.5)
        hits = (100.0 * (claimed & positive)).sum(axis=1)
        columns: dict[str, Column] = {
            "hits": hits,
            "twice-hits": 2.0 * hits,
            "claimed": claimed.sum(axis=1).astype(float),
            "true": positive.sum(axis=1).astype(float),
            "claimed+true": (claimed.sum(axis=1) + positive.sum(axis=1)).astype(float),
        }
        scores = np.where(np.isnan(v), -np.inf, -v)  # the order of 1 - v, without its rounding
        if not is_hard(v[counts & ~np.isnan(v)]):
            at = f"recall{self.level:g}"
            numbers: dict[str, CurveNumber] = {"ap": "ap", at: "recall", f"{at}-interpolated": "interpolated"}
            for name, number in numbers.items():
                columns[name] = _CurveNumber(scores, positive, counts, number, self.level)
        return Columns(columns)


#: Any suite.
Suite = LandmarkSuite | PoseSuite | VisibilitySuite


def _check_known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        msg = f"Unknown {what} '{unknown[0]}'. Known: {', '.join(known)}."
        raise UsageError(msg)


def _chosen(names: Sequence[str], mask: NDArray[np.bool_]) -> list[str]:
    return [name for name, chosen in zip(names, mask, strict=True) if chosen]
