"""Rendering entries to Markdown pages, the same bytes from the same entries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from facebench.datasets import dataset_names, get_dataset
from facebench.leaderboard.entries import Entry, Reported, Scored, load_entries, slug
from facebench.leaderboard.ties import HeadlineErrors, errors_path, read_errors, tied
from facebench.protocols import BALANCED, Protocol, protocols_of

__all__ = ["check_pages", "render_pages"]

# Characters that Markdown or HTML would act upon.
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")


def escape(text: object) -> str:
    """Return text that a Markdown table shows as it is: one line, nothing interpreted."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split())).replace("\\<", "&lt;").replace("\\>", "&gt;")


@dataclass
class Row:
    """A line of a table: what is shown in each column of its protocol's board, and what is noted."""

    method: str
    url: str | None
    year: int | None
    values: list[str]
    training_data: str
    status: str
    key: float
    ranked: bool
    notes: list[str]
    claim: Scored | None = None
    errors: HeadlineErrors | None = None
    place: int = 0
    rank: str = "–"
    marks: list[int] = field(default_factory=list)


@dataclass
class Table:
    """One protocol's leaderboard, ready for the template."""

    protocol: Protocol
    headings: list[str]
    legend: list[str]
    rows: list[Row]
    footnotes: list[str]
    apart: list[dict[str, str]]


def render_pages(folder: Path) -> dict[Path, str]:
    """Return the text of every page by its path below ``folder``.

    Raises
    ------
    InvalidData : an entry is not valid.
    """
    environment = Environment(
        loader=PackageLoader("facebench.leaderboard"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is Markdown; the filter 'md' escapes for it
    )
    environment.filters["md"] = escape
    pages: dict[Path, str] = {}
    overview = []
    for name in dataset_names():
        entries = load_entries(folder, name)
        if not entries:
            continue
        manifest = get_dataset(name).manifest
        paths = {one.method: folder / "entries" / name / f"{slug(one.method)}.json" for one in entries}
        errors = {method: read_errors(errors_path(folder, path)) for method, path in paths.items()}
        tables = [_table(protocol, entries, errors) for protocol in protocols_of(name)]
        page = environment.get_template("dataset.md.j2").render(manifest=manifest, tables=tables)
        pages[Path(f"{name}.md")] = page
        overview.append((manifest, tables))
    index = environment.get_template("overview.md.j2").render(datasets=overview)
    pages[Path("README.md")] = index
    return pages


def check_pages(folder: Path) -> list[str]:
    """Return the pages that differ from what the entries give, with why; none when all are current."""
    stale = []
    for name, text in render_pages(folder).items():
        path = folder / name
        if not path.is_file():
            stale.append(f"{path}: missing")
        elif path.read_text(encoding="utf-8") != text:
            stale.append(f"{path}: differs from its entries")
    return stale


def _table(
    protocol: Protocol, entries: list[Entry], errors: Mapping[str, Mapping[str, HeadlineErrors]]
) -> Table:
    rows, apart = [], []
    for entry in entries:
        for claim in entry.results:
            if claim.protocol != protocol.name:
                continue
            if isinstance(claim, Reported) and claim.apart:
                apart.append(_apart(entry, claim, protocol))
            else:
                rows.append(_row(protocol, entry, claim))
                rows[-1].errors = errors[entry.method].get(protocol.name) if rows[-1].claim else None
    rows.sort(key=lambda row: (row.key, row.method.lower(), row.status, row.values))
    _rank(rows)
    _share_places(protocol, rows)
    # A column that no row fills says nothing; the headline stays.
    filled = [j for j in range(len(protocol.board)) if j == 0 or any(row.values[j] for row in rows)]
    for row in rows:
        row.values = [row.values[j] for j in filled]
    board = [protocol.board[j] for j in filled]
    return Table(
        protocol,
        [_heading(protocol, *column) for column in board],
        _legend(protocol, board),
        rows,
        _number_notes(rows),
        sorted(apart, key=lambda one: one["method"].lower()),
    )


def _row(protocol: Protocol, entry: Entry, claim: Reported | Scored) -> Row:
    numbers: dict[tuple[str, str], float | None]
    ranked, notes = True, []
    if isinstance(claim, Reported):
        numbers = {(one.metric, one.group): one.value for one in claim.values}
        values = [f"{numbers[column]:g}" if column in numbers else "" for column in protocol.board]
        notes.append(escape(f"Reported: {claim.source.rstrip('.')}."))
        ranked = claim.ranked
    else:
        numbers = {(one.metric, one.group): one.value for one in claim.result.scores}
        values = [_scored_value(claim, protocol, column) for column in protocol.board]
        notes.append(_how_scored(claim))
        if claim.result.missing_ids:
            count, faces = len(claim.result.missing_ids), claim.result.faces
            what = "left out" if claim.result.missing == "exclude" else "counted as failures"
            notes.append(f"{count} of {faces} faces have no prediction and are {what}: not ranked.")
            ranked = False
        if not claim.result.complete:
            notes.append("Scored on a part of the dataset: not ranked.")
            ranked = False
    if entry.paper:
        notes.append(escape(f"Paper: {entry.paper.rstrip('.')}."))
    notes += [escape(note) for note in claim.notes]
    headline = numbers.get(protocol.headline)
    sign = 1 if protocol.metric(protocol.headline[0]).better == "lower" else -1
    return Row(
        entry.method,
        entry.url,
        entry.year,
        values,
        claim.training_data or "",
        claim.status,
        key=float("inf") if headline is None else sign * headline,
        ranked=ranked and headline is not None,
        notes=notes,
        claim=claim if isinstance(claim, Scored) else None,
    )


def _scored_value(claim: Scored, protocol: Protocol, column: tuple[str, str]) -> str:
    try:
        one = claim.result.get(*column)
    except KeyError:
        return ""
    if one.value is None:
        return "∞"
    if column != protocol.headline or one.low is None:
        # The interval is given for the number to quote; in every column it would bury the numbers.
        return f"{one.value:.3f}"
    return f"{one.value:.3f} ({one.low:.2f}–{one.high:.2f})"


def _how_scored(claim: Scored) -> str:
    result = claim.result
    parts = [f"{claim.status.capitalize()}: `{result.signature}`"]
    if claim.command:
        parts.append(f"made by `{claim.command}`")
    if claim.source:
        parts.append(f"predictions of {escape(claim.source)}")
    if result.inputs.get("predictions"):
        parts.append(f"file SHA-256 `{str(result.inputs['predictions'])[:16]}`")
    return "; ".join(parts) + "."


def _apart(entry: Entry, claim: Reported, protocol: Protocol) -> dict[str, str]:
    known = {metric.key: metric.title for metric in protocol.metrics}
    numbers = [f"{known.get(one.metric, one.metric)} {one.value:g}" for one in claim.values]
    return {
        "method": entry.method,
        "year": str(entry.year or ""),
        "values": "; ".join(numbers),
        "why": " ".join([claim.apart or "", *claim.notes]),
        "source": claim.source,
    }


def _rank(rows: list[Row]) -> None:
    """Give each ranked row its place; equal values share one, as in a competition."""
    place, last = 0, None
    for count, row in enumerate((row for row in rows if row.ranked), start=1):
        if row.key != last:
            place, last = count, row.key
        row.place, row.rank = place, str(place)


def _share_places(protocol: Protocol, rows: list[Row]) -> None:
    """Show the places that a computed row cannot be told from: those of the rows it does not differ from."""
    scored = [row for row in rows if row.ranked and row.claim]
    spans = {id(row): {row.place} for row in scored}
    claims = [row.claim for row in scored if row.claim]
    for i, j in tied(protocol, claims, [row.errors for row in scored]):
        for one, other in ((scored[i], scored[j]), (scored[j], scored[i])):
            spans[id(one)].add(other.place)
            one.notes.append(escape(f"Not significantly different from {other.method}."))
    for row in scored:
        low, high = min(spans[id(row)]), max(spans[id(row)])
        row.rank = str(low) if low == high else f"{low}–{high}"


def _number_notes(rows: list[Row]) -> list[str]:
    """Give the notes of all rows numbers from the top; the same text gets the same number."""
    numbers: dict[str, int] = {}
    for row in rows:
        row.marks = [numbers.setdefault(note, len(numbers) + 1) for note in row.notes]
    return list(numbers)


def _heading(protocol: Protocol, key: str, group: str) -> str:
    metric = protocol.metric(key)
    if key == protocol.headline[0] and group != protocol.headline[1]:
        return f"{protocol.groups[group]} {metric.arrow}"  # the headline's column names the metric
    return f"{protocol.title_of(key, group)} {metric.arrow}"


def _legend(protocol: Protocol, board: list[tuple[str, str]]) -> list[str]:
    """Explain the metrics of the columns, and what balanced means where a column is."""
    metrics = dict.fromkeys(protocol.metric(key) for key, _ in board)
    legend = [f"**{metric.title}**, in {metric.unit}: {metric.meaning}." for metric in metrics]
    if any(group == BALANCED for _, group in board):
        bins = ", ".join(protocol.groups[name] for name in protocol.bin_groups)
        legend.append(f"**balanced**: the mean of the means over {bins}, so that each counts the same.")
    return legend
