"""The picture of a model card: its confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np

from hpsearch.matplotlib_style import drawable, mpl_style, new_figure, save

#: With more classes, the cells are too small for numbers, and every nth class is named.
_MOST_NUMBERS, _MOST_NAMES = 25, 60
#: Inches of a cell, and of the names and titles beside the matrix.
_CELL, _BESIDE = 0.42, 2.0
_LARGEST = 14.0
#: Characters of a class name.
_LONGEST_NAME = 18
_DPI = 120


def matrix_picture(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> bytes:
    """Return a PNG of a confusion matrix.

    A cell's colour is its share of the true class, so that classes of few images are as visible as
    others; its number is that of images.

    Args:
        confusion: Images by true class (rows) and predicted class.
        names: The classes.
    """
    matrix = np.asarray(confusion, dtype=np.int64)
    classes = len(names)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    inches = min(_LARGEST, _BESIDE + _CELL * max(classes, 4))
    every = -(-classes // _MOST_NAMES)
    labels = [_shorten(name) for name in names[::every]]
    with mpl_style({"font.size": 9}):
        figure = new_figure((inches, inches))
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(
            range(0, classes, every), labels, rotation=0 if max(map(len, labels)) <= 2 else 90
        )
        axes.set_yticks(range(0, classes, every), labels)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
        if classes <= _MOST_NUMBERS:
            for (row, column), count in np.ndenumerate(matrix):
                colour = "white" if shares[row, column] > 0.5 else "black"
                if count:
                    text = axes.text(column, row, f"{count:,}", color=colour, fontsize=8)
                    text.set(horizontalalignment="center", verticalalignment="center")
        stream = BytesIO()
        figure.set_dpi(_DPI)
        save(figure, stream, "png")
    return stream.getvalue()


def _shorten(name: str) -> str:
    text = drawable(" ".join(name.split()))
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "\u2026"
