"""Common parts of all charts: a layout without colours of its own, axes, margins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.reporting.palette import var
from hpsearch.results.verdicts import Verdict

#: The colour of each verdict.
VERDICT_COLOURS = {
    Verdict.YES: "series-1",
    Verdict.NO: "faint",
    Verdict.UNDECIDED: "series-5",
}

#: Margins of a chart, in pixels, and on a phone.
MARGIN = {"l": 64, "r": 16, "t": 12, "b": 56}
NARROW = {"l": 48, "r": 8, "t": 8, "b": 48}

#: Characters per legend row; on a phone, an entry longer than ``_LONG`` has a row of its own.
_WIDE, _LONG = 90, 14

Trace = dict[str, Any]


def figure(data: Sequence[Trace], **layout: Any) -> dict[str, Any]:
    """Return a plotly figure; ``layout`` overrides the common layout."""
    common: dict[str, Any] = {
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": var("ink")},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": dict(MARGIN),
        "meta": {"narrow": dict(NARROW)},
        "showlegend": False,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "xanchor": "left",
            "yanchor": "bottom",
            "bgcolor": "rgba(0,0,0,0)",
        },
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": var("panel"),
            "bordercolor": var("line"),
            "font": {"color": var("ink")},
            "align": "left",
        },
    }
    if layout.get("showlegend"):
        layout = _merge(_legend(data), layout)
    return {"data": list(data), "layout": _merge(common, layout)}


def _legend(data: Sequence[Trace]) -> dict[str, Any]:
    """Return margins that make room for a legend above the chart."""
    names = [trace["name"] for trace in data if trace.get("showlegend", True)]
    rows = -(-sum(map(len, names)) // _WIDE)
    narrow = -(-len(names) // (1 if max(map(len, names)) > _LONG else 2))
    return {
        "margin": {"t": 16 + 22 * rows},
        "meta": {"narrow": {"t": 16 + 20 * narrow}},
    }


def stacked_legend(data: Sequence[Trace]) -> dict[str, Any]:
    """Return the part of a layout that shows the legend's entries below each other on a phone.

    For a chart that is wider than a phone: side by side, entries would be out of sight.
    """
    return {"meta": {"narrow": {"t": 20 + 20 * len(data)}, "narrow_legend": {"orientation": "v"}}}


def axis(text: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis with the title ``text`` and a faint grid; ``more`` overrides its settings."""
    return _merge(
        {
            "title": {"text": text, "standoff": 10},
            "gridcolor": var("grid"),
            "linecolor": var("line"),
            "zerolinecolor": var("line"),
            "tickcolor": var("line"),
            "automargin": True,
            "ticklabeloverflow": "allow",
        },
        more,
    )


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    layout = dict(under)
    for key, value in over.items():
        previous = layout.get(key)
        are_mappings = isinstance(previous, Mapping) and isinstance(value, Mapping)
        layout[key] = _merge(previous, value) if are_mappings else value  # type: ignore[arg-type]
    return layout
