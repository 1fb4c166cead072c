"""Tests of the network; without PyTorch or safetensors they are skipped as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]

# A network that is as small as one can be, and what it learns from.
MODEL = {"size": 32, "widths": (4, 8, 8, 8, 8), "blocks": 1, "decoder": 8}


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> None:
    for name in ("torch", "safetensors"):
        pytest.importorskip(name, reason=f"{name} is not installed", exc_type=ImportError)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def rendered_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset of 24 rendered faces."""
    from facebench.datasets import prepare

    path = tmp_path_factory.mktemp("home") / "prepared" / "rendered.h5"
    return prepare("rendered", [], path, faces=24, seed=5).path


@pytest.fixture(scope="session")
def rendered(rendered_path):
    from facebench.formats import open_dataset

    return open_dataset(rendered_path)


@pytest.fixture(scope="session")
def tiny():
    """Build the tiny network; further parts of its shape by name."""
    from facebench.mnn.architecture import Architecture, Network

    def make(**changed: Any) -> Network:
        import torch

        torch.manual_seed(3)
        return Network(Architecture(**{**MODEL, **changed})).eval()

    return make


@pytest.fixture(scope="session")
def tiny_recipe(rendered_path) -> Callable[..., Any]:
    """Build a recipe of two short epochs; changes by table, ``train={"batch": 8}``."""
    from facebench.mnn.recipe import Recipe

    def make(**tables: Any) -> Recipe:
        source = {
            "dataset": str(rendered_path), "annotations": ["truth"], "exact": True, "validation": 0.2,
            **tables.pop("source", {}),
        }  # fmt: skip
        found: dict[str, Any] = {"name": "tiny", "model": dict(MODEL), "data": [source]}
        found["train"] = {"epochs": 2, "batch": 4, "workers": 0, "bfloat16": False, "average": 0.5}
        for name, table in tables.items():
            found[name] = {**found.get(name, {}), **table} if isinstance(table, dict) else table
        return Recipe.model_validate(found)

    return make


@pytest.fixture(scope="session")
def weak_faces() -> Callable[..., SimpleNamespace]:
    """Draw faces out of the shape space, and look at them from afar: points and the rotations behind them."""
    from facebench.geometry import euler_to_rotation
    from facebench.mnn.shape_space import shape_space

    def make(count: int, seed: int = 0, turn: float = 30.0) -> SimpleNamespace:
        rng, space = np.random.default_rng(seed), shape_space()
        rotation = euler_to_rotation(rng.uniform(-turn, turn, (count, 3)), "raw-xyz")
        amounts = rng.normal(0, 0.7, (count, len(space.basis)))
        shapes = space.mean + np.einsum("nd,dkc->nkc", amounts, space.basis)
        points = 0.6 * (shapes @ rotation.transpose(0, 2, 1))[..., :2] + rng.uniform(90, 150, (count, 1, 2))
        return SimpleNamespace(points=points, rotation=rotation, shapes=shapes)

    return make


# What both processes of a run do: compare SharedNorm with one norm over everything, then train.
TWO_PROCESSES = """
import sys
from pathlib import Path

import torch
from torch import nn

from facebench.mnn import processes
from facebench.mnn.recipe import Recipe
from facebench.mnn.training import train

torch.set_num_threads(1)
folder, cpu = Path(sys.argv[1]), torch.device("cpu")
processes.begin(cpu)
rank = processes.rank()

given = torch.load(folder / "given.pt")
norm = processes.share_norms(nn.Sequential(nn.BatchNorm2d(3, momentum=0.3)), cpu)
norm[0].load_state_dict(given["norm"])
mine = given["x"].chunk(2)[rank].clone().requires_grad_()
for _ in range(2):
    answer = norm(mine)
(answer * given["pull"].chunk(2)[rank]).sum().backward()
found = {
    "kind": type(norm[0]).__name__, "answer": answer.detach(), "slope": mine.grad,
    "weight": processes.sum_of_all(norm[0].weight.grad), "bias": processes.sum_of_all(norm[0].bias.grad),
    "state": norm[0].state_dict(), "seen": norm.eval()(mine.detach()).detach(),
}
torch.save(found, folder / f"norm{rank}.pt")

said = []
for name in ("fits", "odd"):
    recipe = Recipe.model_validate_json((folder / f"{name}.json").read_text(encoding="utf-8"))
    try:
        train(recipe, folder / name, device=cpu, say=said.append)
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")
(folder / f"said{rank}.txt").write_text("\\n".join(said), encoding="utf-8")
torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory, tiny_recipe) -> Path:
    """Run the script above in two processes, and return the folder of what they left."""
    import torch
    from torch import nn

    folder = tmp_path_factory.mktemp("two")
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3, momentum=0.3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.5, 0.5, -1.0]))
        norm.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    x = torch.randn(6, 3, 4, 5) * torch.tensor([1.0, 10.0, 0.1])[:, None, None] + 2
    torch.save({"norm": norm.state_dict(), "x": x, "pull": torch.randn(x.shape)}, folder / "given.pt")
    short = {"epochs": 1, "rate": 1e-4}
    (folder / "fits.json").write_text(tiny_recipe(train=short).model_dump_json(), encoding="utf-8")
    odd = tiny_recipe(train={**short, "batch": 5})
    (folder / "odd.json").write_text(odd.model_dump_json(), encoding="utf-8")
    (folder / "script.py").write_text(TWO_PROCESSES, encoding="utf-8")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
        str(folder / "script.py"), str(folder),
    ]  # fmt: skip
    own = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=own, cwd=folder, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
