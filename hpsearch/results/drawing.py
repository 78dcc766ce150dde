"""Drawing by matplotlib: no display, several threads, and the same bytes for the same figure.

Letters of other people stay letters: none is read as a formula, and none makes an SVG unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import IO, TYPE_CHECKING, Any

from hpsearch.foreign_text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Matplotlib isn't made for several threads, and its settings are those of the whole process
_LOCK = RLock()
_SETTINGS: dict[Any, Any] = {"svg.hashsalt": "hpsearch", "text.parse_math": False}

# XML 1.0 has no way to write these at all
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@contextmanager
def drawing(settings: Mapping[Any, Any]) -> Iterator[None]:
    """Draw or save by these settings of matplotlib's; other threads wait."""
    import matplotlib as mpl

    with _LOCK, mpl.rc_context({**_SETTINGS, **settings}):
        yield


def new_figure(inches: tuple[float, float], **options: Any) -> Figure:
    """Return an empty figure that no window belongs to."""
    from matplotlib.figure import Figure

    return Figure(figsize=inches, layout="constrained", **options)


def save(figure: Figure, target: Path | IO[bytes], kind: str) -> None:
    """Write a figure as ``png`` or ``svg``, without the time; call it within ``drawing``."""
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(target, format=kind, metadata=metadata)


def printable(text: str) -> str:
    """Return ``text`` as a figure shows it: nothing steers, nothing that an SVG can't hold."""
    return _NO_XML.sub("?", clean(text))
