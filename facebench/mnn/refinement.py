"""Refinement of the points: a cascade of regression trees that look at the heat maps ("MNN+OR").

It begins with the mean 3D face as the network places it, and corrects all 68 points together, level by
level.  A level looks at each point's own heat map in a few places around where the point is now believed to
be, and answers with a change of the whole shape; the places come closer from level to level.  What the code
of MNN and of ERT gives away is followed, the sizes are smaller (PROTOCOLS 6).  There is one start per face
and it is the network's: the truth is seen in training only.

Trees are grown by scikit-learn, which nothing else here needs.  What is kept of a tree of depth D are arrays
of one shape, a heap: ``2 ** D - 1`` questions, of which number n is followed by 2n + 1 or 2n + 2, and
``2 ** D`` answers.  A file of such arrays can lead nobody in circles.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError
from torch import Tensor
from torch.utils.data import DataLoader

from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import Progress, no_progress
from facebench.geometry import euler_to_rotation, rotation_to_euler
from facebench.mnn.architecture import Architecture, Network, rotation_of
from facebench.mnn.array_file import check_shapes, read_arrays, write_arrays
from facebench.mnn.data import TrainingFaces
from facebench.mnn.losses import place_mean_face
from facebench.mnn.shape_space import unit_face

__all__ = [
    "Cascade",
    "Evidence",
    "Refiner",
    "evidence_of",
    "gather",
    "load_refiner",
    "save_refiner",
    "train_refiner",
]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Shares = NDArray[np.float16] | NDArray[np.float32]
Whole = NDArray[np.int64]
# Points of a plane as numbers x + iy: a similarity is then one factor.
Plane = NDArray[np.complex128]

KIND = "refiner"
SCHEME, POINTS = "ibug68", 68
# A cell with less than this part of an even share says "not here", and nothing about how far.
FLOOR = 1 / 200
# A face is taken to be at least this part of the crop, whatever its points say.
SMALLEST_FACE = 0.01
# Rounds in which what is not annotated is filled in by the directions of change found so far.
FILLINGS = 4
CHUNK = 2000  # shapes whose heat maps are looked at together


class Cascade(BaseModel):
    """Everything that decides how a cascade is grown and applied.

    Attributes
    ----------
    start : what the first level corrects: the mean face by the network's ``placement``, as in the paper, or
        the network's ``points``.
    levels, trees : levels, and trees of each.  MNN's code has up to 50 levels, ERT has 500 trees in a level.
    depth, candidates, rate : of a tree; splits drawn at random for a node, of which the best is taken; how
        much of what a tree says is believed.  Those of ERT.
    leaf : fewest shapes behind an answer; our own choice.
    components : numbers that express the change of a shape; our own choice.
    ring : places on the circle around a point, an even number; MNN's code has 43 on several circles.
    diameters : of the circle at the first and the last level, as a share of the face: those of MNN's code.
        That it shrinks by the same factor at each level is our own choice.
    copies : starts drawn for a training face with the turns below; our own choice.  The network's points are
        taken as they are, once.
    yaw, pitch, roll : degrees by which the placed face is turned at most in training, as in MNN's code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Literal["placement", "points"] = "placement"
    levels: int = Field(default=10, ge=1, le=50)
    trees: int = Field(default=40, ge=1, le=1000)
    depth: int = Field(default=5, ge=1, le=10)
    candidates: int = Field(default=20, ge=1)
    rate: float = Field(default=0.1, gt=0, le=1)
    leaf: int = Field(default=20, ge=1)
    components: int = Field(default=30, ge=1, le=2 * POINTS)
    ring: int = Field(default=8, ge=2, le=64, multiple_of=2)
    diameters: tuple[PositiveFloat, PositiveFloat] = (0.255, 0.005)
    copies: int = Field(default=4, ge=1, le=100)
    yaw: float = Field(default=20.0, ge=0, le=90)
    pitch: float = Field(default=10.0, ge=0, le=90)
    roll: float = Field(default=10.0, ge=0, le=90)

    @property
    def features(self) -> int:
        """Numbers that a tree may ask about."""
        return POINTS * (self.ring // 2 + 1)

    def diameter(self, level: int) -> float:
        """Return the diameter of the circle at a level, as a share of the face."""
        first, last = self.diameters
        return float(first * (last / first) ** (level / max(1, self.levels - 1)))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a network says of N faces, as far as refinement goes by it.

    Attributes
    ----------
    shares : (N, 68, G, G) heat maps, each with the sum 1; 16 bits are enough.
    placement : (N, 9) numbers of :func:`~facebench.mnn.losses.place_mean_face`.
    points : (N, 68, 2) pixels of the crop.
    size : of the crop, in pixels.
    """

    shares: Shares
    placement: Singles
    points: Singles
    size: int

    def __post_init__(self) -> None:
        count, grid = len(self.shares), self.shares.shape[-1]
        found = self.shares.shape, self.placement.shape, self.points.shape
        wanted = (count, POINTS, grid, grid), (count, 9), (count, POINTS, 2)
        if found != wanted or grid < 2:
            msg = f"expected heat maps, placement and points of the shapes {wanted}, found {found}"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.shares)

    @property
    def grid(self) -> int:
        """Cells of a heat map along one side."""
        return self.shares.shape[-1]

    def take(self, rows: ArrayLike) -> Evidence:
        """Return the evidence of some faces."""
        chosen = np.asarray(rows)
        return Evidence(self.shares[chosen], self.placement[chosen], self.points[chosen], self.size)


def evidence_of(out: Mapping[str, Tensor], size: int) -> Evidence:
    """Return what refinement needs of the outputs of a network for crops of ``size`` pixels."""
    heat = out["heatmaps"].detach().float()
    shares = torch.softmax(heat.flatten(2), dim=2).view_as(heat).half()
    placement, points = (out[name].detach().float().cpu().numpy() for name in ("placement", "points"))
    return Evidence(shares.cpu().numpy(), placement, points, size)


@torch.inference_mode()
def gather(
    network: Network,
    faces: TrainingFaces,
    keys: Sequence[tuple[int, int]] | None = None,
    *,
    batch: int = 64,
    workers: int = 0,
    progress: Progress = no_progress,
) -> tuple[Evidence, Floats, Floats]:
    """Ask a network about training faces, a batch at a time.

    A network is surer of the faces it has learnt than of others, and trees that see no others trust it too
    much: better are faces changed at random in a way that is new to it, or faces that were held back.

    Parameters
    ----------
    keys : (epoch, row) of the faces to take; by default each once.  One needs ``136 * G * G`` bytes.

    Returns
    -------
    Evidence, (N, 68, 2) true points in pixels of the crop, and their (N, 68) weights.

    Raises
    ------
    UsageError : the network places no points, or others than these.
    """
    a = network.architecture
    if "landmarks" not in a.tasks or a.scheme != SCHEME:
        msg = f"Refinement is for networks that place the points of {SCHEME}; this one does not."
        raise UsageError(msg)
    keys = [(0, row) for row in range(len(faces))] if keys is None else list(keys)
    count, device = len(keys), next(network.parameters()).device
    grid = a.size // a.stride
    shares = np.empty((count, POINTS, grid, grid), np.float16)
    placement, points = np.empty((count, 9), np.float32), np.empty((count, POINTS, 2), np.float32)
    truth, weight = np.empty((count, POINTS, 2)), np.empty((count, POINTS))
    loader: DataLoader[Any] = DataLoader(faces, batch_size=batch, sampler=keys, num_workers=workers)
    was_training = network.training
    network.eval()
    done = 0
    for stack in progress(loader, len(loader), "looking at faces"):
        images = stack["image"].to(device).permute(0, 3, 1, 2).float().div_(255)
        found = evidence_of(network(images), a.size)
        rows = slice(done, done + len(found))
        shares[rows], placement[rows], points[rows] = found.shares, found.placement, found.points
        truth[rows], weight[rows] = stack["points"].numpy(), stack["point_weight"].numpy()
        done += len(found)
    network.train(was_training)
    return Evidence(shares, placement, points, a.size), truth, weight


@dataclass(frozen=True, eq=False)
class Refiner:
    """A cascade of L levels of T trees of depth D, whose answers are C amounts of change.

    Attributes
    ----------
    config : how it was grown.
    grid : cells of a heat map along one side.
    mean_face : (68, 3) that the network places.
    mean : (L, 136) what a level changes in any case: 68 pairs in units and axes of the mean face.
    basis : (L, C, 136) what one unit of each amount changes, likewise.
    feature, threshold : (L, T, 2 ** D - 1) a question is whether this number is greater than that.
    answer : (L, T, 2 ** D, C) amounts of change, already times the learning rate.
    """

    config: Cascade
    grid: int
    mean_face: Singles
    mean: Singles
    basis: Singles
    feature: NDArray[np.int16]
    threshold: Singles
    answer: Singles

    def refine(self, evidence: Evidence) -> Floats:
        """Return the (N, 68, 2) refined points in pixels of the crop.

        Raises
        ------
        ValueError : the heat maps have not as many cells as those it was trained with.
        """
        if evidence.grid != self.grid:
            msg = f"expected heat maps of {self.grid} cells a side, found {evidence.grid}"
            raise ValueError(msg)
        config, size, owner = self.config, evidence.size, np.arange(len(evidence))
        shape = in_cells(_start(config, self.mean_face, evidence, owner, evidence.placement), size, self.grid)
        for level in range(config.levels):
            frame = frames(shape, self.mean_face, self.grid)
            seen = look(config, level, evidence.shares, owner, shape, frame)
            amounts = ask(self.feature[level], self.threshold[level], self.answer[level], seen)
            shape = shape + _change(frame, self.mean[level], self.basis[level], amounts)
        return in_pixels(shape, size, self.grid)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that was learnt, by name."""
        names = ("mean_face", "mean", "basis", "feature", "threshold", "answer")
        return {name: getattr(self, name) for name in names}

    def digest(self) -> str:
        """Return a SHA-256 of all that decides what comes out."""
        digest = hashlib.sha256(f"{self.grid} {self.config.model_dump_json()}".encode())
        for value in self.arrays().values():
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()


def train_refiner(
    evidence: Evidence,
    truth: ArrayLike,
    weight: ArrayLike,
    config: Cascade | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Refiner:
    """Grow a cascade; the same for the same faces and seed.

    A tree learns what makes the weighted squares of what is left of all points smaller, so that each point
    pulls by its weight, and one of weight 0 not at all.

    Parameters
    ----------
    evidence : of N faces, from :func:`gather`.
    truth : (N, 68, 2) true points in pixels of the crop; anything where the weight is 0.
    weight : (N, 68) from 0 to 1, :class:`~facebench.mnn.data.Labels`.

    Raises
    ------
    UsageError : no face with a weight.
    DataMissing : scikit-learn is not installed.
    """
    config = config or Cascade()
    wanted, weights = np.asarray(truth, float), np.asarray(weight, float)
    if wanted.shape != (len(evidence), POINTS, 2) or weights.shape != wanted.shape[:2]:
        msg = f"expected points and weights of {len(evidence)} faces, found {wanted.shape}, {weights.shape}"
        raise ValueError(msg)
    used = np.flatnonzero(weights.any(axis=1))
    if not len(used):
        msg = "No face with annotated points to train the refinement with."
        raise UsageError(msg)
    rng, grid, size = np.random.default_rng(seed), evidence.grid, evidence.size
    mean_face = unit_face().astype(np.float32)
    owner, placement = used, evidence.placement[used]
    if config.start == "placement":
        owner = np.repeat(used, config.copies)
        placement = _turned(evidence.placement[owner], config, rng)
    shape = in_cells(_start(config, mean_face, evidence, owner, placement), size, grid)
    goal = in_cells(np.where(weights[owner][..., None] > 0, wanted[owner], 0.0), size, grid)
    pull = np.repeat(weights[owner], 2, axis=1).astype(np.float32)
    of_face = pull.mean(axis=1)
    share = pull / of_face[:, None]

    levels = []
    for level in range(config.levels):
        frame = frames(shape, mean_face, grid)
        seen = look(config, level, evidence.shares, owner, shape, frame)
        left = _pairs((goal - shape) / frame[:, None]).astype(np.float32)
        mean, basis = compress(left, pull, config.components)
        trees, known = [], np.zeros((len(shape), config.components), np.float32)
        for _ in progress(range(config.trees), config.trees, f"level {level + 1} of {config.levels}"):
            # The steepest way down, which leads there in one step where all points of a face weigh the same.
            slope = (share * (left - mean - known @ basis)) @ basis.T
            grown = grow(config, seen, slope, of_face, int(rng.integers(2**31)))
            feature, threshold, answer = heap_of(grown, config.depth, config.rate)
            known += ask(feature[None], threshold[None], answer[None], seen)
            trees.append((feature, threshold, answer))
        shape = shape + _change(frame, mean, basis, known)
        levels.append((mean, basis, *(np.stack(part) for part in zip(*trees, strict=True))))
    return Refiner(config, grid, mean_face, *(np.stack(part) for part in zip(*levels, strict=True)))


def _start(
    config: Cascade, mean_face: Singles, evidence: Evidence, owner: Whole, placement: Singles
) -> Floats:
    """Return the (M, 68, 2) pixels of what the first level corrects, for faces ``owner`` of the evidence."""
    if config.start == "points":
        return evidence.points[owner].astype(float)
    placed = place_mean_face(torch.from_numpy(placement), torch.from_numpy(mean_face), evidence.size)
    return placed.double().numpy()


def _turned(placement: Singles, config: Cascade, rng: np.random.Generator) -> Singles:
    """Turn (M, 9) placed faces at random, by as much as the network may be wrong at worst."""
    angles = rotation_to_euler(rotation_of(torch.from_numpy(placement)).numpy(), "mnn-yxz")
    angles = angles + rng.uniform(-1, 1, angles.shape) * (config.yaw, config.pitch, config.roll)
    rotation = euler_to_rotation(angles, "mnn-yxz")
    turned = np.concatenate([rotation[:, :, 0], rotation[:, :, 1], placement[:, 6:]], axis=1)
    return turned.astype(np.float32)


def in_cells(points: Floats, size: int, grid: int) -> Plane:
    """Return (N, 68, 2) pixels of a crop as (N, 68) places in cells of the heat maps."""
    cells = (points + 0.5) * (grid / size) - 0.5
    return cells[..., 0] + 1j * cells[..., 1]


def in_pixels(places: Plane, size: int, grid: int) -> Floats:
    """Undo :func:`in_cells`."""
    return (np.stack([places.real, places.imag], axis=2) + 0.5) * (size / grid) - 0.5


def _pairs(places: Plane) -> Floats:
    """Return (N, 68) numbers x + iy as (N, 136) numbers x, y, x, y ..."""
    return np.ascontiguousarray(places).view(float)


def frames(shape: Plane, mean_face: Singles, grid: int) -> Plane:
    """Return the (N,) factors, a turn and a scale, that bring the frontal mean face nearest to shapes.

    A shape that is hardly like a face is not turned, and none is taken to be smaller than a hundredth of the
    crop: what a level changes must not come to nothing or to infinity.
    """
    face = mean_face[:, 0].astype(float) + 1j * mean_face[:, 1]
    face = face - face.mean()
    middle = shape - shape.mean(axis=1, keepdims=True)
    factor = middle @ face.conj() / (np.abs(face) ** 2).sum()
    alike = np.sqrt((np.abs(middle) ** 2).sum(axis=1) / (np.abs(face) ** 2).sum())
    least = np.maximum(alike / 4, SMALLEST_FACE * grid)
    return np.where(np.abs(factor) < least, least, factor)


def look(config: Cascade, level: int, shares: Shares, owner: Whole, shape: Plane, frame: Plane) -> Singles:
    """Return the (M, F) numbers that the trees of a level ask about.

    Of each point and its own heat map: the logarithms on opposite sides of the circle around it, one less the
    other, and the one in the middle.  For a bell, such a difference is the distance to its middle along that
    line, over its variance: it says where to go, and the less the vaguer the heat map is.  Trees are
    grown on such differences more easily than on the values.

    Parameters
    ----------
    shares : (N, 68, G, G) heat maps.
    owner : (M,) whose heat maps a shape is looked up in.
    shape, frame : (M, 68) places in cells, (M,) factors of :func:`frames`.
    """
    grid, half = shares.shape[-1], config.ring // 2
    flat, floor = shares.reshape(-1), np.float32(FLOOR / grid**2)
    size = np.abs(frame)
    # Within a cell there is one slope and nothing else to see.  MNN's maps have a cell for each pixel, and
    # its last circle is about as large as one.
    radius = np.maximum(config.diameter(level) * size, 1.0) / 2
    circle = np.append(np.exp(1j * np.pi / half * np.arange(config.ring)), 0.0)
    seen = np.empty((len(shape), POINTS, half + 1), np.float32)
    for begin in range(0, len(shape), CHUNK):
        rows = slice(begin, begin + CHUNK)
        places = shape[rows, :, None] + (frame[rows] / size[rows] * radius[rows])[:, None, None] * circle
        x, y = (np.clip(part, 0, grid - 1) for part in (places.real, places.imag))
        left, top = (np.minimum(part.astype(np.int64), grid - 2) for part in (x, y))
        right, down = (x - left).astype(np.float32), (y - top).astype(np.float32)
        corner = ((owner[rows, None, None] * POINTS + np.arange(POINTS)[:, None]) * grid + top) * grid + left
        value = np.zeros(corner.shape, np.float32)
        for step, part in (
            (0, (1 - right) * (1 - down)), (1, right * (1 - down)),
            (grid, (1 - right) * down), (grid + 1, right * down),
        ):  # fmt: skip
            value += part * np.log(np.maximum(flat[corner + step].astype(np.float32), floor))
        seen[rows, :, :half] = value[..., :half] - value[..., half : config.ring]
        seen[rows, :, half] = value[..., config.ring]
    return seen.reshape(len(shape), config.features)


def compress(change: Singles, weight: Singles, components: int) -> tuple[Singles, Singles]:
    """Find the few directions that changes of shapes mostly have.

    What is not annotated, or only in part, is filled in by what the directions make of the rest, a few times.

    Parameters
    ----------
    change : (M, 136) in units and axes of the mean face; anything finite where the weight is 0.
    weight : (M, 136) from 0 to 1.

    Returns
    -------
    (136,) mean change, (components, 136) principal directions of length 1.
    """
    mean = (weight * change).sum(axis=0, dtype=float) / np.maximum(weight.sum(axis=0, dtype=float), 1e-9)
    guess = np.zeros(change.shape)
    for _ in range(1 if (weight == 1).all() else FILLINGS):
        left = weight * (change - mean) + (1 - weight) * guess
        _, directions = np.linalg.eigh(left.T @ left)
        basis = directions.T[::-1][:components]
        # Of the two signs of a direction, the one whose largest number is positive.
        largest = np.take_along_axis(basis, np.abs(basis).argmax(axis=1)[:, None], axis=1)
        basis = basis * np.sign(largest)
        guess = left @ basis.T @ basis
    return mean.astype(np.float32), basis.astype(np.float32)


def _change(frame: Plane, mean: Singles, basis: Singles, amounts: Singles) -> Plane:
    """Return the (M, 68) change in cells that (M, C) amounts stand for."""
    pairs: Floats = mean + amounts.astype(float) @ basis
    return frame[:, None] * pairs.view(complex)


def grow(config: Cascade, seen: Singles, amounts: Singles, weight: Singles, seed: int) -> Any:
    """Return a tree of scikit-learn that answers (M, C) amounts to (M, F) numbers."""
    try:
        from sklearn.tree import DecisionTreeRegressor  # type: ignore[import-untyped]
    except ImportError:
        msg = "scikit-learn not installed, which refinement is trained with: pip install 'facebench[mnn]'"
        raise DataMissing(msg) from None
    # Random thresholds as in ERT: three times as fast as the best ones, and no worse on other faces.
    tree = DecisionTreeRegressor(
        splitter="random", max_depth=config.depth, min_samples_leaf=config.leaf,
        max_features=min(config.candidates, config.features), random_state=seed,
    )  # fmt: skip
    return tree.fit(seen, amounts, sample_weight=weight)


def heap_of(grown: Any, depth: int, rate: float) -> tuple[NDArray[np.int16], Singles, Singles]:
    """Return a grown tree as a heap: (2 ** D - 1,) features and thresholds, (2 ** D, C) answers.

    Parameters
    ----------
    depth : of the heap, at least that of the tree.  Where a branch ends before, its answer is below all that
        follows.
    rate : what the answers are multiplied by.
    """
    tree, questions = grown.tree_, 2**depth - 1
    node = np.zeros(2 * questions + 1, np.int64)
    for place in range(questions):
        ends = tree.children_left[node[place]] < 0
        for turn, children in enumerate((tree.children_left, tree.children_right)):
            node[2 * place + 1 + turn] = node[place] if ends else children[node[place]]
    asked = node[:questions]
    ends = tree.children_left[asked] < 0
    feature = np.where(ends, 0, tree.feature[asked]).astype(np.int16)
    # The largest number of 32 bits that is no greater: the same answer to every number of 32 bits.
    threshold = tree.threshold[asked].astype(np.float32)
    threshold = np.where(threshold > tree.threshold[asked], np.nextafter(threshold, -np.inf), threshold)
    answer = (rate * tree.value[node[questions:], :, 0]).astype(np.float32)
    return feature, np.where(ends, np.float32(np.inf), threshold).astype(np.float32), answer


def ask(feature: NDArray[np.int16], threshold: Singles, answer: Singles, seen: Singles) -> Singles:
    """Return the (M, C) sum of what trees answer to (M, F) numbers.

    Parameters
    ----------
    feature, threshold : (T, 2 ** D - 1) of heaps.
    answer : (T, 2 ** D, C).
    """
    total = np.zeros((len(seen), answer.shape[2]), np.float32)
    rows, questions = np.arange(len(seen)), threshold.shape[1]
    for which, limit, amounts in zip(feature, threshold, answer, strict=True):
        node = np.zeros(len(seen), np.int64)
        for _ in range((questions + 1).bit_length() - 1):
            node = 2 * node + 1 + (seen[rows, which[node]] > limit[node])
        total += amounts[node - questions]
    return total


def save_refiner(path: Path, refiner: Refiner, name: str) -> None:
    """Write a refiner.

    Parameters
    ----------
    name : of the model whose heat maps it was trained with.
    """
    header = {
        "name": name,
        "scheme": SCHEME,
        "grid": str(refiner.grid),
        "cascade": refiner.config.model_dump_json(),
    }
    write_arrays(path, KIND, refiner.arrays(), header)


def load_refiner(path: str | Path, expected: Architecture | None = None) -> Refiner:
    """Read a refiner.

    Parameters
    ----------
    expected : the shape of the network whose heat maps it shall refine.

    Raises
    ------
    DataMissing : no such file.
    InvalidData : not a whole safetensors file, not facebench's, or for another network; says what differs.
    """
    path = Path(path)
    header, state = read_arrays(path, KIND)
    config, grid, wanted = _described(path, header)
    _check_network(path, grid, expected)
    check_shapes(path, {key: (value.dtype.str[1:], value.shape) for key, value in state.items()}, wanted)
    feature = state["feature"]
    bad = [key for key in ("mean_face", "mean", "basis", "answer") if not np.isfinite(state[key]).all()]
    bad += ["threshold"] * bool(np.isnan(state["threshold"]).any())
    bad += ["feature"] * bool((feature < 0).any() or (feature >= config.features).any())
    if bad:
        msg = f"{path}: holds numbers that no training leaves: {', '.join(bad)}. Fetch or copy it again."
        raise InvalidData(msg)
    return Refiner(config, grid, **state)


def _described(
    path: Path, header: Mapping[str, str]
) -> tuple[Cascade, int, dict[str, tuple[str, tuple[int, ...]]]]:
    """Return what a header says: configuration, grid, and type and shape of each array that follows."""
    try:
        config = Cascade.model_validate(json.loads(header["cascade"]))
        scheme, grid = header["scheme"], int(header["grid"])
    except (KeyError, ValueError, ValidationError) as error:
        msg = f"{path}: its header does not describe a refiner ({error})."
        raise InvalidData(msg) from error
    if scheme != SCHEME:
        msg = f"{path}: refines the points of {scheme!r}; expected {SCHEME!r}."
        raise InvalidData(msg)
    levels, trees, amounts, ends = config.levels, config.trees, config.components, 2**config.depth
    return config, grid, {
        "mean_face": ("f4", (POINTS, 3)),
        "mean": ("f4", (levels, 2 * POINTS)),
        "basis": ("f4", (levels, amounts, 2 * POINTS)),
        "feature": ("i2", (levels, trees, ends - 1)),
        "threshold": ("f4", (levels, trees, ends - 1)),
        "answer": ("f4", (levels, trees, ends, amounts)),
    }  # fmt: skip


def _check_network(path: Path, grid: int, expected: Architecture | None) -> None:
    if expected is None:
        return
    cells = expected.size // expected.stride
    lacking = "landmarks" not in expected.tasks
    if lacking or expected.scheme != SCHEME or cells != grid:
        has = "no landmarks" if lacking else f"those of {expected.scheme} and {cells} x {cells} cells"
        msg = (
            f"{path}: refines the points of {SCHEME} by heat maps of {grid} x {grid} cells; "
            f"the network has {has}."
        )
        raise InvalidData(msg)
