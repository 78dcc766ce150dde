"""Drawing with matplotlib: no display, several threads, and the same bytes for the same chart.

Text from outside can't be parsed as a formula, nor make an SVG unreadable.
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

# Matplotlib isn't thread-safe, and its settings apply to the whole process
_LOCK = RLock()
_OWN_FONT = "DejaVu Sans"
_SETTINGS: dict[Any, Any] = {"svg.hashsalt": "hpsearch", "text.parse_math": False}

#: Fonts with letters that matplotlib's own font lacks, by their names on common systems; installed
#: ones are used in this order.
_OTHER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR"),
    *("Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback"),
    *("IPAGothic", "TakaoGothic", "NanumGothic", "UnDotum", "AR PL UMing CN"),
    *("Hiragino Sans", "PingFang SC", "Heiti TC", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Yu Gothic", "Meiryo", "Microsoft YaHei", "SimHei", "Malgun Gothic", "Segoe UI Symbol"),
    *("Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai"),
    *("Noto Sans Hebrew", "Noto Sans Arabic", "Noto Emoji", "Symbola", "FreeSans", "Unifont"),
)

# XML 1.0 can't represent these characters
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@contextmanager
def mpl_style(settings: Mapping[Any, Any]) -> Iterator[None]:
    """Draw or save with these settings of matplotlib's; other threads wait."""
    import matplotlib as mpl

    with _LOCK, warnings.catch_warnings():
        # The reader's fonts draw the text of an SVG; only its width is estimated here
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        parameters = {"font.family": [_OWN_FONT, *other_fonts()], **_SETTINGS, **settings}
        with mpl.rc_context():
            # Matplotlib reads a matplotlibrc in the current folder, which may be anyone's: it could
            # change every chart, and run LaTeX
            mpl.rcdefaults()
            mpl.rcParams.update(parameters)
            yield


def new_figure(inches: tuple[float, float], **options: Any) -> Figure:
    """Return an empty figure without a window."""
    from matplotlib.figure import Figure

    return Figure(figsize=inches, layout="constrained", **options)


def save(figure: Figure, target: Path | IO[bytes], kind: str) -> None:
    """Write a figure without its creation time; call it within ``mpl_style``.

    Args:
        figure: The figure.
        target: A path or an open binary file.
        kind: ``png`` or ``svg``.
    """
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(target, format=kind, metadata=metadata)


@cache
def other_fonts() -> tuple[str, ...]:
    """Return the installed fonts with letters that matplotlib's own font lacks."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in _OTHER_FONTS if name in installed)


@cache
def _letters() -> frozenset[int]:
    """Return the code points that the fonts can draw."""
    from matplotlib import font_manager

    code_points: set[int] = set()
    for name in (_OWN_FONT, *other_fonts()):
        code_points.update(font_manager.get_font(font_manager.findfont(name)).get_charmap())
    return frozenset(code_points)


def drawable(text: str) -> str:
    """Return ``printable(text)``, with code points (``\\u65e5``) for letters that no font has.

    An empty box instead would make all names in a script equal.
    """
    label = printable(text)
    if label.isascii():
        return label
    letters = _letters()
    return "".join(
        char if char.isspace() or ord(char) in letters else _number(char) for char in label
    )


def _number(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode()


def printable(text: str) -> str:
    """Return ``text`` for a figure, without control characters and what an SVG can't contain."""
    return _NO_XML.sub("?", clean(text))
