"""Training: from a recipe to weights, through any number of interruptions."""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from facebench.errors import InvalidData, UsageError
from facebench.formats import Progress, no_progress
from facebench.formats.atomic import atomic_path, write_text
from facebench.metrics import average_precision
from facebench.mnn import processes
from facebench.mnn.architecture import Network, rotation_of
from facebench.mnn.data import MARGIN, Mixture, TrainingFaces, load_source
from facebench.mnn.losses import PARTS, losses
from facebench.mnn.recipe import Recipe
from facebench.mnn.refinement import Cascade, gather, save_refiner, train_refiner
from facebench.mnn.shape_space import unit_face
from facebench.mnn.weights import load_weights, save_weights

__all__ = ["Refined", "Trained", "pick_device", "refine", "train"]

LOG_EVERY = 50  # steps
LOG_COLUMNS = ("step", "epoch", "rate", "faces_per_second", "loss", *PARTS)
EPOCH_COLUMNS = ("epoch", "step", "points_percent", "pose_degrees", "visibility_ap")


@dataclass(frozen=True)
class Trained:
    """What a finished run left: the file of the weights, and what the last epoch measured."""

    weights: Path
    validation: dict[str, float]


def pick_device(name: str | None) -> torch.device:
    """Return a device by name; by default a GPU where there is one.

    Raises
    ------
    UsageError : there is no such device here.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        msg = f"Unknown device '{name}'; expected cpu, cuda or cuda:N."
        raise UsageError(msg) from error
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", device.index or 0)))
        if not torch.cuda.is_available() or device.index >= torch.cuda.device_count():
            msg = f"No GPU '{name}' here ({torch.cuda.device_count()} found). Leave --device out, or say cpu."
            raise UsageError(msg)
    elif device.type != "cpu":
        msg = f"Unknown device '{name}'; expected cpu, cuda or cuda:N."
        raise UsageError(msg)
    return device


def train(
    recipe: Recipe,
    folder: Path,
    *,
    device: torch.device | None = None,
    home: str | Path | None = None,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda text: None,
) -> Trained:
    """Train a network, or go on with a run that was interrupted.

    ``folder`` gets ``log.csv`` (every 50 steps), ``epochs.csv`` (held-back faces after each epoch),
    ``curves.png``, ``checkpoint.pt`` and, in the end, ``NAME.safetensors``.  A run that was killed and
    started again ends with the same weights as one that was not.  Under ``torchrun`` every process takes its
    part of each batch.

    Parameters
    ----------
    home : data home, for datasets that the recipe gives by name.
    say : told what happens, a line at a time, by the first process only.

    Raises
    ------
    InvalidData : the folder holds another recipe's run, or a file in it is damaged.
    UsageError : the batch cannot be shared evenly among the processes.
    """
    run = _Run(recipe, Path(folder), device or pick_device(None), home, progress, say)
    while run.epoch < recipe.train.epochs:
        run.learn_an_epoch()
    return run.finish()


@dataclass(frozen=True)
class Refined:
    """A trained refinement: its file, and the percent error of held-back points without it and with it."""

    refiner: Path
    plain: float
    refined: float


def refine(
    recipe: Recipe,
    folder: Path,
    *,
    config: Cascade | None = None,
    most: int = 20_000,
    device: torch.device | None = None,
    home: str | Path | None = None,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda text: None,
) -> Refined:
    """Train the refinement of a network that :func:`train` made, and measure it on held-back faces.

    Parameters
    ----------
    folder : of the finished run; gets ``NAME-refiner.safetensors``.
    most : faces to learn from, each changed at random as in an epoch that the network has not seen.

    Raises
    ------
    DataMissing : the run is not finished.
    """
    how, size = recipe.train, recipe.model.size
    network = load_weights(folder / f"{recipe.name}.safetensors", recipe.model).to(
        device or pick_device(None)
    )
    parts = [load_source(source, how.seed, home, say) for source in recipe.data]
    faces = TrainingFaces([part.learn for part in parts], size, recipe.augmentation, how.seed)
    order = Mixture(faces.counts, [source.share for source in recipe.data], how.seed)
    order.start(how.epochs, 1)
    keys = list(order)[:most]
    evidence, truth, weight = gather(
        network, faces, keys, batch=how.batch, workers=how.workers, progress=progress
    )
    refiner = train_refiner(evidence, truth, weight, config, how.seed, progress)
    target = folder / f"{recipe.name}-refiner.safetensors"
    save_refiner(target, refiner, recipe.name)

    held_back = TrainingFaces([part.watch for part in parts], size, None)
    evidence, truth, weight = gather(network, held_back, batch=how.batch, workers=0)
    annotated = weight == 1

    def error(points: np.ndarray) -> float:
        off = np.linalg.norm(points - truth, axis=2) * (1 + 2 * MARGIN) / size
        return float(100 * off[annotated].mean())

    return Refined(target, error(evidence.points), error(refiner.refine(evidence)))


class _Run:
    def __init__(
        self, recipe: Recipe, folder: Path, device: torch.device, home: str | Path | None,
        progress: Progress, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        how = recipe.train
        processes.begin(device)
        self.first = processes.rank() == 0
        self.recipe, self.folder, self.device, self.progress = recipe, folder, device, progress
        self.say = say if self.first else lambda text: None
        if how.batch % processes.world():
            msg = f"train.batch is {how.batch}; expected a multiple of the {processes.world()} processes."
            raise UsageError(msg)
        if self.first:
            folder.mkdir(parents=True, exist_ok=True)
        self._check_folder()

        parts = [load_source(source, how.seed, home, self.say) for source in recipe.data]
        size = recipe.model.size
        learn, watch = [part.learn for part in parts], [part.watch for part in parts]
        self.faces = TrainingFaces(learn, size, recipe.augmentation, how.seed)
        self.held_back = TrainingFaces(watch, size, None)
        self.order = Mixture(self.faces.counts, [source.share for source in recipe.data], how.seed)
        self.order.start(0, how.batch)
        self.steps_per_epoch = self.order.batches
        if not self.steps_per_epoch:
            msg = f"The recipe's {self.order.length} faces do not fill a batch of {how.batch}."
            raise UsageError(msg)
        self.steps = how.epochs * self.steps_per_epoch
        self.say(f"{self.order.length} faces an epoch, {len(self.held_back)} held back, {self.steps} steps")

        torch.manual_seed(how.seed)
        network = Network(recipe.model)
        if how.start:
            network.load_state_dict(load_weights(how.start, recipe.model).state_dict())
        network = network.to(device, memory_format=torch.channels_last)
        self.network = processes.share_norms(network, device)
        average = get_ema_multi_avg_fn(how.average)
        self.averaged = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        plain = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]  # no decay of norms and biases
        groups = [{"params": plain, "weight_decay": how.decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=how.rate)
        self.step = 0
        self.validation: dict[str, float] = {}
        self._resume()
        self.model: Any = self.network
        if device.type == "cuda":
            self.model = torch.compile(self.network)
        if processes.world() > 1:
            self.model = DistributedDataParallel(self.model, broadcast_buffers=False)
        self.mean_face = torch.from_numpy(unit_face()).float().to(device)
        self.saved = time.monotonic()

    @property
    def epoch(self) -> int:
        return self.step // self.steps_per_epoch

    def learn_an_epoch(self) -> None:
        how, world = self.recipe.train, processes.world()
        done = self.step % self.steps_per_epoch
        self.order.start(self.epoch, how.batch, done, processes.rank(), world)
        loader: DataLoader[Any] = DataLoader(
            self.faces, batch_size=how.batch // world, sampler=self.order, num_workers=how.workers,
            worker_init_fn=_quiet_worker, pin_memory=self.device.type == "cuda",
        )  # fmt: skip
        self.network.train()
        title = f"epoch {self.epoch + 1} of {how.epochs}"
        begin, counted = time.monotonic(), self.step
        sums: dict[str, float] = dict.fromkeys(("loss", *PARTS), 0.0)
        epoch = self.epoch
        for batch in self.progress(loader, self.steps_per_epoch - done, title):
            for name, value in self._learn(batch).items():
                sums[name] += value
            self.step += 1
            if self.step % LOG_EVERY == 0:
                passed, steps = time.monotonic() - begin, self.step - counted
                row = {name: f"{value / steps:.5f}" for name, value in sums.items()}
                speed = f"{steps * how.batch / passed:.1f}"
                self._append("log.csv", LOG_COLUMNS, {
                    "step": self.step, "epoch": epoch, "rate": f"{self._rate():.3g}",
                    "faces_per_second": speed, **row,
                })  # fmt: skip
                sums, begin, counted = dict.fromkeys(sums, 0.0), time.monotonic(), self.step
            # The end of an epoch has a checkpoint of its own, after its row of epochs.csv.
            if self.step % self.steps_per_epoch and time.monotonic() - self.saved > 60 * how.checkpoint:
                self._save()
        self.validation = self._watch()
        shown = ", ".join(f"{name} {value:.3f}" for name, value in self.validation.items())
        self.say(f"{title}: {shown}")
        row = {name: f"{value:.4f}" for name, value in self.validation.items()}
        self._append("epochs.csv", EPOCH_COLUMNS, {"epoch": epoch + 1, "step": self.step, **row})
        self._save()
        if self.first:
            draw_curves(self.folder)

    def _learn(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        how = self.recipe.train
        rate = self._rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        out, truth = self._answer(self.model, batch)
        parts = losses(out, truth, self.mean_face, self.recipe.model.size)
        weights = self.recipe.weights
        loss = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.averaged.update_parameters(self.network)
        shown = torch.stack([loss.detach(), *(value.detach() for value in parts.values())])
        found = (processes.sum_of_all(shown) / processes.world()).tolist()
        if not math.isfinite(found[0]):
            msg = f"step {self.step}: the loss is no longer a number. Lower train.rate below {how.rate:g}."
            raise InvalidData(msg)
        return dict(zip(("loss", *parts), found, strict=True))

    def _answer(self, model: Any, batch: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        truth = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        images = truth.pop("image").permute(0, 3, 1, 2).float().div_(255)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.train.bfloat16):
            return model(images), truth

    def _rate(self) -> float:
        how = self.recipe.train
        rise = max(1, round(how.warmup * self.steps))
        if self.step < rise:
            return how.rate * (self.step + 1) / rise
        way = (self.step - rise) / max(1, self.steps - rise)
        return how.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * way)))

    @torch.no_grad()
    def _watch(self) -> dict[str, float]:
        """Measure the averaged network on the faces that were held back."""
        if not len(self.held_back):
            return {}
        network = self.averaged.module.eval()
        keys = [(0, number) for number in range(len(self.held_back))]
        loader: DataLoader[Any] = DataLoader(self.held_back, batch_size=64, sampler=keys)
        errors, angles, seen, scores = [], [], [], []
        for batch in loader:
            out, truth = self._answer(network, batch)
            annotated = truth["point_weight"] == 1
            if "points" in out:
                distance = (out["points"] - truth["points"]).norm(dim=2) / truth["face"][:, None]
                errors.append(distance[annotated])
            if "pose" in out:
                turned = rotation_of(out["pose"]).transpose(1, 2) @ truth["rotation"]
                cosine = (turned.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
                angles.append(torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))[truth["pose_weight"] > 0])
            if "visibility" in out:
                known = torch.isfinite(truth["visible"])
                seen.append(truth["visible"][known])
                scores.append(out["visibility"].float()[known])
        found: dict[str, float] = {}
        if errors:
            found["points_percent"] = 100 * float(torch.cat(errors).mean())
        if angles:
            found["pose_degrees"] = float(torch.cat(angles).mean())
        if seen and len(torch.cat(seen).unique()) == 2:
            hidden = torch.cat(seen).cpu().numpy() == 0
            found["visibility_ap"] = average_precision(-torch.cat(scores).cpu().numpy(), hidden)
        return found

    def _check_folder(self) -> None:
        """Refuse a folder in which another recipe was at work."""
        kept, own = self.folder / "recipe.json", self.recipe.model_dump_json(indent=1)
        if kept.exists() and kept.read_text(encoding="utf-8") != own:
            msg = f"{self.folder}: holds the run of another recipe (recipe.json). Choose another folder."
            raise InvalidData(msg)
        if self.first:
            write_text(kept, own)

    def _save(self) -> None:
        self.saved = time.monotonic()
        if not self.first:
            return
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "validation": self.validation,
        }
        with atomic_path(self.folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            self._cut_logs()
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.validation = int(state["step"]), dict(state["validation"])
        except Exception as error:
            msg = f"{path}: cannot be read ({type(error).__name__}). Remove it to begin anew."
            raise InvalidData(msg) from error
        self.say(f"going on at step {self.step} of {self.steps}")
        self._cut_logs()

    def _cut_logs(self) -> None:
        # What was logged after the checkpoint will be logged again.
        if self.first:
            _cut_log(self.folder / "log.csv", self.step)
            _cut_log(self.folder / "epochs.csv", self.step)

    def _append(self, name: str, columns: tuple[str, ...], row: Mapping[str, Any]) -> None:
        if not self.first:
            return
        path = self.folder / name
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            if new:
                writer.writeheader()
            writer.writerow(row)

    def finish(self) -> Trained:
        target = self.folder / f"{self.recipe.name}.safetensors"
        if self.first:
            save_weights(target, self.averaged.module, self.recipe.name, half=self.recipe.train.half)
        return Trained(target, self.validation)


def _quiet_worker(_number: int) -> None:
    # Workers share the cores already.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _cut_log(path: Path, step: int) -> None:
    """Keep what was logged up to a step; a last line that a failing machine tore off goes too."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines(keepends=True) if line.endswith("\n")]
    if not lines:  # killed before its first line
        path.unlink()
        return
    place = next(csv.reader(lines[:1])).index("step")
    kept = [line for line in lines[1:] if int(next(csv.reader([line]))[place]) <= step]
    write_text(path, "".join([lines[0], *kept]).replace("\r\n", "\n"))


def draw_curves(folder: Path) -> None:
    """Draw ``curves.png`` from the logs of a run."""
    from matplotlib.figure import Figure

    def columns(name: str) -> dict[str, np.ndarray]:
        path = folder / name
        if not path.exists():
            return {}
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {
            key: np.array([float(row[key] or "nan") for row in rows]) for key in (rows[0] if rows else {})
        }

    log, epochs = columns("log.csv"), columns("epochs.csv")
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    plots = figure.subplots(1, 4)
    if log:
        for part in PARTS:
            if log[part].any():
                plots[0].plot(log["step"], log[part], label=part, linewidth=1)
        plots[0].set_yscale("log")
        plots[0].legend(fontsize=7, loc="upper right")
    plots[0].set_title("parts of the loss", fontsize=9)
    titles = ("points, % of the face", "pose, degrees", "hidden points, AP %")
    for plot, key, title in zip(plots[1:], EPOCH_COLUMNS[2:], titles, strict=True):
        if epochs:
            plot.plot(epochs["step"], epochs[key], marker=".", linewidth=1)
        plot.set_title(f"held back: {title}", fontsize=9)
    for plot in plots:
        plot.set_xlabel("step", fontsize=8)
        plot.tick_params(labelsize=7)
        plot.grid(alpha=0.3)
    with atomic_path(folder / "curves.png") as temporary:
        figure.savefig(temporary, format="png", dpi=110)
