"""Plots of the report: arrays in, one SVG text out, the same bytes every time.

The colours are names that the page's style sheet defines, once for light and once for dark.  Names of methods
are not in the plots: the page has them in a legend.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DASHES",
    "draw_confusion",
    "draw_cumulative",
    "draw_parts",
    "draw_points",
    "draw_precision_recall",
    "draw_yaw",
]

Floats = NDArray[np.float64]

# Stand-ins, since matplotlib knows no names of a style sheet: they are replaced in what it wrote.
INK, SOFT, GRID, ON, ACCENT, PAPER = (f"#01010{number}" for number in range(6))
NAMES = {INK: "ink", SOFT: "soft", GRID: "grid", ON: "on", ACCENT: "accent", PAPER: "paper"}

#: How many colours the lines of methods have before they repeat, and their dashes as SVG writes them.
COLOURS = 6
DASHES = ("", "7 3", "2 2", "8 3 2 3")

WIDTH, HEIGHT = 4.9, 3.2
STEPS = 240

# Points of ibug68 that a line joins, and whether it closes.
OUTLINES: tuple[tuple[range, bool], ...] = (
    (range(17), False),
    (range(17, 22), False),
    (range(22, 27), False),
    (range(27, 31), False),
    (range(31, 36), False),
    (range(36, 42), True),
    (range(42, 48), True),
    (range(48, 60), True),
    (range(60, 68), True),
)


def draw_cumulative(
    errors: Sequence[Floats], thresholds: Sequence[float], label: str, name: str, unit: str = "%"
) -> str:
    """Draw the share of faces up to each error, one line for each method.

    Parameters
    ----------
    errors : (n,) errors of each method; NaN is left out, infinity never reached.
    thresholds : marked by vertical lines.
    label, unit : of the errors' axis.
    name : tells the plots of one page apart.
    """
    known = [np.sort(one[~np.isnan(one)]) for one in errors]
    figure, axis = _axes()
    best = min((_finite_quantile(one, 0.95) for one in known), default=1.0)
    upper = max([1.25 * t for t in thresholds] + [best, 1e-6])
    at = np.linspace(0.0, upper, STEPS)
    for t in thresholds:
        axis.axvline(t, color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)))
        axis.annotate(
            f"{t:g} {unit}",
            (t, 1.0),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=SOFT,
            fontsize=8,
        )
    for number, one in enumerate(known):
        share = 100.0 * np.searchsorted(one, at, side="right") / max(1, len(one))
        axis.plot(at, share, **_line(number))
    axis.set_xlim(0, upper)
    axis.set_ylim(0, 101)
    axis.set_xlabel(label, parse_math=False)
    axis.set_ylabel("faces with at most this error, %")
    return _svg(figure, name)


def draw_precision_recall(
    curves: Sequence[tuple[Floats, Floats] | None],
    points: Sequence[tuple[float, float]],
    level: float,
    name: str,
) -> str:
    """Draw precision against recall, one line for each method and a disc at its own operating point.

    Parameters
    ----------
    curves : precision and recall in percent of each method; None where there is no sweep.
    points : recall and precision where points count as visible from 0.5 on.
    level : precision that a line marks.
    """
    figure, axis = _axes()
    axis.axhline(level, color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)))
    axis.text(1, level + 1, f"{level:g} % precision", color=SOFT, fontsize=8)
    for number, (curve, point) in enumerate(zip(curves, points, strict=True)):
        if curve is not None:
            precision, recall = (one[_thinned(len(one))] for one in curve)
            axis.plot(recall, precision, **_line(number))
        axis.plot(*point, "o", color=_colour(number), markersize=6, markeredgecolor=PAPER, zorder=4)
    axis.set_xlim(0, 101)
    axis.set_ylim(0, 104)
    axis.set_xlabel("recall, %")
    axis.set_ylabel("precision, %")
    return _svg(figure, name)


def draw_yaw(errors: Sequence[Mapping[str, float]], counts: Sequence[int], label: str, name: str) -> str:
    """Draw the mean error of each class of true yaw, above the number of faces in it.

    Parameters
    ----------
    errors : of each method, by the centre of the class in degrees.
    counts : faces in the classes from -90 to 90 degrees in steps of 15.
    """
    figure = _figure(HEIGHT + 0.5)
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for one in (axis, below):
        _style(one)
    centres = np.linspace(-90, 90, len(counts))
    for number, by_class in enumerate(errors):
        line = [by_class.get(f"{centre:g}", np.nan) for centre in centres]
        finite = np.where(np.isfinite(line), line, np.nan)
        axis.plot(centres, finite, marker="o", markersize=3.5, **_line(number))
    axis.set_ylim(bottom=0)
    axis.set_ylabel(label, parse_math=False)
    below.bar(centres, counts, width=11, color=SOFT, alpha=0.55)
    for centre, count in zip(centres, counts, strict=True):
        below.annotate(
            str(count),
            (centre, count),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=INK,
        )
    below.set_ylim(0, max([1, *counts]) * 1.35)
    below.set_yticks([])
    below.grid(visible=False)
    below.spines["left"].set_visible(False)
    below.set_xticks(centres[::2])
    below.set_ylabel("faces")
    below.set_xlabel("true yaw, °")
    figure.align_ylabels()
    return _svg(figure, name)


def draw_confusion(counts: Sequence[Sequence[int]], name: str) -> str:
    """Draw how many faces of each class of true yaw (rows) were predicted in each class (columns)."""
    from matplotlib.patches import Rectangle

    table = np.asarray(counts)
    shares = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    figure = _figure(WIDTH * 0.86)
    axis = figure.subplots()
    _style(axis)
    axis.grid(visible=False)
    for (row, column), share in np.ndenumerate(shares):
        count = int(table[row, column])
        if count:
            corner = (column - 0.47, row - 0.47)
            axis.add_patch(
                Rectangle(corner, 0.94, 0.94, color=ACCENT, alpha=0.08 + 0.92 * share, linewidth=0)
            )
            axis.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                fontsize=7,
                color=ON if share > 0.5 else INK,
            )
    size = len(table)
    titles = [f"{centre:g}".replace("-", "−") for centre in np.linspace(-90, 90, size)]
    axis.set_xticks(range(size), titles, fontsize=7.5)
    axis.set_yticks(range(size), titles, fontsize=7.5)
    axis.set_xlim(-0.5, size - 0.5)
    axis.set_ylim(size - 0.5, -0.5)
    axis.set_aspect("equal")
    axis.tick_params(length=0)
    axis.set_xlabel("class of the predicted yaw, °")
    axis.set_ylabel("class of the true yaw, °")
    return _svg(figure, name)


def draw_points(face: Floats, errors: Floats, label: str, name: str) -> str:
    """Draw the 68 points of a face coloured by their mean errors.

    Parameters
    ----------
    face : (68, 2) where to draw them.
    errors : (68,) mean errors; NaN for points that were not scored, which are rings.
    label : of the scale, which goes from 0 to the largest error.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    colours = colormaps["YlOrRd"]
    known = np.isfinite(errors)
    top = max(1e-6, float(errors[known].max())) if known.any() else 1.0
    figure = _figure(HEIGHT + 0.4)
    axis, scale = figure.subplots(1, 2, width_ratios=[24, 1])
    for points, closes in OUTLINES:
        which = [*points, points[0]] if closes else list(points)
        axis.plot(*face[which].T, color=GRID, linewidth=1.4, zorder=1)
    for point, error in zip(face, errors, strict=True):
        colour = to_hex(colours(0.05 + 0.95 * error / top)) if np.isfinite(error) else "none"
        axis.plot(
            *point, "o", markersize=7.5, color=colour, markeredgecolor=INK, markeredgewidth=0.6, zorder=2
        )
    axis.set_aspect("equal")
    axis.invert_yaxis()
    axis.axis("off")
    steps = 40
    for step in range(steps):
        colour = to_hex(colours(0.05 + 0.95 * (step + 0.5) / steps))
        # They overlap a little: no gaps shine through.
        scale.bar(0.5, 1.3 * top / steps, 1, bottom=step * top / steps, color=colour, linewidth=0)
    _style(scale)
    scale.grid(visible=False)
    scale.set_xlim(0, 1)
    scale.set_ylim(0, top)
    scale.set_xticks([])
    scale.spines[:].set_visible(False)
    scale.yaxis.tick_right()
    scale.yaxis.set_label_position("right")
    scale.set_ylabel(label, parse_math=False)
    return _svg(figure, name)


def draw_parts(parts: Sequence[Mapping[str, float]], label: str, name: str) -> str:
    """Draw the mean error of each part of the face, one bar for each method."""
    titles = list(dict.fromkeys(part for one in parts for part in one))
    thick = 0.8 / max(1, len(parts))
    figure, axis = _axes(max(2.0, 0.7 + len(titles) * (0.2 + 0.14 * len(parts))))
    longest = max((v for one in parts for v in one.values() if np.isfinite(v)), default=1.0)
    for number, one in enumerate(parts):
        values = np.array([one.get(title, np.nan) for title in titles])
        places = np.arange(len(titles)) - 0.4 + (number + 0.5) * thick
        axis.barh(places, np.where(np.isfinite(values), values, 0.0), thick * 0.9, color=_colour(number))
        for place, value in zip(places, values, strict=True):
            if np.isfinite(value):
                axis.text(value + 0.01 * longest, place, f"{value:.2f}", va="center", fontsize=7.5, color=INK)
    axis.set_yticks(range(len(titles)), [title.replace("_", " ") for title in titles], parse_math=False)
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(0, 1.12 * longest)
    axis.set_xlabel(label, parse_math=False)
    return _svg(figure, name)


def _figure(height: float = HEIGHT) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def _axes(height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = _figure(height)
    axis = figure.subplots()
    _style(axis)
    return figure, axis


def _style(axis: Axes) -> None:
    axis.patch.set_visible(False)
    axis.set_axisbelow(True)
    axis.grid(color=GRID, linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    for spine in axis.spines.values():
        spine.set_color(SOFT)
    axis.tick_params(colors=SOFT, labelcolor=INK, labelsize=8.5)
    for one in (axis.xaxis, axis.yaxis):
        one.label.set_color(INK)
        one.label.set_fontsize(9)


def _colour(number: int) -> str:
    return f"#01020{number % COLOURS}"


def _line(number: int) -> dict[str, Any]:
    dash = [float(one) / 1.8 for one in DASHES[number % len(DASHES)].split()]
    return {"color": _colour(number), "linewidth": 1.8, "linestyle": (0, dash) if dash else "-", "zorder": 3}


def _finite_quantile(ordered: Floats, share: float) -> float:
    finite = ordered[np.isfinite(ordered)]
    return float(finite[min(len(finite) - 1, int(share * len(finite)))]) if len(finite) else 1.0


def _thinned(count: int) -> NDArray[np.intp]:
    """Return which of so many points of a curve are drawn: all, or evenly spread ones with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, 2 * STEPS)).round().astype(np.intp))


def _svg(figure: Figure, name: str) -> str:
    """Write a figure as an ``<svg>`` element whose ids are its own and whose colours are the page's."""
    from matplotlib import rc_context

    figure.patch.set_visible(False)
    file = io.StringIO()
    with rc_context({"svg.hashsalt": "facebench", "svg.fonttype": "none"}):
        figure.savefig(
            file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Its style sheet would be that of the whole page.
    text = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", text, count=2).replace("xlink:href", "href")
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, title in NAMES.items():
        text = text.replace(colour, f"var(--{title})")
    for number in range(COLOURS):
        text = text.replace(_colour(number), f"var(--m{number})")
    return text
