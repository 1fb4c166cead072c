"""Commands about predictions: ``check``, ``score``."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from facebench.cli.console import home_option, json_option, note, print_json, print_table, table

if TYPE_CHECKING:
    from facebench.formats import Predictions, PreparedDataset
    from facebench.protocols import Result, Score

__all__ = [
    "check",
    "data_option",
    "mapping_option",
    "missing_option",
    "number",
    "open_for",
    "print_result",
    "protocol_option",
    "protocols_for",
    "resamples_option",
    "score",
    "seed_option",
]

data_option = click.option(
    "--data", type=click.Path(), help="Prepared file; by default the dataset's in the data home."
)
missing_option = click.option(
    "--missing",
    type=click.Choice(["error", "exclude", "fail"]),
    default="error",
    show_default=True,
    help="Faces without a prediction: refuse, leave them out, or count them as failures.",
)


protocol_option = click.option(
    "protocols", "--protocol", multiple=True, help="Protocol to use; by default all that apply."
)
mapping_option = click.option(
    "--mapping",
    type=click.Choice(["exact", "approximate"]),
    default="exact",
    show_default=True,
    help="Landmarks of another scheme: score only the same points, or approximate further ones.",
)
resamples_option = click.option(
    "--resamples", type=click.IntRange(0), default=1000, show_default=True, help="For the intervals."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling."
)


def open_for(dataset: str, data: str | None, home: str | None) -> PreparedDataset:
    """Open the prepared file that a command was given, or the dataset's in the data home."""
    from facebench.datasets import get_dataset
    from facebench.formats import open_dataset

    return open_dataset(data) if data else open_dataset(get_dataset(dataset).name, home)


@click.command()
@click.argument("predictions", type=click.Path())
@data_option
@home_option
@json_option
def check(predictions: str, data: str | None, home: str | None, as_json: bool) -> None:
    """Check a predictions file against its dataset, without scoring it."""
    from facebench.formats import read_predictions
    from facebench.protocols import answered_protocols, check_predictions

    read = read_predictions(predictions)
    dataset = open_for(read.dataset, data, home)
    problems = check_predictions(read, dataset)
    able, notes = answered_protocols(read, dataset)
    if as_json:
        print_json({"ok": not problems, "protocols": able, "problems": problems, "notes": notes})
    else:
        for text in notes:
            note(f"note: {text}")
        for problem in problems:
            click.echo(problem)
        if not problems:
            click.echo(f"{predictions}: good for {', '.join(able)} ({len(read)} faces)")
    if problems:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("predictions", type=click.Path())
@protocol_option
@missing_option
@mapping_option
@resamples_option
@seed_option
@click.option(
    "--interval",
    type=click.Choice(["percentile", "bca"]),
    default="percentile",
    show_default=True,
    help="How intervals are had from the resamples.",
)
@click.option("short", "--short-signature", is_flag=True, help="Print signatures with short field names.")
@click.option("--per-face", type=click.Path(), help="Write the errors of every face to this CSV file.")
@data_option
@home_option
@json_option
def score(
    predictions: str,
    protocols: tuple[str, ...],
    missing: Literal["error", "exclude", "fail"],
    mapping: Literal["exact", "approximate"],
    resamples: int,
    seed: int,
    interval: Literal["percentile", "bca"],
    short: bool,
    per_face: str | None,
    data: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Score a predictions file, with intervals and signatures."""
    from facebench.formats import read_predictions
    from facebench.protocols import score as run

    read = read_predictions(predictions)
    dataset = open_for(read.dataset, data, home)
    names = list(protocols) or protocols_for(predictions, read, dataset)
    results = [
        run(
            read,
            name,
            dataset,
            missing=missing,
            mapping=mapping,
            resamples=resamples,
            seed=seed,
            interval=interval,
        )
        for name in names
    ]
    if per_face:
        _write_per_face(Path(per_face), results)
    if as_json:
        print_json([result.model_dump(mode="json") for result in results])
        return
    for result in results:
        print_result(result, short)


def protocols_for(path: str, predictions: Predictions, dataset: PreparedDataset) -> list[str]:
    """Return the protocols that score a predictions file, and note why others do not; refuse if none does."""
    from facebench.errors import InvalidData
    from facebench.protocols import answered_protocols

    names, notes = answered_protocols(predictions, dataset)
    for text in notes:
        note(f"note: {text}")
    if not names:
        msg = f"{path}: holds nothing that a protocol of {dataset.name} scores; see the notes above."
        raise InvalidData(msg)
    return names


def _write_per_face(path: Path, results: list[Result]) -> None:
    from facebench.formats import atomic_path

    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["protocol", "id", "error", "value"])
        for result in results:
            for column, errors in result.per_face.items():
                rows = zip(result.ids, errors, strict=True)
                writer.writerows((result.protocol, one, column, value) for one, value in rows)


def print_result(result: Result, short: bool = False) -> None:
    """Print the headline, the table of all metrics and the signature of a result."""
    from facebench.protocols import Signature, get_protocol

    protocol = get_protocol(result.protocol)
    key, group = result.headline.metric, result.headline.group
    metric = protocol.metric(key)
    first = _with_interval(result.headline)
    click.echo(
        f"\n{result.method} on {protocol.name}: {metric.title}, {protocol.groups[group]}: "
        f"{first} {metric.unit} over {result.n} of {result.faces} faces"
    )
    for remark in result.remarks:
        note(f"note: {remark}")
    groups = {name: title for name, title in protocol.groups.items() if _has(result, name)}
    made = table("metric", "", *groups.values(), right=range(2, 2 + len(groups)))
    for one in protocol.metrics:
        cells = [_cell(result, one.key, name) for name in groups]
        if not any(cells):
            continue  # hard labels of visibility have no sweep
        style = "bold" if one.key == key else None
        made.add_row(f"{one.title} {one.arrow}", one.unit, *cells, style=style)
    print_table(made)
    signature = Signature.parse(result.signature)
    click.echo(f"signature: {signature.short if short else signature}")


def _has(result: Result, group: str) -> bool:
    return any(one.group == group for one in result.scores)


def _cell(result: Result, key: str, group: str) -> str:
    found = {(one.metric, one.group): one for one in result.scores}.get((key, group))
    if found is None:
        return ""
    return _with_interval(found) if group in ("all", "balanced") else number(found.value)


def _with_interval(one: Score) -> str:
    if one.low is None or one.high is None or one.low != one.low:
        return number(one.value)
    return f"{number(one.value)} ({one.low:.3f}-{one.high:.3f})"


def number(value: float | None) -> str:
    """Show a value; in JSON null stands for infinity, and an undefined one is not a number."""
    if value is None:
        return "inf"
    return "undefined" if math.isnan(value) else f"{value:.3f}"
