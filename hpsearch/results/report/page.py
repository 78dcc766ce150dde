"""The page: one HTML file that needs nothing else, neither a network nor a server.

It has one block of data and one of program (plotly.js and ours), so that a server which allows
scripts by hash or nonce can send it as it is. No text reaches it but through Jinja's escaping.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from hpsearch.foreign_text import clean, clean_value
from hpsearch.results.report import palette
from hpsearch.results.report.blocks import Report

_TEMPLATES = "hpsearch.results.report"


def page(report: Report, *, nonce: str | None = None) -> str:
    """Return the report as HTML. ``nonce`` is written to each style and script, for a CSP."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What isn't text of the page itself, which is marked, may be anybody's
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    template = environment.from_string(_read("report.html.j2"))
    return template.render(
        report=report,
        nonce=Markup("" if nonce is None else ' nonce="{}"').format(nonce),
        css=Markup(_colours() + _read("report.css")),
        charts=Markup(_in_script(_figures(report))),
        program=Markup(_program()),
    )


def _read(name: str) -> str:
    return (files(_TEMPLATES) / "templates" / name).read_text(encoding="utf-8")


def _colours() -> str:
    light, dark = palette.css(palette.LIGHT), palette.css(palette.DARK)
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        "@media (prefers-color-scheme: dark) { "
        f":root:not([data-theme=light]) {{ color-scheme: dark; {dark} }} }}\n"
        f":root[data-theme=dark] {{ color-scheme: dark; {dark} }}\n"
        f"@media print {{ :root:root {{ color-scheme: light; {light} }} }}\n"
    )


def _figures(report: Report) -> dict[str, Any]:
    return {address: chart.figure for address, chart in report.charts()}


def _in_script(value: Any) -> str:
    """Return JSON that can't end the element which it stands in, nor open a comment there."""
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
        raise ValueError("this version of plotly.js can't stand in a page")
    return f"{plotly}\n;{_read('report.js')}"
