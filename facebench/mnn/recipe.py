"""Recipes: everything that decides a training run, in one TOML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

from facebench.errors import DataMissing, InvalidData
from facebench.mnn.architecture import MODELS, Architecture
from facebench.mnn.augmentation import Augmentation
from facebench.mnn.losses import PARTS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Recipe", "Source", "find_recipe", "read_recipe"]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Strict):
    """Faces of one prepared dataset.

    Attributes
    ----------
    dataset : name or path of the prepared file; a path may start with ``~``.
    annotations : sets of points to take; of a face that has several, the first one.
    split : faces to take; by default all.
    ids : patterns of the ids of the faces to take, such as ``helen/trainset/*``; by default all.
    without : splits whose faces are left out, whatever ``split`` says: test faces.
    share : how often each face is seen in an epoch on average.
    exact : everything is known, as of rendered faces: nothing is completed by a fitted shape.
    release_turn, fit_turn : degrees about the axis through the ears by which the head axes of released poses,
        and those of poses fitted to the points, are turned into the ones that the network shall learn.
    validation : share of the faces that are held back to watch the training.
    """

    dataset: str
    annotations: tuple[str, ...] = Field(min_length=1)
    split: str | None = None
    ids: tuple[str, ...] = ("*",)
    without: tuple[str, ...] = ()
    share: float = Field(default=1.0, gt=0, le=100)
    exact: bool = False
    release_turn: float = 0.0
    fit_turn: float = 0.0
    validation: float = Field(default=0.04, ge=0, lt=1)


class Training(Strict):
    """How the network learns.

    Attributes
    ----------
    epochs, batch : the batch is that of all processes together.
    rate : learning rate at its highest: it rises for ``warmup`` of all steps, then falls as a cosine.
    decay : weight decay of AdamW.
    average : of the weights, per step; what is kept is their average.
    seed : decides first weights, order and augmentation.
    start : weights to start from instead of random ones.
    workers : processes that cut and change faces.
    bfloat16 : compute in 16 bits where that is safe.
    half : keep the weights that come out in 16 bits.
    checkpoint : minutes between two checkpoints; one is written at each end of an epoch, too.
    """

    epochs: int = Field(default=30, ge=1)
    batch: int = Field(default=64, ge=2)
    rate: float = Field(default=1e-3, gt=0)
    warmup: float = Field(default=0.03, ge=0, lt=1)
    decay: float = Field(default=0.02, ge=0)
    average: float = Field(default=0.998, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)
    start: str | None = None
    workers: int = Field(default=1, ge=0, le=64)
    bfloat16: bool = True
    half: bool = False
    checkpoint: float = Field(default=5.0, gt=0)


class Recipe(Strict):
    """A training run.

    Attributes
    ----------
    name : of the model that comes out.
    model : its shape.
    data : what it learns from.
    losses : weights of the parts of the loss, where they are not the usual ones.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    model: Architecture
    data: tuple[Source, ...] = Field(min_length=1)
    train: Training = Training()
    augmentation: Augmentation = Augmentation()
    losses: dict[str, NonNegativeFloat] = {}

    @property
    def weights(self) -> dict[str, float]:
        """Weights of all parts of the loss."""
        return {**PARTS, **self.losses}


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    ``[model]`` may name one of :data:`~facebench.mnn.architecture.MODELS` as ``base`` and change parts of it.

    Raises
    ------
    DataMissing : there is no such file.
    InvalidData : it is not TOML, or not a recipe; names the keys.
    """
    path = Path(path)
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path}: no such recipe. 'facebench train --help' names the ones that come with facebench."
        raise DataMissing(msg) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path}: cannot be read as TOML ({error})."
        raise InvalidData(msg) from error
    model = found.get("model")
    if isinstance(model, dict) and "base" in model:
        base = model.pop("base")
        if not isinstance(base, str) or base not in MODELS:
            msg = f"{path}: model.base is {base!r}; expected one of {', '.join(MODELS)}."
            raise InvalidData(msg)
        found["model"] = {**MODELS[base], **model}
    try:
        recipe = Recipe.model_validate(found)
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, one['loc'])) or 'the recipe'}: {one['msg']}, found {one['input']!r:.60}"
            for one in error.errors()
        )
        msg = f"{path}: not a recipe.\n  " + "\n  ".join(faults)
        raise InvalidData(msg) from error
    unknown = sorted(recipe.losses.keys() - PARTS)
    if unknown:
        msg = f"{path}: losses: unknown {', '.join(unknown)}; expected {', '.join(PARTS)}."
        raise InvalidData(msg)
    if recipe.model.scheme != "ibug68":
        msg = f"{path}: model.scheme is '{recipe.model.scheme}'; training knows 'ibug68' only."
        raise InvalidData(msg)
    if recipe.model.size % recipe.model.coarsest:
        msg = (
            f"{path}: model.size is {recipe.model.size}; expected a multiple of {recipe.model.coarsest}, "
            f"the stride of the bottleneck of {len(recipe.model.widths)} widths."
        )
        raise InvalidData(msg)
    return recipe


def find_recipe(name: str) -> Path:
    """Return the file of a recipe that comes with facebench, or of one's own by its path."""
    known = Path(__file__).parent / "recipes" / f"{name}.toml"
    return known if "/" not in name and known.is_file() else Path(name)
