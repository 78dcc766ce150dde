"""Warnings of libraries that mean nothing to the people who read the output.

What they warn of, hpsearch says itself, by name and with what to do.
"""

from __future__ import annotations

import sys
import warnings

_HIDDEN = (
    # Pillow, of a picture near its limit: sources have limits of their own
    r"Image size \(\d+ pixels\) exceeds limit",
    # Matplotlib, for each character of a label that its fonts lack: `results.drawing` has others
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
