"""From entries to ranked tables: what every page, file and site of the leaderboards shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from facebench.datasets import dataset_names, get_dataset
from facebench.datasets.manifest import Manifest
from facebench.leaderboard.entries import (
    Entry,
    Reported,
    Scored,
    Superseded,
    entry_path,
    load_entries,
    slug,
)
from facebench.leaderboard.ties import HeadlineErrors, errors_path, read_errors, tied
from facebench.metrics import Metric
from facebench.protocols import ALL, BALANCED, Protocol, protocols_of

__all__ = [
    "STATUSES",
    "Answer",
    "Apart",
    "Board",
    "Code",
    "Erratum",
    "Note",
    "Number",
    "Row",
    "Table",
    "build_boards",
    "errata",
    "paper_note",
]


class Code(str):
    """A part of a note that is set as code: a signature, a command, a hash."""

    __slots__ = ()


#: How a number is known, from the least to the most.
STATUSES = ("reported", "rescored", "reproduced")

#: A footnote: text and code, one after the other.
Note = tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """A number of a row; a reported one has no interval, and the digits it was published with."""

    value: float
    low: float | None = None
    high: float | None = None
    computed: bool = False

    def __str__(self) -> str:
        if self.value == float("inf"):
            return "∞"
        return f"{self.value:.3f}" if self.computed else f"{self.value:g}"

    @property
    def interval(self) -> str:
        """The 95 % interval, or nothing."""
        return "" if self.low is None or self.high is None else f"{self.low:.2f}–{self.high:.2f}"


@dataclass(eq=False)
class Row:
    """One claim of one method in the table of its protocol.

    Attributes
    ----------
    anchor : tells the row apart within its table, for links to it.
    numbers : by metric key and group.
    key : what rows are sorted by: the headline, so that less is better; infinite without one.
    comparable : whether it is on equal terms with the other rows.
    place, rank : place among the methods, 0 without one, and how it is shown: a dash without one, a span of
        places where a paired test cannot tell.
    """

    entry: Entry
    claim: Reported | Scored
    anchor: str
    numbers: Mapping[tuple[str, str], Number]
    key: float
    comparable: bool
    notes: list[Note]
    errors: HeadlineErrors | None = None
    place: int = 0
    rank: str = "–"
    marks: list[int] = field(default_factory=list)

    def number(self, column: tuple[str, str]) -> Number | None:
        """Return the number of a column, or None where the row has none."""
        return self.numbers.get(column)

    @property
    def part(self) -> str:
        """Of which faces the numbers are, where not of all: "330 of 689 faces"."""
        if isinstance(self.claim, Reported) or self.claim.result.n == self.claim.result.faces:
            return ""
        return f"{self.claim.result.n} of {self.claim.result.faces} faces"

    @property
    def method(self) -> str:
        return self.entry.method

    @property
    def status(self) -> str:
        return self.claim.status

    @property
    def training_data(self) -> str:
        return self.claim.training_data or ""


@dataclass(frozen=True)
class Answer:
    """The best row among those that are known in one way."""

    title: str
    row: Row
    how: Note


@dataclass(frozen=True)
class Apart:
    """A published claim that cannot be compared with the rows of its protocol's table.

    Attributes
    ----------
    values : its numbers in words.
    why : why it stands apart.
    key : its first number, so that less is better.
    """

    entry: Entry
    claim: Reported
    values: str
    why: str
    key: float

    @property
    def notes(self) -> str:
        """What else a reader must know."""
        return " ".join(self.claim.notes)


@dataclass(frozen=True)
class Table:
    """One protocol's leaderboard.

    Attributes
    ----------
    columns : metric key and group of each; those of the protocol's board that a row fills, headline first.
    footnotes : notes of all rows; ``marks`` of a row count them from 1.
    apart : claims beside the table, those with the same reason together.
    """

    protocol: Protocol
    columns: list[tuple[str, str]]
    rows: list[Row]
    footnotes: list[Note]
    apart: list[Apart]

    def headline(self, row: Row) -> Number:
        """Return the number that a row is ranked by."""
        return row.numbers[self.protocol.headline]

    @cached_property
    def dataset(self) -> str:
        """The title of the dataset."""
        return get_dataset(self.protocol.dataset).manifest.title

    def heading(self, column: tuple[str, str]) -> str:
        """Return the heading of a column: metric, group and direction."""
        key, group = column
        metric = self.protocol.metric(key)
        if key == self.protocol.headline[0] and group != self.protocol.headline[1]:
            return f"{self.protocol.groups[group]} {metric.arrow}"  # the headline's column names the metric
        return f"{self.protocol.title_of(key, group)} {metric.arrow}"

    @cached_property
    def headings(self) -> list[str]:
        return [self.heading(column) for column in self.columns]

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The titles of the columns' metrics, each with what it means; also what balanced means."""
        protocol = self.protocol
        metrics = dict.fromkeys(protocol.metric(key) for key, _ in self.columns)
        legend = [(metric.title, f", in {metric.unit}: {metric.meaning}.") for metric in metrics]
        if any(group == BALANCED for _, group in self.columns):
            bins = ", ".join(protocol.groups[name] for name in protocol.bin_groups)
            legend.append(("balanced", f": the mean of the means over {bins}, so that each counts the same."))
        return legend

    @cached_property
    def answers(self) -> dict[str, Answer]:
        """What a reader asks first: by status, the best row that is known in this way, and how.

        A rescored row may lack faces, as its number says.
        """
        computed = {row.method for row in self.rows if isinstance(row.claim, Scored)}
        found: dict[str, Answer] = {}
        for row in self.rows:
            claim = row.claim
            if row.status in found or row.number(self.protocol.headline) is None:
                continue
            if isinstance(claim, Reported) and row.comparable:
                how = "its other row is computed" if row.method in computed else "without predictions"
                found["reported"] = Answer("Best reported", row, (f"; as published, {how}",))
            elif isinstance(claim, Scored) and claim.status == "rescored" and claim.result.complete:
                part = f" for {row.part}, so without a rank" if row.part else ""
                found["rescored"] = Answer("Best rescored", row, (f"; computed from its predictions{part}",))
            elif isinstance(claim, Scored) and claim.status == "reproduced" and row.comparable:
                how = "Best that anyone can make again"
                found["reproduced"] = Answer(how, row, ("; by ", Code(str(claim.command))))
        return {status: found[status] for status in STATUSES if status in found}

    @cached_property
    def ranked(self) -> int:
        """How many rows have a rank."""
        return sum(row.place > 0 for row in self.rows)

    @property
    def methods(self) -> int:
        """How many methods the table has."""
        return len({row.method for row in self.rows})


@dataclass(frozen=True)
class Board:
    """The leaderboards of one dataset."""

    manifest: Manifest
    entries: list[Entry]
    tables: list[Table]


@dataclass(frozen=True)
class Erratum:
    """A headline that once stood in a row, and the row that it stood in."""

    table: Table
    row: Row
    old: Superseded

    @property
    def number(self) -> Number:
        """The old headline."""
        value = float("inf") if self.old.value is None else self.old.value
        return Number(value, self.old.low, self.old.high, computed=self.row.status != "reported")


def errata(boards: Sequence[Board]) -> list[Erratum]:
    """Return every headline that another took the place of, in the order of the pages."""
    return [
        Erratum(table, row, old)
        for board in boards
        for table in board.tables
        for row in table.rows
        for old in row.claim.superseded
    ]


def build_boards(folder: Path) -> list[Board]:
    """Read the entries below a folder of leaderboards, and rank them.

    Returns
    -------
    a board for each dataset that has entries.

    Raises
    ------
    InvalidData : an entry is not valid.
    """
    boards = []
    for name in dataset_names():
        entries = load_entries(folder, name)
        if not entries:
            continue
        errors = {one.method: read_errors(errors_path(folder, entry_path(folder, one))) for one in entries}
        claims: dict[str, list[tuple[Entry, Reported | Scored]]] = {}
        for entry in entries:
            for claim in entry.results:
                claims.setdefault(claim.protocol, []).append((entry, claim))
        tables = [_table(one, claims.get(one.name, []), errors) for one in protocols_of(name)]
        boards.append(Board(get_dataset(name).manifest, entries, tables))
    return boards


def _table(
    protocol: Protocol,
    claims: Sequence[tuple[Entry, Reported | Scored]],
    errors: Mapping[str, Mapping[str, HeadlineErrors]],
) -> Table:
    metrics = {metric.key: metric for metric in protocol.metrics}
    sign = 1 if protocol.metric(protocol.headline[0]).better == "lower" else -1
    rows, apart = [], []
    for entry, claim in claims:
        if isinstance(claim, Reported) and claim.apart:
            apart.append(_apart(entry, claim, metrics))
        else:
            rows.append(_row(protocol.headline, sign, entry, claim))
            if isinstance(claim, Scored):
                rows[-1].errors = errors[entry.method].get(protocol.name)
    rows.sort(
        key=lambda row: (row.key, row.method.lower(), row.status, [str(n) for n in row.numbers.values()])
    )
    _name_anchors(rows)
    _say_what_is_missing(protocol, rows)
    _rank(rows)
    _share_places(protocol, rows)
    # A column that no row fills says nothing; the headline stays.
    filled = {column for row in rows for column in row.numbers}
    return Table(
        protocol,
        [column for j, column in enumerate(protocol.board) if j == 0 or column in filled],
        rows,
        _number_notes(rows),
        sorted(apart, key=lambda one: (one.why, one.key, one.entry.method.lower())),
    )


def _row(headline: tuple[str, str], sign: int, entry: Entry, claim: Reported | Scored) -> Row:
    notes: list[Note] = []
    if isinstance(claim, Reported):
        numbers = {(one.metric, one.group): Number(one.value) for one in claim.values}
        notes.append((f"Reported: {claim.source.rstrip('.')}.",))
        ranked = claim.ranked
    else:
        result = claim.result
        numbers = {
            (one.metric, one.group): Number(
                float("inf") if one.value is None else one.value, one.low, one.high, computed=True
            )
            for one in result.scores
        }
        notes.append(_how_scored(claim))
        ranked = result.complete and not result.missing_ids
        if result.missing_ids:
            what = "left out" if result.missing == "exclude" else "counted as failures"
            notes.append(
                (
                    f"{len(result.missing_ids)} of {result.faces} faces have no prediction and are {what}: "
                    "not ranked.",
                )
            )
        if not result.complete:
            notes.append(("Scored on a part of the dataset: not ranked.",))
    if entry.paper:
        notes.append(paper_note(entry.paper))
    notes += [(note,) for note in claim.notes]
    found = numbers.get(headline)
    key = float("inf") if found is None else sign * found.value
    return Row(entry, claim, "", numbers, key, ranked and found is not None, notes)


def paper_note(paper: str) -> Note:
    """Return the footnote that names a paper."""
    return (f"Paper: {paper.rstrip('.')}.",)


def _how_scored(claim: Scored) -> Note:
    result = claim.result
    parts: list[str] = [f"{claim.status.capitalize()}: ", Code(result.signature)]
    if claim.command:
        parts += ["; made by ", Code(claim.command)]
    if claim.source:
        parts.append(f"; predictions of {claim.source}")
    if result.inputs.get("predictions"):
        parts += ["; file SHA-256 ", Code(str(result.inputs["predictions"])[:16])]
    return (*parts, ".")


def _apart(entry: Entry, claim: Reported, metrics: Mapping[str, Metric]) -> Apart:
    numbers = []
    for one in claim.values:
        title = metrics[one.metric].title if one.metric in metrics else one.metric
        group = "" if one.group == ALL else f" ({one.group})"
        numbers.append(f"{title}{group} {one.value:g}")
    first = claim.values[0]
    higher = first.metric in metrics and metrics[first.metric].better == "higher"
    return Apart(entry, claim, "; ".join(numbers), claim.apart or "", -first.value if higher else first.value)


def _name_anchors(rows: list[Row]) -> None:
    taken: dict[str, int] = {}
    for row in rows:
        name = f"{slug(row.method)}-{row.status}"
        taken[name] = taken.get(name, 0) + 1
        row.anchor = name if taken[name] == 1 else f"{name}-{taken[name]}"


def _say_what_is_missing(protocol: Protocol, rows: list[Row]) -> None:
    """Note where a row lacks the number that the table is ranked by, and where one was computed too."""
    title = protocol.title_of(*protocol.headline)
    computed = {
        row.method: number
        for row in rows
        if isinstance(row.claim, Scored) and (number := row.number(protocol.headline))
    }
    for row in rows:
        if row.number(protocol.headline) is None:
            row.notes.append((f"It has no {title}, by which this table is ranked: not ranked.",))
        elif isinstance(row.claim, Reported) and row.method in computed:
            row.notes.append((f"facebench computed {computed[row.method]} for this method.",))


def _rank(rows: list[Row]) -> None:
    """Give each method its place; equal values share one, as in a competition.

    A method counts once: by what facebench computed, else by its best figure.
    """
    computed = {row.method for row in rows if row.comparable and isinstance(row.claim, Scored)}
    placed: set[str] = set()
    place, count, last = 0, 0, None
    for row in rows:
        if not row.comparable:
            continue
        if isinstance(row.claim, Reported) and (row.method in computed or row.method in placed):
            by = "what facebench computed" if row.method in computed else "another figure"
            row.notes.append((f"Without a rank of its own: the method is ranked by {by}.",))
            continue
        placed.add(row.method)
        count += 1
        if row.key != last:
            place, last = count, row.key
        row.place, row.rank = place, str(place)


def _share_places(protocol: Protocol, rows: list[Row]) -> None:
    """Show the places that a computed row cannot be told from: those of the rows it does not differ from."""
    scored = [row for row in rows if row.place and row.errors is not None]
    spans = {id(row): {row.place} for row in scored}
    claims = [row.claim for row in scored if isinstance(row.claim, Scored)]
    for i, j in tied(protocol, claims, [row.errors for row in scored]):
        for one, other in ((scored[i], scored[j]), (scored[j], scored[i])):
            spans[id(one)].add(other.place)
            one.notes.append((f"Not significantly different from {other.method}.",))
    for row in scored:
        low, high = min(spans[id(row)]), max(spans[id(row)])
        row.rank = str(low) if low == high else f"{low}–{high}"


def _number_notes(rows: list[Row]) -> list[Note]:
    """Give the notes of all rows numbers from the top; the same text gets the same number."""
    numbers: dict[Note, int] = {}
    for row in rows:
        row.marks = [numbers.setdefault(note, len(numbers) + 1) for note in row.notes]
    return list(numbers)
