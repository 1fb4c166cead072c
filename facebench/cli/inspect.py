"""Commands that show or hand on a prepared dataset: ``view``, ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facebench.cli.console import home_option, json_option, print_json

if TYPE_CHECKING:
    from facebench.formats import PreparedDataset

__all__ = ["export", "view"]

set_option = click.option(
    "annotation", "--set", help="Annotation set; by default 'original' or the only one there is."
)
split_option = click.option("--split", help="Only the faces of this split.")


def _open(dataset: str, home: str | None) -> PreparedDataset:
    from facebench.datasets import get_dataset
    from facebench.formats import open_dataset

    return open_dataset(dataset if dataset.endswith(".h5") else get_dataset(dataset).name, home)


@click.command()
@click.argument("dataset")
@click.option("--faces", multiple=True, help="Id of a face to show; may be given several times.")
@split_option
@click.option("--worst", type=click.Path(), help="Table of 'score --per-face': show the largest errors.")
@click.option("--metric", help="Error to sort --worst by; by default that of the protocol's headline.")
@click.option("--protocol", help="Protocol of that error; without --metric by default the table's first.")
@set_option
@click.option("--box", default="landmarks", show_default=True, help="Boxes to crop around.")
@click.option(
    "--count", type=click.IntRange(1, 600), default=24, show_default=True, help="How many faces to show."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the choice of faces.")
@click.option("-o", "--output", type=click.Path(), default="sheet.png", show_default=True)
@home_option
@json_option
def view(
    dataset: str,
    faces: tuple[str, ...],
    split: str | None,
    worst: str | None,
    metric: str | None,
    protocol: str | None,
    annotation: str | None,
    box: str,
    count: int,
    seed: int,
    output: str,
    home: str | None,
    as_json: bool,
) -> None:
    """Draw a contact sheet: faces with their points, pose axes and boxes.

    DATASET is a name, or the path of a prepared file. Without --faces or --worst, faces are drawn by lot.
    """
    import numpy as np

    from facebench.errors import UsageError
    from facebench.formats.selection import choose_annotation, choose_rows
    from facebench.report import Sheet, contact_sheet, headline_error, worst_faces, write_sheet

    if faces and (worst or split):
        msg = "--faces goes with neither --worst nor --split."
        raise UsageError(msg)
    if not output.lower().endswith(".png"):
        msg = f"{output}: a contact sheet is a PNG; give a name that ends in .png."
        raise UsageError(msg)
    prepared = _open(dataset, home)
    notes: dict[int, str] = {}
    if faces:
        rows, how = prepared.rows(list(dict.fromkeys(faces))), "by id"
    else:
        among = choose_rows(prepared, split)
        if worst:
            if metric is None:
                protocol, metric = headline_error(worst, protocol)
            found = worst_faces(worst, metric, protocol)
            ranked = prepared.rows([face for face, _ in found])
            inside = np.isin(ranked, among)
            rows, how = ranked[inside][:count], f"largest {metric}"
            notes = {int(row): f"{found[at][1]:.3f}" for at, row in enumerate(ranked)}
        else:
            chosen = np.random.default_rng(seed).permutation(among)[:count]
            rows, how = np.sort(chosen), f"by lot, seed {seed}"
    if not len(rows):
        msg = f"{worst}: none of its faces is in split '{split or 'all'}' of {prepared.path}."
        raise UsageError(msg)
    set_name, _ = choose_annotation(prepared, annotation)
    words = [prepared.name, set_name, f"split {split}" if split else ""]
    words += [f"{len(rows)} of {len(prepared)} faces", how]
    title = "  ·  ".join(filter(None, words))
    sheet = Sheet([int(row) for row in rows], annotation, box, title, notes)
    write_sheet(output, contact_sheet(prepared, sheet))
    if as_json:
        print_json({"path": output, "faces": [prepared.ids[row] for row in rows]})
    else:
        click.echo(f"{output}  ({len(rows)} faces)")


@click.command()
@click.argument("name")
@click.option(
    "kind",
    "--format",
    type=click.Choice(["coco", "pts", "csv", "npz"]),
    help="COCO keypoints (JSON), a folder of 300W .pts files, a table, or numpy arrays.",
)
@click.option("--onnx", is_flag=True, help="NAME is a model (mnn-s, or a .safetensors file): write ONNX.")
@split_option
@set_option
@click.option("-o", "--output", type=click.Path(), required=True, help="File, or for pts the folder.")
@home_option
@json_option
def export(
    name: str,
    kind: str | None,
    onnx: bool,
    split: str | None,
    annotation: str | None,
    output: str,
    home: str | None,
    as_json: bool,
) -> None:
    """Write the annotations of a dataset, or a model, in a format of other tools.

    NAME is a dataset, or the path of a prepared file. Coordinates are 0-based, in .pts files 1-based. With
    --onnx it is a model, whose ONNX file is compared with PyTorch before it is kept.
    """
    if onnx == (kind is not None) or (onnx and (split or annotation)):
        msg = "Give --format for a dataset, or --onnx alone for a model."
        raise click.UsageError(msg)
    if kind is None:
        _export_onnx(name, output, as_json)
        return
    from facebench.formats.export import export as run

    count = run(_open(name, home), kind, Path(output), split, annotation)
    if as_json:
        print_json({"path": output, "format": kind, "faces": count})
    else:
        click.echo(f"{output}  ({count} faces)")


def _export_onnx(name: str, output: str, as_json: bool) -> None:
    from facebench.cli.models import need_torch

    need_torch()
    from facebench.mnn.onnx import export_onnx
    from facebench.mnn.weights import find_model, load_weights

    path, _ = find_model(name)
    worst = export_onnx(load_weights(path), Path(output))
    if as_json:
        print_json({"path": output, "format": "onnx", "largest_difference": worst})
    else:
        click.echo(f"{output}  (differs from PyTorch by {worst:.1e} at most)")
