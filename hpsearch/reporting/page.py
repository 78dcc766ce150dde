"""The page: one HTML file that needs neither a network nor a server.

It has one block of data and one script (plotly.js and ours), so that a server that allows
scripts by hash or nonce can send it unchanged. Jinja escapes all text in it.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from hpsearch.foreign_text import clean, clean_value
from hpsearch.reporting import palette
from hpsearch.reporting.blocks import Report

_TEMPLATES = "hpsearch.reporting"


def page(report: Report, *, nonce: str | None = None) -> str:
    """Return the report as HTML. ``nonce`` is added to each style and script, for a CSP."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Text that isn't `Markup` may come from outside
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    template = environment.from_string(_read("report.html.j2"))
    return template.render(
        report=report,
        nonce=Markup("" if nonce is None else ' nonce="{}"').format(nonce),
        css=Markup(palette.theme_css() + _read("report.css")),
        charts=Markup(_in_script(_figures(report))),
        program=Markup(_program()),
    )


def _read(name: str) -> str:
    return (files(_TEMPLATES) / "templates" / name).read_text(encoding="utf-8")


def _figures(report: Report) -> dict[str, Any]:
    return {address: chart.figure for address, chart in report.charts()}


def _in_script(value: Any) -> str:
    """Return JSON that can't end its script element, nor open a comment in it."""
    text = json.dumps(
        clean_value(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False
    )
    for sign, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(sign, escape)
    return text


def _program() -> str:
    from plotly.offline import get_plotlyjs

    plotly = str(get_plotlyjs())
    if "</script" in plotly.lower() or "<!--" in plotly:
        raise ValueError("this version of plotly.js can't be embedded in a page")
    return f"{plotly}\n;{_read('report.js')}"
