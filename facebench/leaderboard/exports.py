"""Tables for other programs and for papers: JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable

from facebench.leaderboard.markdown import render_table
from facebench.leaderboard.tables import Note, Number, Row, Table

__all__ = ["EXPORTS", "table_to_csv", "table_to_json", "table_to_latex"]

# What LaTeX would act upon, and how it is written instead.
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "°": r"$^\circ$",
    "–": "--",
    "∞": r"$\infty$",
}
# A spreadsheet takes text that begins with one of these for a formula.
FORMULA = re.compile(r"^[=+\-@\t\r]")


def table_to_json(table: Table) -> str:
    """Return everything about a table: rows with numbers, intervals, source or signature, and notes."""
    protocol = table.protocol
    value = {
        "format": "facebench-table",
        "version": 1,
        "protocol": protocol.name,
        "protocol_version": protocol.version,
        "title": protocol.title,
        "columns": [
            {
                "metric": key,
                "group": group,
                "title": heading,
                "unit": protocol.metric(key).unit,
                "better": protocol.metric(key).better,
            }
            for (key, group), heading in zip(table.columns, table.headings, strict=True)
        ],
        "rows": [_row_to_json(table, row) for row in table.rows],
        "apart": [
            {
                "method": one.entry.method,
                "year": one.entry.year,
                "values": [value.model_dump() for value in one.claim.values],
                "why": one.why,
                "notes": one.claim.notes,
                "source": one.claim.source,
            }
            for one in table.apart
        ],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _row_to_json(table: Table, row: Row) -> dict[str, object]:
    numbers = [row.number(column) for column in table.columns]
    return {
        "rank": row.rank if row.place else None,
        "method": row.method,
        "year": row.entry.year,
        "status": row.status,
        "values": [None if one is None else _finite(one) for one in numbers],
        "intervals": [None if one is None or one.low is None else [one.low, one.high] for one in numbers],
        "training_data": row.training_data or None,
        "paper": row.entry.paper,
        "url": row.entry.url,
        "notes": [_plain(note) for note in row.notes],
    }


def _finite(number: Number) -> float | None:
    return number.value if math.isfinite(number.value) else None


def table_to_csv(table: Table) -> str:
    """Return a table with a column for each number, and for the ends of the headline's interval.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = [key if group == "all" else f"{key} ({group})" for key, group in table.columns]
    head, *others = names
    writer.writerow(
        [
            "rank",
            "method",
            "year",
            "status",
            head,
            f"{head} low",
            f"{head} high",
            *others,
            "training data",
            "notes",
        ]
    )
    for row in table.rows:
        first, *rest = (row.number(column) for column in table.columns)
        ends = ("", "") if first is None or first.low is None else (f"{first.low:.6g}", f"{first.high:.6g}")
        writer.writerow(
            [
                row.rank if row.place else "",
                _harmless(row.method),
                row.entry.year or "",
                row.status,
                first or "",
                *ends,
                *(one or "" for one in rest),
                _harmless(row.training_data),
                _harmless(" ".join(_plain(note) for note in row.notes)),
            ]
        )
    return file.getvalue()


def table_to_latex(table: Table) -> str:
    """Return a ``tabular`` for the package booktabs; computed numbers have their interval below them.

    The best number of the ranked rows is bold in each column.
    """
    best = {column: _best(table, column) for column in table.columns}
    lines = [
        "% "
        + f"{table.protocol.name}, version {table.protocol.version}; made by facebench leaderboard table",
        rf"\begin{{tabular}}{{rll{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["\\#", "method", "status", *(_latex(one) for one in table.headings)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = [_latex(row.rank if row.place else "–"), _latex(row.method), row.status]
        for column in table.columns:
            number = row.number(column)
            text = _latex(str(number or ""))
            if number and row.place and number.value == best[column]:
                text = rf"\textbf{{{text}}}"
            if number and number.interval and column == table.protocol.headline:
                text += f" ({_latex(number.interval)})"
            cells.append(text)
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _best(table: Table, column: tuple[str, str]) -> float | None:
    values = [one.value for row in table.rows if row.place and (one := row.number(column))]
    lower = table.protocol.metric(column[0]).better == "lower"
    return (min if lower else max)(values, default=None)


def _latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split()))


def _plain(note: Note) -> str:
    return " ".join("".join(note).split())


def _harmless(text: str) -> str:
    line = " ".join(text.split())
    return f"'{line}" if FORMULA.match(text) or FORMULA.match(line) else line


#: What turns a table into each format.
EXPORTS: dict[str, Callable[[Table], str]] = {
    "markdown": render_table,
    "json": table_to_json,
    "csv": table_to_csv,
    "latex": table_to_latex,
}
