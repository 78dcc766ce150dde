"""Figures of replays: interquartile means, paired bootstraps, ranks, and what is "faster"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as Printed

from benchmarks.search_efficiency.contestants import DEFAULTS, MEDIAN, SCREEN
from benchmarks.search_efficiency.replays import MARKS, Reached

RESAMPLES = 2000

#: Tables on which a default of ours was chosen.
CHOSEN_ON = ("small",)

Floats = NDArray[np.float64]


def interquartile_mean(values: Floats) -> Floats:
    """Return the mean of the middle half, along the last axis."""
    ordered = np.sort(values, axis=-1)
    cut = ordered.shape[-1] // 4
    kept: Floats = ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)
    return kept


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def text(self, unit: float = 1.0, digits: int = 2) -> str:
        """Return it for a table."""
        value, low, high = (f"{unit * each:.{digits}f}" for each in vars(self).values())
        return f"{value} [{low}, {high}]"


def resampled(replays: int) -> NDArray[np.int64]:
    """Return which replays each resample holds, the same for all who are compared."""
    return np.random.default_rng(0).integers(replays, size=(RESAMPLES, replays))


def _interval(value: float, resamples: Floats) -> Interval:
    low, high = np.percentile(resamples, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def difference(theirs: Floats, ours: Floats) -> Interval:
    """Return by how much ``theirs`` is larger; pairs of replays are resampled together."""
    rows = resampled(len(ours))
    resamples = interquartile_mean(theirs[rows]) - interquartile_mean(ours[rows])
    return _interval(float(interquartile_mean(theirs) - interquartile_mean(ours)), resamples)


def speed(theirs: Floats, ours: Floats) -> Interval:
    """Return how many times as long they take: ratio of mean times, cut off at the budget (1)."""
    rows = resampled(len(ours))
    resamples = theirs[rows].mean(axis=1) / ours[rows].mean(axis=1)
    return _interval(theirs.mean() / ours.mean(), resamples)


def show(found: Sequence[Reached], *, reference: str = DEFAULTS, width: int = 150) -> None:
    """Print every table."""
    console = Console(width=width)
    for name in dict.fromkeys(each.table for each in found):
        for workers in sorted({each.workers for each in found if each.table == name}):
            _show_one(console, _of(found, name, workers), name, workers, reference)
    _show_ranks(console, found)


def _of(found: Sequence[Reached], name: str, workers: int) -> dict[str, list[Reached]]:
    rows: dict[str, list[Reached]] = {}
    for each in found:
        if (each.table, each.workers) == (name, workers):
            rows.setdefault(each.method, []).append(each)
    return {method: sorted(all_of, key=lambda e: e.replay) for method, all_of in rows.items()}


def _show_one(
    console: Console, rows: dict[str, list[Reached]], name: str, workers: int, reference: str
) -> None:
    replays = len(next(iter(rows.values())))
    table = Printed(
        title=f"{name}, {workers} worker{'s' * (workers > 1)}, {replays} replays: true regret of "
        "the pick in points (interquartile mean), at so much of the budget"
    )
    columns = ("", *(f"{mark:.0%}" for mark in MARKS), "within 1 point", "its epochs", "epochs",
               "best seen")  # fmt: skip
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for method, all_of in rows.items():
        regret = np.array([each.regret for each in all_of]).T
        cells = [f"{100 * interquartile_mean(at):.2f}" for at in regret]
        near = [math.inf if each.within_1 is None else each.within_1[1] for each in all_of]
        reached = f"{np.mean(np.isfinite(near)):.0%}"
        typical = float(np.median(near))
        # The median where at least half came so far
        until = f"{typical:.0f}" if math.isfinite(typical) else "never"
        epochs = f"{np.mean([each.epochs for each in all_of]):.0f}"
        seen = interquartile_mean(np.array([each.best_seen[-1] for each in all_of]))
        table.add_row(method, *cells, reached, until, epochs, f"{100 * seen:.2f}")
    console.print(table)
    if reference in rows:
        _show_differences(console, rows, reference)


def _show_differences(console: Console, rows: dict[str, list[Reached]], reference: str) -> None:
    """Print by how much everybody's regret is larger than that of ``reference``, in pairs."""
    table = Printed(title=f"more regret than {reference}, points [95 %]; negative is better")
    shown = [place for place, mark in enumerate(MARKS) if mark >= 0.1]
    for column in ("", *(f"{MARKS[place]:.0%}" for place in shown), "time to 1 point / ours"):
        table.add_column(column, justify="right" if column else "left")
    own = rows[reference]
    for method, all_of in rows.items():
        if method == reference:
            continue
        cells = [
            difference(_regret(all_of, place), _regret(own, place)).text(100) for place in shown
        ]
        table.add_row(method, *cells, speed(_times(all_of), _times(own)).text())
    console.print(table)


def _regret(rows: Sequence[Reached], place: int) -> Floats:
    return np.array([each.regret[place] for each in rows])


def _times(rows: Sequence[Reached]) -> Floats:
    return np.array([1.0 if each.within_1 is None else each.within_1[0] for each in rows])


def _show_ranks(console: Console, found: Sequence[Reached]) -> None:
    ranks, behind = standing(found)
    if not ranks:
        return
    table = Printed(title="over all tables, numbers of workers and marks")
    for column in ("", "average rank", "worst table: points behind the best one there"):
        table.add_column(column, justify="right" if column else "left")
    for method, rank in sorted(ranks.items(), key=lambda each: each[1]):
        where, points = behind[method]
        table.add_row(method, f"{rank:.2f}", f"{100 * points:.2f} ({where})")
    console.print(table)
    for name, workers, ratios in claims(found):
        told = ", ".join(f"{against} {ratio.text()}" for against, ratio in ratios.items())
        console.print(
            f"{name}, {workers}: time until within a point, theirs / ours: {told}: "
            f"{verdict(name, ratios)}"
        )


def standing(
    found: Sequence[Reached],
) -> tuple[dict[str, float], dict[str, tuple[str, float]]]:
    """Return method -> average rank, and -> (table, points behind the best at the end there)."""
    ranks: dict[str, list[float]] = {}
    behind: dict[str, tuple[str, float]] = {}
    for name, workers in sorted({(each.table, each.workers) for each in found}):
        rows = _of(found, name, workers)
        methods = list(rows)
        means = np.array(
            [interquartile_mean(np.array([e.regret for e in rows[m]]).T) for m in methods]
        )
        for at in means.T:
            for place, value in enumerate(at):
                # Equal ones share their ranks
                rank = 1 + (at < value - 1e-12).sum() + (np.isclose(at, value).sum() - 1) / 2
                ranks.setdefault(methods[place], []).append(float(rank))
        for method, value in zip(methods, means[:, -1] - means[:, -1].min(), strict=True):
            if method not in behind or value > behind[method][1]:
                behind[method] = (f"{name}, {workers}", float(value))
    return {method: float(np.mean(each)) for method, each in ranks.items()}, behind


def claims(found: Sequence[Reached]) -> list[tuple[str, int, dict[str, Interval]]]:
    """Return how many times as long TPE + Median and 1 epoch + best take as our defaults."""
    told = []
    for name, workers in sorted({(each.table, each.workers) for each in found}):
        rows = _of(found, name, workers)
        if DEFAULTS in rows and MEDIAN in rows and SCREEN in rows:
            own = _times(rows[DEFAULTS])
            ratios = {other: speed(_times(rows[other]), own) for other in (MEDIAN, SCREEN)}
            told.append((name, workers, ratios))
    return told


def verdict(table: str, ratios: Mapping[str, Interval]) -> str:
    """Say whether "faster" may be said: against all of them, on a table that chose nothing."""
    if table in CHOSEN_ON:
        return "nothing may be claimed, the default was chosen on this table"
    return "faster" if all(each.low > 1 for each in ratios.values()) else "not shown to be faster"
