"""The pieces of HTML that a notebook shows. All text is escaped here.

Colours are shares of the text's colour, so that they suit light and dark pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from hpsearch.foreign_text import clean
from hpsearch.formatting import in_percent

_STYLE = """<style>
.hpsearch{font-size:13px;line-height:1.45}
.hpsearch h4{margin:0 0 .3em;font-size:14px}
.hpsearch p{margin:.15em 0}
.hpsearch .soft{opacity:.72}
.hpsearch .bad{font-weight:600;border-left:3px solid currentColor;padding-left:.5em}
.hpsearch table{border-collapse:collapse;margin:.4em 0}
.hpsearch th,.hpsearch td{padding:.15em .7em;text-align:right;
  border-bottom:1px solid color-mix(in srgb,currentColor 22%,transparent)}
.hpsearch th:first-child,.hpsearch td:first-child{text-align:left}
.hpsearch .bar{height:8px;width:100%;max-width:420px;border-radius:4px;overflow:hidden;
  background:color-mix(in srgb,currentColor 15%,transparent)}
.hpsearch .bar div{height:100%;background:currentColor;opacity:.6}
</style>"""


def _escape(text: str) -> str:
    return escape(clean(text))


def page(*parts: str) -> str:
    """Return ``parts`` (HTML) as one block with its style."""
    return f'{_STYLE}<div class="hpsearch">{"".join(parts)}</div>'


def title(text: str) -> str:
    """Return a heading."""
    return f"<h4>{_escape(text)}</h4>"


def line(text: str, kind: str = "") -> str:
    """Return one paragraph; ``kind`` is "", "soft" or "bad"."""
    return f'<p class="{kind}">{_escape(text)}</p>' if kind else f"<p>{_escape(text)}</p>"


def bar(share: float) -> str:
    """Return a progress bar; ``share`` is 0 to 1."""
    percent = in_percent(min(max(share, 0.0), 1.0), 1)
    return (
        f'<div class="bar" role="progressbar" aria-valuenow="{percent:g}" aria-valuemin="0" '
        f'aria-valuemax="100"><div style="width:{percent:g}%"></div></div>'
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; ``None`` is shown as a dash."""
    head = "".join(f"<th>{_escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_escape(cell_text(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def cell_text(value: Any) -> str:
    """Return a value as text, a float with six digits."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
