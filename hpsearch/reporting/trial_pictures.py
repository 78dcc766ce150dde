"""The pictures of a trial: its learning curves and its confusion matrix, as SVG.

Text stays text in the picture: a browser has glyphs for every class name, and no text is parsed as
a formula.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.matplotlib_style import mpl_style, new_figure, printable, save
from hpsearch.metrics import EpochMetrics, is_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Two hues that red-green colour-blind people can distinguish (Okabe and Ito 2008)
_TRAIN, _VAL, _MARK = "#E69F00", "#0072B2", "#555555"

#: Largest length of a class name, and largest number of classes with counts.
_NAME, _NUMBERED = 18, 20


def learning_curves(
    curve: Sequence[EpochMetrics], metric: str, *, title: str, overfits_from: int | None
) -> bytes:
    """Draw loss and objective by epoch, as SVG.

    Args:
        curve: Results of the epochs, at least one.
        metric: The objective.
        title: Title of the picture.
        overfits_from: First epoch of overfitting; ``None`` without overfitting.
    """

    def draw(figure: Figure) -> None:
        losses, scores = figure.subplots(1, 2)
        series = [("train_loss", "training", _TRAIN), ("val_loss", "validation", _VAL)]
        _lines(losses, curve, series)
        _label(losses, "loss")
        has_accuracy = curve[0].val_accuracy == curve[0].val_accuracy  # not NaN
        score = metric if is_share(metric) or not has_accuracy else "val_accuracy"
        if score == "val_accuracy":
            series = [("train_accuracy", "training", _TRAIN), (score, "validation", _VAL)]
            _lines(scores, curve, series)
            _label(scores, "accuracy")
        else:
            _lines(scores, curve, [(score, "validation", _VAL)])
            _label(scores, score)
        for axes in (losses, scores):
            if overfits_from is not None:
                axes.axvline(overfits_from, color=_MARK, linestyle=":", linewidth=1.2)
        if overfits_from is not None:
            top = losses.get_ylim()[1]
            losses.text(overfits_from, top, " overfits", color=_MARK, fontsize=8, va="top")
        figure.suptitle(_plain(title), fontsize=11)

    return _svg((9.0, 3.4), draw)


def confusion_matrix(matrix: Sequence[Sequence[int]], names: Sequence[str], *, title: str) -> bytes:
    """Draw validation images by true class (rows) and predicted class (columns), as SVG.

    Colours are shares of a row, so that rare classes are as visible as frequent ones.

    Args:
        matrix: int (classes, classes), numbers of images.
        names: Class names; empty shows their indices.
        title: Title of the picture.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    classes = len(counts)
    labels = [_short(name) for name in names] or [str(index) for index in range(classes)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
        if len(labels) == classes and classes <= _NUMBERED * 2:
            ticks = np.arange(classes)
            axes.set_xticks(ticks, labels, rotation=90)
            axes.set_yticks(ticks, labels)
        if classes <= _NUMBERED:
            for row, column in np.argwhere(counts > 0):
                axes.text(
                    column,
                    row,
                    f"{int(counts[row, column])}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if shares[row, column] > 0.5 else "black",
                )
        _label(axes, "true class", "predicted class")
        axes.set_title(_plain(title), fontsize=11)

    side = min(4.5 + 0.22 * classes, 10.0)
    return _svg((side + 1.2, side), draw)


def _lines(
    axes: Axes, curve: Sequence[EpochMetrics], series: Sequence[tuple[str, str, str]]
) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [result.epoch for result in curve]
    for name, label, colour in series:
        values = [result.value(name) for result in curve]
        axes.plot(epochs, values, marker="o", markersize=3, color=colour, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)


def _label(axes: Axes, y: str, x: str = "epoch") -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _svg(inches: tuple[float, float], draw: Callable[[Figure], None]) -> bytes:
    stream = io.BytesIO()
    with mpl_style(_SETTINGS):
        figure = new_figure(inches)
        draw(figure)
        save(figure, stream, "svg")
    return stream.getvalue()


def _plain(text: str) -> str:
    return printable(text).replace("\n", " ")


def _short(name: str) -> str:
    plain = _plain(name)
    return plain if len(plain) <= _NAME else plain[: _NAME - 1] + "\u2026"
