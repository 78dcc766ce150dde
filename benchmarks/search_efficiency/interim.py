"""How far interim answers are right: on replays, at several moments of each search.

A search's pick is compared with the other recorded trainings of its configuration, which have other
seeds: they are what a confirmation would have shown. The gain that is expected until the end of
the budget is compared with the gain in true accuracy that came.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.search_efficiency.contestants import METHODS
from benchmarks.search_efficiency.ours import FastSearch, Standing
from benchmarks.search_efficiency.replays import budget, budget_epochs
from benchmarks.search_efficiency.simulation import Searcher, simulate
from benchmarks.search_efficiency.table import Curve, Table
from hpsearch.results.interim import Contender, InterimAnswer, Progress, interim_answer

#: The moments, as shares of a search's time.
MARKS = (0.1, 0.2, 0.5, 0.8, 1.0)

#: Fresh seeds of the confirmation that an answer is about: as many as a table has.
SEEDS = 1


@dataclass(frozen=True, kw_only=True)
class Moment:
    """An interim answer, and what was true."""

    table: str
    workers: int
    replay: int
    #: Share of the search's time.
    mark: float
    #: ``None`` if there was no interim answer yet.
    answer: InterimAnswer | None
    #: Mean validation accuracy of the pick's other trainings at their end; ``None`` without any.
    others: float | None
    #: Whether the pick is truly better than the search's first trial; ``None`` if it isn't known.
    beats_first: bool | None
    #: True accuracy of the pick now and at the end of the budget; ``None`` before there is one.
    truth: float | None
    truth_at_end: float


def moments(table: Table, method: str, workers: int, replay: int) -> Iterator[Moment]:
    """Replay a search, and yield its interim answers.

    Args:
        table: The table.
        method: A contestant with hpsearch's own search.
        workers: The number of workers.
        replay: The replay's number.
    """
    searcher = METHODS[method](table, replay)
    if not isinstance(searcher, FastSearch):
        raise ValueError(f"{method} has no interim answers")
    watched = Watched(searcher, table, table.draw_curves(replay))
    trace = simulate(watched, table, watched.curves, workers=workers,
                     seconds=budget(table, workers), seed=replay)  # fmt: skip
    times = [when for when, *_ in trace.steps]
    end = trace.steps[-1][2]
    for mark in MARKS:
        step = int(np.searchsorted(times, mark * budget(table, workers), side="right")) - 1
        state = watched.states[step] if step >= 0 else State((), (), 0)
        pick = state.contenders[0].row if state.contenders else None
        answer = watched.answer(state)
        yield Moment(
            table=table.recorded.name,
            workers=workers,
            replay=replay,
            mark=mark,
            answer=answer,
            others=None if pick is None else watched.others(pick),
            beats_first=None
            if answer is None or answer.better_than_baseline is None
            else bool(table.truth[pick] > table.truth[searcher.trials[1].row]),
            truth=None if pick is None else float(table.truth[pick]),
            truth_at_end=0.0 if end is None else float(table.truth[end]),
        )


@dataclass(frozen=True)
class State:
    """A search after an epoch."""

    #: Best first.
    contenders: Sequence[Standing]
    #: Row and epochs of each trial.
    trained: Sequence[tuple[int, int]]
    epochs: int


class Watched(Searcher):
    """A search that remembers its state after each epoch."""

    def __init__(self, searcher: FastSearch, table: Table, curves: list[Curve]) -> None:
        self.searcher, self.table, self.curves = searcher, table, curves
        self.begin, self.report = searcher.begin, searcher.report
        self.diverged = searcher.diverged
        #: After each epoch.
        self.states: list[State] = []
        steps = np.diff(np.unique([value for curve in curves for value in curve.val_accuracy]))
        #: Validation images, as accuracies are multiples of one in so many.
        self.images = round(1 / float(steps[steps > 1e-9].min()))

    def pick(self) -> int | None:
        """Return the pick of the search."""
        trials = self.searcher.trials.values()
        state = State(
            contenders=tuple(replace(contender) for contender in self.searcher.contenders()),
            trained=tuple((trial.row, trial.epochs_done) for trial in trials),
            epochs=sum(trial.epochs_done for trial in trials),
        )
        self.states.append(state)
        return state.contenders[0].row if state.contenders else None

    def answer(self, state: State) -> InterimAnswer | None:
        """Return the interim answer at a state."""
        if not state.contenders:
            return None
        begun = len(state.trained)
        return interim_answer(
            [self._contender(contender) for contender in state.contenders],
            epochs=self.table.epochs,
            images=self.images,
            progress=Progress(
                trials=begun,
                left=round(begun * max(0.0, budget_epochs(self.table) / state.epochs - 1)),
                compute_seconds=sum(
                    sum(self.curves[row].seconds[:epochs]) for row, epochs in state.trained
                ),
                running=0,
            ),
            seeds=SEEDS,
            baseline=1,
        )

    def _contender(self, trial: Standing) -> Contender:
        values = self.curves[trial.row].val_accuracy[: trial.epochs_done]
        return Contender(trial=trial.ticket, curve=dict(enumerate(values, start=1)))

    def others(self, row: int) -> float | None:
        """Return the mean of the other trainings of a row; ``None`` without any."""
        accuracies = [
            curve.val_accuracy[-1]
            for curve in self.table.curves[row]
            if curve is not self.curves[row] and len(curve.val_accuracy) == self.table.epochs
        ]
        return float(np.mean(accuracies)) if accuracies else None


def show(moments: Sequence[Moment]) -> None:
    """Print how far the answers are right, for each table and for each moment."""
    print("covered: share of the 95 % intervals that contain the mean of other seeds; points of "
          "error of the pick's value and of the expected one; probability that the pick is better "
          "than the first trial, and how often it is; points that the rest of the budget brings, "
          "expected and real")  # fmt: skip
    print(f"{'':12}{'answers':>8}{'covered':>9}{'value':>8}{'expected':>9}{'P':>7}{'true':>6}"
          f"{'gain':>8}{'real':>6}")  # fmt: skip
    for name in sorted({moment.table for moment in moments}):
        _line(name, [moment for moment in moments if moment.table == name])
    for mark in sorted({moment.mark for moment in moments}):
        _line(f"{mark:.0%}", [moment for moment in moments if moment.mark == mark])
    _line("all", moments)


def _line(name: str, moments: Sequence[Moment]) -> None:
    answers = [(moment, moment.answer) for moment in moments if moment.answer is not None]
    pairs = [(answer, moment.others) for moment, answer in answers if moment.others is not None]
    inside = [answer.interval[0] <= other <= answer.interval[1] for answer, other in pairs]
    rivals = [(answer.better_than_baseline, moment.beats_first) for moment, answer in answers
              if moment.beats_first is not None]  # fmt: skip
    gains = [(100 * answer.gain_left, 100 * (moment.truth_at_end - (moment.truth or 0.0)))
             for moment, answer in answers if moment.mark < 1]  # fmt: skip
    print(f"{name:12}{len(answers):4}/{len(moments):<4}{_mean(inside):8.2f}"
          f"{_mean([100 * (answer.value - other) for answer, other in pairs]):+8.2f}"
          f"{_mean([100 * (answer.expected - other) for answer, other in pairs]):+9.2f}"
          f"{_mean([number for number, _ in rivals]):8.2f}"
          f"{_mean([number for _, number in rivals]):6.2f}"
          f"{_mean([number for number, _ in gains]):8.2f}"
          f"{_mean([number for _, number in gains]):6.2f}")  # fmt: skip


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean(np.array(values, dtype=np.float64))) if values else math.nan
