"""What follows a search, in order, each stage with its estimated seconds.

To insert a stage: add it to ``STAGES`` with its estimate, and its work under the same name to
``hpsearch.cli.commands.after_search``. An ``optional`` stage runs only if the stored deadline names
it (``Deadline.stages``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from hpsearch.results.ablation.alternatives import MOST_CELLS
from hpsearch.results.ablation.plan import FIRST_ROUND
from hpsearch.results.ablation.spec import LOOKS, SEEDS, timed_search
from hpsearch.results.confirmation.choosing import smaller
from hpsearch.results.confirmation.spec import confirmed_search
from hpsearch.results.deadline.costs import confirmation_seconds, makespan
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.study import Confirm

#: The most of the time from the launch to the deadline that is kept for the confirmation.
MOST_FOR_CONFIRMATION = 0.4

#: The same if even the smallest confirmation needs more, and for the final training.
MOST_AT_ALL, MOST_FOR_FINAL = 0.6, 0.2

#: The most of that time for the answer to the study's question: until the values in question have
#: ``SEEDS`` seeds at the winner's settings, and for the whole question.
MOST_FOR_ANSWER, MOST_FOR_WHOLE_ANSWER = 0.35, 0.25

#: The most for the confirmation if the question is answered, too; both together; and the least for
#: the answer.
MOST_BESIDE_ANSWER, MOST_TOGETHER, LEAST_FOR_ANSWER = 0.3, 0.65, 0.1

#: Seconds of a confirmation besides its trainings: its workers start, its result is computed.
START_SECONDS = 5.0

#: The time of the answer as a multiple of its trainings': its result takes time, too.
_ANSWER_MARGIN = 1.1

#: All images as a multiple of those of a trial, for which some are kept apart for validation.
_ALL_IMAGES = 1.25


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The inputs of the estimates: what the search has measured so far."""

    workers: int
    #: Seconds of a whole training of each trial that may become a finalist, best first; empty
    #: before the first epoch.
    finalists: tuple[float, ...]
    #: The same of the baseline, the first of ``try_first``; ``None`` without one.
    baseline: float | None
    #: The study file's settings.
    confirm: Confirm
    #: Seconds from the launch to the deadline.
    total: float
    #: Seconds of writing report and bundle.
    report: float
    #: How many values the study's question compares; 0 if it isn't answered.
    values: int = 0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step after the search."""

    name: str
    #: Returns about how many seconds it takes.
    seconds: Callable[[Measured], float]
    #: Whether it runs only if the deadline names it.
    optional: bool = False


def _confirm(measured: Measured) -> float:
    """Return the time of the largest confirmation that may be reserved."""
    share = MOST_BESIDE_ANSWER if measured.values else MOST_FOR_CONFIRMATION
    most = share * measured.total
    if not measured.finalists:
        return most / 2  # whatever it costs, the search must begin
    durations = measured.finalists
    cost = most
    for top, seeds, _ in smaller(measured.confirm):
        # Trials that don't exist yet take as long as the slowest that does
        finalists = [*durations[:top], *[max(durations)] * (top - len(durations))]
        cost = confirmation_seconds(
            finalists, seeds=seeds, baseline=measured.baseline, workers=measured.workers
        )
        if cost <= most:
            break
    # Without a complete trial there is nothing to confirm
    return min(cost + START_SECONDS, MOST_AT_ALL * measured.total)


def _answer(measured: Measured) -> float:
    """Return the time of the largest ablation that may be reserved; it may get fewer seeds."""
    total = measured.total
    if not measured.finalists:
        return MOST_FOR_ANSWER * total / 2
    training, workers = measured.finalists[0], measured.workers
    ends = (0, FIRST_ROUND, *LOOKS, SEEDS)  # workers wait between rounds
    smallest = sum(
        makespan([training] * measured.values * (end - start), workers)
        for start, end in pairwise(ends)
    )
    whole = makespan([training] * MOST_CELLS * SEEDS, workers)
    most = max(
        min(_ANSWER_MARGIN * smallest, MOST_FOR_ANSWER * total),
        min(whole, MOST_FOR_WHOLE_ANSWER * total),
    )
    left = max(LEAST_FOR_ANSWER * total, MOST_TOGETHER * total - _confirm(measured))
    return min(most, left)


def _train_final(measured: Measured) -> float:
    cost = _ALL_IMAGES * max(measured.finalists, default=0.0)
    return min(cost, MOST_FOR_FINAL * measured.total)


#: In the order in which they run. The report is last, as it contains the results of all others.
STAGES = (
    Stage(name="confirm", seconds=_confirm),
    Stage(name="answer", seconds=_answer, optional=True),
    Stage(name="train-final", seconds=_train_final, optional=True),
    Stage(name="report", seconds=lambda measured: measured.report),
)


def stage_of(study: StoredStudy) -> str | None:
    """Return the stage that a planned study is; ``None`` for a search."""
    if confirmed_search(study) is not None:
        return "confirm"
    return None if timed_search(study) is None else "answer"


def stages_of(names: frozenset[str]) -> Iterator[Stage]:
    """Yield the stages that run, in order; ``names`` are those of the optional ones."""
    for stage in STAGES:
        if not stage.optional or stage.name in names:
            yield stage


def reserved_seconds(measured: Measured, names: frozenset[str]) -> dict[str, float]:
    """Return stage -> estimated seconds, in order.

    Args:
        measured: What the search has measured.
        names: The names of the optional stages that run.
    """
    return {stage.name: stage.seconds(measured) for stage in stages_of(names)}
