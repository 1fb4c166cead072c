"""Commands that set numbers side by side: ``compare`` and ``explain``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from facebench.cli.console import home_option, json_option, note, print_json, print_table, table
from facebench.cli.scores import (
    data_option,
    mapping_option,
    missing_option,
    number,
    open_for,
    protocol_option,
    protocols_for,
    resamples_option,
    seed_option,
)

if TYPE_CHECKING:
    from facebench.protocols import Comparison, Explanation

__all__ = ["compare", "explain"]


@click.command()
@click.argument("predictions", nargs=-1, required=True, type=click.Path())
@protocol_option
@missing_option
@mapping_option
@click.option(
    "--differ",
    multiple=True,
    metavar="FIELD",
    help="Field of the signature that may differ, such as box; several allowed.",
)
@resamples_option
@seed_option
@click.option("--plot", type=click.Path(), help="Draw the differences into this .png or .svg file.")
@data_option
@home_option
@json_option
def compare(
    predictions: tuple[str, ...],
    protocols: tuple[str, ...],
    missing: Literal["error", "exclude", "fail"],
    mapping: Literal["exact", "approximate"],
    differ: tuple[str, ...],
    resamples: int,
    seed: int,
    plot: str | None,
    data: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Compare methods with the first of them: paired differences, intervals and p-values."""
    from facebench.errors import InvalidData
    from facebench.formats import read_predictions
    from facebench.protocols import compare as run

    read = [read_predictions(path) for path in predictions]
    dataset = open_for(read[0].dataset, data, home)
    names = list(protocols)
    if not names:
        able = [protocols_for(path, one, dataset) for path, one in zip(predictions, read, strict=True)]
        names = [name for name in able[0] if all(name in one for one in able)]
        if not names:
            msg = f"no protocol of {dataset.name} scores all of {', '.join(predictions)}."
            raise InvalidData(msg)
    found = [
        run(
            read,
            name,
            dataset,
            missing=missing,
            mapping=mapping,
            differ=differ,
            resamples=resamples,
            seed=seed,
        )
        for name in names
    ]
    if plot is not None:
        from facebench.report import draw_comparisons

        draw_comparisons(found, Path(plot))
        note(f"drawn: {plot}")
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    for one in found:
        _print_comparison(one)


def _print_comparison(found: Comparison) -> None:
    """Print the headline and the other columns of the leaderboard; the JSON has every number."""
    from facebench.protocols import get_protocol

    protocol = get_protocol(found.protocol)
    shown = [key for key in protocol.board if any((r.metric, r.group) == key for r in found.rows)]
    click.echo(f"\n{protocol.name}, {found.n} faces, against {found.baseline}")
    corrected = "p (Holm)" if len(found.methods) > 1 else "p"
    made = table(
        "metric",
        "",
        "method",
        found.baseline,
        "value",
        "difference (95 %)",
        corrected,
        "",
        right=(3, 4, 5, 6),
    )
    for key, group in shown:
        metric = protocol.metric(key)
        for place, method in enumerate(found.methods):
            row = found.get(method, key, group)
            first = (
                (f"{protocol.title_of(key, group)} {metric.arrow}", metric.unit) if not place else ("", "")
            )
            verdict = {True: "better", False: "worse", None: "not significant"}[row.better]
            made.add_row(
                *first,
                method,
                number(row.baseline) if not place else "",
                number(row.value),
                _difference(row.difference, row.low, row.high),
                _p(row.p_holm),
                verdict,
                style="bold" if (key, group) == protocol.headline else None,
            )
    print_table(made)
    click.echo(f"signature: {found.signature}")


def _difference(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or math.isnan(value) or low is None or high is None:
        return number(value)
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _p(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.4f}"


@click.command()
@click.argument("predictions", type=click.Path())
@protocol_option
@click.option(
    "--engine",
    help="Only the numbers of this evaluation code, such as upm or 6drepnet, after the one to quote.",
)
@missing_option
@mapping_option
@data_option
@home_option
@json_option
def explain(
    predictions: str,
    protocols: tuple[str, ...],
    engine: str | None,
    missing: Literal["error", "exclude", "fail"],
    mapping: Literal["exact", "approximate"],
    data: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Show what other normalisers, conventions and evaluation codes make of a predictions file."""
    from facebench.errors import InvalidData, UsageError
    from facebench.formats import read_predictions
    from facebench.metrics import get_engine
    from facebench.protocols import VisibilityProtocol, get_protocol
    from facebench.protocols import explain as run

    read = read_predictions(predictions)
    dataset = open_for(read.dataset, data, home)
    names = list(protocols) or [
        name
        for name in protocols_for(predictions, read, dataset)
        if not isinstance(get_protocol(name), VisibilityProtocol)
    ]
    if not names:
        msg = f"{predictions}: there is nothing but visibility, of which there is nothing to explain."
        raise InvalidData(msg)
    if engine is not None:
        get_engine(engine)
    found, refused = [], []
    for name in names:
        try:
            found.append(run(read, name, dataset, missing=missing, mapping=mapping, engine=engine))
        except UsageError as error:  # the engine measures nothing of what this one does, perhaps of others
            if protocols:
                raise
            refused.append(error)
    if not found:
        raise refused[0]
    for one in refused:
        note(f"note: {one}")
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    for explanation in found:
        _print_explanation(explanation)


def _print_explanation(found: Explanation) -> None:
    click.echo(f"\n{found.method} on {found.protocol}, {found.n} faces; the first line is the one to quote")
    made = table("number", "rule", "value", "", "less exact", "what the rule does", right=(2, 4))
    for place, one in enumerate(found.readings):
        apart = "" if one.exact is None or one.value is None else f"{one.value - one.exact:+.3f}"
        style = "bold" if not place else None
        made.add_row(one.measure, one.rule, number(one.value), one.unit, apart, one.why, style=style)
    print_table(made)
    click.echo(f"signature: {found.signature}")
