"""Rendering entries to Markdown pages, the same bytes from the same entries."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from facebench.datasets import dataset_names, get_dataset
from facebench.leaderboard.entries import Entry, Reported, Scored, load_entries
from facebench.protocols import Protocol, protocols_of

__all__ = ["check_pages", "render_pages"]

ARROWS = {"lower": "↓", "higher": "↑"}

# Characters that Markdown or HTML would act upon.
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")


def escape(text: object) -> str:
    """Return text that a Markdown table shows as it is: one line, nothing interpreted."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split())).replace("\\<", "&lt;").replace("\\>", "&gt;")


@dataclass
class Row:
    """A line of a table, in the order of its protocol's board."""

    method: str
    year: int | None
    values: list[str]
    training_data: str
    status: str
    key: float
    rank: str = ""
    marks: list[int] = field(default_factory=list)


class Footnotes:
    """Numbered notes of one table; the same text gets the same number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


@dataclass
class Table:
    """One protocol's leaderboard, ready for the template."""

    protocol: Protocol
    headings: list[str]
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
        tables = [_table(protocol, entries) for protocol in protocols_of(name)]
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


def _table(protocol: Protocol, entries: list[Entry]) -> Table:
    notes = Footnotes()
    rows, apart = [], []
    for entry in entries:
        for claim in entry.results:
            if claim.protocol != protocol.name:
                continue
            if isinstance(claim, Reported) and claim.apart:
                apart.extend(_apart(entry, claim, protocol))
            else:
                rows.append(_row(protocol, entry, claim, notes))
    rows.sort(key=lambda row: (row.key, row.method.lower(), row.status, row.values))
    _rank(rows)
    headings = [_heading(protocol, *column) for column in protocol.board]
    return Table(protocol, headings, rows, notes.texts, sorted(apart, key=lambda one: one["method"].lower()))


def _row(protocol: Protocol, entry: Entry, claim: Reported | Scored, notes: Footnotes) -> Row:
    numbers: dict[tuple[str, str], float | None]
    if isinstance(claim, Reported):
        numbers = {(one.metric, one.group): one.value for one in claim.values}
        values = [f"{numbers[column]:g}" if column in numbers else "" for column in protocol.board]
        marks = [notes.mark(escape(f"Reported: {claim.source}."))]
    else:
        numbers = {(one.metric, one.group): one.value for one in claim.result.scores}
        values = [_scored_value(claim, protocol, column) for column in protocol.board]
        marks = [notes.mark(_how_scored(claim))]
    ranked = True
    if isinstance(claim, Scored) and claim.result.missing_ids:
        count, faces = len(claim.result.missing_ids), claim.result.faces
        what = "left out" if claim.result.missing == "exclude" else "counted as failures"
        text = f"{count} of {faces} faces have no prediction and are {what}: not ranked."
        marks.append(notes.mark(text))
        ranked = False
    if isinstance(claim, Scored) and not claim.result.complete:
        marks.append(notes.mark("Scored on a part of the dataset: not ranked."))
        ranked = False
    marks += [notes.mark(escape(note)) for note in claim.notes]
    headline = numbers.get(protocol.headline)
    sign = 1 if protocol.metric(protocol.headline[0]).better == "lower" else -1
    key = float("inf") if headline is None else sign * headline
    return Row(
        entry.method,
        entry.year,
        values,
        claim.training_data or "",
        claim.status,
        key,
        rank="" if ranked and headline is not None else "–",
        marks=marks,
    )


def _scored_value(claim: Scored, protocol: Protocol, column: tuple[str, str]) -> str:
    try:
        one = claim.result.get(*column)
    except KeyError:
        return ""
    if one.value is None:
        return "∞"
    interval = "" if one.low is None else f" <small>[{one.low:.2f}, {one.high:.2f}]</small>"
    # The interval is given for the number to quote; in every column it would bury the numbers.
    return f"{one.value:.3f}{interval if column == protocol.headline else ''}"


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


def _apart(entry: Entry, claim: Reported, protocol: Protocol) -> list[dict[str, str]]:
    known = {metric.key: metric for metric in protocol.metrics}
    return [
        {
            "method": entry.method,
            "year": str(entry.year or ""),
            "metric": known[one.metric].title if one.metric in known else one.metric,
            "value": f"{one.value:g}",
            "why": claim.apart or "",
            "source": claim.source,
        }
        for one in claim.values
    ]


def _rank(rows: list[Row]) -> None:
    """Give each ranked row its place; equal values share one, as in a competition."""
    place, last = 0, None
    for count, row in enumerate((row for row in rows if not row.rank), start=1):
        if row.key != last:
            place, last = count, row.key
        row.rank = str(place)


def _heading(protocol: Protocol, key: str, group: str) -> str:
    metric = protocol.metric(key)
    where = "" if (key, group) == protocol.headline or group == "all" else f", {protocol.groups[group]}"
    if group == "balanced":
        where = ", balanced"
    return f"{metric.title}{where} {ARROWS[metric.better]}"
