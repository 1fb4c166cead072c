"""The leaderboards as a static site: pages that need nothing but themselves, the same bytes every time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from jinja2 import Environment
from markupsafe import Markup, escape

from facebench import __version__
from facebench.formats.atomic import atomic_folder
from facebench.leaderboard.entries import slug
from facebench.leaderboard.exports import table_to_csv, table_to_json, table_to_latex
from facebench.leaderboard.left_out import read_left_out
from facebench.leaderboard.tables import (
    STATUSES,
    Apart,
    Board,
    Code,
    Note,
    Number,
    Row,
    Table,
    build_boards,
    errata,
    paper_note,
)
from facebench.protocols import BALANCED, LandmarkProtocol
from facebench.report import plots
from facebench.templates import template_environment

__all__ = ["render_site", "write_site"]

# Tells a site from a folder that somebody else made.
MARKER = ".facebench-site"
# More lines than these cannot be told apart.
CURVES = 8
EXPORTED = {"csv": table_to_csv, "json": table_to_json, "tex": table_to_latex}


@dataclass(frozen=True)
class Plot:
    """A picture of a page; ``names`` are those of its lines, for the legend."""

    title: str
    svg: Markup
    caption: str
    names: list[str] = field(default_factory=list)


@dataclass
class Method:
    """Everything that the leaderboards know of one method.

    Attributes
    ----------
    relatives : other methods of the same papers.
    """

    slug: str
    name: str
    year: int | None = None
    papers: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    relatives: list[Method] = field(default_factory=list)
    rows: list[tuple[Table, Row]] = field(default_factory=list)
    apart: list[tuple[Table, Apart]] = field(default_factory=list)


def write_site(folder: Path, target: Path) -> int:
    """Write the site of the leaderboards in ``folder``, completely or not at all.

    Parameters
    ----------
    target : a new or empty folder, or one that holds an earlier site, which is replaced.

    Returns
    -------
    how many files it has.

    Raises
    ------
    InvalidData : an entry is not valid.
    UsageError : ``target`` holds something else.
    """
    with atomic_folder(target, MARKER) as temporary:
        (temporary / MARKER).write_text(f"{__version__}\n", encoding="utf-8", newline="\n")
        made = set()
        count = 0
        for name, text in render_site(folder):
            path = temporary / name
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.write_text(text, encoding="utf-8", newline="\n")
            count += 1
    return count


def render_site(folder: Path) -> Iterator[tuple[PurePosixPath, str]]:
    """Yield every file of the site: its path and its text.

    Raises
    ------
    InvalidData : an entry is not valid.
    """
    boards = build_boards(folder)
    left_out = read_left_out(folder)
    methods = _methods(boards)
    environment = _environment(has_left_out=bool(left_out))

    def page(name: str, template: str, **values: object) -> tuple[PurePosixPath, str]:
        path = PurePosixPath(name)
        root = "../" * (len(path.parts) - 1)
        return path, environment.get_template(template).render(root=root, **values)

    yield page("site.css", "site.css.j2", light=plots.LIGHT, dark=plots.DARK)
    yield page("site.js", "site.js")
    yield page("index.html", "index.html.j2", boards=boards)
    yield page("errata.html", "errata.html.j2", rows=errata(boards))
    if left_out:
        yield page("left-out.html", "left-out.html.j2", rows=left_out)
    for board in boards:
        for table in board.tables:
            path = PurePosixPath(_page_of(table))
            training = sorted({row.training_data for row in table.rows if row.training_data})
            yield page(
                str(path),
                "protocol.html.j2",
                board=board,
                table=table,
                stem=path.stem,
                training=training,
                plots=list(_plots(table)),
            )
            for ending, export in EXPORTED.items():
                yield path.with_suffix(f".{ending}"), export(table)
    yield page("methods/index.html", "methods.html.j2", methods=methods)
    for method in methods:
        yield page(f"methods/{method.slug}.html", "method.html.j2", method=method)


def _methods(boards: list[Board]) -> list[Method]:
    found: dict[str, Method] = {}
    for board in boards:
        for entry in board.entries:
            one = found.setdefault(slug(entry.method), Method(slug(entry.method), entry.method))
            one.year = one.year or entry.year
            one.datasets.append(board.manifest.title)
            one.papers += [text for text in [entry.paper] if text and text.rstrip(".") not in one.papers]
            one.urls += [url for url in [entry.url] if url and url not in one.urls]
        for table in board.tables:
            for row in table.rows:
                found[slug(row.method)].rows.append((table, row))
            for apart in table.apart:
                found[slug(apart.entry.method)].apart.append((table, apart))
    methods = sorted(found.values(), key=lambda one: (one.name.lower(), one.slug))
    of_paper: dict[str, list[Method]] = {}
    for one in methods:
        for paper in one.papers:
            of_paper.setdefault(paper, []).append(one)
    for one in methods:
        one.relatives = [other for paper in one.papers for other in of_paper[paper] if other is not one]
    return methods


def _plots(table: Table) -> Iterator[Plot]:
    protocol = table.protocol
    metric = protocol.metric(protocol.headline[0])
    label = f"{metric.title}, {metric.unit}"
    best: dict[int, Row] = {}
    for row in table.rows:  # the best come first
        if row.entry.year and row.comparable:
            best.setdefault(row.entry.year, row)
    if len(best) > 1:
        lower = metric.better == "lower"
        years = sorted(best)
        values = [table.headline(best[year]).value for year in years]
        setters = [
            f"{year} {best[year].method} ({table.headline(best[year])})"
            for year, record in zip(years, plots.records(values, lower), strict=True)
            if record
        ]
        figure = plots.draw_timeline(years, values, lower, label)
        caption = f"The best value of each year; the line is the best so far: {', '.join(setters)}."
        undated = len({row.method for row in table.rows if row.place and not row.entry.year})
        if undated:
            caption += f" Ranked methods whose year is not known are not drawn: {undated}."
        yield Plot("Best value of each year", Markup(plots.page_svg(figure, "timeline")), caption)
    computed = [(row, row.errors) for row in table.rows if row.errors is not None][:CURVES]
    if computed:
        thresholds: tuple[float, ...] = ()
        if isinstance(protocol, LandmarkProtocol):
            thresholds = protocol.normalisers[protocol.normaliser]
        curves = {j: np.asarray(errors.errors, np.float64) for j, (_, errors) in enumerate(computed)}
        figure = plots.draw_cumulative(curves, thresholds, label, metric.unit)
        caption = "Of the methods whose errors facebench computed; each face counts the same."
        if protocol.headline[1] == BALANCED:
            caption += " The number in the table weighs the faces by their bins."
        names = [f"{row.method}, {row.part}" if row.part else row.method for row, _ in computed]
        svg = Markup(plots.page_svg(figure, "curves"))
        yield Plot("Cumulative error", svg, caption, names)


def _environment(**shared: object) -> Environment:
    environment = template_environment("facebench.leaderboard", "templates/site")
    environment.filters.update(
        note=_note,
        paper_note=paper_note,
        page=_page_of,
        method_page=_method_page,
        sortable=_sortable,
        sentence=_sentence,
    )
    environment.globals.update(
        version=__version__, statuses=STATUSES, colours=plots.COLOURS, dashes=plots.DASHES, **shared
    )
    return environment


def _page_of(table: Table) -> str:
    dataset, _, name = table.protocol.name.partition("/")
    return f"{dataset}/{name}.html"


def _method_page(one: Row | Apart) -> str:
    return f"methods/{slug(one.entry.method)}.html"


def _note(note: Note) -> Markup:
    tags = ("code" if isinstance(part, Code) else "bdi" for part in note)
    return Markup("".join(f"<{tag}>{escape(part)}</{tag}>" for tag, part in zip(tags, note, strict=True)))


def _sortable(number: Number | None) -> str:
    return "" if number is None else f"{number.value:.9g}".replace("inf", "Infinity")


def _sentence(text: str) -> str:
    return re.sub(r"^[\s,:]*(.)", lambda found: found[1].upper(), text)
