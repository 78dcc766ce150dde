"""A chart of replays: the true regret of each contestant's pick over the used budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from benchmarks.search_efficiency.contestants import DEFAULTS
from benchmarks.search_efficiency.figures import interquartile_mean
from benchmarks.search_efficiency.replays import MARKS, Reached

#: Ticks of the vertical axis.
POINTS = (0.2, 0.5, 1, 2, 5, 10, 20, 50)


def plot(results: Sequence[Reached], file: Path, *, columns: int = 3) -> None:
    """Draw a panel per table and number of workers: regret in points at each mark of the budget.

    Args:
        results: The replays.
        file: The file to write; its suffix determines the format.
        columns: Panels side by side.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = sorted({(result.table, result.workers) for result in results})
    methods = list(dict.fromkeys(result.method for result in results))
    rows = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(3.6 * columns, 2.5 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (table, workers) in zip(axes.flat, panels, strict=False):
        for method in methods:
            regrets = [
                result.regret
                for result in results
                if (result.table, result.workers, result.method) == (table, workers, method)
            ]
            if not regrets:
                continue
            middle = 100 * interquartile_mean(np.array(regrets).T)
            ours = method == DEFAULTS
            axis.plot(
                [100 * mark for mark in MARKS], np.maximum(middle, POINTS[0]), marker="o",
                markersize=3, linewidth=2.4 if ours else 1.2, label=method, zorder=3 if ours else 2,
            )  # fmt: skip
        axis.set_title(f"{table}, {workers} worker{'s' * (workers > 1)}")
        axis.set(xscale="log", yscale="log", ylim=(POINTS[0], 60))
        axis.set_xticks([100 * mark for mark in MARKS], [f"{100 * mark:g}" for mark in MARKS])
        axis.set_yticks(POINTS, [f"{tick:g}" for tick in POINTS])
        axis.set_xticks([], minor=True)
        axis.set_yticks([], minor=True)
        axis.grid(alpha=0.3)
    figure.supxlabel("% of the budget")
    figure.supylabel("regret of the pick, points of test accuracy")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
