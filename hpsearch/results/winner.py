"""A study's winner, and the sentences about it that every output shows.

Terminal, reports, model cards, frozen files, dashboard and notebook use these sentences. The text
is plain, so callers must escape it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.formatting import count_noun
from hpsearch.metrics import MetricFormat
from hpsearch.results.ranking import ranked
from hpsearch.results.records import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from hpsearch.results.confirmation.verdict import ConfirmationResult

#: Warning about an interval that was computed without the images' groups.
LACKS_GROUPS = (
    "The images have groups, but this confirmation was stored before hpsearch recorded them: its "
    "intervals treat each image as independent, so they are too narrow. `hpsearch confirm --again` "
    "confirms again, over groups."
)


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The confirmed winner, or the best seen in the search."""

    #: The trial's number in the search.
    trial: int
    metric: str
    #: If confirmed, the mean over ``seeds`` fresh seeds, else the optimistic value of the search.
    value: float
    #: The 95 % interval over seeds and validation images; ``None`` if unconfirmed.
    interval: tuple[float, float] | None = None
    #: Number of fresh seeds that ``value`` is the mean of; 0 if unconfirmed.
    seeds: int = 0
    #: Which trial it is, its value, and how reliable that is.
    sentence: str

    @property
    def is_confirmed(self) -> bool:
        """Whether fresh seeds confirmed it."""
        return self.seeds > 0


def winner_of(record: StudyRecord, verdict: ConfirmationResult | None) -> Winner | None:
    """Return the confirmed winner, or the best seen if there is none.

    Args:
        record: The search.
        verdict: The verdict of its newest confirmation; ``None`` without one.

    Returns:
        The winner; ``None`` if no trial has a rank. With several objectives, it is the point of the
        front that is best by the objective that pruners use.
    """
    return (verdict and confirmed_winner(verdict)) or best_seen(record)


def confirmed_winner(verdict: ConfirmationResult) -> Winner | None:
    """Return the winner of a finished confirmation; ``None`` if it has no valid one."""
    spread = verdict.over_seeds_and_images or verdict.over_seeds
    if verdict.winner is None or not verdict.has_valid_winner or spread is None:
        return None
    form, interval = MetricFormat(verdict.metric), (spread.low, spread.high)
    return Winner(
        trial=verdict.winner,
        metric=verdict.metric,
        value=spread.estimate,
        interval=interval,
        seeds=len(verdict.reported),
        sentence=f"The winner is trial {verdict.winner}: {verdict.metric} "
        f"{form.value(spread.estimate)} (95 %: {form.interval(interval)}), confirmed with "
        f"{count_noun(len(verdict.reported), 'fresh seed')}.",
    )


def best_seen(record: StudyRecord) -> Winner | None:
    """Return the best trial of the search itself; ``None`` if no trial has a rank."""
    order = ranked(record)
    if not order or order[0].number is None or order[0].value is None:
        return None
    return Winner(
        trial=order[0].number,
        metric=record.objective.metric,
        value=order[0].value,
        sentence=unconfirmed_sentence(record, order[0]),
    )


def unconfirmed_sentence(record: StudyRecord, trial: TrialRecord) -> str:
    """Return a trial's value in the search, and its meaning: the best of many is optimistic."""
    if trial.invalid is not None:
        return (
            f"THIS TRIAL WAS DECLARED INVALID on {trial.invalid.at[:10]}: {trial.invalid.reason}. "
            "Its value can't be trusted."
        )
    order = ranked(record)
    if trial not in order:
        return f"This trial is {trial.state}, so its value can't be compared with complete ones."
    trials, place = f"{len(order)} complete trials", order.index(trial) + 1
    head, basis = f"Trial {trial.number} is number {place} of {trials}", "one seed"
    if len(order) == 1:
        head, basis = f"The best seen is trial {trial.number}", "one seed, the only complete trial"
    elif record.goals.is_multi_objective:
        head = f"Trial {trial.number} was chosen from {trials} by several objectives"
        basis = "one seed: optimistic"
    elif place == 1:
        head = f"The best seen is trial {trial.number}"
        basis = f"one seed, the best of {trials}: optimistic"
    metric = record.objective.metric
    return f"{head}: {metric} {MetricFormat(metric).value(trial.value)}, not confirmed ({basis})."


def basis_of(verdict: ConfirmationResult, nth: int = 1) -> str:
    """Return what the confirmed value is based on, as sentences.

    Args:
        verdict: A verdict with a winner.
        nth: Which confirmation of the search it is, from 1.
    """
    sentences = [
        "The value is the mean over fresh seeds that weren't used to choose the winner; the "
        f"interval is over seeds and {verdict.other_images}."
    ]
    if verdict.groups is not None:
        sentences.append(f"It is based on {verdict.sample}.")
    if verdict.lacks_groups:
        sentences.append(LACKS_GROUPS)
    if verdict.next_training is not None:
        one = verdict.next_training
        ends = MetricFormat(verdict.metric).interval((one.low, one.high))
        sentences.append(f"The 95 % interval of one more training is {ends}.")
    sentences += [distrusted(verdict), repeated(nth)]
    return " ".join(filter(None, sentences))


def distrusted(verdict: ConfirmationResult) -> str:
    """Return which finalists were declared invalid since, as text; empty if there are none."""
    if not verdict.invalid:
        return ""
    listed = "; ".join(f"trial {trial} ({why})" for trial, why in sorted(verdict.invalid.items()))
    return (
        f"Of its finalists these have since been declared invalid in the search: {listed}. Confirm "
        "again to compare without them (`hpsearch confirm --again`)."
    )


def repeated(nth: int) -> str:
    """Return the warning about the ``nth`` confirmation of a search; empty for the first."""
    if nth == 1:
        return ""
    return (
        f"This is confirmation {nth} of this search: the best of several is optimistic again. "
        "Report each of them, or the first."
    )


def outdated(newer: int) -> str:
    """Return the warning that ``newer`` trials ended since a confirmation; empty without one."""
    if newer <= 0:
        return ""
    return (
        f"The search has continued since: {count_noun(newer, 'newer trial')} not included in the "
        "confirmation (`hpsearch confirm --again` starts a new one)."
    )
