"""The colours of a report: one list for the page, its charts and the charts on paper.

Categories are those of Okabe and Ito, which are distinguishable with any colour vision; the ramp
for values goes from light to dark evenly, so that it works in a black-and-white print. In addition
to colour, charts use shapes and dashes. Text has a contrast of 4.5 to 1 (WCAG AA) on its
background.
"""

from __future__ import annotations

from typing import Final

LIGHT: Final[dict[str, str]] = {
    "page": "#ffffff",
    "panel": "#f5f7fa",
    "line": "#d5dbe3",
    "grid": "#e6eaef",
    "ink": "#1a1f26",
    "soft": "#535d6a",
    "link": "#005a94",
    "good": "#00694c",
    "warn": "#8a4500",
    "warn-panel": "#fff4e5",
    "bad": "#b3261e",
    "series-1": "#0072b2",
    "series-2": "#d55e00",
    "series-3": "#008060",
    "series-4": "#b0568a",
    "series-5": "#8a6a00",
    "series-6": "#3a9ad9",
    "faint": "#a3acb8",
    # Worst to best: the best has the strongest contrast with the page
    "ramp-1": "#e3d78c",
    "ramp-2": "#bcaf6f",
    "ramp-3": "#868579",
    "ramp-4": "#4d5f79",
    "ramp-5": "#00306f",
    "heat-0": "#f4f7fb",
    "heat-1": "#00306f",
    "worse": "#b34700",
    "even": "#f1f3f5",
    "better": "#00558a",
}

DARK: Final[dict[str, str]] = {
    "page": "#10141a",
    "panel": "#181e26",
    "line": "#333d4a",
    "grid": "#27303b",
    "ink": "#e8ecf1",
    "soft": "#a7b2bf",
    "link": "#7cc0f4",
    "good": "#4fd1a5",
    "warn": "#ffb561",
    "warn-panel": "#2e2415",
    "bad": "#ff9d94",
    "series-1": "#56b4e9",
    "series-2": "#ff8a3d",
    "series-3": "#2fc39a",
    "series-4": "#e08fbd",
    "series-5": "#e0b52f",
    "series-6": "#9bd3f5",
    "faint": "#6a7684",
    "ramp-1": "#22456f",
    "ramp-2": "#4d6383",
    "ramp-3": "#8a8878",
    "ramp-4": "#c4b56a",
    "ramp-5": "#ffe945",
    "heat-0": "#18202b",
    "heat-1": "#ffe945",
    "worse": "#ff8a3d",
    "even": "#232b35",
    "better": "#56b4e9",
}

#: Shapes and dashes in the order of the colours, to distinguish series without colour.
SYMBOLS: Final = ("circle", "diamond", "square", "triangle-up", "x", "star")
DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SERIES: Final = tuple(f"series-{number}" for number in range(1, 7))
RAMP: Final = tuple(f"ramp-{number}" for number in range(1, 6))


def css(colours: dict[str, str]) -> str:
    """Return the colours as CSS custom properties."""
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def theme_css() -> str:
    """Return the colours of a page: those of the system's theme, or of ``data-theme``."""
    light, dark = css(LIGHT), css(DARK)
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        "@media (prefers-color-scheme: dark) { "
        f":root:not([data-theme=light]) {{ color-scheme: dark; {dark} }} }}\n"
        f":root[data-theme=dark] {{ color-scheme: dark; {dark} }}\n"
        f"@media print {{ :root:root {{ color-scheme: light; {light} }} }}\n"
    )


def var(name: str) -> str:
    """Return a chart's reference to a colour, which the page's script replaces by the theme's.

    Raises:
        KeyError: If there is no such colour.
    """
    if name not in LIGHT:
        raise KeyError(name)
    return f"var(--{name})"
