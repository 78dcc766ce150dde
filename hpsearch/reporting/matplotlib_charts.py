"""The report's charts by matplotlib, for a paper: the figures of the page, drawn again.

Only some elements are supported (lines, points, bars, a heat map, intervals); others raise, so that
no chart is drawn incompletely. Colours are those of the light page.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.matplotlib_style import drawable, mpl_style, new_figure, save
from hpsearch.reporting import palette
from hpsearch.reporting.blocks import Chart, Charts, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches per figure, and per panel of several side by side; pixels of the page per inch.
_WIDTH, _PANEL, _PIXELS = 6.4, 3.4, 110
#: Resolution of a PNG.
_DPI = 200
#: Characters per line of a title over the whole width.
_TITLE = 88
_SYMBOLS = {
    "circle": "o",
    "circle-open": "o",
    "diamond": "D",
    "square": "s",
    "triangle-up": "^",
    "x": "X",
    "x-thin-open": "x",
    "star": "*",
}
_DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 1, 3)),
}


@dataclass(frozen=True, kw_only=True)
class StaticChart:
    """One figure that can be saved."""

    #: The anchor of its study in the page, and its name there.
    anchor: str
    name: str
    figure: Figure

    def save(self, path: Path) -> None:
        """Write it as PNG or SVG, by the file's suffix. The same figure gives the same file."""
        with mpl_style({"savefig.dpi": _DPI}):
            save(self.figure, path, "png" if ".png" in path.suffixes else "svg")


def static_charts(report: Report) -> Iterator[StaticChart]:
    """Yield each chart of the report; charts side by side are panels of one figure."""
    for anchor, block in report.figures():
        yield StaticChart(anchor=anchor, name=block.name, figure=draw(block))


def draw(block: Chart | Charts) -> Figure:
    """Return a chart as a matplotlib figure.

    Raises:
        ValueError: If the chart has an unsupported element.
    """
    charts = list(block.charts) if isinstance(block, Charts) else [block]
    strip = isinstance(block, Charts) and block.strip
    columns = 1 if len(charts) == 1 else 4 if strip else 2
    rows = -(-len(charts) // columns)
    tallest = max(chart.height for chart in charts)
    alone = max(_WIDTH, charts[0].width / _PIXELS)
    size = (alone if columns == 1 else 2 * _PANEL, rows * tallest / _PIXELS)
    with mpl_style({"font.size": 8, "axes.linewidth": 0.6}):
        figure = new_figure(size, facecolor=_colour("page"))
        for place, chart in enumerate(charts):
            axes = figure.add_subplot(rows, columns, place + 1)
            _panel(axes, chart, alone=len(charts) == 1, letters=_TITLE // columns)
        # Drawing makes the tick labels, so it must happen while formulas are switched off
        figure.draw_without_rendering()
        # The layout is done; each of the two files would do it twice again
        figure.set_layout_engine(None)
    return figure


def _panel(axes: Axes, chart: Chart, *, alone: bool, letters: int) -> None:
    layout = chart.figure["layout"]
    title = textwrap.fill(_text(chart.title), letters)
    axes.set_title(title, loc="left", fontsize=8.5, fontweight="bold")
    for trace in chart.figure["data"]:
        match trace["type"]:
            case "scatter":
                _scatter(axes, trace)
            case "bar":
                _bars(axes, trace)
            case "heatmap":
                _heat(axes, trace)
            case other:
                raise ValueError(f"a {other} trace can't be drawn as a static chart")
    for shape in layout.get("shapes", ()):
        _line(axes, shape)
    for note in layout.get("annotations", ()):
        if note.get("showarrow"):
            _label_of_line(axes, note)
            continue
        axes.annotate(
            _text(note["text"]),
            (note["x"], note["y"]),
            fontsize=6.5,
            color=_colour(note["font"]["color"]),
            ha="left" if note.get("xanchor") == "left" else "center",
            va="center",
            xytext=(3 if note.get("xanchor") == "left" else 0, 0),
            textcoords="offset points",
            bbox={"facecolor": _colour(note["bgcolor"]), "alpha": 0.8, "linewidth": 0, "pad": 0.8}
            if "bgcolor" in note
            else None,
        )
    for side in ("x", "y"):
        _axis(axes, side, layout.get(f"{side}axis", {}))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if layout.get("showlegend"):
        handles, labels = axes.get_legend_handles_labels()
        if handles and alone:
            axes.figure.legend(
                handles, labels, loc="outside lower left", ncols=4, fontsize=6.5, frameon=False
            )
        elif handles:
            title = _text(layout.get("legend", {}).get("title", {}).get("text", ""))
            small = {"fontsize": 6.5, "title_fontsize": 6.5}
            axes.legend(handles, labels, title=title, frameon=False, loc="best", **small)


def _label_of_line(axes: Axes, note: Mapping[str, Any]) -> None:
    """Write a label beside the end of a line, with a short line of the same colour to it."""
    in_points = note["axref"] == "pixel"
    axes.annotate(
        _text(note["text"]),
        (note["x"], note["y"]),
        fontsize=6.5,
        color=_colour(note["font"]["color"]),
        ha="left",
        va="center",
        xytext=(0.6 * note["ax"] if in_points else note["ax"], note["ay"]),
        textcoords=("offset points" if in_points else "data", "data"),
        arrowprops={
            "arrowstyle": "-",
            "color": _colour(note["arrowcolor"]),
            "linewidth": 0.6 * note["arrowwidth"],
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _scatter(axes: Axes, trace: Mapping[str, Any]) -> None:
    import numpy as np

    x, y = (np.array(trace[side], dtype=float) for side in "xy")
    line, marker = trace.get("line", {}), trace.get("marker", {})
    alpha = trace.get("opacity", 1.0)
    in_legend = "name" in trace and trace.get("showlegend", True)
    label = _text(trace["name"]) if in_legend else None
    if "lines" in trace["mode"]:
        axes.plot(
            x,
            y,
            color=_colour(line["color"]),
            linewidth=0.6 * line.get("width", 2),
            linestyle=_DASHES[line.get("dash", "solid")],
            drawstyle="steps-post" if line.get("shape") == "hv" else "default",
            alpha=alpha,
            label=label,
        )
        label = None
    if "markers" in trace["mode"]:
        _points(axes, x, y, marker, label, alpha)
    for side in "xy":
        bars = trace.get(f"error_{side}")
        if bars is not None:
            axes.errorbar(
                x,
                y,
                xerr=_reach(bars) if side == "x" else None,
                yerr=_reach(bars) if side == "y" else None,
                fmt="none",
                ecolor=_colour(bars["color"]),
                elinewidth=0.8,
                capsize=2,
            )


def _points(
    axes: Axes, x: Any, y: Any, marker: Mapping[str, Any], label: str | None, alpha: float
) -> None:
    count = len(x)
    symbols, colours = (_per_point(marker[key], count) for key in ("symbol", "color"))
    for symbol in dict.fromkeys(symbols):
        indices = [place for place in range(count) if symbols[place] == symbol]
        shades = [_colour(colours[place]) for place in indices]
        is_open = symbol == "circle-open"
        axes.scatter(
            x[indices],
            y[indices],
            s=(0.65 * marker["size"]) ** 2,
            marker=_SYMBOLS[symbol],
            facecolors="none" if is_open else shades,
            edgecolors=shades if is_open else None,
            linewidths=0.8,
            alpha=alpha,
            label=label,
            zorder=3,
        )
        label = None


def _bars(axes: Axes, trace: Mapping[str, Any]) -> None:
    if trace.get("orientation") != "h":
        raise ValueError("a static chart draws horizontal bars only")
    axes.barh(
        trace["y"],
        trace["x"],
        height=0.7,
        color=_colour(trace["marker"]["color"]),
        alpha=trace["marker"].get("opacity", 1),
        xerr=_reach(trace["error_x"]),
        error_kw={"elinewidth": 0.8, "capsize": 2, "ecolor": _colour(trace["error_x"]["color"])},
    )


def _heat(axes: Axes, trace: Mapping[str, Any]) -> None:
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    shades = [(place, _colour(colour)) for place, colour in trace["colorscale"]]
    colours = LinearSegmentedColormap.from_list("report", shades)
    cells = np.array(trace["z"], dtype=float)
    image = axes.imshow(cells, cmap=colours, vmin=trace["zmin"], vmax=trace["zmax"], aspect="auto")
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.04)
    bar.set_label(_text(trace["colorbar"]["title"]["text"]), fontsize=7)
    bar.ax.spines[:].set_visible(False)
    bar.ax.tick_params(labelsize=7, width=0.6)


def _line(axes: Axes, shape: Mapping[str, Any]) -> None:
    line = shape["line"]
    style = {
        "color": _colour(line["color"]),
        "linewidth": 0.6 * line["width"],
        "linestyle": _DASHES[line.get("dash", "solid")],
        "zorder": 0,
    }
    if shape.get("yref") == "paper":
        axes.axvline(shape["x0"], **style)
    else:
        axes.plot([shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]], **style)


def _axis(axes: Axes, side: str, layout: Mapping[str, Any]) -> None:
    axis = getattr(axes, f"{side}axis")
    axis.set_visible(layout.get("visible", True))
    axis.set_label_text(_text(layout.get("title", {}).get("text", "")), fontsize=7.5)
    if layout.get("type") == "log":
        getattr(axes, f"set_{side}scale")("log")
    if layout.get("exponentformat") == "SI":
        from matplotlib.ticker import EngFormatter, NullFormatter

        axis.set_major_formatter(EngFormatter(sep=" "))
        axis.set_minor_formatter(NullFormatter())
    if layout.get("showgrid", True):
        axis.grid(visible=True, color=_colour("grid"), linewidth=0.5)
    axis.set_tick_params(colors=_colour("soft"), labelcolor=_colour("ink"), labelsize=7, width=0.6)
    if layout.get("tickmode") == "array":
        askew = side == "x" and layout.get("tickangle")
        axis.set_ticks(
            layout["tickvals"],
            [_text(label) for label in layout["ticktext"]],
            **({"rotation": -layout["tickangle"], "ha": "right"} if askew else {}),
        )
    if "range" in layout:
        getattr(axes, f"set_{side}lim")(*layout["range"])
    elif layout.get("rangemode") == "tozero":
        getattr(axes, f"set_{side}lim")(**{"left" if side == "x" else "bottom": 0})


def _reach(bars: Mapping[str, Any]) -> list[list[float]]:
    return [
        [0.0 if distance is None else distance for distance in bars[key]]
        for key in ("arrayminus", "array")
    ]


def _per_point(value: Any, count: int) -> Sequence[Any]:
    return value if isinstance(value, list) else [value] * count


def _colour(name: str) -> str:
    return palette.LIGHT[name.removeprefix("var(--").removesuffix(")")]


def _text(label: str) -> str:
    return drawable(html.unescape(label.replace("<br>", "\n")))
