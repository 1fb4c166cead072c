"""Draw the figures of the documentation, from drawn faces only; needs matplotlib.

``python docs/figures/make_figures.py`` writes the PNG files beside this script.  Nothing is random: the
same versions of the libraries give the same bytes.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib import patches, patheffects
from matplotlib import pyplot as plt
from PIL import Image
from scipy.spatial import cKDTree

from facebench.geometry import CONVENTIONS, euler_to_rotation, get_scheme, tight_box
from facebench.metrics import (
    EYE_NORMALISERS,
    area_under_ced,
    average_precision,
    normalising_distance,
    precision_recall,
    recall_at_precision,
)
from facebench.synthetic import draw_face, head_surface, mean_head, project

mpl.use("Agg")
mpl.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": "white",
    }
)

HERE = Path(__file__).parent
DPI = 115
COLOURS = 90  # of the palette of a written picture, besides those named here

INK, SOFT, RED = "#1f2933", "#66788a", "#b3261e"
AXIS = {"x": "#d1382c", "y": "#1e8e3e", "z": "#1a66d6"}
PART = {
    "jaw": "#3b4a5a",
    "left_brow": "#b4540a",
    "right_brow": "#8a6d00",
    "nose": "#6b3fa0",
    "left_eye": "#c2185b",
    "right_eye": "#1565c0",
    "mouth": "#00796b",
}
HALO = [patheffects.withStroke(linewidth=2.6, foreground="white")]
SEED = 19  # medium skin and hair, on which dark and light lines show


def head(rotation: np.ndarray, scale: float, centre: tuple[float, float], size: int) -> np.ndarray:
    """Return the (size, size, 4) picture of the mean head alone, on a transparent background."""
    picture = draw_face(rotation, scale, centre, np.random.default_rng(SEED), size)
    flat = project(head_surface().points, rotation, scale, centre)
    rows, columns = np.round(flat[:, ::-1]).astype(int).T
    inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    mask = np.zeros((size, size), np.uint8)
    mask[rows[inside], columns[inside]] = 255
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    solid = cv2.drawContours(np.zeros_like(mask), outlines, -1, 255, -1)
    alpha = cv2.GaussianBlur(cv2.erode(solid, np.ones((5, 5), np.uint8)), (0, 0), 1.0)
    # The grain and the single hairs would fill the file and show nothing.
    smooth = cv2.bilateralFilter(cv2.medianBlur(picture, 3), 9, 22, 4)
    return np.dstack([smooth, alpha])


def show_head(
    ax: plt.Axes,
    rotation: np.ndarray,
    scale: float = 2.0,
    size: int = 520,
    centre: tuple[float, float] | None = None,
    fade: float = 0.0,
) -> tuple[float, float]:
    """Show the head in pixels of its picture, faded towards white; return where its origin lies."""
    middle = centre or (size / 2, size / 2 - 8)
    picture = head(rotation, scale, middle, size).astype(float)
    picture[..., :3] += fade * (255 - picture[..., :3])
    ax.imshow(picture.astype(np.uint8), interpolation="lanczos")
    ax.set_xlim(0, size)
    ax.set_ylim(size, 0)
    ax.axis("off")
    return middle


def arrow(
    ax: plt.Axes, start: np.ndarray, end: np.ndarray, colour: str, width: float = 2.6, style: str = "-|>"
) -> None:
    ax.add_patch(
        patches.FancyArrowPatch(
            start, end, arrowstyle=style, color=colour, lw=width, mutation_scale=15, shrinkA=0, shrinkB=0,
            joinstyle="miter", zorder=5,
            path_effects=[patheffects.withStroke(linewidth=width + 2.4, foreground="white")],
        )
    )  # fmt: skip


def label(ax: plt.Axes, xy: tuple[float, float], text: str, colour: str = INK, **more: object) -> None:
    settings = {"ha": "center", "va": "center", "fontweight": "bold", "zorder": 8, **more}
    ax.text(*xy, text, color=colour, path_effects=HALO, **settings)


def into_page(ax: plt.Axes, xy: tuple[float, float], colour: str, radius: float = 11) -> None:
    """Draw the sign of an arrow that points away from the viewer."""
    ax.add_patch(patches.Circle(xy, radius, facecolor="white", edgecolor=colour, lw=2.4, zorder=6))
    d = radius * 0.62
    for side in (-1, 1):
        ax.plot([xy[0] - d, xy[0] + d], [xy[1] - side * d, xy[1] + side * d], color=colour, lw=2.2, zorder=7)


def save(figure: plt.Figure, name: str, more: tuple[str, ...] = (), mixed: int = COLOURS) -> None:
    """Write a figure as a palette PNG without a date or a version in it.

    ``more`` are further colours to be kept exactly, ``mixed`` is how many are chosen from the picture.
    """
    stream = io.BytesIO()
    figure.savefig(stream, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    full = Image.open(stream).convert("RGB")
    # The colours of lines and texts are few pixels among many of skin: they get their places first.
    named = [mpl.colors.to_rgb(colour) for colour in (INK, SOFT, RED, *AXIS.values(), *PART.values(), *more)]
    exact = [[int(255 * (1 - share * (1 - c))) for c in rgb] for rgb in named for share in (1, 0.7, 0.4)]
    chosen = full.quantize(mixed, method=Image.Quantize.MEDIANCUT).getpalette()[: 3 * mixed]
    whites = [[grey] * 3 for grey in (255, 246, 236, 226, 214)]
    palette = np.concatenate([whites, exact, np.reshape(chosen, (-1, 3))]).astype(np.uint8)
    _, nearest = cKDTree(palette).query(np.asarray(full))
    small = Image.fromarray(nearest.astype(np.uint8), "P")
    small.putpalette(palette.ravel().tolist())
    small.save(HERE / f"{name}.png", optimize=True)
    print(f"{name}.png  {(HERE / f'{name}.png').stat().st_size / 1000:.0f} kB")


def axes() -> None:
    """Camera axes on a frontal head, and the axes of a turned head."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5.3))
    x, y = show_head(left, np.eye(3), fade=0.12)
    arrow(left, (x + 12, y), (x + 228, y), AXIS["x"])
    arrow(left, (x, y + 12), (x, y + 238), AXIS["y"])
    left.plot([x - 7, x - 72], [y - 9, y - 96], color=AXIS["z"], lw=1.2, zorder=5)
    into_page(left, (x, y), AXIS["z"])
    label(left, (x + 216, y - 19), "x", AXIS["x"], fontsize=14)
    label(left, (x + 19, y + 222), "y", AXIS["y"], fontsize=14)
    label(left, (x - 80, y - 112), "z points away from us,\ninto the scene", AXIS["z"], fontsize=10)
    title = {"fontsize": 11.5, "color": INK, "pad": 4}
    left.set_title("camera axes (OpenCV) and a frontal head:\nR_cam is the identity", **title)

    turned = euler_to_rotation([35, 14, 0], "raw-xyz")
    x, y = show_head(right, turned, centre=(292, 252), fade=0.12)
    origin = np.array([x, y])
    for index, (name, length, text, away) in enumerate(
        (
            ("x", 114, "head x", (4, -20)),
            ("y", 116, "head y", (44, 2)),
            ("z", -205, "the nose points\nalong −z of the head", (36, -34)),
        )
    ):
        tip = origin + 2.0 * length * turned[:2, index]
        arrow(right, origin, tip, AXIS[name])
        label(right, tuple(tip + away), text, AXIS[name], fontsize=10.5)
    right.plot(*origin, "o", ms=9, color="white", zorder=6)
    right.plot(*origin, "o", ms=6, color=INK, zorder=7)
    right.set_title("head axes of a turned head:\nthe columns of R_cam, as the camera sees them", **title)
    figure.subplots_adjust(0.01, 0.0, 0.99, 0.89, wspace=0.02)
    save(figure, "axes")


def euler() -> None:
    """Every convention at +30 degrees of each angle, and at two angles together."""
    columns = {
        "yaw +30°": (30, 0, 0),
        "pitch +30°": (0, 30, 0),
        "roll +30°": (0, 0, 30),
        "yaw +60°, pitch +40°": (60, 40, 0),
    }
    figure, grid = plt.subplots(4, 4, figsize=(9, 10.1))
    for row, convention in enumerate(CONVENTIONS.values()):
        for column, (title, angles) in enumerate(columns.items()):
            ax = grid[row, column]
            rotation = euler_to_rotation(angles, convention.name)
            x, y = show_head(ax, rotation, scale=1.5, size=420, centre=(210, 218))
            nose = mean_head()[30]
            along = project([nose, nose - np.array([0, 0, 48 if column == 3 else 70])], rotation, 1.5, (x, y))
            if column == 2:
                clockwise = rotation[1, 0] > 0
                turn = np.radians(np.linspace(-125, -55, 30))
                arc = np.array([x, y]) + 188 * np.stack([np.cos(turn), np.sin(turn)], 1)
                arc = arc if clockwise else arc[::-1]
                arrow(ax, arc[-6], arc[-1], AXIS["z"])
                ax.plot(*arc[:-3].T, color=AXIS["z"], lw=2.6, zorder=6)
                said = "clockwise" if clockwise else "counter-clockwise"
            else:
                arrow(ax, along[0], along[1], AXIS["x"])
                said = {
                    0: "nose to image left" if along[1, 0] < x else "nose to image right",
                    1: "nose up",
                    3: {"XYZ": "turned, then tilted (XYZ)", "YXZ": "tilted, then turned (YXZ)"}[
                        convention.order
                    ],
                }[column]
            other = {
                0: convention.yaw_sign < 0,
                2: convention.roll_sign < 0,
                3: convention.order == "YXZ",
            }.get(column, False)
            ax.text(210, 408, said, ha="center", va="top", fontsize=9.2, color=RED if other else INK)
            if row == 0:
                ax.set_title(title, fontsize=11.5, fontweight="bold", color=INK, pad=14)
        grid[row, 0].text(
            -16, 210, convention.name, rotation=90, ha="right", va="center",
            fontsize=12, fontweight="bold", color=INK,
        )  # fmt: skip
    figure.subplots_adjust(0.045, 0.025, 0.995, 0.945, wspace=0.02, hspace=0.14)
    save(figure, "euler")


def part_lines(ax: plt.Axes, flat: np.ndarray, parts: tuple[str, ...], width: float) -> None:
    """Draw the lines that join the 68 points of some parts."""
    scheme = get_scheme("ibug68")
    runs = {"nose": [range(27, 31), range(31, 36)], "mouth": [[*range(48, 60), 48], [*range(60, 68), 60]]}
    for part in parts:
        indices = scheme.part(part)
        closed = [*indices, indices[0]] if part.endswith("eye") else indices
        for run in runs.get(part, [closed]):
            ax.plot(*flat[list(run)].T, color=PART[part], lw=width, alpha=0.65, zorder=3)


def _outline(ax: plt.Axes, flat: np.ndarray, parts: tuple[str, ...], dot: float) -> None:
    """Draw points and the lines that join them."""
    part_lines(ax, flat, parts, 0.2 * dot)
    for part in parts:
        indices = get_scheme("ibug68").part(part)
        ax.plot(*flat[indices].T, "o", color=PART[part], ms=dot, mec="white", mew=0.8, zorder=4)


def _numbers(ax: plt.Axes, flat: np.ndarray, indices: np.ndarray, part: str, size: float, gap: float) -> None:
    """Write the indices of points, outside of their part."""
    middle = flat.mean(axis=0) if part == "jaw" else flat[indices].mean(axis=0)
    for index in indices:
        outwards = flat[index] - middle
        if part.endswith("brow"):
            outwards = np.array([0.0, -1.0])
        elif part == "nose":
            outwards = np.array([1.0, 0.0]) if index < 31 else np.array([0.0, 1.0])
        elif part.endswith("eye"):
            outwards = outwards * (1.0, 1.6)
        shift = gap * outwards / np.linalg.norm(outwards)
        ax.text(
            *(flat[index] + shift), str(index), color=PART[part], fontsize=size, fontweight="bold",
            ha="center", va="center", path_effects=HALO, zorder=5,
        )  # fmt: skip


def points68() -> None:
    """The 68 points with their indices, coloured by part."""
    scheme, scale, size = get_scheme("ibug68"), 4.2, 880
    centre = (size / 2, 300)
    flat = project(mean_head(), np.eye(3), scale, centre)
    figure, ax = plt.subplots(figsize=(9.4, 7.55))
    small = head(np.eye(3), scale / 2, (centre[0] / 2, centre[1] / 2), size // 2)
    large = cv2.resize(small, (size, size), interpolation=cv2.INTER_LANCZOS4).astype(float)
    large[..., :3] += 0.55 * (255 - large[..., :3])
    picture = large.astype(np.uint8)
    ax.imshow(picture, interpolation="lanczos")
    _outline(ax, flat, tuple(PART), 5.2)
    for part in PART:
        indices = scheme.part(part)
        _numbers(ax, flat, indices[indices < 60], part, 8.6, 15)
    names = {
        "jaw": "jaw 0–16", "left_brow": "left brow 17–21", "right_brow": "right brow 22–26",
        "nose": "nose 27–35", "left_eye": "left eye 36–41", "right_eye": "right eye 42–47",
        "mouth": "mouth 48–67",
    }  # fmt: skip
    handles = [plt.Line2D([], [], marker="o", ls="", color=PART[p], label=t) for p, t in names.items()]
    ax.legend(handles=handles, loc="upper left", frameon=False, bbox_to_anchor=(-0.01, 0.335), fontsize=9.5)
    ax.text(60, 60, "image left\n(the person's right)", ha="center", color=SOFT, fontsize=9.5)
    ax.text(820, 60, "image right\n(the person's left)", ha="center", color=SOFT, fontsize=9.5)
    ax.set_xlim(-30, 970)
    ax.set_ylim(815, 20)
    ax.axis("off")

    inset = ax.inset_axes([0.695, 0.0, 0.305, 0.2])
    inset.imshow(picture, interpolation="lanczos")
    inset.set_xlim(326, 554)
    inset.set_ylim(656, 533)
    for spine in inset.spines.values():
        spine.set(visible=True, color=PART["mouth"], lw=1.0)
    inset.set_xticks([])
    inset.set_yticks([])
    # The lips are drawn apart, to make room for the numbers.
    apart = flat.copy()
    apart[61:64, 1] -= 7
    apart[65:68, 1] += 9
    for indices, shift in (
        (range(61, 64), (0, -9)),
        (range(65, 68), (0, 10)),
        ((60,), (10, 0)),
        ((64,), (-10, 0)),
    ):
        for index in indices:
            inset.text(
                *(apart[index] + shift), str(index), color=PART["mouth"], fontsize=8.6, fontweight="bold",
                ha="center", va="center", path_effects=HALO, zorder=5,
            )  # fmt: skip
    _outline(inset, apart, ("mouth",), 5.2)
    inset.set_title("inner lip 60–67, lips drawn apart", fontsize=8.6, color=PART["mouth"], pad=3)
    figure.subplots_adjust(0.0, 0.01, 1.0, 1.0)
    save(figure, "points68")


def _eyes(ax: plt.Axes, flat: np.ndarray) -> None:
    scheme = get_scheme("ibug68")
    styles = {
        "corners": ("#c2185b", -30.0),
        "pupils6": ("#1a66d6", -64.0),
        "pupils-corners": ("#1e8e3e", 34.0),
    }
    ax.plot(*flat[36:48].T, "o", ms=3.6, color=INK, mec="white", mew=0.5, zorder=5)
    for name, (colour, height) in styles.items():
        ends = []
        for names in EYE_NORMALISERS[name]:
            parts = [scheme.part(one) if one in scheme.parts else [scheme.index(one)] for one in names]
            used = [index for part in parts for index in part]
            ends.append(flat[used].mean(axis=0))
        level = flat[36:48, 1].mean() + height
        for end in ends:
            ax.plot([end[0], end[0]], [end[1], level], color=colour, lw=1.1, ls=(0, (3, 2)), zorder=4)
            ax.plot(*end, "D", ms=4.6, color=colour, mec="white", mew=0.7, zorder=6)
        arrow(ax, (ends[0][0], level), (ends[1][0], level), colour, 1.8, "<|-|>")
        distance = normalising_distance(flat[None], name)[0]
        side = max(ends[0][0], ends[1][0]) + 12
        label(ax, (side, level), f"{name}: {distance:.0f} px", colour, fontsize=9.5, ha="left")


def _boxes(ax: plt.Axes, flat: np.ndarray) -> None:
    x0, y0, x1, y1 = tight_box(flat[None])[0]
    ax.plot(*flat.T, "o", ms=2.6, color=INK, zorder=4)
    ax.add_patch(patches.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=INK, lw=1.6, zorder=5))
    arrow(ax, (x0, y0), (x1, y1), "#c2185b", 1.8, "<|-|>")
    arrow(ax, (x0 - 16, y0), (x0 - 16, y1), "#1a66d6", 1.8, "<|-|>")
    arrow(ax, (x0, y1 + 18), (x1, y1 + 18), "#b4540a", 1.8, "<|-|>")  # both heads are wider than high
    side = normalising_distance(flat[None], "box-sqrt")[0]
    corner = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) - side / 2
    ax.add_patch(
        patches.Rectangle(corner, side, side, fill=False, ec="#1e8e3e", lw=1.8, ls=(0, (5, 2)), zorder=5)
    )
    notes = {
        "box-height": ("#1a66d6", "h"),
        "box-sqrt": ("#1e8e3e", "√(w h): the square of equal area"),
        "box-diagonal": ("#c2185b", "√(w² + h²)"),
        "box-max": ("#b4540a", "the longer of w and h"),
    }
    for row, (name, (colour, what)) in enumerate(notes.items()):
        distance = normalising_distance(flat[None], name)[0]
        x, y = x1 + 26, y1 - 128 + 43 * row
        label(ax, (x, y), f"{name}: {distance:.0f} px", colour, fontsize=9.5, ha="left")
        ax.text(x, y + 16, what, color=INK, fontsize=8, va="center", path_effects=HALO, zorder=8)


def normalisers() -> None:
    """The normalising distances of the same head, frontal and turned."""
    figure, grid = plt.subplots(2, 2, figsize=(10, 8.2), width_ratios=(1, 1.22))
    for row, (yaw, title, x) in enumerate(((0, "frontal", 225), (60, "turned by 60°", 272))):
        rotation = euler_to_rotation([yaw, 0, 0], "raw-xyz")
        for ax, draw, right in zip(grid[row], (_eyes, _boxes), (470, 595), strict=True):
            place = show_head(ax, rotation, 2.0, 520, (x, 235), fade=0.5)
            draw(ax, project(mean_head(), rotation, 2.0, place))
            ax.set_xlim(25, right)
            ax.set_ylim(500, 75)
        grid[row, 0].text(
            12, 290, title, rotation=90, ha="center", va="center", fontsize=12, fontweight="bold", color=INK
        )
    grid[0, 0].set_title("distance between the eyes", fontsize=12, fontweight="bold", color=INK)
    grid[0, 1].set_title("tight box of the 68 points", fontsize=12, fontweight="bold", color=INK)
    figure.subplots_adjust(0.03, 0.005, 0.995, 0.955, wspace=0.01, hspace=0.03)
    save(figure, "normalisers")


def pixels() -> None:
    """The corner of an image: where (0, 0) is, and a box."""
    figure, ax = plt.subplots(figsize=(7.2, 3.9))
    shades = np.random.default_rng(5).uniform(0.84, 0.97, (5, 10))
    ax.imshow(shades, cmap="gray", vmin=0, vmax=1)
    ax.hlines(np.arange(0.5, 4), -0.5, 9.5, color="white", lw=1.5)
    ax.vlines(np.arange(0.5, 9), -0.5, 4.5, color="white", lw=1.5)
    ax.plot(0, 0, "o", color=AXIS["z"], ms=8, zorder=5)
    ax.plot([0, 0], [0, 2.0], color=AXIS["z"], lw=1.2)
    label(ax, (-0.4, 2.5), "(0, 0) is the centre\nof the top-left pixel", AXIS["z"], fontsize=9, ha="left")
    x0, y0, x1, y1 = 3.3, 0.7, 8.1, 3.35
    ax.add_patch(patches.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=AXIS["x"], lw=2, zorder=4))
    ax.plot([x0, x1], [y0, y1], "o", color=AXIS["x"], ms=6, zorder=5)
    label(ax, (x0 - 0.1, y0 - 0.36), f"x_min, y_min = {x0}, {y0}", AXIS["x"], fontsize=9, ha="left")
    label(ax, (x1 + 0.1, y1 + 0.38), f"x_max, y_max = {x1}, {y1}", AXIS["x"], fontsize=9, ha="right")
    inside = f"width {x1 - x0:.1f}, height {y1 - y0:.2f}:\nthe differences, nothing added"
    label(ax, ((x0 + x1) / 2, (y0 + y1) / 2), inside, AXIS["x"], fontsize=9)
    ax.set_xticks(range(10))
    ax.set_yticks(range(5))
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("x, to the right")
    ax.set_ylabel("y, down")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    figure.subplots_adjust(0.075, 0.01, 0.995, 0.86)
    save(figure, "pixels")


def ced() -> None:
    """A small cumulative error distribution, its exact area, and the area without its tail."""
    errors = np.array([1.2, 1.9, 2.3, 2.6, 3.1, 3.4, 4.2, 4.6])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for ax, threshold in ((left, 4.0), (right, 8.0)):
        x = np.concatenate([[0], errors[errors <= threshold], [threshold]])
        y = np.concatenate([[0], np.arange(1, (errors <= threshold).sum() + 1)]) / len(errors) * 100
        y = np.append(y, y[-1])
        ax.fill_between(x, y, step="post", color="#cfe0f7", zorder=2)
        if threshold > errors.max():
            inside = x >= errors.max()
            ax.fill_between(
                x[inside],
                y[inside],
                step="post",
                facecolor="#f7d5cf",
                hatch="//",
                edgecolor=RED,
                lw=0,
                zorder=3,
            )
            ax.text(
                6.3, 50, "lost by codes\nthat stop at the\nlargest error", ha="center", va="center",
                color=RED, fontsize=9.5, path_effects=HALO, zorder=6,
            )  # fmt: skip
        ax.step(x, y, where="post", color=AXIS["z"], lw=2.2, zorder=5)
        ax.axvline(threshold, color=INK, lw=1.2, ls="--", zorder=4)
        exact = area_under_ced(errors, threshold)
        failed = 100 * (errors > threshold).mean()
        ax.set_title(f"t = {threshold:g} %:  AUC {exact:.2f} %,  FR {failed:.1f} %", fontsize=11, color=INK)
        ax.set_xlim(0, 8.6)
        ax.set_ylim(0, 104)
        ax.set_xlabel("NME (%)")
    left.set_ylabel("faces with at most this error (%)")
    figure.tight_layout(pad=0.6, w_pad=2)
    save(figure, "ced")


def recall_at_80() -> None:
    """A small precision-recall curve: operating points, ties, and what is read off at 80 %."""
    scores = np.array([0.95, 0.9, 0.85, 0.8, 0.75, 0.7, *[0.6] * 5, 0.5, 0.45, 0.4, 0.3, 0.2, 0.2])
    hidden = np.array([1, 1, 1, 0, 1, 1, *(1, 1, 1, 0, 0), 1, 0, 0, 1, 0, 0], bool)
    precision, recall, _ = precision_recall(scores, hidden)
    best = recall_at_precision(scores, hidden)
    between = recall_at_precision(scores, hidden, interpolated=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.7), sharey=True)
    steps = np.append(0.0, recall), np.append(precision[0], precision)
    left.fill_between(*steps, step="pre", color="#cfe0f7", zorder=2)
    left.plot(recall, precision, color=AXIS["z"], lw=1, ls=(0, (2, 2)), zorder=4)
    left.plot(recall, precision, "o", color=AXIS["z"], ms=5, mec="white", mew=0.7, zorder=5)
    for x, y, colour, text, place in (
        (best, precision[recall == best].max(), RED, f"Recall@80P\n{best:.0f} %", (best - 2, 94)),
        (between, 80, "#8a4b00", f"interpolated\n{between:.1f} %", (between + 18, 89)),
    ):
        left.plot([x, x], [36, y], color=colour, lw=1.4, zorder=4)
        left.annotate(
            text, (x, y), place, color=colour, fontsize=9, ha="center", va="center", zorder=6,
            path_effects=HALO, arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.8},
        )  # fmt: skip
    left.set_title(f"operating points; AP {average_precision(scores, hidden):.1f} %", fontsize=11, color=INK)
    tie = np.flatnonzero(scores == 0.6)
    for nudge, colour, text in (
        (hidden[tie], AXIS["y"], "hidden points first"),
        (~hidden[tie], "#b4540a", "visible points first"),
        (None, AXIS["z"], "together, as facebench does"),
    ):
        apart = scores.copy()
        if nudge is not None:
            apart[tie] += 0.01 * nudge + 0.001 * np.arange(len(tie))
        p, r, _ = precision_recall(apart, hidden)
        said = f"{text}: {recall_at_precision(apart, hidden):.0f} %"
        right.plot(r, p, "o-", color=colour, ms=4, lw=1.5, mec="white", mew=0.5, label=said, zorder=5)
    right.legend(loc="lower left", frameon=False, fontsize=9, title="Recall@80P, five equal scores taken")
    right.set_title("five points with one score", fontsize=11, color=INK)
    for ax in (left, right):
        ax.axhline(80, color=INK, lw=1.2, ls="--", zorder=3)
        ax.set_xlim(0, 103)
        ax.set_ylim(36, 103)
        ax.set_xlabel("recall (%)")
    left.set_ylabel("precision (%)")
    left.text(2, 81, "80 %", color=INK, fontsize=9, path_effects=HALO, zorder=6)
    figure.tight_layout(pad=0.6, w_pad=2)
    save(figure, "recall-at-80")


if __name__ == "__main__":
    for draw in (axes, euler, points68, normalisers, pixels, ced, recall_at_80):
        draw()
