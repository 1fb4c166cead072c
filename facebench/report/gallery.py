"""Galleries: crops of faces with what is true and what a method predicts drawn on them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facebench.formats.selection import choose_boxes
from facebench.geometry import VISIBILITY
from facebench.geometry.crops import crop_transform, cut, has_area, transform_points
from facebench.protocols import LandmarkProtocol, Measured, PoseProtocol, Protocol, VisibilityProtocol
from facebench.report.sheet import AXES, HALO, Colour, Picture, draw_disc, draw_line, draw_point

__all__ = ["CELL", "draw_face", "error_label", "face_errors", "legend_of", "random_places", "worst_places"]

Floats = NDArray[np.float64]

#: Pixels of a crop, and how much of the box is shown around it.
CELL, MARGIN = 240, 0.28
QUALITY = 82

TRUE: Colour = (70, 225, 105)
GUESS: Colour = (255, 120, 50)
WRONG: Colour = (255, 60, 60)


@dataclass(frozen=True)
class Errors:
    """One error for each scored face, and how it is written below the face."""

    values: Floats
    title: str
    unit: str


def face_errors(measured: Measured) -> Errors:
    """Return the error that faces are ranked by: that of the headline, or the points of a wrong state."""
    protocol, columns = measured.protocol, measured.columns.of
    metric = protocol.metric(protocol.headline[0])
    values = columns.get(metric.column)
    if isinstance(protocol, VisibilityProtocol) or not isinstance(values, np.ndarray):
        claimed, hits = np.asarray(columns["claimed+true"]), np.asarray(columns["twice-hits"])
        return Errors(claimed - hits / 100.0, "points of a wrong state", "points wrong")
    return Errors(values, metric.title, metric.unit)


def error_label(errors: Errors, place: int) -> str:
    """Write the error of a face."""
    value = errors.values[place]
    if not np.isfinite(value):
        return "no prediction"
    digits = 0 if errors.unit == "points wrong" else 2
    return f"{value:.{digits}f} {errors.unit}"


def worst_places(measured: Measured, errors: Errors, count: int) -> list[int]:
    """Return the places of the largest errors, largest first; faces without a prediction are left out."""
    ids = measured.ids
    known = [j for j in range(len(ids)) if measured.predicted[j] >= 0 and np.isfinite(errors.values[j])]
    return sorted(known, key=lambda j: (-errors.values[j], ids[j]))[:count]


def random_places(measured: Measured, count: int, seed: int) -> list[int]:
    """Return the places of faces drawn by lot, the same for every method that has the same faces."""
    chosen = np.random.default_rng(seed).permutation(len(measured.rows))[:count]
    return sorted(int(place) for place in chosen)


def draw_face(measured: Measured, place: int) -> str:
    """Draw one face with truth and prediction, as the ``data:`` address of a JPEG.

    Raises
    ------
    DataMissing : its image is not there.
    InvalidData : its image cannot be decoded.
    """
    dataset, row = measured.dataset, int(measured.rows[place])
    image = dataset.decode_image(int(dataset.image_of[row]))
    box, margin = _box(measured, row), MARGIN
    if box is None:
        box, margin = np.array([-0.5, -0.5, image.shape[1] - 0.5, image.shape[0] - 0.5]), 0.0
    to_cell = crop_transform(box[None], CELL, margin)
    cell = np.ascontiguousarray(cut(image, to_cell[0], CELL, cubic=True))
    for kind, draw in DRAWN:
        if isinstance(measured.protocol, kind):
            draw(cell, measured, place, to_cell)
    data = cv2.imencode(".jpg", cell[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def legend_of(protocol: Protocol) -> str:
    """Say what the marks on the faces of a protocol mean."""
    if isinstance(protocol, PoseProtocol):
        return "Solid axes are true, dashed ones with a disc predicted: x red, y green, the nose blue."
    if isinstance(protocol, VisibilityProtocol):
        return (
            "True positions: a disc is a visible point, a ring an occluded one, a cross one that the head "
            "hides, where such points have positions; green where the predicted state is right, red where it "
            "is wrong."
        )
    return "Green points are true, orange ones predicted; a line joins the two."


def _box(measured: Measured, row: int) -> Floats | None:
    """Return the box to crop around, or None where the face has none."""
    dataset, protocol = measured.dataset, measured.protocol
    name = getattr(protocol, "annotation", None) or next(iter(dataset.annotations), None)
    annotation = None if name is None else dataset.annotation(name)
    names = ["landmarks"] if annotation is not None else []
    for one in dict.fromkeys([*names, *dataset.boxes]):
        box = choose_boxes(dataset, one, annotation)[row]
        if has_area(box[None])[0]:
            return np.asarray(box, float)
    return None


def _predicted(measured: Measured, values: NDArray | None, place: int) -> Floats | None:
    row = int(measured.predicted[place])
    return None if values is None or row < 0 else np.asarray(values[row], float)


def _draw_landmarks(cell: Picture, measured: Measured, place: int, to_cell: Floats) -> None:
    assert isinstance(measured.protocol, LandmarkProtocol)
    truth = measured.dataset.annotation(measured.protocol.annotation).points[measured.rows[place]]
    true = transform_points(truth[None], to_cell)[0]
    points = _predicted(measured, measured.given.landmarks, place)
    guess = np.full_like(true, np.nan) if points is None else transform_points(points[None], to_cell)[0]
    for start, end in zip(true, guess, strict=True):
        if np.isfinite([start, end]).all():
            draw_line(cell, start, end, (255, 255, 255), 1)
    for marks, colour in ((true, TRUE), (guess, GUESS)):
        for mark in marks[np.isfinite(marks).all(axis=1)]:
            draw_disc(cell, mark, 2.0, colour, halo=0.8)


def _draw_pose(cell: Picture, measured: Measured, place: int, to_cell: Floats) -> None:
    truth = measured.protocol.rotation(measured.dataset)[measured.rows[place]]
    guess = _predicted(measured, measured.given.rotations(), place)
    middle = np.full(2, (CELL - 1) / 2.0)
    for rotation, dashed in ((truth, False), (guess, True)):
        if rotation is None or not np.isfinite(rotation).all():
            continue
        for _, axis, sign, colour in AXES:
            tip = middle + 0.36 * CELL * sign * rotation[:2, axis]
            draw_line(cell, middle, tip, colour, 2, halo=True, dashed=dashed)
            if dashed:
                draw_disc(cell, tip, 3.6, colour, halo=1.2)


def _draw_states(cell: Picture, measured: Measured, place: int, to_cell: Floats) -> None:
    protocol = measured.protocol
    assert isinstance(protocol, VisibilityProtocol)
    truth = measured.dataset.annotation(protocol.annotation)
    row = measured.rows[place]
    points = transform_points(truth.points[row][None], to_cell)[0]
    visible = _predicted(measured, measured.given.visibility, place)
    names = {VISIBILITY[name]: name for name in ("visible", *protocol.positive)}
    for k, (point, state) in enumerate(zip(points, truth.visibility[row], strict=True)):
        if not np.isfinite(point).all() or int(state) not in names:
            continue
        known = visible is not None and bool(np.isfinite(visible[k]))
        right = known and visible is not None and (visible[k] >= 0.5) == (names[int(state)] == "visible")
        draw_point(cell, point, names[int(state)], (TRUE if right else WRONG) if known else HALO)


DRAWN: Sequence[tuple[type, Callable[[Picture, Measured, int, Floats], None]]] = (
    (LandmarkProtocol, _draw_landmarks),
    (PoseProtocol, _draw_pose),
    (VisibilityProtocol, _draw_states),
)
