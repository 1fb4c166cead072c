"""Drawing of the plots: arrays in, one figure out, the same on every machine.

A figure is used in two ways: the report takes it into its page (:func:`page_svg`), ``facebench plot`` writes
it as a file.  What belongs to a method is given by the number of the method, which has its colour and its
dashes; names of methods are not in a figure, since both ways have a legend.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facebench.report.curves import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DARK",
    "DASHES",
    "INK",
    "LIGHT",
    "SOFT",
    "draw_confusion",
    "draw_cumulative",
    "draw_heat_map",
    "draw_parts",
    "draw_precision_recall",
    "draw_timeline",
    "draw_yaw",
    "line_of",
    "page_svg",
    "records",
    "shown",
    "steady",
    "with_unit",
]

Floats = NDArray[np.float64]

#: How many colours the lines of methods have before they repeat, and their dashes as SVG writes them.
COLOURS = 6
DASHES = ("", "7 3", "2 2", "8 3 2 3")

#: Colours by name, on white and on a dark screen.  Figures are drawn in those on white; a page finds them by
#: their values and puts the names there, so no two are the same.
LIGHT = {
    "paper": "#ffffff", "card": "#f5f7f9", "ink": "#1c242c", "soft": "#5d6975", "grid": "#dfe4e9",
    "on": "#fefefe", "behind": "#98a3ae", "accent": "#1d5fa8", "good": "#17703f", "bad": "#b3261e",
    "warn": "#8a5a00", "m0": "#1f6fc0", "m1": "#d0540f", "m2": "#2b8a3e", "m3": "#a6338f", "m4": "#8a6d00",
    "m5": "#0b8a94",
}  # fmt: skip
DARK = {
    "paper": "#12171c", "card": "#1b2229", "ink": "#e4e9ee", "soft": "#9aa7b3", "grid": "#2e3841",
    "on": "#0d1216", "behind": "#73808c", "accent": "#6cb2f5", "good": "#5fd08d", "bad": "#ff8a80",
    "warn": "#f0c060", "m0": "#6cb2f5", "m1": "#ff9a5c", "m2": "#6fd685", "m3": "#ee8bd9", "m4": "#e5c84e",
    "m5": "#55d3dd",
}  # fmt: skip
PAPER, INK, SOFT, GRID, ON = (LIGHT[name] for name in ("paper", "ink", "soft", "grid", "on"))
BEHIND, ACCENT = LIGHT["behind"], LIGHT["accent"]

WIDTH, HEIGHT = 4.9, 3.2
STEPS = 240
# Letters of a name at the end of a curve, and the room of a line of them as a share of the plot's height.
LETTERS, LINE = 22, 0.054
# Points of the width of a part of the face.
BAND = 13

# Points of ibug68 that a line joins, the part that they belong to, and whether the line closes.
OUTLINES: tuple[tuple[str, range, bool], ...] = (
    ("jaw", range(17), False),
    ("left_brow", range(17, 22), False),
    ("right_brow", range(22, 27), False),
    ("nose", range(27, 31), False),
    ("nose", range(31, 36), False),
    ("left_eye", range(36, 42), True),
    ("right_eye", range(42, 48), True),
    ("mouth", range(48, 60), True),
    ("mouth", range(60, 68), True),
)


@contextmanager
def steady() -> Iterator[None]:
    """Draw and write by matplotlib's own settings, not by the user's, and with the same ids each time."""
    from matplotlib import style

    settings = {"svg.hashsalt": "facebench", "svg.fonttype": "none"}
    with warnings.catch_warnings(), style.context(["default", settings]):
        # Letters that its font lacks are for the browser in an SVG, and boxes in a PNG.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        yield


def shown(name: str, most: int = 60) -> str:
    """Return a name as one line of text that any file can hold; a long one loses its middle."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in name)
    if len(clean) <= most:
        return clean
    return f"{clean[: (most - 1) // 2]}…{clean[-(most // 2) :]}"


def with_unit(value: float, unit: str) -> str:
    """Write a threshold."""
    return f"{value:g}{unit}" if unit == "°" else f"{value:g} {unit}"


def line_of(number: int) -> dict[str, Any]:
    """Return how the line of a method is drawn."""
    dash = [float(one) / 1.8 for one in DASHES[number % len(DASHES)].split()]
    return {"color": _colour(number), "linewidth": 1.8, "linestyle": (0, dash) if dash else "-"}


@steady()
def draw_cumulative(
    errors: Mapping[int, Floats],
    thresholds: Sequence[float],
    label: str,
    unit: str = "%",
    behind: Sequence[Curve] = (),
) -> Figure:
    """Draw the share of faces up to each error, one line for each method.

    Parameters
    ----------
    errors : (n,) errors by the number of the method; NaN is left out, infinity never reached.
    thresholds : marked by vertical lines.
    label, unit : of the errors' axis.
    behind : further curves, which are grey and named where they end.
    """
    known = {number: np.sort(one[~np.isnan(one)]) for number, one in errors.items()}
    figure, axis = _axes(max(HEIGHT, 0.7 + 0.125 * len(behind)))
    best = min((_finite_quantile(one, 0.95) for one in known.values()), default=1.0)
    upper = max([1.25 * t for t in thresholds] + [best, 1e-6])
    if behind:  # only as far as all of them reach, which may be the threshold
        upper = max([min(upper, *(one.errors[-1] for one in behind)), *thresholds])
    at = np.linspace(0.0, upper, STEPS)
    for t in thresholds:
        axis.axvline(t, color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)))
        axis.annotate(
            with_unit(t, unit),
            (t, 1.0),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=SOFT,
            fontsize=8,
        )
    for number, one in known.items():
        share = 100.0 * np.searchsorted(one, at, side="right") / max(1, len(one))
        axis.plot(at, share, **line_of(number), zorder=3)
    axis.set_xlim(0, upper)
    axis.set_ylim(0, 101)
    axis.set_xlabel(label, parse_math=False)
    axis.set_ylabel("faces with at most this error, %")
    _draw_behind(axis, behind, at)
    return figure


def _draw_behind(axis: Axes, curves: Sequence[Curve], at: Floats) -> None:
    """Draw curves in grey, each with its name beside the axes; the higher they end, the higher it stands."""
    lines = []
    for curve in curves:
        within = at[(at >= curve.errors[0]) & (at <= curve.errors[-1])]
        if len(within):
            lines.append((within, np.interp(within, curve.errors, curve.shares), curve.name))
    lines.sort(key=lambda one: (-one[1][-1], -one[1].sum(), one[2]))
    places = _spread([y[-1] / axis.get_ylim()[1] for _, y, _ in lines], min(LINE, 1 / max(1, len(lines))))
    for (x, y, name), place in zip(lines, places, strict=True):
        axis.plot(x, y, color=BEHIND, linewidth=0.9, zorder=2)
        axis.annotate(
            shown(name, LETTERS),
            (x[-1], y[-1]),
            (1.07, place),
            textcoords="axes fraction",
            va="center",
            color=SOFT,
            fontsize=7,
            parse_math=False,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": BEHIND,
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )


def _spread(places: Sequence[float], gap: float) -> list[float]:
    """Move descending places apart, down first and then up again from 0, so that ``gap`` is between them."""
    found: list[float] = []
    for place in places:
        found.append(min(place, found[-1] - gap) if found else place)
    least = 0.0
    for j in reversed(range(len(found))):
        found[j] = max(found[j], least)
        least = found[j] + gap
    return found


@steady()
def draw_precision_recall(
    curves: Mapping[int, tuple[Floats, Floats] | None],
    points: Mapping[int, tuple[float, float]],
    level: float,
) -> Figure:
    """Draw precision against recall, one line for each method and a disc at its own operating point.

    Parameters
    ----------
    curves : precision and recall in percent by the number of the method; None where there is no sweep.
    points : recall and precision where points count as visible from 0.5 on.
    level : precision that a line marks.
    """
    figure, axis = _axes()
    axis.axhline(level, color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)))
    axis.text(1, level + 1, f"{level:g} % precision", color=SOFT, fontsize=8)
    for number, curve in curves.items():
        if curve is not None:
            precision, recall = (one[_thinned(len(one))] for one in curve)
            axis.plot(recall, precision, **line_of(number), zorder=3)
        axis.plot(*points[number], "o", color=_colour(number), markersize=6, markeredgecolor=PAPER, zorder=4)
    axis.set_xlim(0, 101)
    axis.set_ylim(0, 104)
    axis.set_xlabel("recall, %")
    axis.set_ylabel("precision, %")
    return figure


@steady()
def draw_yaw(errors: Mapping[int, Mapping[str, float]], counts: Sequence[int], label: str) -> Figure:
    """Draw the mean error of each class of true yaw, above the number of faces in it.

    Parameters
    ----------
    errors : by the number of the method, then by the centre of the class in degrees.
    counts : faces in the classes from -90 to 90 degrees in steps of 15.
    """
    figure = _figure(HEIGHT + 0.5)
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for one in (axis, below):
        _style(one)
    centres = np.linspace(-90, 90, len(counts))
    for number, by_class in errors.items():
        line = [by_class.get(f"{centre:g}", np.nan) for centre in centres]
        finite = np.where(np.isfinite(line), line, np.nan)
        axis.plot(centres, finite, marker="o", markersize=3.5, **line_of(number), zorder=3)
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
    return figure


@steady()
def draw_confusion(counts: Sequence[Sequence[int]]) -> Figure:
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
    return figure


@steady()
def draw_heat_map(
    face: Floats, parts: Mapping[str, float], points: Floats, label: str, apart: Mapping[str, Floats]
) -> Figure:
    """Draw a face whose parts are coloured by their mean errors, with the numbers beside them.

    Parameters
    ----------
    face : (68, 2) points of ibug68, y down.
    parts : mean errors by part.
    points : (68,) mean errors of the points, which are discs in the same colours; NaN for points that were
        not scored, which are rings; (0,) where the points are not those of ibug68.
    label : of the scale, which goes from 0 to the largest error.
    apart : (2,) where a part lies that ibug68 lacks.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    finite = [one for one in (*parts.values(), *points) if np.isfinite(one)]
    top = max([1e-6, *finite])

    def colour(error: float) -> str:
        return to_hex(colormaps["YlOrRd"](0.05 + 0.95 * error / top)) if np.isfinite(error) else GRID

    figure = _figure(HEIGHT + 0.7)
    axis, scale = figure.subplots(1, 2, width_ratios=[24, 1])
    for part, chosen, closes in OUTLINES:
        ink, line = colour(parts.get(part, np.nan)), face[chosen]
        if closes:
            axis.fill(*line.T, color=ink, linewidth=BAND, joinstyle="round", zorder=1)
        else:
            axis.plot(*line.T, color=ink, linewidth=BAND, solid_capstyle="round", zorder=1)
    for part, place in apart.items():
        axis.plot(*place, "o", markersize=BAND, color=colour(parts.get(part, np.nan)), markeredgewidth=0)
    for point, error in zip(face, points, strict=False):
        inside = colour(error) if np.isfinite(error) else "none"
        axis.plot(*point, "o", markersize=5, color=inside, markeredgecolor=INK, markeredgewidth=0.6, zorder=2)
    for part, error in parts.items():
        rows = [j for one, chosen, _ in OUTLINES for j in chosen if one == part]
        where = face[rows] if rows else apart[part][None]
        x, y, across, down = _beside(part, where)
        if np.isfinite(error):
            text = (
                f"{part.replace('_', ' ')} {error:.2f}" if rows else f"{part.replace('_', ' ')}\n{error:.2f}"
            )
            axis.text(x, y, text, ha=across, va=down, fontsize=8, color=INK, parse_math=False)
    axis.set_xlim((-112, 112) if apart else (-88, 88))
    axis.set_ylim(126, -44)
    axis.set_aspect("equal")
    axis.axis("off")
    steps = 40
    for step in range(steps):
        ink = colour(top * (step + 0.5) / steps)
        # They overlap a little: no gaps shine through.
        scale.bar(0.5, 1.3 * top / steps, 1, bottom=step * top / steps, color=ink, linewidth=0)
    _style(scale)
    scale.grid(visible=False)
    scale.set_xlim(0, 1)
    scale.set_ylim(0, top)
    scale.set_xticks([])
    scale.spines[:].set_visible(False)
    scale.yaxis.tick_right()
    scale.yaxis.set_label_position("right")
    scale.set_ylabel(label, parse_math=False)
    return figure


def _beside(part: str, points: Floats) -> tuple[float, float, str, str]:
    """Return where the number of a part stands, and how it is aligned."""
    (left, high), (right, low) = points.min(axis=0), points.max(axis=0)
    middle = (left + right) / 2
    if part == "nose":
        return right + 7, low - 4, "left", "center"
    if "brow" in part:
        return middle, high - 7, "center", "bottom"
    return middle, low + 7, "center", "top"


@steady()
def draw_parts(parts: Mapping[int, Mapping[str, float]], label: str) -> Figure:
    """Draw the mean error of each part of the face, one bar for each method, by its number."""
    titles = list(dict.fromkeys(part for one in parts.values() for part in one))
    thick = 0.8 / max(1, len(parts))
    figure, axis = _axes(max(2.0, 0.7 + len(titles) * (0.2 + 0.14 * len(parts))))
    longest = max((v for one in parts.values() for v in one.values() if np.isfinite(v)), default=1.0)
    for place, (number, one) in enumerate(parts.items()):
        values = np.array([one.get(title, np.nan) for title in titles])
        rows = np.arange(len(titles)) - 0.4 + (place + 0.5) * thick
        axis.barh(rows, np.where(np.isfinite(values), values, 0.0), thick * 0.9, color=_colour(number))
        for row, value in zip(rows, values, strict=True):
            if np.isfinite(value):
                axis.text(value + 0.01 * longest, row, f"{value:.2f}", va="center", fontsize=7.5, color=INK)
    axis.set_yticks(range(len(titles)), [title.replace("_", " ") for title in titles], parse_math=False)
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(0, 1.12 * longest)
    axis.set_xlabel(label, parse_math=False)
    return figure


@steady()
def records(values: Sequence[float], lower: bool) -> list[bool]:
    """Tell which values are better than all before them; ``lower`` says whether less is better."""
    best = list(accumulate(values, min if lower else max))
    return [j == 0 or best[j] != best[j - 1] for j in range(len(values))]


@steady()
def draw_timeline(years: Sequence[int], values: Sequence[float], lower: bool, label: str) -> Figure:
    """Draw the best value of each year, and as a line the best so far.

    Parameters
    ----------
    years : ascending; ``values`` are the best of each.
    lower : whether less is better.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axis = _axes()
    best = list(accumulate(values, min if lower else max))
    axis.step([*years, years[-1] + 0.6], [*best, best[-1]], where="post", color=ACCENT, linewidth=1.6)
    for year, value, record in zip(years, values, records(values, lower), strict=True):
        axis.plot(year, value, "o", color=ACCENT if record else SOFT, markersize=6 if record else 4)
    axis.set_xlim(years[0] - 0.4, max(years[-1], years[0] + 4) + 0.8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.margins(y=0.12)
    axis.set_ylabel(label, parse_math=False)
    return figure


@steady()
def page_svg(figure: Figure, name: str) -> str:
    """Write a figure as an ``<svg>`` element of a page, which defines the colours by name.

    Parameters
    ----------
    name : begins all ids, to tell the figures of a page apart.
    """
    figure.patch.set_visible(False)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Its style sheet would be that of the whole page.
    text = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", text, count=2).replace("xlink:href", "href")
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for title, colour in LIGHT.items():
        text = text.replace(colour, f"var(--{title})")
    return text


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
    return LIGHT[f"m{number % COLOURS}"]


def _finite_quantile(ordered: Floats, share: float) -> float:
    finite = ordered[np.isfinite(ordered)]
    return float(finite[min(len(finite) - 1, int(share * len(finite)))]) if len(finite) else 1.0


def _thinned(count: int) -> NDArray[np.intp]:
    """Return which of so many points of a curve are drawn: all, or evenly spread ones with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, 2 * STEPS)).round().astype(np.intp))
