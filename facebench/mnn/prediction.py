"""Predictions of a network: from a prepared dataset, or from images and boxes of one's own.

A network is given the image and one box a face, whose origin is written into the predictions and from there
into every signature; it never sees an annotation.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facebench.errors import DataMissing, FacebenchError, InvalidData, UsageError, name_some
from facebench.formats import PreparedDataset, Progress, no_progress, write_predictions
from facebench.formats.atomic import atomic_path
from facebench.formats.selection import choose_rows
from facebench.geometry import get_scheme
from facebench.geometry.crops import MIRROR, cut, has_area, invert_transform, transform_points
from facebench.mnn.architecture import Network, Residual, rotation_of
from facebench.mnn.data import crop_to_face
from facebench.mnn.refinement import Refiner, evidence_of

__all__ = ["Answers", "Predictor", "predict_dataset", "predict_images", "read_boxes"]

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]

# Steps of a pixel, a probability and an element of a rotation that answers are rounded to: far finer than any
# network is right, and what two machines make of the same weights is then nearly always the same.
STEPS = {"landmarks": 2.0**8, "visibility": 2.0**12, "rotation": 2.0**20}
SAVE_EVERY = 20.0  # seconds between two saves of what has been predicted so far
READERS = 4  # threads that decode and cut the next batch while the network works at this one
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
BOX_COLUMNS = ("image", "x_min", "y_min", "x_max", "y_max")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says of N faces; None where the task is not one of its own.

    Attributes
    ----------
    landmarks : (N, K, 2) pixels of the image.
    visibility : (N, K) probability that the point is visible.
    rotation : (N, 3, 3) ``R_cam``.
    """

    landmarks: Floats | None
    visibility: Floats | None
    rotation: Floats | None


class Predictor:
    """A network ready to be asked: batch normalisation folded into the convolutions, in 32 bits.

    Parameters
    ----------
    network : of :func:`~facebench.mnn.weights.load_weights`.
    mirror : ask about the mirrored face too, and take the mean of both answers.
    refiner : corrects the points, from the network's heat maps.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device | None = None,
        mirror: bool = False,
        refiner: Refiner | None = None,
    ) -> None:
        self.architecture, self.refiner = network.architecture, refiner
        self.device, self.mirror = device or torch.device("cpu"), mirror
        self.network = folded(network).to(self.device, memory_format=torch.channels_last).eval()
        self.flip = list(get_scheme(self.architecture.scheme).flip)

    def crop(self, image: Picture, box: ArrayLike) -> tuple[Picture, Floats]:
        """Cut the (S, S, 3) crop that the network sees, and the (2, 3) map into it."""
        transform = crop_to_face(np.asarray(box, float)[None], self.architecture.size)[0]
        return cut(image, transform, self.architecture.size), transform

    @torch.inference_mode()
    def ask(self, crops: NDArray[np.uint8], transforms: ArrayLike) -> Answers:
        """Return the answers for (N, S, S, 3) RGB crops, and (N, 2, 3) maps from images into them."""
        seen = torch.from_numpy(np.ascontiguousarray(crops)).to(self.device)
        images = seen.permute(0, 3, 1, 2).float().div_(255)
        parts = self._parts(self.network(images))
        if self.mirror:
            other = self._parts(self.network(images.flip(3)))
            parts = {name: (value + self._mirrored(name, other[name])) / 2 for name, value in parts.items()}
        found = {name: value.double().cpu().numpy() for name, value in parts.items()}
        landmarks = found.get("points")
        if landmarks is not None:
            landmarks = transform_points(landmarks, invert_transform(transforms))
        rotation = found.get("rotation")
        if rotation is not None and self.mirror:
            u, _, vt = np.linalg.svd(rotation)  # the rotation nearest to the mean of two
            rotation = u @ vt
        return Answers(*(_rounded(name, value) for name, value in (
            ("landmarks", landmarks), ("visibility", found.get("visibility")), ("rotation", rotation),
        )))  # fmt: skip

    def _parts(self, out: Mapping[str, Tensor]) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = {}
        if "points" in out:
            parts["points"] = out["points"]
            if self.refiner:
                refined = self.refiner.refine(evidence_of(out, self.architecture.size))
                parts["points"] = torch.from_numpy(refined).to(out["points"])
        if "visibility" in out:
            parts["visibility"] = torch.sigmoid(out["visibility"])
        if "pose" in out:
            parts["rotation"] = rotation_of(out["pose"])
        return parts

    def _mirrored(self, name: str, value: Tensor) -> Tensor:
        if name == "rotation":
            return value * torch.as_tensor(MIRROR, dtype=value.dtype, device=value.device)
        value = value[:, self.flip]
        if name == "points":
            last = self.architecture.size - 1
            value = torch.stack([last - value[..., 0], value[..., 1]], dim=2)
        return value


def _rounded(name: str, value: Floats | None) -> Floats | None:
    return None if value is None else np.round(value * STEPS[name]) / STEPS[name]


def folded(network: Network) -> Network:
    """Return a copy whose batch normalisation is part of the convolutions before it; the same function."""
    copy = Network(network.architecture)
    copy.load_state_dict(network.state_dict())
    copy.eval()
    copy.stem = nn.Sequential(fuse_conv_bn_eval(copy.stem[0], copy.stem[1]), nn.ReLU())
    for block in copy.modules():
        if isinstance(block, Residual):
            block.first = fuse_conv_bn_eval(block.first, block.first_norm)
            block.second = fuse_conv_bn_eval(block.second, block.second_norm)
            block.first_norm = block.second_norm = nn.Identity()
            if isinstance(block.project, nn.Sequential):
                block.project = fuse_conv_bn_eval(block.project[0], block.project[1])
    return copy


def predict_dataset(
    predictor: Predictor,
    dataset: PreparedDataset,
    target: Path,
    *,
    method: str,
    training_data: str,
    box: str = "landmarks",
    split: str | None = None,
    batch: int = 64,
    progress: Progress = no_progress,
) -> int:
    """Write a network's predictions for the faces of a prepared dataset, and return how many there are.

    What was predicted before an interruption is kept beside ``target``, and used by the next run of the same
    network, faces and box.

    Parameters
    ----------
    box : origin of the boxes to cut faces by, one of the dataset's.
    split : faces to predict; by default all.

    Raises
    ------
    UsageError : no such boxes or split.
    InvalidData : a face has no box with an area; an image cannot be decoded.
    """
    if box not in dataset.boxes:
        msg = f"{dataset.path}: no box '{box}'. Its boxes: {', '.join(dataset.boxes) or 'none'}."
        raise UsageError(msg)
    rows = choose_rows(dataset, split)
    boxes = dataset.boxes[box][rows]
    ids = [dataset.ids[row] for row in rows]
    _check_boxes(str(dataset.path), f"box '{box}'", ids, boxes)

    def read(place: int) -> Picture:
        return dataset.decode_image(int(dataset.image_of[rows[place]]))

    work = _Work(predictor, ids, boxes, read, f"{dataset.sha256}|{box}|{split}", target)
    work.finish(batch, progress, dataset=dataset.name, method=method, training_data=training_data, box=box)
    return len(ids)


def predict_images(
    predictor: Predictor,
    folder: Path,
    boxes: Path,
    target: Path,
    *,
    method: str,
    training_data: str,
    batch: int = 64,
    progress: Progress = no_progress,
) -> int:
    """Write a network's predictions for faces in images of one's own, and return how many there are.

    Parameters
    ----------
    folder : where the images are.
    boxes : a CSV file with the columns ``image, x_min, y_min, x_max, y_max`` and, where an image has several
        faces, ``id``; else the id of a face is its image's path without the suffix.

    Raises
    ------
    DataMissing : no such folder or file.
    InvalidData : the table is not as expected, or an image is missing or cannot be decoded; named.
    """
    paths, ids, found = read_boxes(folder, boxes)

    def read(place: int) -> Picture:
        image = cv2.imread(str(paths[place]), cv2.IMREAD_COLOR_RGB)
        if image is None:
            msg = f"{paths[place]}: cannot be decoded as an image. Expected one of {', '.join(IMAGES)}."
            raise InvalidData(msg)
        height, width = image.shape[:2]
        x_min, y_min, x_max, y_max = found[place]
        if x_max < 0 or y_max < 0 or x_min > width - 1 or y_min > height - 1:
            msg = (
                f"{boxes}: {ids[place]}: the box {found[place].tolist()} lies outside the image "
                f"of {width} x {height} pixels."
            )
            raise InvalidData(msg)
        return np.asarray(image, np.uint8)

    digest = hashlib.sha256(boxes.read_bytes() + str(folder.resolve()).encode()).hexdigest()
    work = _Work(predictor, ids, found, read, digest, target)
    work.finish(batch, progress, dataset="custom", method=method, training_data=training_data, box="user")
    return len(ids)


def read_boxes(folder: Path, table: Path) -> tuple[list[Path], list[str], Floats]:
    """Return the image, id and (N, 4) box of each face of a table; see :func:`predict_images`."""
    if not folder.is_dir():
        msg = f"{folder}: no such folder of images."
        raise DataMissing(msg)
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in BOX_COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                msg = f"{table}: no column {', '.join(lacking)}. Expected: {', '.join(BOX_COLUMNS)}, and id."
                raise InvalidData(msg)
            lines = list(reader)
    except FileNotFoundError:
        msg = f"{table}: no such file. Expected a CSV file with the columns {', '.join(BOX_COLUMNS)}."
        raise DataMissing(msg) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{table}: cannot be read as CSV ({error})."
        raise InvalidData(msg) from error
    if not lines:
        msg = f"{table}: no face in it."
        raise InvalidData(msg)
    paths, ids, boxes = [], [], np.full((len(lines), 4), np.nan)
    for number, line in enumerate(lines):
        path = folder / (line["image"] or "")
        if not path.is_file():
            msg = f"{table}: line {number + 2}: {path}: no such image."
            raise InvalidData(msg)
        paths.append(path)
        ids.append(line.get("id") or Path(line["image"]).with_suffix("").as_posix())
        with suppress(TypeError, ValueError):
            boxes[number] = [float(line[name]) for name in BOX_COLUMNS[1:]]
    double = [one for one, times in Counter(ids).items() if times > 1]
    if double:
        msg = f"{table}: several faces with the id {name_some(double)}. Give each its own in a column 'id'."
        raise InvalidData(msg)
    _check_boxes(str(table), "box", ids, boxes)
    return paths, ids, boxes


def _check_boxes(where: str, what: str, ids: Sequence[str], boxes: Floats) -> None:
    bad = [one for one, good in zip(ids, has_area(boxes), strict=True) if not good]
    if bad:
        msg = (
            f"{where}: no {what} with an area (x_min < x_max, y_min < y_max, in pixels) for {name_some(bad)}."
        )
        raise InvalidData(msg)


class _Work:
    """Faces to predict, and what is known of them so far."""

    def __init__(
        self, predictor: Predictor, ids: Sequence[str], boxes: Floats,
        read: Callable[[int], Picture], source: str, target: Path,
    ) -> None:  # fmt: skip
        self.predictor, self.ids, self.boxes, self.read, self.target = predictor, ids, boxes, read, target
        a, count = predictor.architecture, len(ids)
        points = len(get_scheme(a.scheme))
        shapes = {
            "landmarks": (count, points, 2), "visibility": (count, points), "rotation": (count, 3, 3),
        }  # fmt: skip
        tasks = {"landmarks": "landmarks", "visibility": "visibility", "rotation": "pose"}
        self.found = {n: np.full(s, np.nan) for n, s in shapes.items() if tasks[n] in a.tasks}
        self.done = 0
        digest = hashlib.sha256(source.encode())
        for value in predictor.network.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
        if predictor.refiner:
            digest.update(predictor.refiner.digest().encode())
        digest.update(json.dumps([a.model_dump(), predictor.mirror, list(ids)]).encode())
        self.key = digest.hexdigest()
        self.part = target.with_name(f".{target.name}.predicted.npz")

    def finish(self, batch: int, progress: Progress, **attributes: str) -> None:
        """Predict what is left, write the file, and remove what was kept."""
        self._resume()
        starts = range(self.done, len(self.ids), batch)
        saved = time.monotonic()
        try:
            for start, crops, transforms in progress(self._crops(starts, batch), len(starts), "predicting"):
                answers = self._ask(crops, transforms, batch)
                for name, values in self.found.items():
                    values[start : start + len(crops)] = getattr(answers, name)
                self.done = start + len(crops)
                if time.monotonic() - saved > SAVE_EVERY:
                    self._save()
                    saved = time.monotonic()
        except BaseException:
            with suppress(FacebenchError):
                self._save()
            raise
        given: dict[str, Any] = {**self.found, **attributes, "scheme": self.predictor.architecture.scheme}
        write_predictions(self.target, ids=self.ids, **given)
        self.part.unlink(missing_ok=True)

    def _ask(self, crops: NDArray[np.uint8], transforms: Floats, batch: int) -> Answers:
        try:
            return self.predictor.ask(crops, transforms)
        except (torch.OutOfMemoryError, MemoryError) as error:
            msg = f"Out of memory with {len(crops)} faces at once: choose a --batch below {batch}."
            raise FacebenchError(msg) from error

    def _crops(self, starts: range, batch: int) -> Iterator[tuple[int, NDArray[np.uint8], Floats]]:
        """Yield crops a batch at a time; the next one is cut while this one is looked at."""

        def one(place: int) -> tuple[Picture, Floats]:
            return self.predictor.crop(self.read(place), self.boxes[place])

        with ThreadPoolExecutor(READERS) as pool:
            ahead: list[Any] = []
            for start in [*starts, None]:
                if start is not None:
                    places = range(start, min(start + batch, len(self.ids)))
                    ahead.append((start, [pool.submit(one, place) for place in places]))
                if len(ahead) > 1 or (start is None and ahead):
                    first, futures = ahead.pop(0)
                    cuts = [future.result() for future in futures]
                    yield first, np.stack([c for c, _ in cuts]), np.stack([t for _, t in cuts])

    def _save(self) -> None:
        if not self.done:
            return
        with atomic_path(self.part) as temporary, temporary.open("wb") as file:
            kept: dict[str, Any] = {name: values[: self.done] for name, values in self.found.items()}
            np.savez(file, key=np.array(self.key), **kept)

    def _resume(self) -> None:
        with suppress(OSError, ValueError, KeyError), np.load(self.part, allow_pickle=False) as kept:
            if str(kept["key"]) == self.key:
                parts = {name: kept[name] for name in self.found}
                done = min(len(part) for part in parts.values())
                for name, part in parts.items():
                    self.found[name][:done] = part[:done]
                self.done = done
