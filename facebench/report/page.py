"""The report: one HTML page with the numbers, curves and faces of predictions files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from facebench import __version__
from facebench.errors import FacebenchError, InvalidData, UsageError
from facebench.formats import Predictions, PreparedDataset, write_text
from facebench.metrics import PooledCurve, precision_recall
from facebench.protocols import (
    BALANCED,
    Compared,
    LandmarkProtocol,
    Measured,
    Missing,
    PoseProtocol,
    Protocol,
    Result,
    Score,
    VisibilityProtocol,
    get_protocol,
    measure,
    summarise,
)
from facebench.protocols.comparison import check_comparable, check_distinct, compare_measured
from facebench.protocols.scoring import RESAMPLES, PointMapping
from facebench.report import plots
from facebench.report.gallery import (
    draw_face,
    error_label,
    face_errors,
    legend_of,
    random_places,
    worst_places,
)

__all__ = ["Report", "render_report", "write_report"]

NO_BREAK = "\N{NO-BREAK SPACE}"
VERDICTS = {True: "better", False: "worse", None: "not significant"}


@dataclass(frozen=True)
class Report:
    """What a report is made of.

    Attributes
    ----------
    predictions : the first is what the others are compared with.
    protocols : names, in the order of the page; a protocol shows the methods that it can score.
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
    faces: int = 12
    seed: int = 0
    images: bool = True
    command: str = ""


@dataclass(frozen=True)
class Cell:
    """A number in a table, with what stands below it."""

    value: str
    interval: str = ""


@dataclass(frozen=True)
class Row:
    title: str
    hint: str
    cells: list[Cell]
    strong: bool = False
    number: int | None = None


@dataclass(frozen=True)
class Table:
    headings: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Plot:
    title: str
    svg: Markup
    caption: str = ""


@dataclass(frozen=True)
class Face:
    id: str
    error: str
    source: str = ""


@dataclass(frozen=True)
class Gallery:
    title: str
    number: int
    faces: list[Face]


@dataclass(frozen=True)
class Headline:
    """The number of a method that is quoted, and everything that goes with it."""

    method: str
    number: int
    value: str
    unit: str
    interval: str
    what: str
    signature: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Difference:
    metric: str
    unit: str
    method: str
    number: int
    baseline: str
    value: str
    difference: str
    p: str
    verdict: str
    strong: bool


@dataclass
class Section:
    """One protocol's part of the page; ``apart`` says why methods are not among the differences."""

    anchor: str
    protocol: Protocol
    headlines: list[Headline]
    meaning: str
    board: Table
    tables: list[tuple[str, Table]]
    plots: list[Plot]
    points: Table | None
    baseline: str = ""
    differences: list[Difference] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)
    legend: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Scored:
    """A method under a protocol: its number on the page, errors and scores."""

    number: int
    measured: Measured
    result: Result

    @property
    def method(self) -> str:
        return self.result.method


def write_report(path: str | Path, report: Report, progress: Callable[[str], None] | None = None) -> None:
    """Write a report, completely or not at all; the same inputs give the same bytes.

    Parameters
    ----------
    progress : told what is done next.

    Raises
    ------
    UsageError : the name ends in neither .html nor .htm, or two predictions are of the same method.
    FacebenchError : the file cannot be written, or the predictions cannot be scored.
    """
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        msg = f"{target}: a report is an HTML page; give a name that ends in .html."
        raise UsageError(msg)
    if target.is_dir():
        msg = f"{target}: is a folder; give the report another name."
        raise UsageError(msg)
    write_text(target, render_report(report, progress))


def render_report(report: Report, progress: Callable[[str], None] | None = None) -> str:
    """Return a report as HTML; see :func:`write_report`."""
    check_distinct([one.method for one in report.predictions])
    sections = []
    for number, name in enumerate(report.protocols):
        if progress:
            progress(name)
        sections.append(_section(report, get_protocol(name), f"s{number}"))
    environment = Environment(
        loader=PackageLoader("facebench.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
    )
    return environment.get_template("report.html.j2").render(
        sections=sections,
        report=report,
        methods=[one.method for one in report.predictions],
        dashes=plots.DASHES,
        colours=plots.COLOURS,
        version=__version__,
    )


def _section(report: Report, protocol: Protocol, anchor: str) -> Section:
    scored = [
        _score(report, protocol, number, one)
        for number, one in enumerate(report.predictions)
        if protocol.is_answered_by(one)
    ]
    if not scored:  # says what is missing
        scored = [_score(report, protocol, 0, report.predictions[0])]
    tables = [(one.method, _metrics_table(protocol, one.result)) for one in scored]
    section = Section(
        anchor=anchor,
        protocol=protocol,
        headlines=[_headline(protocol, one) for one in scored],
        meaning=_meaning(protocol, scored[0].result),
        board=_board(protocol, scored),
        tables=tables,
        plots=list(_plots(protocol, scored, anchor)),
        points=_point_table(scored) if isinstance(protocol, LandmarkProtocol) else None,
    )
    if len(scored) > 1:
        _compare(report, section, scored)
    _add_galleries(report, section, scored)
    return section


def _score(report: Report, protocol: Protocol, number: int, predictions: Predictions) -> Scored:
    measured = measure(
        predictions, protocol.name, report.dataset, missing=report.missing, mapping=report.mapping
    )
    return Scored(number, measured, summarise(measured, resamples=report.resamples))


# --- Numbers


def _headline(protocol: Protocol, scored: Scored) -> Headline:
    result, one = scored.result, scored.result.headline
    metric = protocol.metric(one.metric)
    return Headline(
        method=scored.method,
        number=scored.number,
        value=_number(one.value),
        unit=metric.unit,
        interval=_interval(one),
        what=f"{metric.title}, {protocol.groups[one.group]}; {result.n} of {result.faces} faces",
        signature=str(result.signature_of(one)).split("|"),
        notes=[f"{one[0].upper()}{one[1:]}." for one in result.remarks],
    )


def _meaning(protocol: Protocol, result: Result) -> str:
    one = result.headline
    metric = protocol.metric(one.metric)
    text = f"{metric.title}, in {metric.unit}: {metric.meaning}. {metric.better.capitalize()} is better."
    if one.group == BALANCED:
        bins = ", ".join(protocol.groups[name] for name in protocol.bin_groups)
        text += f" Balanced: the mean of the means over {bins}, so that each counts the same."
    return text


def _board(protocol: Protocol, scored: Sequence[Scored]) -> Table:
    """Set the methods side by side in the columns of the protocol's leaderboard."""
    found = [{(s.metric, s.group): s for s in one.result.scores} for one in scored]
    columns = [key for key in protocol.board if any(key in one for one in found)]
    rows = [
        Row(
            one.method,
            "",
            [Cell(_number(scores[key].value)) if key in scores else Cell("") for key in columns],
            number=one.number,
        )
        for one, scores in zip(scored, found, strict=True)
    ]
    return Table([_heading(protocol, *key) for key in columns], rows)


def _heading(protocol: Protocol, key: str, group: str) -> str:
    metric = protocol.metric(key)
    return f"{protocol.title_of(key, group)}, {metric.unit}{NO_BREAK}{metric.arrow}"


def _metrics_table(protocol: Protocol, result: Result) -> Table:
    scores = {(one.metric, one.group): one for one in result.scores}
    groups = [name for name in protocol.groups if any(group == name for _, group in scores)]
    rows = []
    for metric in protocol.metrics:
        cells = [
            Cell(_number(scores[metric.key, name].value), _interval(scores[metric.key, name]))
            if (metric.key, name) in scores
            else Cell("")
            for name in groups
        ]
        if any(cell.value for cell in cells):  # hard labels of visibility have no sweep
            title = f"{metric.title} {metric.arrow} {metric.unit}"
            rows.append(Row(title, metric.meaning, cells, strong=metric.key == result.headline.metric))
    return Table([protocol.groups[name] for name in groups], rows)


def _point_table(scored: Sequence[Scored]) -> Table:
    names = list(dict.fromkeys(name for one in scored for name in one.result.per_point))
    rows = [
        Row(
            name.replace("_", " "),
            "",
            [Cell(_number(one.result.per_point.get(name, math.nan))) for one in scored],
        )
        for name in names
    ]
    return Table([one.method for one in scored], rows)


def _compare(report: Report, section: Section, scored: Sequence[Scored]) -> None:
    """Add the paired differences from the first method, and why a method has none."""
    protocol = section.protocol
    first, others = scored[0], []
    section.baseline = first.method
    for one in scored[1:]:
        try:
            check_comparable(first.measured, one.measured)
            others.append(one)
        except InvalidData as error:
            section.apart.append(str(error))
    if not others or not report.resamples:
        return
    found = compare_measured([first.measured, *(one.measured for one in others)], resamples=report.resamples)
    rows = {(one.method, one.metric, one.group): one for one in found.rows}
    for key, group in protocol.board:
        for one in others:
            row = rows.get((one.method, key, group))
            if row is not None:
                section.differences.append(_difference(protocol, row, one.number))


def _difference(protocol: Protocol, row: Compared, number: int) -> Difference:
    metric = protocol.metric(row.metric)
    return Difference(
        metric=f"{protocol.title_of(row.metric, row.group)} {metric.arrow}",
        unit=metric.unit,
        method=row.method,
        number=number,
        baseline=_number(row.baseline),
        value=_number(row.value),
        difference=_signed(row.difference, row.low, row.high),
        p="" if row.p_holm is None or math.isnan(row.p_holm) else f"{row.p_holm:.4f}",
        verdict=VERDICTS[row.better],
        strong=(row.metric, row.group) == protocol.headline,
    )


def _number(value: float | None) -> str:
    if value is None or math.isinf(value):
        return "∞"
    return "–" if math.isnan(value) else f"{value:.3f}"


def _interval(one: Score) -> str:
    if one.low is None or one.high is None or math.isnan(one.low):
        return ""
    return f"{_number(one.low)}–{_number(one.high)}"


def _signed(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or not math.isfinite(value) or low is None or high is None:
        return _number(value)
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


# --- Plots


def _plots(protocol: Protocol, scored: Sequence[Scored], anchor: str) -> Iterator[Plot]:
    if isinstance(protocol, LandmarkProtocol):
        yield from _landmark_plots(protocol, scored, anchor)
    elif isinstance(protocol, PoseProtocol):
        yield from _pose_plots(protocol, scored, anchor)
    elif isinstance(protocol, VisibilityProtocol):
        yield _visibility_plot(protocol, scored, anchor)


def _landmark_plots(protocol: LandmarkProtocol, scored: Sequence[Scored], anchor: str) -> Iterator[Plot]:
    for place, (name, thresholds) in enumerate(protocol.normalisers.items()):
        if not thresholds and place:
            continue
        errors = [_column(one, f"nme/{name}") for one in scored]
        svg = plots.draw_cumulative(errors, thresholds, f"NME {name}, %", f"{anchor}c{place}")
        marks = " and ".join(f"{t:g} %" for t in thresholds)
        caption = f"AUC and FR are given at {marks}." if thresholds else ""
        yield Plot(f"Cumulative error, {name}", Markup(svg), caption)
    label = f"mean NME {protocol.normaliser}, %"
    svg = plots.draw_parts([one.result.per_part for one in scored], label, f"{anchor}p")
    yield Plot("Error of each part of the face", Markup(svg))
    if protocol.scheme == "ibug68":
        for one in scored:
            yield _heat_map(protocol, one, label, anchor)


def _heat_map(protocol: LandmarkProtocol, scored: Scored, label: str, anchor: str) -> Plot:
    from facebench.geometry import get_scheme
    from facebench.synthetic import mean_head

    face = mean_head(protocol.scheme)[:, :2]
    names = get_scheme(protocol.scheme).points
    errors = np.array([scored.result.per_point.get(name, np.nan) for name in names])
    svg = plots.draw_points(face, errors, label, f"{anchor}h{scored.number}")
    absent = " A ring is a point that is not scored." if np.isnan(errors).any() else ""
    caption = f"Each scale ends at the largest error of its method.{absent}"
    return Plot(f"Error of each point, {scored.method}", Markup(svg), caption)


def _pose_plots(protocol: PoseProtocol, scored: Sequence[Scored], anchor: str) -> Iterator[Plot]:
    errors = [_column(one, "geodesic") for one in scored]
    svg = plots.draw_cumulative(errors, protocol.thresholds, "geodesic distance, °", f"{anchor}c", "°")
    yield Plot("Cumulative geodesic distance", Markup(svg), "Success rates are given at the dashed lines.")
    counts = [sum(row) for row in scored[0].result.yaw_confusion]
    by_yaw = [one.result.per_yaw for one in scored]
    label = f"MAE {protocol.convention}, °"
    yield Plot(
        "Error against yaw",
        Markup(plots.draw_yaw(by_yaw, counts, label, f"{anchor}y")),
        "Classes of 15° around the true yaw; the last ones take in all beyond.",
    )
    for one in scored:
        svg = plots.draw_confusion(one.result.yaw_confusion, f"{anchor}f{one.number}")
        caption = "Faces in classes of 15°; the stronger the colour, the larger the share of the row."
        yield Plot(f"Confusion of yaw, {one.method}", Markup(svg), caption)


def _visibility_plot(protocol: VisibilityProtocol, scored: Sequence[Scored], anchor: str) -> Plot:
    curves = [_swept(one.measured) for one in scored]
    points = [tuple(one.result.get(key).value or 0.0 for key in ("recall", "precision")) for one in scored]
    at_half = [(recall, precision) for recall, precision in points]
    svg = plots.draw_precision_recall(curves, at_half, protocol.level, f"{anchor}v")
    caption = (
        f"Of the class {protocol.positive_class}, all points of all faces pooled. A disc is where points "
        "count as visible from a predicted probability of 0.5 on; labels without probabilities have no curve."
    )
    return Plot("Precision and recall", Markup(svg), caption)


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


# --- Faces


def _add_galleries(report: Report, section: Section, scored: Sequence[Scored]) -> None:
    section.legend = legend_of(section.protocol)
    try:
        section.galleries = [
            *(_gallery(report, one, worst=True) for one in scored),
            *(_gallery(report, one, worst=False) for one in scored if report.images),
        ]
    except FacebenchError as error:  # an image that is not there, or is no image
        section.problem = str(error)


def _gallery(report: Report, scored: Scored, *, worst: bool) -> Gallery:
    measured, errors = scored.measured, face_errors(scored.measured)
    if worst:
        places = worst_places(measured, errors, report.faces)
        title = f"{scored.method}: largest errors ({errors.title})"
    else:
        places = random_places(measured, report.faces, report.seed)
        title = f"{scored.method}: faces drawn by lot, seed {report.seed}"
    faces = [
        Face(
            measured.dataset.ids[measured.rows[place]],
            error_label(errors, place),
            draw_face(measured, place) if report.images else "",
        )
        for place in places
    ]
    return Gallery(title, scored.number, faces)
