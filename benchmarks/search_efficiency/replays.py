"""Replays: every contestant on the same table with the same seeds, and the results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.search_efficiency.contestants import METHODS, Make
from benchmarks.search_efficiency.simulation import Trace, Trouble, simulate
from benchmarks.search_efficiency.table import Table

#: The shares of the budget at which results are recorded.
MARKS = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The result of one contestant in one replay."""

    table: str
    workers: int
    method: str
    replay: int
    #: How far the picked configuration's true accuracy is below the table's best, at each mark.
    regret: list[float]
    #: The best validation accuracy of any epoch so far, at each mark.
    best_seen: list[float]
    #: Epochs until the pick first was within a point; ``None`` if it never was.
    within: int | None
    #: Epochs until it was within a point and stayed so; ``None`` if it isn't at the end.
    stays: int | None
    #: The budget in epochs, the upper bound of both.
    most_epochs: int
    epochs: int
    trials: int


def budget(table: Table, workers: int) -> float:
    """Return the seconds of a search."""
    return table.recorded.budget * table.full_seconds / workers


def budget_epochs(table: Table) -> int:
    """Return the epochs of a search if each takes as long as all do on average."""
    return round(table.recorded.budget * table.epochs)


def reached(table: Table, trace: Trace, workers: int, method: str, replay: int) -> Reached:
    """Evaluate a search by the true accuracy of its pick.

    Before there is a pick, the accuracy is the mean of all configurations, as of a random choice.
    """
    seconds, truth = budget(table, workers), table.truth
    top, blind = float(truth.max()), float(truth.mean())

    def regret(pick: int | None) -> float:
        return top - (blind if pick is None else float(truth[pick]))

    near = [(epochs, regret(pick) <= 0.01 + 1e-9) for _, epochs, pick, _ in trace.steps]
    within = next((epochs for epochs, is_near in near if is_near), None)
    stays = None
    for epochs, is_near in reversed(near):
        if not is_near:
            break
        stays = epochs
    marks = [trace.at(mark * seconds) for mark in MARKS]
    return Reached(
        table=table.recorded.name,
        workers=workers,
        method=method,
        replay=replay,
        regret=[regret(pick) for pick, _ in marks],
        best_seen=[best for _, best in marks],
        within=within,
        stays=stays,
        most_epochs=budget_epochs(table),
        epochs=trace.steps[-1][1] if trace.steps else 0,
        trials=trace.trials,
    )


def replay_once(
    table: Table, make: Make, workers: int, method: str, replay: int, trouble: Trouble | None = None
) -> Reached:
    """Run one search of one contestant."""
    trace = simulate(
        make(table, replay), table, table.draw_curves(replay), workers=workers,
        seconds=budget(table, workers), trouble=trouble, seed=replay,
    )  # fmt: skip
    return reached(table, trace, workers, method, replay)


def replay_all(
    tables: Iterable[Table],
    workers: Iterable[int],
    methods: Iterable[str],
    replays: range,
    *,
    trouble: Trouble | None = None,
    file: Path | None = None,
) -> Iterator[Reached]:
    """Yield the result of each replay.

    Args:
        tables: The tables to search.
        workers: The numbers of workers, one after the other.
        methods: Names in ``METHODS``.
        replays: The numbers of the replays, which seed them.
        trouble: Stragglers and crashes.
        file: A file of results with the same trouble: those in it aren't computed again, and new
            ones are added; ``None`` for no file.
    """
    previous = {_key(result): result for result in read_reached(file)} if file is not None else {}
    cases = [(table, count) for table in tables for count in workers]
    for table, count in cases:
        for method in methods:
            for replay in replays:
                key = (table.recorded.name, count, method, replay)
                result = previous.get(key)
                if result is None:
                    result = replay_once(table, METHODS[method], count, method, replay, trouble)
                    if file is not None:
                        with file.open("a") as lines:
                            lines.write(json.dumps(asdict(result)) + "\n")
                yield result


def read_reached(file: Path) -> list[Reached]:
    """Return the results in the file of an earlier call."""
    if not file.exists():
        return []
    return [Reached(**json.loads(line)) for line in file.read_text().splitlines()]


def _key(result: Reached) -> tuple[str, int, str, int]:
    return result.table, result.workers, result.method, result.replay
