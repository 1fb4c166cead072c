"""Figures as files: comparisons, and the plots of a report; the same bytes on every machine."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebench.errors import UsageError
from facebench.formats import atomic_path
from facebench.protocols import Compared, Comparison, Protocol, get_protocol
from facebench.protocols.comparison import check_distinct
from facebench.report.contents import Plot, Report, Scored, plots_of, score_methods
from facebench.report.plots import INK, SOFT, line_of, shown, steady

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

__all__ = ["KINDS", "draw_comparisons", "write_figures"]

#: What figures are written as.
KINDS = ("svg", "png")

GREY = "#8a949e"
BETTER, WORSE = "#1b7f4b", "#b3261e"
MARKERS = "osD^vPX*"


def write_figures(
    folder: str | Path, report: Report, kind: str = "svg", progress: Callable[[str], None] | None = None
) -> list[Path]:
    """Write each figure of a report as a file of its own, which needs no page around it.

    A file is named after its protocol, what it shows, and the method if it shows one only:
    ``aflw2000-pose.confusion-of-yaw.mnn-s.svg``.  All are drawn before the first is written.

    Parameters
    ----------
    kind : ``svg`` or ``png``.
    progress : told what is drawn next.

    Returns
    -------
    the files, in the order of the report.

    Raises
    ------
    UsageError : two predictions are of the same method.
    FacebenchError : a file cannot be written, or the predictions cannot be scored.
    """
    check_distinct([one.method for one in report.predictions])
    drawn: dict[str, tuple[Figure, str]] = {}
    for name in report.protocols:
        if progress:
            progress(name)
        protocol = get_protocol(name)
        scored = score_methods(report, protocol)
        for plot in plots_of(protocol, scored, report.behind):
            named = [one for one in scored if plot.method in ("", one.method)]
            stem = ".".join(_word(part) for part in (name, plot.what, plot.method) if part)
            while stem in drawn:  # methods whose names differ in signs only
                stem += "-again"
            about = "\n".join(one.result.signature for one in named)
            drawn[stem] = (_alone(plot, protocol, named), about)
    paths = [Path(folder) / f"{stem}.{kind}" for stem in drawn]
    for path, (figure, about) in zip(paths, drawn.values(), strict=True):
        save(figure, path, about)
    return paths


def _word(text: str) -> str:
    """Return what stands for a name in the name of a file."""
    return "-".join(re.findall("[a-z0-9]+", text.lower()))[:60] or "unnamed"


@steady()
def _alone(plot: Plot, protocol: Protocol, scored: Sequence[Scored]) -> Figure:
    """Give a figure what the page has around it: title, names of the methods, caption."""
    from matplotlib.lines import Line2D

    figure = plot.figure
    counts = " and ".join(dict.fromkeys(str(one.result.n) for one in scored))
    said = f"{protocol.name}, version {protocol.version}, {counts} faces. {plot.caption}"
    caption = textwrap.fill(shown(said, 4000), 86)
    figure.set_figheight(figure.get_figheight() + 0.2 * (2 + len(scored)) + 0.13 * (1 + caption.count("\n")))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    figure.supxlabel(caption, x=0.02, ha="left", fontsize=7, color=SOFT, parse_math=False, linespacing=1.35)
    keys: list[Artist] = [Line2D([], [], **line_of(one.number)) for one in scored]
    legend = _legend(figure, keys, [one.method for one in scored], loc="outside upper left", borderpad=0)
    legend.set_title(plot.what)
    legend.get_title().set(fontsize=10, fontweight="bold", color=INK, parse_math=False)
    legend.set_alignment("left")
    return figure


def _legend(where: Axes | Figure, keys: list[Artist], titles: Sequence[str], **placed: Any) -> Legend:
    numbers = [str(j) for j in range(len(titles))]
    legend = where.legend(keys, numbers, frameon=False, fontsize=8, **placed)
    # Set afterwards: names of methods are no formulas, and may begin with what matplotlib leaves out.
    for text, title in zip(legend.get_texts(), titles, strict=True):
        text.set_parse_math(False)
        text.set_text(shown(title))
        text.set_color(INK)
    return legend


@steady()
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
    from matplotlib.lines import Line2D

    keys: list[Artist] = [
        *(
            Line2D([], [], marker=MARKERS[j % len(MARKERS)], linestyle="", color=INK)
            for j in range(len(comparison.methods))
        ),
        *(Line2D([], [], color=colour, linewidth=3) for colour in (BETTER, WORSE, GREY)),
    ]
    titles = [*comparison.methods, "better", "worse", "not significant"]
    _legend(axis, keys, titles, loc="upper left", bbox_to_anchor=(1.0, 1.0))


@steady()
def save(figure: Figure, path: Path, about: str = "") -> None:
    """Write a figure as .png or .svg, with the same bytes every time.

    Parameters
    ----------
    about : kept within the file, as its description.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in KINDS:
        msg = f"{path}: figures are written as .png or .svg; choose a name with one of these endings."
        raise UsageError(msg)
    file = io.BytesIO()
    metadata = {"Date": None, "Creator": None, "Type": None} if kind == "svg" else {"Software": None}
    figure.savefig(file, format=kind, dpi=144, metadata={**metadata, "Description": about or None})
    data = file.getvalue()
    if kind == "svg":  # what its document type names lies on another host
        data = re.sub(rb"<!DOCTYPE[^>]*>\s*", b"", data, count=1)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
