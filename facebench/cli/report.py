"""Commands that draw results: ``report``, one HTML page, and ``plot``, its figures as files."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from facebench.cli.behind import behind_option, read_behind
from facebench.cli.console import home_option, json_option, note, print_json
from facebench.cli.scores import (
    data_option,
    mapping_option,
    missing_option,
    open_for,
    protocol_option,
    protocols_for,
    resamples_option,
)

if TYPE_CHECKING:
    from facebench.formats import Predictions, PreparedDataset
    from facebench.report import Report

__all__ = ["plot", "report"]


@click.command()
@click.argument("predictions", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", type=click.Path(), default="report.html", show_default=True)
@protocol_option
@missing_option
@mapping_option
@behind_option
@click.option(
    "--faces",
    type=click.IntRange(1, 200),
    default=12,
    show_default=True,
    help="How many faces to show in each gallery.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the faces drawn by lot."
)
@click.option("--no-images", is_flag=True, help="Show no face, so that the report may be passed on.")
@resamples_option
@data_option
@home_option
@json_option
@click.pass_context
def report(
    context: click.Context,
    predictions: tuple[str, ...],
    output: str,
    protocols: tuple[str, ...],
    missing: Literal["error", "exclude", "fail"],
    mapping: Literal["exact", "approximate"],
    behind: tuple[str, ...],
    faces: int,
    seed: int,
    no_images: bool,
    resamples: int,
    data: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Write one HTML page: scores, curves, errors by point and yaw, and the worst faces.

    Several predictions files share the curves, and are compared with the first. The page needs nothing
    outside itself, and the same inputs give the same bytes.
    """
    from facebench.report import write_report

    made = replace(
        _read(predictions, data, home, protocols, behind),
        missing=missing,
        mapping=mapping,
        resamples=resamples,
        faces=faces,
        seed=seed,
        images=not no_images,
        command=_command(context),
    )
    write_report(output, made, lambda name: note(f"{name} ..."))
    names, methods = made.protocols, [one.method for one in made.predictions]
    if as_json:
        print_json({"path": output, "protocols": names, "methods": methods})
    else:
        click.echo(f"{output}  ({', '.join(names)})")


@click.command()
@click.argument("predictions", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default="figures",
    show_default=True,
    help="Folder that the files go to; those of the same names are replaced.",
)
@click.option("kind", "--format", type=click.Choice(["svg", "png"]), default="svg", show_default=True)
@protocol_option
@missing_option
@mapping_option
@behind_option
@data_option
@home_option
@json_option
def plot(
    predictions: tuple[str, ...],
    output: str,
    kind: str,
    protocols: tuple[str, ...],
    missing: Literal["error", "exclude", "fail"],
    mapping: Literal["exact", "approximate"],
    behind: tuple[str, ...],
    data: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Write each figure of the report as a file of its own, on white and with its legend.

    The same inputs give the same bytes.
    """
    from facebench.report import write_figures

    made = replace(
        _read(predictions, data, home, protocols, behind), missing=missing, mapping=mapping, resamples=0
    )
    paths = [str(path) for path in write_figures(output, made, kind, lambda name: note(f"{name} ..."))]
    if as_json:
        print_json({"files": paths})
    else:
        click.echo("\n".join(paths))


def _read(
    paths: tuple[str, ...],
    data: str | None,
    home: str | None,
    protocols: tuple[str, ...],
    behind: tuple[str, ...],
) -> Report:
    """Read the files of a report."""
    from facebench.formats import read_predictions
    from facebench.report import Report

    read = [read_predictions(path) for path in paths]
    dataset = open_for(read[0].dataset, data, home)
    names = list(dict.fromkeys(protocols)) or _applying(paths, read, dataset)
    curves = read_behind(behind, dataset.name, names, [one.method for one in read])
    return Report(read, dataset, names, behind=curves)


def _applying(paths: tuple[str, ...], read: list[Predictions], dataset: PreparedDataset) -> list[str]:
    """Return the protocols that score at least one of the files, in the order of the dataset's."""
    from facebench.protocols import protocols_of

    able = {name for path, one in zip(paths, read, strict=True) for name in protocols_for(path, one, dataset)}
    return [one.name for one in protocols_of(dataset.name) if one.name in able]


def _command(context: click.Context) -> str:
    """Write the command as it was given, but for where the page went: that does not change the page."""
    words = ["facebench", "report"]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if isinstance(parameter, click.Argument):
            words += value or ()
        elif parameter.name in ("output", "as_json") or value in (parameter.default, None, ()):
            continue
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            words += [parameter.opts[-1]] if value else []
        else:
            for one in value if isinstance(value, tuple) else (value,):
                words += [parameter.opts[-1], str(one)]
    return shlex.join(words)
