"""Commands about models: ``train``, ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facebench.cli.console import home_option, json_option, note, print_json, progress
from facebench.cli.scores import data_option, open_for

if TYPE_CHECKING:
    from facebench.mnn.prediction import Predictor

__all__ = ["need_torch", "predict", "train"]

device_option = click.option("--device", help="cpu, cuda or cuda:N; by default a GPU where there is one.")


@click.command()
@click.argument("recipe")
@click.option(
    "-o", "--output", type=click.Path(file_okay=False), help="Folder of the run; by default runs/NAME."
)
@click.option("--refine", is_flag=True, help="Then train a refinement of the points by regression trees.")
@device_option
@home_option
@json_option
def train(
    recipe: str, output: str | None, refine: bool, device: str | None, home: str | None, as_json: bool
) -> None:
    """Train a model by a recipe: a TOML file, or the name of one that comes with facebench (mnn-s, mnn).

    A run may be killed at any moment: the same command goes on where the last checkpoint was, and ends with
    the same weights. For several processes:

    \b
        torchrun --nproc-per-node 4 -m facebench train RECIPE
    """
    need_torch(*(["sklearn"] if refine else []))
    from facebench.mnn import training
    from facebench.mnn.recipe import find_recipe, read_recipe

    read = read_recipe(find_recipe(recipe))
    folder = Path(output) if output else Path("runs") / read.name
    where = training.pick_device(device)
    done = training.train(read, folder, device=where, home=home, progress=progress, say=note)
    more = training.refine(read, folder, device=where, home=home, progress=progress) if refine else None
    if as_json:
        found = {"weights": str(done.weights), "validation": done.validation}
        print_json(found | ({"refinement": {**vars(more), "refiner": str(more.refiner)}} if more else {}))
        return
    click.echo(f"{done.weights}  ({', '.join(f'{k} {v:.3f}' for k, v in done.validation.items())})")
    if more:
        click.echo(
            f"{more.refiner}  (points_percent {more.plain:.3f} without it, {more.refined:.3f} with it)"
        )


@click.command()
@click.argument("dataset", required=False)
@click.option(
    "--model",
    required=True,
    help="mnn-s, the path of a .safetensors file, or a constant: zero-pose, mean-pose, mean-shape.",
)
@click.option("-o", "--output", type=click.Path(), default="predictions.h5", show_default=True)
@click.option("--images", type=click.Path(file_okay=False), help="Instead of a dataset: a folder of images,")
@click.option(
    "--boxes", type=click.Path(dir_okay=False), help="and a CSV file: image, x_min, y_min, x_max, y_max, id."
)
@click.option("--box", default="landmarks", show_default=True, help="The dataset's boxes to cut faces by.")
@click.option("--split", help="Faces to predict; by default all.")
@click.option("--mirror", is_flag=True, help="Take the mean with the answer for the mirrored face.")
@click.option("--refiner", type=click.Path(dir_okay=False), help="Refinement of the points, for own weights.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Faces at once.")
@click.option("--name", help="Name of the method in the file; by default the model's.")
@device_option
@data_option
@home_option
def predict(
    dataset: str | None, model: str, output: str, images: str | None, boxes: str | None, box: str,
    split: str | None, mirror: bool, refiner: str | None, batch: int, name: str | None, device: str | None,
    data: str | None, home: str | None,
) -> None:  # fmt: skip
    """Write a model's predictions for the faces of a dataset, or of images of your own.

    An interrupted run goes on where it was when the same command is given again.
    """
    from facebench.protocols import BASELINES, predict_baseline

    if (images is None) != (boxes is None) or (images is None) == (dataset is None):
        msg = "Give a dataset, or --images with --boxes."
        raise click.UsageError(msg)
    target = Path(output)
    if model in BASELINES:
        if dataset is None:
            msg = f"The constant '{model}' is for a dataset."
            raise click.UsageError(msg)
        prepared = open_for(dataset, data, home)
        predict_baseline(model, prepared, target)
        note(f"{model}: {BASELINES[model]}")
        click.echo(f"{output}  ({len(prepared)} faces)")
        return
    predictor, method, training_data = _load(model, device, mirror, refiner)
    from facebench.mnn.prediction import predict_dataset, predict_images

    about = {"method": name or method, "training_data": training_data}
    if images is not None and boxes is not None:
        count = predict_images(
            predictor, Path(images), Path(boxes), target, batch=batch, progress=progress, **about
        )
    else:
        assert dataset is not None
        count = predict_dataset(
            predictor, open_for(dataset, data, home), target, box=box, split=split, batch=batch,
            progress=progress, **about,
        )  # fmt: skip
    click.echo(f"{output}  ({count} faces)")


def _load(model: str, device: str | None, mirror: bool, refiner: str | None) -> tuple[Predictor, str, str]:
    """Return a model ready to be asked, its name, and what it was trained on."""
    need_torch()
    from facebench.mnn.prediction import Predictor
    from facebench.mnn.refinement import load_refiner
    from facebench.mnn.training import pick_device
    from facebench.mnn.weights import find_model, load_weights

    path, card = find_model(model)
    if card:
        note(f"{card.name}: {card.licence}")
    network = load_weights(path)
    trees = load_refiner(refiner, network.architecture) if refiner else None
    predictor = Predictor(network, pick_device(device), mirror, trees)
    method = (card.name if card else path.stem) + " (mirrored too)" * mirror + " (refined)" * bool(refiner)
    return predictor, method, card.training_data if card else "unstated"


def need_torch(*more: str) -> None:
    """Refuse where PyTorch, or another module, is missing, before anything imports it."""
    from importlib.util import find_spec

    from facebench.errors import DataMissing

    lacking = [name for name in ("torch", "safetensors", *more) if find_spec(name) is None]
    if lacking:
        msg = f"{' and '.join(lacking)} not installed, which models need: pip install 'facebench[mnn]'"
        raise DataMissing(msg)
