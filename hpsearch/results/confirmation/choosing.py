"""Which trials of a stored search are confirmed, with how many seeds, and at what cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from hpsearch.results import trial_attributes
from hpsearch.results.confirmation.finalists import Candidate, Finalists, finalists
from hpsearch.results.confirmation.over_groups import OVER_GROUPS, Error, of_json
from hpsearch.results.confirmation.spec import FIRST_ROUND
from hpsearch.results.question import rival_of
from hpsearch.results.ranking import contenders
from hpsearch.results.records import StudyRecord, first_of_try_first
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.study_file.study import Confirm

#: Default limit of a confirmation's epochs, as a share of the search's.
DEFAULT_SHARE = 1.0

#: Seeds aren't lowered below this number; the number of finalists is lowered instead.
_FEWEST_SEEDS = 3


#: Whether there is time for a confirmation of these finalists with this number of seeds.
Fits: TypeAlias = Callable[[Finalists, int], bool]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The settings of a confirmation."""

    finalists: Finalists
    seeds: int
    #: The rule by which the finalists were chosen, and how the budget share changed it.
    rule: str


def most_trainings(finalists: int, seeds: int, *, baseline: bool) -> int:
    """Return the largest number of trainings that a confirmation needs if none of them fails.

    Every finalist is trained with every seed of the selection; the winner, the runner-up and the
    baseline also with those of the report.

    Args:
        finalists: Number of finalists.
        seeds: Number of seeds of the selection, and of the report.
        baseline: Whether there is a baseline.
    """
    reported = min(2, finalists) + (1 if baseline else 0)
    return (finalists * seeds if finalists > 1 else FIRST_ROUND) + reported * seeds


def choose(
    database: Database,
    search: StudyRecord,
    settings: Confirm,
    *,
    has_try_first: bool,
    exactly: bool = False,
    bounded: bool = False,
    fits: Fits | None = None,
) -> Choice:
    """Choose the finalists and their seeds.

    Args:
        database: The search's database.
        search: The search.
        settings: The user's settings.
        has_try_first: Whether the search's file has a ``try_first``.
        exactly: Whether ``settings.top`` is the number of finalists, without additional ones that
            are tied with the last of them.
        bounded: Whether to stay within the epochs that the search ran if ``settings`` has no share.
        fits: Returns whether there is time for a confirmation; ``None`` if time is no limit.

    Returns:
        The choice, as far as the share and the time allow the settings.

    Raises:
        UserError: If no trial is complete or paused at a rung.
    """
    order = contenders(search)
    candidates = [
        Candidate(
            trial=trial.number,
            value=trial.value,
            params=trial.params,
            complete=trial.state is TicketState.COMPLETE,
        )
        for trial in order
        if trial.number is not None and trial.value is not None
    ]
    images = 1
    if order and order[0].trial_id is not None:
        images = trial_attributes.read(database, order[0].trial_id).get("val_images", 0)

    baseline = _baseline(database, search) if has_try_first else None
    rival = None if exactly or settings.top < 2 else rival_of(search, order)

    def best(top: int, with_rival: bool) -> Finalists:
        return finalists(
            candidates,
            metric=search.objective.metric,
            images=images,
            top=top,
            exactly=exactly,
            baseline=baseline,
            rival=rival if with_rival else None,
            error_of=partial(_error_of, database, search),
        )

    share = settings.share
    if share is None and bounded:
        share = DEFAULT_SHARE
    if fits is not None:
        return within_time(
            best,
            settings,
            fits,
            most_epochs=None if share is None else share * search.counts.epochs_run,
            epochs_per_trial=search.study.epochs_per_trial,
        )
    if share is None:
        all_finalists = best(settings.top, True)
        return Choice(finalists=all_finalists, seeds=settings.seeds, rule=all_finalists.rule)
    return within_share(
        best,
        settings,
        share,
        search_epochs=search.counts.epochs_run,
        epochs_per_trial=search.study.epochs_per_trial,
    )


def within_share(
    best: Callable[[int, bool], Finalists],
    settings: Confirm,
    share: float,
    *,
    search_epochs: int,
    epochs_per_trial: int,
) -> Choice:
    """Lower the settings until the largest possible cost is allowed.

    First ``top`` is lowered to 2, then the seeds to 3: an interval over two seeds shows little.
    Then only the best trial and what the study's question compares it with are trained again, at
    last only the best, with as many seeds as possible.

    Args:
        best: Returns the finalists for a ``top``, and with or without the question's rival.
        settings: The user's settings.
        share: The most epochs, as a share of the search's.
        search_epochs: Epochs that the search ran.
        epochs_per_trial: Epochs of one training.

    Returns:
        The choice; its rule describes how the settings were changed.
    """
    allowed = share * search_epochs
    for top, seeds, with_rival in smaller(settings):
        finalists = best(top, with_rival)
        most = most_trainings(len(finalists.trials), seeds, baseline=finalists.baseline is not None)
        cost = most * epochs_per_trial
        if cost <= allowed:
            break
    rule = finalists.rule
    if (top, seeds) != (settings.top, settings.seeds) or cost > allowed:
        bound = (
            f"it may cost as many epochs as the search ran, {search_epochs}"
            if settings.share is None
            else f"confirm.share {share:g} of the search's {search_epochs} epochs allows "
            f"{allowed:.0f}"
        )
        more = "" if settings.share is not None else " (--top and --seeds ask for more)"
        rule += (
            f"; {bound}, so top {settings.top} became {top} and seeds {settings.seeds} became "
            f"{seeds}{more}"
        )
    if cost > allowed:
        rule += f" (no confirmation is smaller: it may take {cost})"
    return Choice(finalists=finalists, seeds=seeds, rule=rule)


def within_time(
    best: Callable[[int, bool], Finalists],
    settings: Confirm,
    fits: Fits,
    *,
    most_epochs: float | None,
    epochs_per_trial: int,
) -> Choice:
    """Lower the settings as ``within_share`` does, until there is time for the confirmation.

    Args:
        best: Returns the finalists for a ``top``, and with or without the question's rival.
        settings: The user's settings.
        fits: Returns whether there is time for a confirmation.
        most_epochs: The most epochs that a share allows; ``None`` without one.
        epochs_per_trial: Epochs of one training.

    Returns:
        The choice; its rule describes how the settings were changed.
    """
    for top, seeds, with_rival in smaller(settings):
        finalists = best(top, with_rival)
        most = most_trainings(len(finalists.trials), seeds, baseline=finalists.baseline is not None)
        if most_epochs is not None and most * epochs_per_trial > most_epochs:
            continue
        if fits(finalists, seeds):
            break
    rule = finalists.rule
    changed = [
        f"{name} {before} became {now}"
        for name, before, now in (("top", settings.top, top), ("seeds", settings.seeds, seeds))
        if before != now
    ]
    if changed:
        rule += f"; to end before the deadline, {' and '.join(changed)}"
    return Choice(finalists=finalists, seeds=seeds, rule=rule)


def smaller(settings: Confirm) -> list[tuple[int, int, bool]]:
    """Return smaller and smaller settings: ``top``, seeds, and whether the question's rival runs.

    The first are the user's.
    """
    fewest = min(settings.seeds, _FEWEST_SEEDS)
    tries = [(top, settings.seeds, True) for top in range(settings.top, 2, -1)]
    if settings.top > 1:
        for top in (2, 1):
            tries += [(top, seeds, True) for seeds in range(settings.seeds, fewest - 1, -1)]
    return tries + [(1, seeds, False) for seeds in range(settings.seeds, FIRST_ROUND - 1, -1)]


def _error_of(database: Database, search: StudyRecord, number: int) -> Error | None:
    """Return the error of a trial's value over groups of images; ``None`` without groups."""
    trial_id = search.trial(number).trial_id
    if trial_id is None:
        return None
    errors = of_json(trial_attributes.read(database, trial_id).get(OVER_GROUPS))
    return None if errors is None else errors.figures.get(search.objective.metric)


def _baseline(database: Database, search: StudyRecord) -> int | None:
    """Return the first trial of ``try_first``, if it is complete."""
    first = first_of_try_first(database, search)
    return first.number if first is not None and first.state is TicketState.COMPLETE else None
