"""Warnings of libraries that mean nothing to the people who read the output.

What they warn of, hpsearch says itself, by name and with what to do.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Bytes of C libraries' messages that are looked at: a damaged file may give any number of them.
_MOST_CAPTURED = 2**16
#: How libtiff writes: the function or file, a colon, a sentence.
_NATIVE_LINE = re.compile(r"[\w.]+: .*\.")

_HIDDEN = (
    # Pillow, of a picture near its limit: sources have limits of their own
    r"Image size \(\d+ pixels\) exceeds limit",
    # Matplotlib, for each character of a label that its fonts lack: `results.matplotlib_style` has
    # others
    r"Glyph \d+ .* missing from",
    # tqdm, which Optuna imports, in a notebook without widgets
    "IProgress not found",
)


def hide() -> None:
    """Hide them in this process, unless Python was asked for warnings (``-W``)."""
    if sys.warnoptions:
        return
    for message in _HIDDEN:
        warnings.filterwarnings("ignore", message=message)


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Collect what libraries written in C write to the standard error stream meanwhile.

    Yields:
        A list that has their lines, without their ends, after the block. What else this process
        writes there, in another thread, comes out afterwards.
    """
    lines: list[str] = []
    try:
        before = os.dup(2)
    except OSError:  # closed: whatever is written is lost anyway
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
