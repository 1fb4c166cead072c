"""Figures of results, drawn the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facebench.errors import UsageError
from facebench.formats import atomic_path
from facebench.protocols import Compared, Comparison, get_protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_comparisons"]

INK, GREY = "#1f2933", "#8a949e"
BETTER, WORSE = "#1b7f4b", "#b3261e"
MARKERS = "osD^vPX*"


def draw_comparisons(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw the differences of methods from the baseline, one panel for each protocol.

    Each line is a number of the protocol's leaderboard, as improvement in percent of the baseline's value, so
    that numbers in different units share an axis and better is always to the right.

    Raises
    ------
    UsageError : the file is neither .png nor .svg.
    """
    from matplotlib.figure import Figure

    panels = [_rows(one) for one in comparisons]
    heights = [1.0 + 0.22 * sum(len(rows) for rows in panel.values()) for panel in panels]
    figure = Figure(figsize=(8.2, sum(heights) + 0.3), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, comparison, panel in zip(axes, comparisons, panels, strict=True):
        _draw(axis, comparison, panel)
    save(figure, path)


def _rows(comparison: Comparison) -> dict[str, list[Compared]]:
    """Return the rows to draw by the title of their number, in the order of the board."""
    protocol = get_protocol(comparison.protocol)
    found: dict[str, list[Compared]] = {}
    for key, group in protocol.board:
        rows = [one for one in comparison.rows if (one.metric, one.group) == (key, group) and one.baseline]
        if rows:
            found[protocol.title_of(key, group)] = rows
    return found


def _draw(axis: Axes, comparison: Comparison, panel: dict[str, list[Compared]]) -> None:
    protocol = get_protocol(comparison.protocol)
    place, ticks, titles = 0.0, [], []
    for title, rows in panel.items():
        ticks.append(place + (len(rows) - 1) / 2)
        titles.append(title)
        for row in rows:
            sign = 1 if protocol.metric(row.metric).better == "higher" else -1
            scale = sign * 100.0 / abs(row.baseline or 1.0)
            ends = sorted(scale * (x or 0.0) for x in (row.low, row.high))
            colour = {True: BETTER, False: WORSE, None: GREY}[row.better]
            axis.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="butt", zorder=2)
            axis.plot(
                scale * (row.difference or 0.0),
                place,
                MARKERS[comparison.methods.index(row.method) % len(MARKERS)],
                color=colour,
                markersize=6,
                zorder=3,
            )
            place += 1
        place += 0.5
    axis.axvline(0, color=INK, linewidth=1, zorder=1)
    axis.set_yticks(ticks, titles)
    axis.invert_yaxis()
    axis.grid(axis="x", color="#e4e7eb", zorder=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(left=False, colors=INK)
    axis.set_xlabel(
        f"improvement over {comparison.baseline} in % of its value, with 95 % interval", parse_math=False
    )
    axis.margins(x=0.08)
    axis.set_title(f"{comparison.protocol}, {comparison.n} faces", loc="left", fontsize=11, color=INK)
    _legend(axis, comparison)


def _legend(axis: Axes, comparison: Comparison) -> None:
    from matplotlib.lines import Line2D

    shown = [
        *(
            Line2D([], [], marker=MARKERS[j % len(MARKERS)], linestyle="", color=INK)
            for j in range(len(comparison.methods))
        ),
        *(Line2D([], [], color=colour, linewidth=3) for colour in (BETTER, WORSE, GREY)),
    ]
    titles = [*comparison.methods, "better", "worse", "not significant"]
    numbers = [str(j) for j in range(len(titles))]
    legend = axis.legend(
        shown, numbers, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    # Set afterwards: names of methods are no formulas, and may begin with what matplotlib leaves out.
    for text, title in zip(legend.get_texts(), titles, strict=True):
        text.set_parse_math(False)
        text.set_text(title)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as .png or .svg, with the same bytes every time."""
    from matplotlib import rc_context

    kind = path.suffix.removeprefix(".")
    if kind not in ("png", "svg"):
        msg = f"{path}: figures are written as .png or .svg; choose a name with one of these endings."
        raise UsageError(msg)
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with rc_context({"svg.hashsalt": "facebench", "svg.fonttype": "none"}), atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=144, metadata=metadata)
