"""The pages of the leaderboards in Markdown, the same bytes from the same entries."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment

from facebench.leaderboard.left_out import read_left_out
from facebench.leaderboard.tables import STATUSES, Code, Note, Table, build_boards, errata
from facebench.templates import template_environment

__all__ = ["check_pages", "render_pages", "render_table"]

# Characters that Markdown or HTML would act upon.
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")
BACKTICKS = re.compile("`+")


def escape(text: object) -> str:
    """Return text that a Markdown table shows as it is: one line, nothing interpreted."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split())).replace("\\<", "&lt;").replace("\\>", "&gt;")


def code(text: object) -> str:
    """Return text set as code, whatever it holds."""
    line = " ".join(str(text).split())
    fence = "`" * (1 + max((len(run) for run in BACKTICKS.findall(line)), default=0))
    space = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{fence}{space}{line}{space}{fence}"


def footnote(note: Note) -> str:
    """Return a note with its code set as code."""
    return "".join(code(part) if isinstance(part, Code) else spaced(part) for part in note)


def spaced(text: str) -> str:
    """Escape a part of a sentence, keeping the spaces at its ends."""
    return f"{' ' * text[:1].isspace()}{escape(text)}{' ' * text[-1:].isspace()}"


def anchor(table: Table) -> str:
    """Return the name of a table's place on the page of its dataset."""
    return table.protocol.name.partition("/")[2]


def render_pages(folder: Path) -> dict[Path, str]:
    """Return the text of every page by its path below ``folder``.

    Raises
    ------
    InvalidData : an entry is not valid.
    """
    boards = build_boards(folder)
    left_out = read_left_out(folder)
    environment = _environment()
    pages = {
        Path(f"{board.manifest.name}.md"): environment.get_template("dataset.md.j2").render(board=board)
        for board in boards
    }
    pages[Path("README.md")] = environment.get_template("overview.md.j2").render(
        boards=boards, left_out=left_out
    )
    pages[Path("errata.md")] = environment.get_template("errata.md.j2").render(rows=errata(boards))
    if left_out:
        pages[Path("left-out.md")] = environment.get_template("left-out.md.j2").render(rows=left_out)
    return pages


def render_table(table: Table) -> str:
    """Return one protocol's table with its notes."""
    return _environment().get_template("table.md.j2").render(table=table)


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


def _environment() -> Environment:
    # The output is Markdown: the filter 'md' escapes for it.
    environment = template_environment("facebench.leaderboard", escape=False)
    environment.globals.update(statuses=STATUSES)
    environment.filters.update(md=escape, code=code, note=footnote, anchor=anchor)
    return environment
