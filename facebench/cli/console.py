"""What all commands share: common options, tables, JSON and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["home_option", "json_option", "note", "print_json", "print_table", "progress", "table"]

F = TypeVar("F", bound=Callable[..., Any])

# Wide enough for every table when the output goes to a file.
FILE_WIDTH = 160


def json_option(command: F) -> F:
    """Give a command the option to print JSON."""
    return click.option("as_json", "--json", is_flag=True, help="Print JSON, with every number in full.")(
        command
    )


def home_option(command: F) -> F:
    """Give a command the option to say where the data home is."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False),
        help="Data home; by default $FACEBENCH_HOME, else the platform's cache folder.",
    )(command)


def note(text: str) -> None:
    """Tell the user something that is not a result."""
    click.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def table(*headings: str, right: Sequence[int] = ()) -> Table:
    """Make a table; the columns at the positions ``right`` are aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for position, heading in enumerate(headings):
        made.add_column(heading, justify="right" if position in right else "left", no_wrap=position in right)
    return made


def print_table(made: Table) -> None:
    """Print a table to standard output, in colour on a terminal only."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else FILE_WIDTH, highlight=False).print(made)


def progress(items: Iterable[Any], total: int, title: str) -> Iterator[Any]:
    """Show a progress bar on standard error while iterating, when that is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, total=total, description=title, console=Console(stderr=True), transient=True)
