"""What all charts have in common: a layout without colours of its own, axes, small traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.results.report.palette import var

#: Room around a chart, in pixels; a phone has less.
_MARGIN = {"l": 64, "r": 16, "t": 12, "b": 56}
_NARROW = {"l": 48, "r": 8, "t": 8, "b": 48}

Trace = dict[str, Any]


def figure(data: Sequence[Trace], **layout: Any) -> dict[str, Any]:
    """Return a plotly figure; ``layout`` is laid over what all charts share."""
    shared: dict[str, Any] = {
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": var("ink")},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": dict(_MARGIN),
        "meta": {"narrow": dict(_NARROW)},
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
    return {"data": list(data), "layout": _merged(shared, layout)}


def axis(text: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis called ``text`` with a faint grid; ``more`` is laid over it."""
    return _merged(
        {
            "title": {"text": text, "standoff": 10},
            "gridcolor": var("grid"),
            "linecolor": var("line"),
            "zerolinecolor": var("line"),
            "tickcolor": var("line"),
            "automargin": True,
        },
        more,
    )


def with_legend(rows: int = 1) -> dict[str, Any]:
    """Return the layout that makes room for a legend of so many rows above the chart."""
    top = 14 + 24 * rows
    return {
        "showlegend": True,
        "margin": {**_MARGIN, "t": top},
        "meta": {"narrow": {**_NARROW, "t": top + 24 * rows}},
    }


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for key, value in over.items():
        known = found.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        found[key] = _merged(known, value) if both else value  # type: ignore[arg-type]
    return found
