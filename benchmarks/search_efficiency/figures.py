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
    kept: Floats = ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)
    return kept


@dataclass(frozen=True)
class Interval:
    """A statistic and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def text(self, unit: float = 1.0, digits: int = 2) -> str:
        """Return it as text for a table."""
        value, low, high = (f"{unit * each:.{digits}f}" for each in vars(self).values())
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
    given = [each.stays if stays else each.within for each in rows]
    return np.array(
        [
            float(each.most_epochs if epochs is None else min(epochs, each.most_epochs))
            for each, epochs in zip(rows, given, strict=True)
        ]
    )


def show(found: Sequence[Reached], *, reference: str = DEFAULTS, width: int = 180) -> None:
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
        title=f"{name}, {workers} worker{'s' * (workers > 1)}, {replays} replays: epochs until the "
        "pick is within a point (never: the budget), and true regret of the pick in points "
        "(interquartile mean) at so much of the budget"
    )
    columns = ("", "epochs", "median", "reached", "until it stays", "stays",
               *(f"{mark:.0%}" for mark in MARKS), "epochs run", "best seen")  # fmt: skip
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for method, all_of in rows.items():
        told = figures_of(all_of)
        cells = [f"{100 * regret:.2f}" for regret in told["regret"]]
        table.add_row(
            method,
            f"{told['epochs']:.0f}",
            "never" if told["median"] is None else f"{told['median']:.0f}",
            f"{told['reached']:.0%}",
            f"{told['epochs_until_it_stays']:.0f}",
            f"{told['stays']:.0%}",
            *cells,
            f"{np.mean([each.epochs for each in all_of]):.0f}",
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
                *(each.text(100) for each in against["regret"]),
            )
    console.print(table)


def figures_of(rows: Sequence[Reached]) -> dict[str, Any]:
    """Return the statistics of one contestant on one table with one number of workers."""
    near = [_in_budget(each.within, each) for each in rows]
    middle = float(np.median(near))
    return {
        "epochs": float(capped(rows).mean()),
        # Over all replays: ``None`` if fewer than half reached it
        "median": middle if math.isfinite(middle) else None,
        "reached": float(np.isfinite(near).mean()),
        "epochs_until_it_stays": float(capped(rows, stays=True).mean()),
        "stays": float(np.mean([math.isfinite(_in_budget(each.stays, each)) for each in rows])),
        "regret": [float(interquartile_mean(_regret(rows, place))) for place in range(len(MARKS))],
    }


def _in_budget(epochs: int | None, found: Reached) -> float:
    """Return ``epochs``, infinite beyond the budget's (short epochs leave time for more)."""
    return math.inf if epochs is None or epochs > found.most_epochs else epochs


def compared(theirs: Sequence[Reached], ours: Sequence[Reached]) -> dict[str, Any]:
    """Return the ratio of epochs and the difference of regrets to the reference, as intervals."""
    return {
        "epochs": ratio(capped(theirs), capped(ours)),
        "epochs_until_it_stays": ratio(capped(theirs, stays=True), capped(ours, stays=True)),
        "regret": [
            difference(_regret(theirs, place), _regret(ours, place)) for place in range(len(MARKS))
        ],
    }


def as_json(found: Sequence[Reached], *, reference: str = DEFAULTS) -> dict[str, Any]:
    """Return every statistic, for ``--json``: regret in 0..1, intervals as [value, low, high]."""
    cases = []
    for name in dict.fromkeys(each.table for each in found):
        for workers in sorted({each.workers for each in found if each.table == name}):
            rows = _of(found, name, workers)
            methods = {method: figures_of(all_of) for method, all_of in rows.items()}
            if reference in rows:
                for method, all_of in rows.items():
                    if method != reference:
                        against = compared(all_of, rows[reference])
                        methods[method]["against_reference"] = {
                            key: [_listed(one) for one in each]
                            if isinstance(each, list)
                            else _listed(each)
                            for key, each in against.items()
                        }
            replays = len(next(iter(rows.values())))
            cases.append(
                {"table": name, "workers": workers, "replays": replays, "methods": methods}
            )
    return {"marks": list(MARKS), "reference": reference, "cases": cases}


def _listed(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def _regret(rows: Sequence[Reached], place: int) -> Floats:
    return np.array([each.regret[place] for each in rows])


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
                # Equal values share their ranks
                rank = 1 + (at < value - 1e-12).sum() + (np.isclose(at, value).sum() - 1) / 2
                ranks.setdefault(methods[place], []).append(float(rank))
        for method, value in zip(methods, means[:, -1] - means[:, -1].min(), strict=True):
            if method not in behind or value > behind[method][1]:
                behind[method] = (f"{name}, {workers}", float(value))
    return {method: float(np.mean(each)) for method, each in ranks.items()}, behind
