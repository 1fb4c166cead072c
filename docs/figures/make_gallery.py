"""Draw the gallery: the conventions of each release on one drawn face; needs matplotlib.

``python docs/figures/make_gallery.py`` writes ``gallery-<dataset>.png`` beside this script and prints the
records that stand on the page.  Points, states, boxes and poses are those of the prepared files.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from matplotlib import patches
from matplotlib import pyplot as plt

sys.path.insert(0, str(Path(__file__).parent))

from gallery_faces import SAMPLES, Sample
from make_figures import AXIS, DPI, HALO, INK, PART, RED, SOFT, arrow, head, label, part_lines, save

from facebench.formats import VISIBILITY
from facebench.geometry import CONVENTIONS, get_scheme, rotation_to_euler

WIDTH = 1000  # pixels of every figure
COLOUR = {**PART, "left_ear": "#7a8b00", "right_ear": "#6d4c41"}
CARD = "#d9dee4"
BOX = {"first": "#b4540a", "second": "#1565c0", "third": "#6b3fa0"}
SMALL = 8.4
STATE = {value: name for name, value in VISIBILITY.items()}

COMPUTED = (
    "The release has no pose. Angles of\n"
    "this rotation are published as mnn-yxz\n"
    "(yaw > 0: nose to image right)."
)
# Where numbers stand beside their points, in pixels of the figure: right and down.
BESIDE_21 = {
    1: (-14, 0), 7: (-13, 3), 8: (0, 14), 9: (14, 4), 10: (-14, 4), 11: (0, 14), 12: (15, 0),
    13: (-15, 0), 14: (-13, 4), 15: (-6, -14), 16: (15, 4), 17: (16, 0), 18: (-14, 3), 19: (0, -13),
    20: (15, 0), 21: (-15, 2),
}  # fmt: skip
# The same for the 29 points of COFW.
BESIDE_29 = {
    1: (-14, 0), 2: (14, 0), 3: (14, 2), 4: (-14, 2), 5: (0, -14), 6: (0, 14), 7: (0, -14), 8: (0, 14),
    9: (-14, 0), 10: (15, 0), 11: (15, 0), 12: (-15, 0), 13: (0, -14), 14: (0, 15), 15: (0, -14),
    16: (0, 15), 17: (21, 0), 18: (-21, 0), 19: (-15, 0), 20: (16, 0), 21: (0, -14), 22: (0, 14),
    23: (-15, 0), 24: (16, 0), 25: (0, -14), 26: (34, -13), 27: (34, 15), 28: (0, 14), 29: (0, -14),
}  # fmt: skip
# And where the far side of a turned face is narrow.
FAR_SIDE = {
    10: (-17, 2), 11: (-17, 2), 12: (-3, 16), 13: (-18, 7), 14: (-17, 3), 15: (-16, 0), 16: (-16, 0),
    17: (0, -13), 24: (-6, -13), 25: (6, -14), 26: (17, -4), 27: (17, 2), 32: (17, -7), 34: (-2, 14),
    35: (1, 15), 36: (16, 0), 44: (-6, -13), 45: (4, -14), 46: (16, -2), 47: (14, 8), 48: (-2, 14),
    50: (-10, -11), 51: (-7, -14), 52: (-3, -14), 53: (7, -14), 54: (18, -6), 55: (18, 3), 56: (17, 3),
    57: (12, 12), 58: (-1, 14), 59: (0, 14), 60: (-15, 6),
}  # fmt: skip


def sheet(height: int) -> plt.Figure:
    return plt.figure(figsize=(WIDTH / DPI, height / DPI))


def panel(figure: plt.Figure, x: float, y: float, width: float, height: float) -> plt.Axes:
    """Return axes of a size in pixels, measured from the top left."""
    total = figure.get_figheight() * DPI
    ax = figure.add_axes((x / WIDTH, 1 - (y + height) / total, width / WIDTH, height / total))
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.axis("off")
    return ax


def face(
    ax: plt.Axes,
    sample: Sample,
    window: tuple[float, float, float, float],
    fade: float = 0.5,
    size: int = 450,
) -> None:
    """Show the drawn head, in pixels of its image; the window is x_min, y_min, x_max, y_max."""
    zoom = 2.0 / sample.scale
    centre = ((sample.centre[0] + 0.5) * zoom, (sample.centre[1] + 0.5) * zoom)
    picture = head(sample.rotation, 2.0, centre, round(size * zoom)).astype(float)
    picture[..., :3] += fade * (255 - picture[..., :3])
    side = len(picture) / zoom
    smooth = cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.uint8)
    ax.imshow(smooth, extent=(-0.5, side - 0.5, side - 0.5, -0.5), interpolation="lanczos", zorder=1)
    if sample.cover is not None:
        ax.add_patch(
            patches.Polygon(sample.cover, facecolor=CARD, edgecolor=SOFT, lw=1.2, alpha=0.93, zorder=2)
        )
    ax.set_xlim(window[0], window[2])
    ax.set_ylim(window[3], window[1])
    ax.set_aspect("equal")


def mark(ax: plt.Axes, xy: np.ndarray, state: str, colour: str, size: float = 5.6) -> None:
    style = {
        "visible": {"marker": "o", "ms": size, "mfc": colour, "mec": "white", "mew": 0.8},
        "occluded": {"marker": "s", "ms": size + 0.4, "mfc": "white", "mec": colour, "mew": 1.7},
        "hidden": {"marker": "x", "ms": size + 0.6, "mec": colour, "mew": 1.8},
        "unknown": {"marker": "D", "ms": size - 2.0, "mfc": colour, "mec": "white", "mew": 0.4},
    }[state]
    ax.plot(*xy, ls="", zorder=6, **style)


def legend(ax: plt.Axes, x: float, y: float, states: dict[str, str], step: float = 20) -> None:
    for state, text in states.items():
        mark(ax, np.array([x, y]), state, INK, 6.4)
        ax.text(x + 14, y - 8, text, va="top", fontsize=SMALL, color=INK, linespacing=1.15)
        y += step + 15 * text.count("\n")


def number(ax: plt.Axes, xy: np.ndarray, text: object, colour: str, shift: tuple[float, float]) -> None:
    """Write beside a point; the shift is in pixels of the figure, down and to the right."""
    ax.annotate(
        str(text), xy, (shift[0] * 72 / DPI, -shift[1] * 72 / DPI), textcoords="offset points",
        color=colour,
        fontsize=SMALL, fontweight="bold", ha="center", va="center", path_effects=HALO, zorder=7,
    )  # fmt: skip


def away(flat: np.ndarray, scheme: str, gap: float, side: int = 1) -> np.ndarray:
    """Return shifts that lead out of each point's part; ``side`` is where the bridge of the nose has room."""
    parts = np.array(get_scheme(scheme).parts)
    shifts = np.empty_like(flat)
    for index, part in enumerate(parts):
        middle = flat.mean(axis=0) if part == "jaw" else flat[parts == part].mean(axis=0)
        out = flat[index] - middle
        if part.endswith("brow"):
            out = np.array([0.0, -1.0])
        elif part == "nose":
            out = np.array([side, 0.0]) if index < 31 else np.array([0.0, 1.0])
        elif part.endswith("eye"):
            out = out * (1.0, 1.6)
        shifts[index] = gap * out / max(np.linalg.norm(out), 1e-6)
    return shifts


def box(ax: plt.Axes, corners: np.ndarray, colour: str, dashed: bool = False) -> None:
    x0, y0, x1, y1 = corners
    style = (0, (5, 2)) if dashed else "-"
    ax.add_patch(
        patches.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=colour, lw=1.7, ls=style, zorder=4)
    )


def note(ax: plt.Axes, x: float, y: float, text: str, colour: str = INK, **more: object) -> None:
    settings = {"fontsize": SMALL, "ha": "left", "va": "center", "zorder": 8, "linespacing": 1.25, **more}
    ax.text(x, y, text, color=colour, path_effects=HALO, **settings)


def names(
    figure: plt.Figure,
    y: float,
    scheme: str,
    columns: int,
    said: list[str] | None = None,
    width: float = WIDTH,
) -> None:
    """Write the number and the name of every point, in columns; ``said`` stands behind the names."""
    one = get_scheme(scheme)
    rows = -(-len(one) // columns)
    ax = panel(figure, 14, y, width - 14, 17 * rows)
    for index, name in enumerate(one.points):
        colour = COLOUR[one.parts[index]]
        x, row = (width - 14) / columns * (index // rows), 17 * (index % rows) + 8
        ax.text(
            x + 18, row, index + 1, color=colour, fontsize=SMALL, fontweight="bold", ha="right", va="center"
        )
        behind = f"  {said[index]}" if said else ""
        ax.text(x + 25, row, f"{name}{behind}", color=colour, fontsize=SMALL, va="center")


def pose(
    figure: plt.Figure,
    x: float,
    y: float,
    rotation: np.ndarray,
    title: str,
    own: str,
    said: str,
    width: float = 285,
) -> None:
    """Show the head axes of a rotation, and its angles in every convention; ``own`` is the release's."""
    ax = panel(figure, x, y, width, 330)
    ax.text(width / 2, 9, title, ha="center", va="center", fontsize=9.2, fontweight="bold", color=INK)
    scale, size = 0.62, 250
    middle = np.array([size / 2, 92.0])
    picture = head(rotation, 2 * scale, tuple(2 * middle), 2 * size).astype(float)
    picture[..., :3] += 0.5 * (255 - picture[..., :3])
    left = (width - size) / 2
    ax.imshow(
        picture.astype(np.uint8), extent=(left, left + size, 30 + size, 30), interpolation="lanczos", zorder=1
    )
    ax.set_xlim(0, width)
    ax.set_ylim(330, 0)
    origin = np.add(middle, (left, 30))
    for index, (name, length, text) in enumerate(
        (("x", 118, "x"), ("y", 118, "y"), ("z", -175, "−z, the nose"))
    ):
        tip = origin + scale * length * rotation[:2, index]
        arrow(ax, origin, tip, AXIS[name], 2.0)
        out = (tip - origin) / max(np.linalg.norm(tip - origin), 1e-6)
        if name != "z":
            at = tip + 14 * out
        elif np.linalg.norm(tip - origin) < 40:
            at = tip - (0, 17)
        else:
            at = np.minimum(np.add(tip, (26 * out[0], -14)), (width - 46, np.inf))
        if name == "x" and rotation[0, 2] < -0.5:  # where the nose points the same way
            at = np.add(tip, (-6, -16))
        label(ax, tuple(at), text, AXIS[name], fontsize=SMALL)
    top = 222
    columns = (118, 182, 250)
    for at, text in zip(columns, ("yaw", "pitch", "roll"), strict=True):
        ax.text(at, top, text, ha="right", fontsize=SMALL, color=SOFT, va="center")
    for row, name in enumerate(CONVENTIONS):
        angles = rotation_to_euler(rotation, name)
        bold = "bold" if name == own else "normal"
        colour = RED if name == own else INK
        level = top + 17 * (row + 1)
        ax.text(2, level, name, fontsize=SMALL, fontweight=bold, color=colour, va="center")
        for at, angle in zip(columns, angles, strict=True):
            ax.text(
                at,
                level,
                f"{angle:+.1f}°".replace("-", "−"),
                ha="right",
                fontsize=SMALL,
                fontweight=bold,
                color=colour,
                va="center",
            )
    ax.text(2, top + 17 * 5 - 4, said, fontsize=SMALL, color=RED, va="top", linespacing=1.2)


def states_of(sample: Sample, annotation: str) -> list[str]:
    return [STATE[int(one)] for one in sample.dataset.annotations[annotation].visibility[sample.row]]


def draw68(
    ax: plt.Axes,
    sample: Sample,
    annotation: str,
    numbers: bool,
    size: float = 5.6,
    side: int = 1,
    moved: dict[int, tuple[float, float]] | None = None,
) -> None:
    """Draw an annotation set of 68 points with its states; where there is no position, where it would be."""
    scheme = get_scheme("ibug68")
    points = sample.dataset.annotations[annotation].points[sample.row]
    placed = np.where(np.isnan(points), sample.true.get(annotation, points), points)
    part_lines(ax, placed, tuple(PART), 1.1)
    shifts = away(placed, "ibug68", 14, side)
    for index, shift in (moved or {}).items():
        shifts[index - 1] = shift
    for index, state in enumerate(states_of(sample, annotation)):
        mark(ax, placed[index], state, COLOUR[scheme.parts[index]], size)
        if numbers and index < 60:
            number(ax, placed[index], index + 1, COLOUR[scheme.parts[index]], shifts[index])


def lips(ax: plt.Axes, states: list[str]) -> None:
    """Draw the inner lip with its numbers, apart from the face, on axes of 270 x 140 pixels."""
    x = np.array([22, 84, 135, 186, 248, 186, 135, 84.0])
    y = np.array([70, 44, 50, 44, 70, 96, 102, 96.0])
    outer = np.stack(
        [135 + 131 * np.cos(np.linspace(0, 2 * np.pi, 60)), 70 + 62 * np.sin(np.linspace(0, 2 * np.pi, 60))]
    )
    ax.plot(*outer, color=COLOUR["mouth"], lw=0.8, alpha=0.4)
    ax.plot([*x, x[0]], [*y, y[0]], color=COLOUR["mouth"], lw=1.1, alpha=0.65)
    for index in range(8):
        mark(ax, np.array([x[index], y[index]]), states[60 + index], COLOUR["mouth"])
        shift = {0: (18, 0), 4: (-18, 0)}.get(index, (0, -13) if index < 4 else (0, 14))
        number(ax, np.array([x[index], y[index]]), 61 + index, COLOUR["mouth"], shift)
    ax.text(135, 70, "inner lip 61–68", ha="center", va="center", fontsize=SMALL, color=COLOUR["mouth"])


def w300(sample: Sample) -> None:
    figure = sheet(962)
    ax = panel(figure, 0, 0, 700, 617)
    face(ax, sample, (14, 84, 434, 454), 0.6)
    draw68(ax, sample, "ibug68", numbers=True)
    boxes = sample.dataset[0].boxes
    box(ax, boxes["dataset"], BOX["second"])
    box(ax, boxes["detector"], BOX["first"], dashed=True)
    corner = boxes["dataset"][[0, 3]]
    note(
        ax,
        *np.add(corner, (0, 14)),
        "dataset = landmarks:\ntight box of the points",
        BOX["second"],
        fontweight="bold",
    )
    note(ax, *(boxes["detector"][2:] - (3, 8)), "detector", BOX["first"], fontweight="bold", ha="right")
    key = panel(figure, 715, 6, 285, 40)
    legend(key, 10, 14, {"unknown": "every point: visibility unknown"})
    lips(panel(figure, 715, 52, 270, 140), states_of(sample, "ibug68"))
    pose(
        figure, 712, 226, sample.dataset.poses["mnn"][0], "R_cam, computed by POSIT", "mnn-yxz",
        COMPUTED,
    )  # fmt: skip
    heading(
        figure, 636, "Number in the order of the .pts, from 1, and name in facebench (index = number − 1)"
    )
    names(figure, 662, "ibug68", 4)
    finish(figure, "300w")


def heading(figure: plt.Figure, y: float, text: str) -> None:
    ax = panel(figure, 14, y, WIDTH - 14, 22)
    ax.text(0, 11, text, fontsize=9.2, fontweight="bold", color=INK, va="center")


def finish(figure: plt.Figure, name: str) -> None:
    save(figure, f"gallery-{name}", (COLOUR["left_ear"], COLOUR["right_ear"], CARD), 180)


def aflw(sample: Sample) -> None:
    figure = sheet(884)
    dataset = sample.dataset
    left, right = panel(figure, 0, 26, 500, 480), panel(figure, 500, 26, 500, 480)
    window = (44, 72, 444, 456)
    titles = panel(figure, 0, 0, WIDTH, 26)
    for x, text in (
        (250, "aflw21: up to 21 points, and FaceRect"),
        (750, "merlrav68: the 68 points of MERL-RAV"),
    ):
        titles.text(x, 14, text, ha="center", va="center", fontsize=10, fontweight="bold", color=INK)
    face(left, sample, window, 0.55)
    box(left, dataset[0].boxes["dataset"], BOX["second"])
    note(left, 386, 402, "dataset: FaceRect,\na square", BOX["second"], fontweight="bold", ha="right")
    scheme, states = get_scheme("aflw21"), states_of(sample, "aflw21")
    points = dataset.annotations["aflw21"].points[0]
    placed = np.where(np.isnan(points), sample.true["aflw21"], points)
    for index, state in enumerate(states):
        colour = COLOUR[scheme.parts[index]]
        mark(left, placed[index], state, colour, 6.4)
        number(left, placed[index], index + 1, colour, BESIDE_21.get(index + 1, (0, -14)))
    face(right, sample, window, 0.55)
    draw68(right, sample, "merlrav68", numbers=False, size=5.0)
    key = panel(figure, 20, 516, 640, 96)
    legend(
        key, 10, 12,
        {
            "visible": "visible. AFLW: has a row in FeatureCoords. MERL-RAV: x, y",
            "occluded": "occluded, by the grey card. MERL-RAV: −x, −y. AFLW has no such state",
            "hidden": "hidden: no position; drawn where it would be. AFLW: no row. MERL-RAV: −1, −1",
        },
        22,
    )  # fmt: skip
    heading(figure, 600, "feature_id, from 1, and name (index = feature_id − 1)")
    index19 = {name: i for i, name in enumerate(get_scheme("aflw19").points)}
    states19 = states_of(sample, "aflw19")
    said = []
    for name in scheme.points:
        at = index19.get(name)
        if at is None:
            said.append("— not in aflw19")
        else:
            said.append(f"→ {at + 1}" + (f" ({states19[at]})" if states19[at] != "visible" else ""))
    names(figure, 628, "aflw21", 2, said, 690)
    under = panel(figure, 14, 628 + 17 * 11 + 8, 690, 60)
    under.text(
        4, 4, "→ number in aflw19, the 19 points of CCL: no ears, so the numbers shift by one\n"
        "after 12 and by two after 16. CCL gives the covered chin a position: occluded.",
        va="top", fontsize=SMALL, color=INK, linespacing=1.3,
    )  # fmt: skip
    pose(
        figure, 706, 516, dataset.rotation[0], "R_cam, from FacePose", "aflw-yxz",
        "FacePose: radians; yaw > 0: nose to\nimage left; roll > 0: counter-clockwise.\n"
        "Computed by POSIT, coarse.",
    )  # fmt: skip
    finish(figure, "aflw")


def stored(ax: plt.Axes, sample: Sample) -> None:
    """Show the 21 points of pt2d in the whole image, those that stand for nothing among them."""
    side, left, top = 134, 14, 6
    flat = sample.true["pt2d"] * side / 450 + (left, top)
    gone = sample.true["pt2d"][:, 0] < 0
    ax.add_patch(patches.Rectangle((left, top), side, side, facecolor="#eef1f4", edgecolor=SOFT, lw=1))
    for xy, part in zip(flat[~gone], np.array(get_scheme("aflw21").parts)[~gone], strict=True):
        ax.plot(*xy, "o", ms=3.4, color=COLOUR[part])
    ax.plot(*flat[gone][0], "s", ms=6.4, mfc="white", mec=RED, mew=1.7, clip_on=False, zorder=5)
    right = left + side + 10
    note(ax, right, top + 30, "pt2d: the 21\npoints of AFLW")
    note(ax, right, top + side - 16, f"{gone.sum()} of them stored\nas (−1, 452)", RED)


def aflw2000(sample: Sample) -> None:
    figure = sheet(976)
    ax = panel(figure, 0, 0, 700, 630)
    face(ax, sample, (128, 104, 352, 306), 0.6)
    draw68(ax, sample, "original", numbers=True, side=-1, moved=FAR_SIDE)
    corners = sample.dataset[sample.row].boxes["landmarks"]
    box(ax, corners, BOX["second"])
    note(
        ax,
        corners[0],
        corners[1] - 5,
        "landmarks: the tight box; the release has none",
        BOX["second"],
        fontweight="bold",
    )
    key = panel(figure, 712, 6, 285, 90)
    legend(key, 10, 14, {
        "visible": "visible: pt2d has the point",
        "occluded": "occluded: pt2d has (−1, 452)",
        "unknown": "unknown: not one of the 16\npoints that pt2d shares",
    }, 21)  # fmt: skip
    stored(panel(figure, 712, 98, 285, 160), sample)
    pose(
        figure, 712, 276, sample.dataset.rotation[sample.row], "R_cam, from Pose_Para", "raw-xyz",
        "Pose_Para: pitch, yaw, roll in radians;\nyaw > 0: nose to image left;\nroll > 0: clockwise.",
    )  # fmt: skip
    heading(
        figure, 646, "Column of pt3d_68, from 1, and name in facebench (index = column − 1); 61–68 as in 300W"
    )
    names(figure, 674, "ibug68", 4)
    finish(figure, "aflw2000")


def cofw(sample: Sample) -> None:
    figure = sheet(866)
    dataset = sample.dataset
    left, right = panel(figure, 0, 26, 590, 575), panel(figure, 600, 26, 400, 390)
    titles = panel(figure, 0, 0, WIDTH, 26)
    for x, text in ((295, "cofw29: the 29 points of the release"), (800, "cofw68: 68 points of COFW-68")):
        titles.text(x, 14, text, ha="center", va="center", fontsize=10, fontweight="bold", color=INK)
    window = (56, 82, 392, 410)
    face(left, sample, (50, 84, 382, 408), 0.6)
    corners = dataset[0].boxes["dataset"]
    box(left, corners, BOX["second"])
    note(
        left, corners[2] - 4, corners[3] - 8, "dataset: bboxesT", BOX["second"], fontweight="bold", ha="right"
    )
    scheme = get_scheme("cofw29")
    placed = dataset.annotations["cofw29"].points[0]
    for index, state in enumerate(states_of(sample, "cofw29")):
        colour = COLOUR[scheme.parts[index]]
        mark(left, placed[index], state, colour, 6.0)
        dx, dy = BESIDE_29[index + 1]
        if index + 1 in (26, 27):
            left.annotate(
                "", placed[index], (dx * 0.72 * 72 / DPI, -dy * 0.72 * 72 / DPI),
                textcoords="offset points", zorder=5,
                arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.9, "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip
        number(left, placed[index], index + 1, colour, BESIDE_29[index + 1])
    face(right, sample, window, 0.6)
    box(right, dataset[0].boxes["cofw68"], BOX["third"])
    note(
        right,
        dataset[0].boxes["cofw68"][2] - 3,
        dataset[0].boxes["cofw68"][3] - 9,
        "cofw68",
        BOX["third"],
        fontweight="bold",
        ha="right",
    )
    draw68(right, sample, "cofw68", numbers=False, size=4.6)
    key = panel(figure, 610, 424, 390, 60)
    legend(key, 10, 14, {
        "visible": "visible: the flag is 0",
        "occluded": "occluded, by the grey card: the flag is 1,\nand the position is annotated all the same",
    }, 22)  # fmt: skip
    heading(
        figure, 626, "Place among the 29 x, the 29 y and the 29 flags, from 1,\nand name (index = place − 1)"
    )
    names(figure, 662, "cofw29", 3, width=700)
    pose(
        figure, 712, 506, dataset.poses["mnn"][0], "R_cam, computed by POSIT", "mnn-yxz",
        COMPUTED,
    )  # fmt: skip
    finish(figure, "cofw")


def biwi(sample: Sample) -> None:
    figure = sheet(676)
    dataset = sample.dataset
    ax = panel(figure, 0, 26, 600, 560)
    face(ax, sample, (226, 150, 454, 363), 0.3, 640)
    boxes, centre = dataset[0].boxes, dataset.source["centre_px"][0]
    box(ax, boxes["mtcnn"], BOX["first"], dashed=True)
    box(ax, boxes["head"], BOX["second"])
    note(
        ax,
        boxes["mtcnn"][0],
        boxes["mtcnn"][1] - 5,
        "mtcnn: of a published list, not of the release",
        BOX["first"],
        fontweight="bold",
    )
    note(
        ax,
        boxes["head"][2] + 1,
        boxes["head"][3] + 5.5,
        "head: 200 × 240 mm about the centre",
        BOX["second"],
        fontweight="bold",
        ha="right",
    )
    rotation = dataset.poses["rgb"][0]
    for index, (name, length) in enumerate((("x", 100), ("y", 96), ("z", -170))):
        tip = centre + sample.scale * length * rotation[:2, index]
        arrow(ax, centre, tip, AXIS[name], 2.6)
        out = (tip - centre) / np.linalg.norm(tip - centre)
        label(ax, tuple(tip + 8 * out), {"z": "−z"}.get(name, name), AXIS[name], fontsize=11)
    ax.plot(*centre, "o", ms=8, color="white", zorder=6)
    ax.plot(*centre, "o", ms=5.5, color=INK, zorder=7)
    titles = panel(figure, 0, 0, WIDTH, 26)
    titles.text(300, 14, "part of the RGB image: head centre and head axes", ha="center", va="center",
                fontsize=9.6, fontweight="bold", color=INK)  # fmt: skip
    titles.text(
        806,
        14,
        "two cameras, seen from above",
        ha="center",
        va="center",
        fontsize=9.6,
        fontweight="bold",
        color=INK,
    )
    frames(panel(figure, 612, 30, 388, 240))
    angles = rotation_to_euler(rotation, "raw-xyz")
    said = "  ".join(f"{angle:+.1f}°" for angle in angles).replace("-", "−")
    pose(
        figure, 662, 282, dataset.poses["depth"][0], "R_cam = F, of the depth camera", "raw-xyz",
        f"Published as raw-xyz: nose to image left,\nup and clockwise are positive.\n"
        f"As the RGB camera sees it, R F:\n{said}",
    )  # fmt: skip
    foot = panel(figure, 14, 606, 600, 44)
    foot.text(4, 8, "BIWI has no landmarks, so there are no points and no visibility states. Both boxes\n"
        "are additions: the release has none.",
              fontsize=SMALL, color=INK, va="top", linespacing=1.3)  # fmt: skip
    finish(figure, "biwi")


def frames(ax: plt.Axes) -> None:
    """Draw the depth and the RGB camera from above; turn and distance are larger than they are."""
    target = np.array([194, 28])
    for x, degrees, colour, name, said in (
        (120, 0, BOX["third"], "depth", "depth camera: the frame\nof F and of the centre"),
        (262, 14, BOX["first"], "rgb", "RGB camera: the images;\nX_rgb = R X_depth + t"),
    ):
        turn = np.radians(degrees)
        z, across = np.array([-np.sin(turn), -np.cos(turn)]), np.array([np.cos(turn), -np.sin(turn)])
        origin = np.array([x, 160])
        body = [
            origin - 20 * across - 6 * z,
            origin + 20 * across - 6 * z,
            origin + 13 * across - 24 * z,
            origin - 13 * across - 24 * z,
        ]
        ax.add_patch(patches.Polygon(body, facecolor=colour, edgecolor="white", zorder=4))
        ax.plot(*np.stack([origin, target]).T, color=SOFT, lw=0.9, ls=(0, (3, 3)), zorder=2)
        arrow(ax, origin, origin + 62 * z, AXIS["z"], 2.0)
        arrow(ax, origin, origin + 52 * across, AXIS["x"], 2.0)
        label(ax, tuple(origin + 62 * z + (-12, 0)), "z", AXIS["z"], fontsize=10)
        label(ax, tuple(origin + 62 * across), "x", AXIS["x"], fontsize=10)
        ax.text(
            x + (-116 if name == "depth" else -60),
            200,
            said,
            fontsize=SMALL,
            color=colour,
            va="top",
            linespacing=1.25,
        )
    ax.plot(*target, "o", ms=7, color=INK, zorder=6)
    ax.text(target[0] + 12, target[1] - 2, "head centre, in mm", fontsize=SMALL, color=INK, va="center")
    ax.text(
        2,
        60,
        "turned by\nabout 1°;\nmore is drawn",
        fontsize=SMALL,
        color=SOFT,
        va="center",
        linespacing=1.25,
    )


DRAW = {"300w": w300, "aflw": aflw, "aflw2000": aflw2000, "cofw": cofw, "biwi": biwi}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, draw in DRAW.items():
            sample = SAMPLES[name](Path(folder))
            draw(sample)
            for title, record in sample.records.items():
                print(f"-- {title}\n{record}")


if __name__ == "__main__":
    main()
