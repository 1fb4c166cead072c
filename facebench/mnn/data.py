"""Training faces: prepared datasets with every label completed, cut, changed at random and stacked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation
from torch.utils.data import Dataset, Sampler

from facebench.errors import UsageError
from facebench.formats import PreparedDataset, open_dataset
from facebench.formats.selection import choose_rows
from facebench.geometry import VISIBILITY, get_scheme, tight_box
from facebench.geometry.crops import crop_transform, cut, has_area, mirror_face, transform_points
from facebench.mnn.augmentation import Augmentation, cover, random_similarity, recolour
from facebench.mnn.recipe import Source
from facebench.mnn.shape_space import Fitted, fit_shapes, frame_offset

__all__ = ["Labels", "Mixture", "Part", "TrainingFaces", "crop_to_face", "label", "load_source"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# The crop is the box with this much more on each side, then square by its height (PROTOCOLS 6).
MARGIN = 0.3
SEEN = VISIBILITY["visible"]
# Points of the jaw, but for the chin: on the contour, wherever that is.
CONTOUR = [*range(7), *range(10, 17)]
FEWEST_TO_COMPARE = 30  # faces by which two sets of head axes are compared


def crop_to_face(boxes: ArrayLike, size: int) -> Floats:
    """Map boxes onto crops as MNN's code does: 30 % more on each side, then square by the height.

    Parameters
    ----------
    boxes : (N, 4) pixels.
    size : of the crop, pixels.

    Returns
    -------
    (N, 2, 3) maps from pixels of the image to pixels of the crop.

    Raises
    ------
    ValueError : a box without area.
    """
    b = np.asarray(boxes, float).reshape(-1, 4)
    middle, half = (b[:, 0] + b[:, 2]) / 2, (b[:, 3] - b[:, 1]) / 2
    square = np.stack([middle - half, b[:, 1], middle + half, b[:, 3]], axis=1)
    return crop_transform(square, size, MARGIN)


@dataclass(frozen=True, eq=False)
class Labels:
    """What a network is to answer for N faces, in the pixels of their images.

    Attributes
    ----------
    points : (N, 68, 2) all points: annotated, or completed by a fitted shape; NaN where neither.
    weight : (N, 68) 1 for an annotated point, less for a completed one, 0 for none.
    states : (N, 68) visibility states; 0 where unknown.
    rotation : (N, 3, 3) ``R_cam``; NaN where unknown.
    boxes : (N, 4) tight boxes of all points, the completed ones too.
    """

    points: Floats
    weight: Floats
    states: NDArray[np.uint8]
    rotation: Floats
    boxes: Floats

    def take(self, rows: NDArray[np.int64]) -> Labels:
        """Return the labels of some faces."""
        return Labels(
            self.points[rows], self.weight[rows], self.states[rows], self.rotation[rows], self.boxes[rows]
        )


def about_x(degrees: float) -> Floats:
    """Return the (3, 3) turn about the first axis."""
    return np.asarray(Rotation.from_euler("x", degrees, degrees=True).as_matrix())


def label(
    points: Floats,
    states: NDArray[np.uint8],
    rotation: Floats,
    *,
    exact: bool = False,
    release_turn: float = 0.0,
    fit_turn: float = 0.0,
    completed_weight: float = 0.3,
) -> Labels:
    """Complete the labels of faces.

    Points that are hidden or were never annotated are those of the shape that fits the others
    (:func:`~facebench.mnn.shape_space.fit_shapes`).  The pose is that of the shape that fits the points
    within the contour, with the released one as a prior: annotators put points of the jaw on the contour,
    which slides over the head as that turns.  Where there are too few points, it is the released one.
    Releases have head axes of their own, and so has the fit: both are turned about the axis through the ears.

    Parameters
    ----------
    points, states : (N, 68, 2) pixels and (N, 68) states, in the order of ``ibug68``.
    rotation : (N, 3, 3) the released ``R_cam``; NaN where there is none.
    exact : everything is known exactly, as of rendered faces: nothing is fitted.
    release_turn, fit_turn : degrees about x by which the head axes of the release and of the fit are turned.
    completed_weight : weight of a completed point, times the share of points that were not completed.
    """
    located: Flags = np.asarray(np.isfinite(points).all(axis=2))
    if exact:
        turned = rotation @ about_x(fit_turn)
        return Labels(points, located.astype(float), states, turned, tight_box(points))
    fitted = _fitted(points, rotation)
    inner = points.copy()
    inner[:, CONTOUR] = np.nan
    ours = _fitted(inner, rotation).rotation @ about_x(fit_turn)
    known: Flags = np.asarray(np.isfinite(ours).all(axis=(1, 2)))
    pose = np.where(known[:, None, None], ours, rotation @ about_x(release_turn))
    complete = np.where(located[..., None], points, fitted.points)
    guessed = completed_weight * located.mean(axis=1, keepdims=True)
    weight = np.where(located, 1.0, guessed) * np.isfinite(complete).all(axis=2)
    return Labels(complete, weight, states, pose, tight_box(complete))


@dataclass(frozen=True, eq=False)
class Part:
    """Faces of one source to learn from, and faces to watch the training with: dataset, rows, labels."""

    learn: tuple[PreparedDataset, NDArray[np.int64], Labels]
    watch: tuple[PreparedDataset, NDArray[np.int64], Labels]


def load_source(source: Source, seed: int, home: str | Path | None, say: Callable[[str], None]) -> Part:
    """Open a source of training faces, and complete their labels.

    Faces that are held back are chosen by ``seed``, the same ones for the same number of faces.
    """
    path = source.dataset if "/" not in source.dataset else str(Path(source.dataset).expanduser())
    dataset = open_dataset(path, home)
    rows = choose_rows(dataset, source.split)
    rows = np.array(
        [row for row in rows if any(fnmatchcase(dataset.ids[row], one) for one in source.ids)], int
    )
    for split in source.without:
        rows = np.setdiff1d(rows, dataset.split(split))
    if not len(rows):
        msg = f"{dataset.path}: the recipe leaves none of its {len(dataset)} faces."
        raise UsageError(msg)
    points = np.full((len(rows), 68, 2), np.nan)
    states = np.zeros((len(rows), 68), np.uint8)
    for name in source.annotations:
        chosen = dataset.annotation(name)
        known, marks = chosen.points68[rows], chosen.visibility68[rows]
        empty = ~np.isfinite(points).any(axis=(1, 2)) & (states == 0).all(axis=1)
        points[empty], states[empty] = known[empty], marks[empty]
    labels = label(
        points, states, dataset.rotation[rows], exact=source.exact,
        release_turn=source.release_turn, fit_turn=source.fit_turn,
    )  # fmt: skip
    usable = np.flatnonzero(has_area(labels.boxes))
    said = f"{dataset.path.name}: {len(usable)} faces"
    if len(usable) < len(rows):
        said += f", {len(rows) - len(usable)} left out with too few points for a box"
    say(said)
    held_back = np.random.default_rng([seed, len(usable)]).random(len(usable)) < source.validation

    def take(some: NDArray[np.int64]) -> tuple[PreparedDataset, NDArray[np.int64], Labels]:
        return dataset, rows[some], labels.take(some)

    return Part(take(usable[~held_back]), take(usable[held_back]))


def _fitted(points: Floats, rotation: Floats) -> Fitted:
    """Fit shapes to points, with released poses as a prior in the axes of the fit, where there are any."""
    # The axes are compared on faces that show as many points as any.
    count = np.isfinite(points).all(axis=2).sum(axis=1)
    whole = (count == count.max()) & np.isfinite(rotation).all(axis=(1, 2))
    if whole.sum() < FEWEST_TO_COMPARE:
        return fit_shapes(points)
    offset = frame_offset(rotation[whole], fit_shapes(points[whole]).rotation)
    return fit_shapes(points, rotation @ offset)


class TrainingFaces(Dataset):
    """Faces of several prepared datasets with their labels; an item is asked for by (epoch, row).

    Parameters
    ----------
    parts : prepared datasets, the rows of each to take, and their labels in the same order.
    size : of the crop, pixels.
    augmentation : None cuts the faces as they are.
    seed : with the epoch and the row, decides all that is random.
    """

    def __init__(
        self,
        parts: Sequence[tuple[PreparedDataset, NDArray[np.int64], Labels]],
        size: int,
        augmentation: Augmentation | None,
        seed: int = 0,
    ) -> None:
        self.parts, self.size, self.augmentation, self.seed = list(parts), size, augmentation, seed
        self.counts = [len(rows) for _, rows, _ in parts]
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])
        self.transforms = []
        for dataset, rows, labels in parts:
            if len(labels.boxes) != len(rows):
                msg = f"{dataset.path}: {len(rows)} faces and labels for {len(labels.boxes)}"
                raise ValueError(msg)
            self.transforms.append(crop_to_face(labels.boxes, size))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, number = key
        part = int(np.searchsorted(self.starts, number, side="right")) - 1
        place = number - int(self.starts[part])
        dataset, rows, labels = self.parts[part]
        points, states = labels.points[place][None], labels.states[place][None].copy()
        rotation, transform = labels.rotation[place], self.transforms[part][place]
        how, rng = self.augmentation, np.random.default_rng([self.seed, epoch, number])
        face = self.size / (1 + 2 * MARGIN)
        if how:
            change, turn = random_similarity(rng, self.size, how)
            linear, shift = change[:, :2], change[:, 2]
            transform = np.column_stack([linear @ transform[:, :2], linear @ transform[:, 2] + shift])
            rotation = turn @ rotation
            face *= float(np.sqrt(np.linalg.det(linear)))
        whole = dataset.decode_image(int(dataset.image_of[rows[place]]))
        picture = cut(whole, transform, self.size)
        points = transform_points(points, transform[None])
        weight = labels.weight[place]
        if how and rng.random() < how.flip:
            picture = picture[:, ::-1]
            points, states, turned = mirror_face(points, states, rotation[None], "ibug68", self.size)
            rotation = turned[0]
            weight = weight[list(get_scheme("ibug68").flip)]
        if how:
            picture = recolour(rng, np.ascontiguousarray(picture), how.colour)
            if rng.random() < how.cover:
                covered = cover(rng, picture, points[0])
                states[0, covered & (states[0] == SEEN)] = VISIBILITY["occluded"]
        visible = np.where(states[0] == VISIBILITY["unknown"], np.nan, states[0] == SEEN)
        known = np.isfinite(rotation).all()
        return {
            "image": torch.from_numpy(np.ascontiguousarray(picture)),
            "points": torch.from_numpy(np.nan_to_num(points[0]).astype(np.float32)),
            "point_weight": torch.from_numpy(weight.astype(np.float32)),
            "visible": torch.from_numpy(visible.astype(np.float32)),
            "rotation": torch.from_numpy((rotation if known else np.eye(3)).astype(np.float32)),
            "pose_weight": torch.tensor(float(known)),
            "face": torch.tensor(face),
        }


class Mixture(Sampler[tuple[int, int]]):
    """The faces of one epoch in order, drawn from each part in proportion; the same for the same seed.

    Parameters
    ----------
    counts : faces of each part.
    shares : how often each face of a part is seen in an epoch on average; 1 is once.
    seed : of the order.
    """

    def __init__(self, counts: Sequence[int], shares: Sequence[float], seed: int) -> None:
        self.counts, self.shares, self.seed = list(counts), list(shares), seed
        self.length = sum(round(count * share) for count, share in zip(counts, shares, strict=True))
        self.epoch, self.rank, self.world, self.skip, self.batch = 0, 0, 1, 0, 1

    def start(self, epoch: int, batch: int, skip: int = 0, rank: int = 0, world: int = 1) -> None:
        """Choose the epoch, this process's part of every batch, and how many batches were done before."""
        self.epoch, self.batch, self.skip, self.rank, self.world = epoch, batch, skip, rank, world

    @property
    def batches(self) -> int:
        """Whole batches of an epoch."""
        return self.length // self.batch

    def __len__(self) -> int:
        return (self.batches - self.skip) * (self.batch // self.world)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        chosen, start = [], 0
        for count, share in zip(self.counts, self.shares, strict=True):
            wanted = round(count * share)
            rounds = [rng.permutation(count) for _ in range(-(-wanted // count))] if wanted else []
            chosen.append(start + np.concatenate([*rounds, np.empty(0, np.int64)])[:wanted].astype(np.int64))
            start += count
        order = rng.permutation(np.concatenate(chosen))
        each = self.batch // self.world
        for number in range(self.skip, self.batches):
            batch = order[number * self.batch : (number + 1) * self.batch]
            for face in batch[self.rank * each : (self.rank + 1) * each]:
                yield self.epoch, int(face)
