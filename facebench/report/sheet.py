"""Contact sheets: many annotated faces side by side, to see at a glance what a dataset says."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import VISIBILITY, PreparedDataset, atomic_path
from facebench.formats.selection import choose_annotation, choose_boxes
from facebench.geometry import rotation_to_euler
from facebench.geometry.crops import crop_transform, cut, has_area, transform_points
from facebench.protocols import get_protocol

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = [
    "Sheet",
    "contact_sheet",
    "draw_disc",
    "draw_line",
    "draw_point",
    "headline_error",
    "worst_faces",
    "write_sheet",
]

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
Colour = tuple[int, int, int]

# Pixels of the sheet.
CELL, GAP, CAPTION, LINE = 320, 10, 44, 18
COLUMNS = 6
MARGIN = 0.22
MOST_FACES = 600

PAPER: Colour = (250, 250, 250)
INK: Colour = (25, 25, 25)
GREY: Colour = (110, 110, 110)
HALO: Colour = (0, 0, 0)

# Shape and colour both tell the state apart.
STATES: dict[str, Colour] = {
    "unknown": (255, 213, 0),
    "visible": (60, 220, 90),
    "occluded": (255, 70, 50),
    "hidden": (225, 90, 255),
}
AXES: tuple[tuple[str, int, int, Colour], ...] = (
    ("x", 0, +1, (240, 40, 40)),
    ("y", 1, +1, (40, 200, 60)),
    ("nose, -z", 2, -1, (60, 120, 255)),
)
BOXES: tuple[Colour, ...] = ((255, 255, 255), (0, 200, 255), (255, 150, 0), (255, 120, 200), (150, 255, 150))

# OpenCV draws between pixels when coordinates carry this many fractional bits.
BITS = 4
# Pixels of a dash and the gap behind it.
DASH = 9.0


@dataclass(frozen=True)
class Sheet:
    """What a contact sheet shows.

    Attributes
    ----------
    rows : faces, as rows of the dataset, in the order of the sheet.
    annotation : points to draw; by default ``original`` or the only set.
    box : origin of the boxes that the faces are cropped around.
    title : first line of the sheet.
    notes : a further word for the caption of a face, by its row.
    """

    rows: Sequence[int]
    annotation: str | None = None
    box: str = "landmarks"
    title: str = ""
    notes: Mapping[int, str] = field(default_factory=dict)


def worst_faces(path: str | Path, error: str, protocol: str | None = None) -> list[tuple[str, float]]:
    """Read which faces have the largest error from the table that ``facebench score --per-face`` writes.

    Parameters
    ----------
    error : value of the column ``error``, such as ``nme/box-sqrt``.
    protocol : value of the column ``protocol``; needed where several protocols have that error.

    Returns
    -------
    Face ids and errors, the largest error first; errors that are no number are left out.

    Raises
    ------
    DataMissing : no such file.
    InvalidData : it is not such a table.
    UsageError : it has not that error or protocol, or several protocols have it and none was named.
    """
    table = _read_errors(path)
    having = [row for row in table if row[2] == error]
    named = sorted({row[0] for row in having})
    if not having:
        known = ", ".join(dict.fromkeys(row[2] for row in table)) or "none"
        msg = f"{path}: no error '{error}'. Its errors: {known}."
        raise UsageError(msg)
    if protocol is None and len(named) > 1:
        msg = f"{path}: several protocols have '{error}' ({', '.join(named)}). Name one with --protocol."
        raise UsageError(msg)
    if protocol is not None and protocol not in named:
        msg = f"{path}: no '{error}' of protocol '{protocol}', only of {', '.join(named)}."
        raise UsageError(msg)
    found = [(row[1], row[3]) for row in having if protocol in (None, row[0]) and not np.isnan(row[3])]
    return sorted(found, key=lambda face: (-face[1], face[0]))


def headline_error(path: str | Path, protocol: str | None = None) -> tuple[str, str]:
    """Return the first protocol of such a table whose headline is an error of single faces, and that error.

    Parameters
    ----------
    protocol : the only one to look at.

    Raises
    ------
    UsageError : there is none; the error has to be named.
    """
    present = dict.fromkeys((row[0], row[2]) for row in _read_errors(path))
    for name in dict.fromkeys(name for name, _ in present if protocol in (None, name)):
        known = get_protocol(name)
        column = known.metric(known.headline[0]).column
        if (name, column) in present:
            return name, column
    errors = ", ".join(dict.fromkeys(error for _, error in present)) or "none"
    msg = (
        f"{path}: no headline of {protocol or 'any protocol'} by face. Name an error with --metric: {errors}."
    )
    raise UsageError(msg)


def _read_errors(path: str | Path) -> list[tuple[str, str, str, float]]:
    """Read protocol, id, error and value of each line of such a table."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != ["protocol", "id", "error", "value"]:
                msg = f"{path}: expected the columns protocol, id, error, value of 'score --per-face'."
                raise InvalidData(msg)
            return [(row["protocol"], row["id"], row["error"], float(row["value"])) for row in reader]
    except (UnicodeDecodeError, csv.Error, ValueError, TypeError) as reason:
        msg = f"{path}: not a table as 'facebench score --per-face' writes it ({reason})."
        raise InvalidData(msg) from reason
    except OSError as reason:
        msg = f"{path}: cannot be read ({reason.strerror}). 'facebench score --per-face FILE' writes it."
        raise DataMissing(msg) from reason


def write_sheet(target: str | Path, picture: Picture) -> None:
    """Write a picture as PNG, completely or not at all.

    Parameters
    ----------
    picture : (height, width, 3) RGB.

    Raises
    ------
    UsageError : the name does not end in ``.png``.
    FacebenchError : the file cannot be written.
    """
    path = Path(target)
    if path.suffix.lower() != ".png":
        msg = f"{path}: a contact sheet is a PNG; give a name that ends in .png."
        raise UsageError(msg)
    data = cv2.imencode(".png", picture[..., ::-1])[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def contact_sheet(dataset: PreparedDataset, sheet: Sheet) -> Picture:
    """Draw faces with their points, pose axes and boxes.

    Each face is cropped around its box and enlarged first, so that lines and points stay sharp.  A face
    without such a box is shown with its whole image.

    Returns
    -------
    (height, width, 3) RGB.

    Raises
    ------
    UsageError : no face, too many of them, or an unknown box.
    DataMissing : unknown annotation set, or an image that is not there.
    InvalidData : an image that cannot be decoded.
    """
    if not 1 <= len(sheet.rows) <= MOST_FACES:
        msg = f"A contact sheet shows 1 to {MOST_FACES} faces, not {len(sheet.rows)}."
        raise UsageError(msg)
    set_name, annotation = choose_annotation(dataset, sheet.annotation)
    crop_boxes = choose_boxes(dataset, sheet.box, annotation)
    drawn_boxes = dict(dataset.boxes) or {sheet.box: crop_boxes}
    columns = min(COLUMNS, max(3, len(sheet.rows)))
    lines = -(-len(sheet.rows) // columns)
    legend = _legend(sheet.title or dataset.name, set_name, drawn_boxes, columns * (CELL + GAP) - GAP)
    page = np.full((lines * (CELL + CAPTION + GAP) + GAP, columns * (CELL + GAP) + GAP, 3), PAPER, np.uint8)
    for place, row in enumerate(sheet.rows):
        line, column = divmod(place, columns)
        top, left = GAP + line * (CELL + CAPTION + GAP), GAP + column * (CELL + GAP)
        image = dataset.decode_image(int(dataset.image_of[row]))
        box = crop_boxes[row]
        margin = MARGIN
        if not has_area(box[None])[0]:
            box, margin = np.array([-0.5, -0.5, image.shape[1] - 0.5, image.shape[0] - 0.5]), 0.0
        to_cell = crop_transform(box[None], CELL, margin)
        cell = np.ascontiguousarray(cut(image, to_cell[0], CELL, cubic=True))
        _draw_boxes(cell, {name: boxes[row] for name, boxes in drawn_boxes.items()}, to_cell)
        centre = transform_points(((box[:2] + box[2:]) / 2)[None, None], to_cell)[0, 0]
        _draw_axes(cell, dataset.rotation[row], centre)
        if annotation is not None:
            points = transform_points(annotation.points[row][None], to_cell)[0]
            _draw_points(cell, points, annotation.visibility[row])
        page[top : top + CELL, left : left + CELL] = cell
        words = [_pose(dataset.rotation[row]), sheet.notes.get(int(row), "")]
        caption = _text_strip(
            [(dataset.ids[row], INK), ("   ".join(filter(None, words)), GREY)], CELL, CAPTION
        )
        page[top + CELL : top + CELL + CAPTION, left : left + CELL] = caption
    side = np.full((len(legend), GAP, 3), PAPER, np.uint8)
    return np.concatenate([np.concatenate([side, legend, side], axis=1), page])


def _pose(rotation: Floats) -> str:
    if not np.isfinite(rotation).all():
        return "pose unknown"
    yaw, pitch, roll = rotation_to_euler(rotation, "raw-xyz") + 0.0
    return f"yaw {yaw:.1f}  pitch {pitch:.1f}  roll {roll:.1f}"


def _fixed(point: Floats) -> tuple[int, int]:
    # Far outside the picture nothing is seen, and OpenCV counts in 32 bits.
    x, y = np.clip(np.asarray(point), -1e4, 1e4)
    return round(float(x) * (1 << BITS)), round(float(y) * (1 << BITS))


def draw_line(
    cell: Picture,
    start: Floats,
    end: Floats,
    colour: Colour,
    width: int,
    *,
    halo: bool = False,
    dashed: bool = False,
) -> None:
    """Draw a line between two places of a picture, over a wider dark one or in dashes."""
    count = max(1, round(float(np.hypot(*(end - start))) / DASH)) if dashed else 1
    ends = np.linspace(start, end, 2 * count)
    for ink, thickness in ((HALO, width + 2), (colour, width))[0 if halo else 1 :]:
        for one, other in zip(ends[::2], ends[1::2], strict=True):
            cv2.line(cell, _fixed(one), _fixed(other), ink, thickness, cv2.LINE_AA, BITS)


def draw_disc(cell: Picture, point: Floats, radius: float, colour: Colour, halo: float = 0.0) -> None:
    """Draw a disc, over a dark one that is wider by ``halo``."""
    for ink, size in ((HALO, radius + halo), (colour, radius))[0 if halo else 1 :]:
        cv2.circle(cell, _fixed(point), round(size * (1 << BITS)), ink, -1, cv2.LINE_AA, BITS)


def _draw_boxes(cell: Picture, boxes: Mapping[str, Floats], to_cell: Floats) -> None:
    for at, box in enumerate(boxes.values()):
        if np.isfinite(box).all():
            low, high = transform_points(box.reshape(1, 2, 2), to_cell)[0]
            for colour, width in ((HALO, 3), (BOXES[at % len(BOXES)], 1)):
                cv2.rectangle(cell, _fixed(low), _fixed(high), colour, width, cv2.LINE_AA, BITS)


def _draw_points(cell: Picture, points: Floats, states: NDArray[np.uint8]) -> None:
    names = {value: name for name, value in VISIBILITY.items()}
    for point, state in zip(points, states, strict=True):
        if np.isfinite(point).all():
            draw_point(cell, point, names[int(state)])


def draw_point(cell: Picture, point: Floats, state: str, colour: Colour | None = None) -> None:
    """Draw a disc, a ring for occluded points, or a cross for hidden ones that have a position.

    Parameters
    ----------
    colour : by default that of the state.
    """
    ink, unit = colour or STATES[state], 1 << BITS
    if state == "occluded":
        cv2.circle(cell, _fixed(point), 4 * unit, HALO, 4, cv2.LINE_AA, BITS)
        cv2.circle(cell, _fixed(point), 4 * unit, ink, 2, cv2.LINE_AA, BITS)
    elif state == "hidden":
        for line, width in ((HALO, 4), (ink, 2)):
            for step in (np.array([4.0, 4.0]), np.array([4.0, -4.0])):
                cv2.line(cell, _fixed(point - step), _fixed(point + step), line, width, cv2.LINE_AA, BITS)
    else:
        draw_disc(cell, point, 3.0, ink, halo=1.2)


def _draw_axes(cell: Picture, rotation: Floats, centre: Floats) -> None:
    """Draw the head's axes from ``centre``, the one that points farthest away first."""
    if not np.isfinite(rotation).all():
        return
    ways = [(sign * rotation[:, axis], colour) for _, axis, sign, colour in AXES]
    for way, colour in sorted(ways, key=lambda one: -one[0][2]):
        tip = centre + 0.3 * CELL * way[:2]
        draw_line(cell, centre, tip, colour, 3, halo=True)
        draw_disc(cell, tip, 5.0, colour, halo=1.5)


def _legend(title: str, set_name: str, boxes: Mapping[str, Floats], width: int) -> Picture:
    """Draw the title and what the marks mean, in as many lines as they need."""
    head = _text_strip([(title, INK)], width, 34, size=20)
    entries: list[tuple[str, str, Colour]] = []
    if set_name:
        entries += [(f"{state} point", state, colour) for state, colour in STATES.items()]
    entries += [(name, "axis", colour) for name, _, _, colour in AXES]
    entries += [(f"box {name}", "box", BOXES[at % len(BOXES)]) for at, name in enumerate(boxes)]
    strips = []
    while entries:
        strip, left = np.full((30, width, 3), PAPER, np.uint8), 0
        while entries:
            text, kind, colour = entries[0]
            length = 36 + round(_font(14).getlength(text)) + 18
            if left and left + length > width:
                break
            strip[2:28, left : left + 28] = (120, 120, 120)
            if kind in STATES:
                patch = np.ascontiguousarray(strip[:, left : left + 28])
                draw_point(patch, np.array([14.0, 15.0]), kind)
                strip[:, left : left + 28] = patch
            elif kind == "axis":
                strip[13:17, left + 4 : left + 24] = colour
            else:
                strip[7:23, left + 6 : left + 22] = colour
                strip[9:21, left + 8 : left + 20] = (120, 120, 120)
            room = min(length - 36, width - left - 36)
            strip[2:28, left + 36 : left + 36 + room] = _text_strip([(text, INK)], room, 26, top=4)
            left += length
            entries.pop(0)
        strips.append(strip)
    space = np.full((GAP, width, 3), PAPER, np.uint8)
    return np.concatenate([space, head, *strips])


@cache
def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _text_strip(
    lines: Sequence[tuple[str, Colour]], width: int, height: int, size: int = 14, top: int = 5
) -> Picture:
    """Set lines of text on paper; what is too long loses its middle."""
    from PIL import Image, ImageDraw

    strip = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(strip), _font(size)
    for at, (text, colour) in enumerate(lines):
        draw.text((0, top + at * LINE), _shortened(text, width, size), colour, font)
    return np.array(strip)


def _shortened(text: str, width: int, size: int) -> str:
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)[:400]
    keep = len(clean)
    shown = clean
    while keep > 4 and _font(size).getlength(shown) > width:
        keep -= 1
        shown = f"{clean[: keep // 2]}...{clean[-(keep - keep // 2) :]}"
    return shown
