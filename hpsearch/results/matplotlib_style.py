"""Drawing by matplotlib: no display, several threads, and the same bytes for the same figure.

Letters of other people stay letters: none is read as a formula, and none makes an SVG unreadable.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import RLock
from typing import IO, TYPE_CHECKING, Any

from hpsearch.foreign_text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Matplotlib isn't made for several threads, and its settings are those of the whole process
_LOCK = RLock()
_OWN_FONT = "DejaVu Sans"
_SETTINGS: dict[Any, Any] = {"svg.hashsalt": "hpsearch", "text.parse_math": False}

#: Fonts that have the letters which matplotlib's own lacks, by the names under which systems have
#: them; those that are installed are asked in this order.
_OTHER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR"),
    *("Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback"),
    *("IPAGothic", "TakaoGothic", "NanumGothic", "UnDotum", "AR PL UMing CN"),
    *("Hiragino Sans", "PingFang SC", "Heiti TC", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Yu Gothic", "Meiryo", "Microsoft YaHei", "SimHei", "Malgun Gothic", "Segoe UI Symbol"),
    *("Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai"),
    *("Noto Sans Hebrew", "Noto Sans Arabic", "Noto Emoji", "Symbola", "FreeSans", "Unifont"),
)

# XML 1.0 has no way to write these at all
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@contextmanager
def mpl_style(settings: Mapping[Any, Any]) -> Iterator[None]:
    """Draw or save by these settings of matplotlib's; other threads wait."""
    import matplotlib as mpl

    with _LOCK, warnings.catch_warnings():
        # Of text in an SVG, which the reader's fonts draw: only its width is guessed
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        given = {"font.family": [_OWN_FONT, *other_fonts()], **_SETTINGS, **settings}
        with mpl.rc_context():
            # Matplotlib reads a matplotlibrc of the current folder, whosever that is: it may change
            # every figure, and have LaTeX set the text
            mpl.rcdefaults()
            mpl.rcParams.update(given)
            yield


def new_figure(inches: tuple[float, float], **options: Any) -> Figure:
    """Return an empty figure that no window belongs to."""
    from matplotlib.figure import Figure

    return Figure(figsize=inches, layout="constrained", **options)


def save(figure: Figure, target: Path | IO[bytes], kind: str) -> None:
    """Write a figure as ``png`` or ``svg``, without the time; call it within ``mpl_style``."""
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(target, format=kind, metadata=metadata)


@cache
def other_fonts() -> tuple[str, ...]:
    """Return the fonts on this machine that have letters which matplotlib's own lacks."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in _OTHER_FONTS if name in installed)


@cache
def _letters() -> frozenset[int]:
    """Return the code points that the fonts can draw."""
    from matplotlib import font_manager

    found: set[int] = set()
    for name in (_OWN_FONT, *other_fonts()):
        found.update(font_manager.get_font(font_manager.findfont(name)).get_charmap())
    return frozenset(found)


def drawable(text: str) -> str:
    """Return ``printable(text)`` with letters that no font has by their numbers, as ``\\u65e5``.

    An empty box in their place would make all names of a script alike.
    """
    shown = printable(text)
    if shown.isascii():
        return shown
    letters = _letters()
    return "".join(
        char if char.isspace() or ord(char) in letters else _number(char) for char in shown
    )


def _number(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode()


def printable(text: str) -> str:
    """Return ``text`` as a figure shows it: nothing steers, nothing that an SVG can't hold."""
    return _NO_XML.sub("?", clean(text))
