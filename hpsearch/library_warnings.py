"""Hides warnings of libraries that don't help the user.

hpsearch reports the same problems itself, with names and what to do.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: The most bytes of C libraries' messages that are read: a damaged file may cause any number.
_MOST_CAPTURED = 2**16
#: A message of libtiff: the function or file, a colon, a sentence.
_NATIVE_LINE = re.compile(r"[\w.]+: .*\.")

_HIDDEN = (
    # Pillow, for a picture near its limit: sources have limits of their own
    r"Image size \(\d+ pixels\) exceeds limit",
    # Matplotlib, for each character that its font lacks: `matplotlib_style` has other fonts
    r"Glyph \d+ .* missing from",
    # tqdm, which Optuna imports, in a notebook without widgets
    "IProgress not found",
)


def hide() -> None:
    """Hide these warnings in this process, unless Python runs with ``-W``."""
    if sys.warnoptions:
        return
    for message in _HIDDEN:
        warnings.filterwarnings("ignore", message=message)


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Collect what C libraries write to stderr within the block.

    Yields:
        A list that contains their lines after the block, without line breaks. Other output to
        stderr, from another thread, is written after the block.
    """
    lines: list[str] = []
    try:
        before = os.dup(2)
    except OSError:  # stderr is closed: all output is lost anyway
        yield lines
        return
    with tempfile.TemporaryFile() as file:
        try:
            os.dup2(file.fileno(), 2)
            try:
                yield lines
            finally:
                os.dup2(before, 2)
        finally:
            os.close(before)
            file.seek(0)
            for raw in file.read(_MOST_CAPTURED).splitlines(keepends=True):
                line = raw.decode(errors="replace").rstrip("\n")
                if _NATIVE_LINE.fullmatch(line):
                    lines.append(line)
                else:
                    with suppress(OSError):
                        os.write(2, raw)
