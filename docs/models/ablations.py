"""Train variants of a small network on the same faces, and compare them on faces that were held back.

    python docs/models/ablations.py FOLDER [--home HOME]

Prints a table: errors of each variant with 95 % intervals, and its difference to the whole network with that
of the paired difference.  Runs that are complete are not made again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from facebench.metrics import average_precision
from facebench.mnn.architecture import Network, rotation_of
from facebench.mnn.data import TrainingFaces, load_source
from facebench.mnn.recipe import Recipe, read_recipe
from facebench.mnn.training import train
from facebench.mnn.weights import load_weights

RESAMPLES = 1000
VARIANTS: dict[str, dict[str, Any]] = {
    "all tasks": {},
    "pose alone": {"tasks": ("pose",)},
    "points alone": {"tasks": ("landmarks",)},
    "points and visibility": {"tasks": ("landmarks", "visibility")},
    "no lateral connections": {"lateral": False},
    "pose at the decoder's end": {"pose_at": "decoder"},
}


def errors_of(network: Network, faces: TrainingFaces) -> dict[str, np.ndarray]:
    """Return per face: mean error of the annotated points in percent of the face, angle in degrees, and the
    scores and truth of hidden points."""
    loader = DataLoader(faces, 64, sampler=[(0, number) for number in range(len(faces))])
    found: dict[str, list[np.ndarray]] = {"points": [], "pose": [], "hidden": []}
    with torch.inference_mode():
        for batch in loader:
            out = network(batch["image"].permute(0, 3, 1, 2).float() / 255)
            if "points" in out:
                off = (out["points"] - batch["points"]).norm(dim=2) / batch["face"][:, None] * 100
                weight = (batch["point_weight"] == 1).float()
                found["points"].append(((off * weight).sum(1) / weight.sum(1)).numpy())
            if "pose" in out:
                turned = rotation_of(out["pose"]).transpose(1, 2) @ batch["rotation"]
                cosine = (turned.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
                found["pose"].append(torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).numpy())
            if "visibility" in out:
                pair = torch.stack(
                    [
                        -out["visibility"],
                        torch.where(batch["visible"].isnan(), torch.nan, 1 - batch["visible"]),
                    ],
                    2,
                )
                found["hidden"].append(pair.numpy())
    return {name: np.concatenate(parts) for name, parts in found.items() if parts}


def summary(name: str, rows: np.ndarray) -> float:
    if name != "hidden":
        return float(np.nanmean(rows))
    flat = rows.reshape(-1, 2)
    flat = flat[np.isfinite(flat).all(axis=1)]
    return average_precision(flat[:, 0], flat[:, 1].astype(bool))


def shown(name: str, mine: np.ndarray, whole: np.ndarray | None) -> str:
    """Return a value with its interval, and its difference to that of the whole network with its own."""
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(mine), len(mine)) for _ in range(RESAMPLES)]
    values = np.array([summary(name, mine[draw]) for draw in draws])
    low, high = np.quantile(values, [0.025, 0.975])
    text = f"{summary(name, mine):.2f} ({low:.2f}-{high:.2f})"
    if whole is None:
        return text
    difference = values - np.array([summary(name, whole[draw]) for draw in draws])
    low, high = np.quantile(difference, [0.025, 0.975])
    return f"{text}; {summary(name, mine) - summary(name, whole):+.2f} ({low:+.2f} to {high:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home")
    given = parser.parse_args()
    base = read_recipe(Path(__file__).with_name("ablations.toml"))
    watch = [load_source(one, base.train.seed, given.home, lambda text: None).watch for one in base.data]
    faces = TrainingFaces(watch, base.model.size, None)
    whole: dict[str, np.ndarray] = {}
    print(f"{len(faces)} faces held back\n")
    print("| network | points, % of the face | pose, ° | not visible, AP % |\n|:--|--:|--:|--:|")
    for name, change in VARIANTS.items():
        recipe = Recipe.model_validate(base.model_dump() | {"model": base.model.model_dump() | change})
        folder = given.folder / name.replace(" ", "-").replace("'", "")
        weights = folder / f"{recipe.name}.safetensors"
        if not weights.exists():
            train(recipe, folder, device=torch.device("cpu"), home=given.home)
        found = errors_of(load_weights(weights), faces)
        whole = whole or found
        cells = [
            shown(key, found[key], None if found is whole else whole[key]) if key in found else ""
            for key in ("points", "pose", "hidden")
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
