"""Commands about leaderboards: ``leaderboard add``, ``build``, ``check``, ``table``, ``site``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from facebench.cli.console import home_option, json_option, note, print_json
from facebench.cli.scores import data_option, missing_option, open_for

__all__ = ["leaderboard"]

dir_option = click.option(
    "folder",
    "--dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("leaderboards"),
    show_default=True,
    help="Folder of the leaderboards: entries/ and the generated pages.",
)


@click.group()
def leaderboard() -> None:
    """Keep leaderboards: entries in JSON, pages in Markdown."""


@leaderboard.command()
@click.argument("predictions", type=click.Path())
@click.option("--method", help="Name of the method; by default the one in the file.")
@click.option("--year", type=int, help="Year of publication.")
@click.option("--paper", help="Authors, title, venue.")
@click.option("--url", help="Where the paper or the code is.")
@click.option("--training-data", help="By default what the file says.")
@click.option("--source", help="Where the predictions come from.")
@click.option(
    "--reproduced-by", metavar="COMMAND", help="Command that makes the predictions: status 'reproduced'."
)
@click.option("--because", help="Why a number changes that was there before; kept on the errata page.")
@click.option("protocols", "--protocol", multiple=True, help="By default all that apply.")
@missing_option
@dir_option
@data_option
@home_option
def add(
    predictions: str,
    method: str | None,
    year: int | None,
    paper: str | None,
    url: str | None,
    training_data: str | None,
    source: str | None,
    reproduced_by: str | None,
    because: str | None,
    protocols: tuple[str, ...],
    missing: Literal["error", "exclude", "fail"],
    folder: Path,
    data: str | None,
    home: str | None,
) -> None:
    """Score a predictions file and add the results to its method's entry."""
    from pydantic import ValidationError

    from facebench.errors import UsageError
    from facebench.formats import read_predictions
    from facebench.leaderboard import Entry, add_errors, add_result
    from facebench.protocols import answered_protocols, measure, summarise

    read = read_predictions(predictions)
    dataset = open_for(read.dataset, data, home)
    names, notes = (list(protocols), []) if protocols else answered_protocols(read, dataset)
    for text in notes:
        note(f"note: {text}")
    claims = []
    measured = [measure(read, name, dataset, missing=missing) for name in names]
    for one in measured:
        result = summarise(one)
        # The parts and points of every row would make entries ten times as long for no table.
        claims.append(
            {
                "status": "reproduced" if reproduced_by else "rescored",
                "result": result.model_copy(
                    update={"per_part": {}, "per_point": {}, "per_yaw": {}, "yaw_confusion": []}
                ),
                "training_data": training_data or read.training_data,
                "source": source,
                "command": reproduced_by,
            }
        )
    try:
        entry = Entry.model_validate(
            {
                "dataset": dataset.name,
                "method": method or read.method,
                "year": year,
                "paper": paper,
                "url": url,
                "results": claims,
            }
        )
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        msg = f"{predictions}: not added to a leaderboard: {wrong}."
        raise UsageError(msg) from error
    path = add_result(folder, entry, because)
    add_errors(folder, path, measured)
    click.echo(f"{path}  ({', '.join(names)})")
    note("Run 'facebench leaderboard build' to renew the pages.")


@leaderboard.command()
@dir_option
def build(folder: Path) -> None:
    """Write the Markdown pages from the entries."""
    from facebench.formats import write_text
    from facebench.leaderboard import render_pages

    for name, text in render_pages(folder).items():
        write_text(folder / name, text)
        click.echo(str(folder / name))


@leaderboard.command()
@dir_option
@json_option
def check(folder: Path, as_json: bool) -> None:
    """Fail when an entry is not valid, or a page differs from its entries.

    Also warns of published numbers that contradict each other, such as an MAE that is not the mean of its
    axes. A warning fails nothing: the claim's notes say what is known about it.
    """
    from facebench.datasets import dataset_names
    from facebench.leaderboard import check_pages, lint_entries, load_entries

    stale = check_pages(folder)
    warnings = [text for name in dataset_names() for text in lint_entries(load_entries(folder, name))]
    if as_json:
        print_json({"ok": not stale, "stale": stale, "warnings": warnings})
    else:
        for text in stale:
            click.echo(text)
        for text in warnings:
            note(f"warning: {text}")
    if stale:
        note("Run 'facebench leaderboard build' and commit the pages.")
        raise click.exceptions.Exit(1)
    if not as_json:
        click.echo("entries valid, pages current")


@leaderboard.command()
@click.argument("protocol")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["markdown", "csv", "json", "latex"]),
    default="markdown",
    show_default=True,
)
@dir_option
def table(protocol: str, kind: str, folder: Path) -> None:
    """Print the table of one protocol, for a program or a paper."""
    from facebench.errors import DataMissing
    from facebench.leaderboard import EXPORTS, build_boards
    from facebench.protocols import get_protocol

    name = get_protocol(protocol).name
    tables = {one.protocol.name: one for board in build_boards(folder) for one in board.tables}
    if name not in tables:
        msg = f"{folder}: no entry of dataset '{get_protocol(name).dataset}'. Add one with 'leaderboard add'."
        raise DataMissing(msg)
    click.echo(EXPORTS[kind](tables[name]), nl=False)


@leaderboard.command()
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@dir_option
def site(target: Path, folder: Path) -> None:
    """Write the leaderboards as a static site: sortable tables, curves, a page for each method.

    TARGET is a new or empty folder, or an earlier site, which is replaced. The pages need nothing outside
    themselves: open TARGET/index.html, or put the folder on any web server.
    """
    from facebench.leaderboard.site import write_site

    count = write_site(folder, target)
    click.echo(f"{target / 'index.html'}  ({count} files)")
