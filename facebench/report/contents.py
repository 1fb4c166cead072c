"""What a report is made of: methods under a protocol, and the plots that they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.formats import Predictions, PreparedDataset
from facebench.geometry import get_scheme
from facebench.metrics import PooledCurve, precision_recall
from facebench.protocols import (
    LandmarkProtocol,
    Measured,
    Missing,
    PoseProtocol,
    Protocol,
    Result,
    Signature,
    VisibilityProtocol,
    measure,
    summarise,
)
from facebench.protocols.scoring import RESAMPLES, PointMapping
from facebench.report import plots
from facebench.report.curves import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Plot", "Report", "Scored", "cumulative_errors", "plots_of", "score_methods"]

# What two signatures must share for their curves to be drawn in one plot.
ALIKE = ("version", "truth", "points")


@dataclass(frozen=True)
class Report:
    """What is to be reported.

    Attributes
    ----------
    predictions : the first is what the others are compared with.
    protocols : names, in the order of the page; a protocol shows the methods that it can score.
    behind : curves of others, drawn in grey behind those of the methods.
    faces : how many faces each gallery has; ``seed`` draws those of the second.
    images : whether faces are shown; without them the page may be passed on.
    command : the command that made it, for the foot of the page.
    """

    predictions: Sequence[Predictions]
    dataset: PreparedDataset
    protocols: Sequence[str]
    missing: Missing = "error"
    mapping: PointMapping = "exact"
    resamples: int = RESAMPLES
    behind: Sequence[Curve] = ()
    faces: int = 12
    seed: int = 0
    images: bool = True
    command: str = ""


@dataclass(frozen=True)
class Scored:
    """A method under a protocol: its number in the report, errors and scores."""

    number: int
    measured: Measured
    result: Result

    @property
    def method(self) -> str:
        return self.result.method


@dataclass(frozen=True)
class Plot:
    """A figure and what is said of it.

    Attributes
    ----------
    what : what it shows.
    method : the only one that it shows; empty where it shows all.
    """

    what: str
    figure: Figure
    caption: str = ""
    method: str = ""

    @property
    def title(self) -> str:
        return f"{self.what}, {self.method}" if self.method else self.what


def score_methods(report: Report, protocol: Protocol) -> list[Scored]:
    """Score the methods of a report that a protocol can score.

    Raises
    ------
    FacebenchError : there is none, or one cannot be scored.
    """
    able = [number for number, one in enumerate(report.predictions) if protocol.is_answered_by(one)]
    return [_score(report, protocol, number) for number in able or [0]]  # without any, says what is missing


def _score(report: Report, protocol: Protocol, number: int) -> Scored:
    measured = measure(
        report.predictions[number],
        protocol.name,
        report.dataset,
        missing=report.missing,
        mapping=report.mapping,
    )
    return Scored(number, measured, summarise(measured, resamples=report.resamples))


def cumulative_errors(protocol: Protocol) -> dict[str, tuple[float, ...]]:
    """Return the errors whose cumulative curves are drawn, each with the thresholds that mark it.

    The headline's is the first, if it is an error of single faces.
    """
    if isinstance(protocol, LandmarkProtocol):
        first = protocol.normaliser
        marked = {name: marks for name, marks in protocol.normalisers.items() if marks or name == first}
        return {f"nme/{name}": marks for name, marks in marked.items()}
    if isinstance(protocol, PoseProtocol):
        return {f"mae/{protocol.convention}": (), "geodesic": protocol.thresholds}
    return {}


def plots_of(protocol: Protocol, scored: Sequence[Scored], behind: Sequence[Curve] = ()) -> Iterator[Plot]:
    """Draw the plots of a protocol.

    Parameters
    ----------
    behind : curves that are drawn in grey where they belong; those of other protocols are passed over.
    """
    for error, thresholds in cumulative_errors(protocol).items():
        mine = [one for one in behind if (one.protocol, one.error) == (protocol.name, error)]
        yield _cumulative(protocol, scored, error, thresholds, mine)
    if isinstance(protocol, LandmarkProtocol):
        yield from _landmark_plots(protocol, scored)
    elif isinstance(protocol, PoseProtocol):
        yield from _pose_plots(protocol, scored)
    elif isinstance(protocol, VisibilityProtocol):
        yield _visibility_plot(protocol, scored)


def _cumulative(
    protocol: Protocol,
    scored: Sequence[Scored],
    error: str,
    thresholds: Sequence[float],
    behind: Sequence[Curve],
) -> Plot:
    metric = protocol.metric(error)
    alike = [one for one in behind if _is_alike(one, scored[0].result)]
    figure = plots.draw_cumulative(
        {one.number: _column(one, error) for one in scored},
        thresholds,
        f"{metric.title}, {metric.unit}",
        metric.unit,
        alike,
    )
    said = []
    if thresholds:
        given = "AUC and FR" if isinstance(protocol, LandmarkProtocol) else "Success rates"
        *first, last = (plots.with_unit(t, metric.unit) for t in thresholds)
        marks = f"{', '.join(first)} and {last}" if first else last
        said.append(f"{given} are given at {marks}.")
    if alike:
        named = (
            f"from {source}: {', '.join(one.name for one in alike if one.source == source)}"
            for source in dict.fromkeys(one.source for one in alike)
        )
        said.append(f"Grey curves were read, not computed here; {'; '.join(named)}.")
    if others := [one.name for one in behind if not _is_alike(one, scored[0].result)]:
        said.append(f"Not drawn, since the labels or points differ: {', '.join(others)}.")
    return Plot(f"Cumulative error, {metric.title}", figure, " ".join(said))


def _is_alike(curve: Curve, result: Result) -> bool:
    """Tell whether a curve was measured on the same labels and points, as far as is known."""
    if curve.signature is None:
        return True
    mine, theirs = (Signature.parse(text).fields for text in (result.signature, curve.signature))
    return all(mine.get(name) == theirs.get(name) for name in ALIKE)


def _landmark_plots(protocol: LandmarkProtocol, scored: Sequence[Scored]) -> Iterator[Plot]:
    label = f"mean NME {protocol.normaliser}, %"
    figure = plots.draw_parts({one.number: one.result.per_part for one in scored}, label)
    yield Plot("Error of each part of the face", figure)
    for one in scored:
        yield _heat_map(protocol, one, label)


def _heat_map(protocol: LandmarkProtocol, scored: Scored, label: str) -> Plot:
    from facebench.synthetic import mean_head

    face, whole = mean_head()[:, :2], get_scheme("ibug68")
    per_part, per_point = scored.result.per_part, scored.result.per_point
    apart = {}
    for part in per_part:
        if part not in whole.parts:  # the ears, which lie close to the line of the jaw
            own = get_scheme(protocol.scheme)
            apart[part] = mean_head(protocol.scheme)[own.part(part), :2].mean(axis=0) * (1.25, 1)
    caption = "The scale ends at the largest error of the method."
    errors = np.empty(0)
    if protocol.scheme == whole.name:
        errors = np.array([per_point.get(name, np.nan) for name in whole.points])
        caption = f"Bands and numbers are means of parts, discs those of points. {caption}"
        if np.isnan(errors).any():
            caption += " A ring is a point that is not scored."
    figure = plots.draw_heat_map(face, per_part, errors, label, apart)
    return Plot("Heat map of the face", figure, caption, scored.method)


def _pose_plots(protocol: PoseProtocol, scored: Sequence[Scored]) -> Iterator[Plot]:
    counts = [sum(row) for row in scored[0].result.yaw_confusion]
    by_yaw = {one.number: one.result.per_yaw for one in scored}
    yield Plot(
        "Error against yaw",
        plots.draw_yaw(by_yaw, counts, f"MAE {protocol.convention}, °"),
        "Classes of 15° around the true yaw; the last ones take in all beyond.",
    )
    for one in scored:
        caption = "Faces in classes of 15°; the stronger the colour, the larger the share of the row."
        yield Plot("Confusion of yaw", plots.draw_confusion(one.result.yaw_confusion), caption, one.method)


def _visibility_plot(protocol: VisibilityProtocol, scored: Sequence[Scored]) -> Plot:
    curves = {one.number: _swept(one.measured) for one in scored}
    points = {
        one.number: (one.result.get("recall").value or 0.0, one.result.get("precision").value or 0.0)
        for one in scored
    }
    caption = (
        f"Of the class {protocol.positive_class}, all points of all faces pooled. A disc is where points "
        "count as visible from a predicted probability of 0.5 on; labels without probabilities have no curve."
    )
    return Plot("Precision and recall", plots.draw_precision_recall(curves, points, protocol.level), caption)


def _swept(measured: Measured) -> tuple[plots.Floats, plots.Floats] | None:
    """Return precision and recall at every threshold; None for labels that cannot be swept."""
    curve = getattr(measured.columns.of.get("ap"), "curve", None)
    if not isinstance(curve, PooledCurve) or not curve.positive[curve.mask].any():
        return None
    precision, recall, _ = precision_recall(curve.scores[curve.mask], curve.positive[curve.mask])
    return precision, recall


def _column(scored: Scored, name: str) -> plots.Floats:
    values = scored.measured.columns.of[name]
    assert isinstance(values, np.ndarray)
    return values
