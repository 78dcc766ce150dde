"""Statistics of replays: epochs to within a point, interquartile means, bootstraps, ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as Printed

from benchmarks.search_efficiency.contestants import DEFAULTS
from benchmarks.search_efficiency.replays import MARKS, Reached

RESAMPLES = 2000

Floats = NDArray[np.float64]


def interquartile_mean(values: Floats) -> Floats:
    """Return the mean of the middle half, along the last axis."""
    ordered = np.sort(values, axis=-1)
    cut = ordered.shape[-1] // 4
    middle: Floats = ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)
    return middle


@dataclass(frozen=True)
class Interval:
    """A statistic and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def text(self, unit: float = 1.0, digits: int = 2) -> str:
        """Return it as text for a table."""
        value, low, high = (f"{unit * number:.{digits}f}" for number in vars(self).values())
        return f"{value} [{low}, {high}]"


def resampled(replays: int) -> NDArray[np.int64]:
    """Return the replays of each resample, the same for all contestants."""
    return np.random.default_rng(0).integers(replays, size=(RESAMPLES, replays))


def interval(value: float, resamples: Floats) -> Interval:
    """Return a statistic with the interval of its ``resamples``."""
    low, high = np.percentile(resamples, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def difference(theirs: Floats, ours: Floats) -> Interval:
    """Return how much larger ``theirs`` is; pairs of replays are resampled together."""
    rows = resampled(len(ours))
    resamples = interquartile_mean(theirs[rows]) - interquartile_mean(ours[rows])
    return interval(float(interquartile_mean(theirs) - interquartile_mean(ours)), resamples)


def ratio(theirs: Floats, ours: Floats) -> Interval:
    """Return the ratio of the means of their capped epochs and those of the reference."""
    rows = resampled(len(ours))
    resamples = theirs[rows].mean(axis=1) / ours[rows].mean(axis=1)
    return interval(theirs.mean() / ours.mean(), resamples)


def capped(rows: Sequence[Reached], *, stays: bool = False) -> Floats:
    """Return the epochs to within a point; those of the budget if it is never reached."""
    limits = [row.stays if stays else row.within for row in rows]
    return np.array(
        [
            float(row.most_epochs if epochs is None else min(epochs, row.most_epochs))
            for row, epochs in zip(rows, limits, strict=True)
        ]
    )


def show(results: Sequence[Reached], *, reference: str = DEFAULTS, width: int = 180) -> None:
    """Print every table."""
    console = Console(width=width)
    for name in dict.fromkeys(result.table for result in results):
        for workers in sorted({result.workers for result in results if result.table == name}):
            _show_one(console, _of(results, name, workers), name, workers, reference)
    _show_ranks(console, results)


def _of(results: Sequence[Reached], name: str, workers: int) -> dict[str, list[Reached]]:
    rows: dict[str, list[Reached]] = {}
    for result in results:
        if (result.table, result.workers) == (name, workers):
            rows.setdefault(result.method, []).append(result)
    return {method: sorted(all_of, key=lambda e: e.replay) for method, all_of in rows.items()}


def _show_one(
    console: Console, rows: dict[str, list[Reached]], name: str, workers: int, reference: str
) -> None:
    replays = len(next(iter(rows.values())))
    table = Printed(
        title=f"{name}, {workers} worker{'s' * (workers > 1)}, {replays} replays: epochs until the "
        "pick is within a point (never: the budget), and true regret of the pick in points "
        "(interquartile mean) at so much of the budget"
    )
    columns = ("", "epochs", "median", "reached", "until it stays", "stays",
               *(f"{mark:.0%}" for mark in MARKS), "epochs run", "best seen")  # fmt: skip
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for method, all_of in rows.items():
        figures = figures_of(all_of)
        cells = [f"{100 * regret:.2f}" for regret in figures["regret"]]
        table.add_row(
            method,
            f"{figures['epochs']:.0f}",
            "never" if figures["median"] is None else f"{figures['median']:.0f}",
            f"{figures['reached']:.0%}",
            f"{figures['epochs_until_it_stays']:.0f}",
            f"{figures['stays']:.0%}",
            *cells,
            f"{np.mean([result.epochs for result in all_of]):.0f}",
            f"{100 * interquartile_mean(np.array([e.best_seen[-1] for e in all_of])):.2f}",
        )
    console.print(table)
    if reference in rows:
        _show_differences(console, rows, reference)


def _show_differences(console: Console, rows: dict[str, list[Reached]], reference: str) -> None:
    """Print each contestant's epochs and regret against those of ``reference``, in pairs."""
    table = Printed(title=f"against {reference} [95 %]: epochs theirs / its; regret theirs - its")
    columns = ("", "epochs", "until it stays", *(f"{mark:.0%}" for mark in MARKS))
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    own = rows[reference]
    for method, all_of in rows.items():
        if method != reference:
            against = compared(all_of, own)
            table.add_row(
                method,
                against["epochs"].text(),
                against["epochs_until_it_stays"].text(),
                *(interval.text(100) for interval in against["regret"]),
            )
    console.print(table)


def figures_of(rows: Sequence[Reached]) -> dict[str, Any]:
    """Return the statistics of one contestant on one table with one number of workers."""
    near = [_in_budget(row.within, row) for row in rows]
    middle = float(np.median(near))
    return {
        "epochs": float(capped(rows).mean()),
        # Over all replays: ``None`` if fewer than half reached it
        "median": middle if math.isfinite(middle) else None,
        "reached": float(np.isfinite(near).mean()),
        "epochs_until_it_stays": float(capped(rows, stays=True).mean()),
        "stays": float(np.mean([math.isfinite(_in_budget(row.stays, row)) for row in rows])),
        "regret": [float(interquartile_mean(_regret(rows, place))) for place in range(len(MARKS))],
    }


def _in_budget(epochs: int | None, result: Reached) -> float:
    """Return ``epochs``, infinite beyond the budget's (short epochs leave time for more)."""
    return math.inf if epochs is None or epochs > result.most_epochs else epochs


def compared(theirs: Sequence[Reached], ours: Sequence[Reached]) -> dict[str, Any]:
    """Return the ratio of epochs and the difference of regrets to the reference, as intervals."""
    return {
        "epochs": ratio(capped(theirs), capped(ours)),
        "epochs_until_it_stays": ratio(capped(theirs, stays=True), capped(ours, stays=True)),
        "regret": [
            difference(_regret(theirs, place), _regret(ours, place)) for place in range(len(MARKS))
        ],
    }


def as_json(results: Sequence[Reached], *, reference: str = DEFAULTS) -> dict[str, Any]:
    """Return every statistic, for ``--json``: regret in 0..1, intervals as [value, low, high]."""
    cases = []
    for name in dict.fromkeys(result.table for result in results):
        for workers in sorted({result.workers for result in results if result.table == name}):
            rows = _of(results, name, workers)
            methods = {method: figures_of(all_of) for method, all_of in rows.items()}
            if reference in rows:
                for method, all_of in rows.items():
                    if method != reference:
                        against = compared(all_of, rows[reference])
                        methods[method]["against_reference"] = {
                            key: [_listed(one) for one in interval]
                            if isinstance(interval, list)
                            else _listed(interval)
                            for key, interval in against.items()
                        }
            replays = len(next(iter(rows.values())))
            cases.append(
                {"table": name, "workers": workers, "replays": replays, "methods": methods}
            )
    return {"marks": list(MARKS), "reference": reference, "cases": cases}


def _listed(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def _regret(rows: Sequence[Reached], place: int) -> Floats:
    return np.array([row.regret[place] for row in rows])


def _show_ranks(console: Console, results: Sequence[Reached]) -> None:
    ranks, behind = standing(results)
    if not ranks:
        return
    table = Printed(title="over all tables, numbers of workers and marks")
    for column in ("", "average rank", "worst table: points behind the best one there"):
        table.add_column(column, justify="right" if column else "left")
    for method, rank in sorted(ranks.items(), key=lambda pair: pair[1]):
        where, points = behind[method]
        table.add_row(method, f"{rank:.2f}", f"{100 * points:.2f} ({where})")
    console.print(table)


def standing(
    results: Sequence[Reached],
) -> tuple[dict[str, float], dict[str, tuple[str, float]]]:
    """Return method -> average rank, and -> (table, points behind the best at the end there)."""
    ranks: dict[str, list[float]] = {}
    behind: dict[str, tuple[str, float]] = {}
    for name, workers in sorted({(result.table, result.workers) for result in results}):
        rows = _of(results, name, workers)
        methods = list(rows)
        means = np.array(
            [interquartile_mean(np.array([e.regret for e in rows[m]]).T) for m in methods]
        )
        for at in means.T:
            for place, value in enumerate(at):
                # Equal values share their ranks
                rank = 1 + (at < value - 1e-12).sum() + (np.isclose(at, value).sum() - 1) / 2
                ranks.setdefault(methods[place], []).append(float(rank))
        for method, value in zip(methods, means[:, -1] - means[:, -1].min(), strict=True):
            if method not in behind or value > behind[method][1]:
                behind[method] = (f"{name}, {workers}", float(value))
    return {method: float(np.mean(numbers)) for method, numbers in ranks.items()}, behind
