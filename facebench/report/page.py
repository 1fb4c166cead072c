"""The report: one HTML page with the numbers, curves and faces of predictions files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

from facebench import __version__
from facebench.errors import FacebenchError, InvalidData, UsageError
from facebench.formats import write_text
from facebench.protocols import BALANCED, Compared, LandmarkProtocol, Protocol, Result, Score, get_protocol
from facebench.protocols.comparison import check_comparable, check_distinct, compare_measured
from facebench.report import plots
from facebench.report.contents import Report, Scored, plots_of, score_methods
from facebench.report.gallery import (
    draw_face,
    error_label,
    face_errors,
    legend_of,
    random_places,
    worst_places,
)
from facebench.templates import template_environment

__all__ = ["render_report", "write_report"]

NO_BREAK = "\N{NO-BREAK SPACE}"
VERDICTS = {True: "better", False: "worse", None: "not significant"}


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
class Figure:
    title: str
    svg: Markup
    caption: str


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
    figures: list[Figure]
    points: Table | None
    baseline: str = ""
    differences: list[Difference] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)
    legend: str = ""
    problem: str = ""


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
    environment = template_environment("facebench.report")
    return environment.get_template("report.html.j2").render(
        sections=sections,
        report=report,
        methods=[one.method for one in report.predictions],
        dashes=plots.DASHES,
        colours=plots.COLOURS,
        light=plots.LIGHT,
        dark=plots.DARK,
        version=__version__,
    )


def _section(report: Report, protocol: Protocol, anchor: str) -> Section:
    scored = score_methods(report, protocol)
    tables = [(one.method, _metrics_table(protocol, one.result)) for one in scored]
    section = Section(
        anchor=anchor,
        protocol=protocol,
        headlines=[_headline(protocol, one) for one in scored],
        meaning=_meaning(protocol, scored[0].result),
        board=_board(protocol, scored),
        tables=tables,
        figures=list(_figures(report, protocol, scored, anchor)),
        points=_point_table(scored) if isinstance(protocol, LandmarkProtocol) else None,
    )
    if len(scored) > 1:
        _compare(report, section, scored)
    _add_galleries(report, section, scored)
    return section


def _figures(report: Report, protocol: Protocol, scored: Sequence[Scored], anchor: str) -> Iterator[Figure]:
    for number, plot in enumerate(plots_of(protocol, scored, report.behind)):
        yield Figure(plot.title, Markup(plots.page_svg(plot.figure, f"{anchor}f{number}")), plot.caption)


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
