"""A study's winner, and the sentences about it that every output shows.

First what the study asks about, then the number, then against what. Terminal, reports, model cards,
frozen files, dashboard and notebook use these sentences. The text is plain, so callers must escape
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.formatting import count_noun
from hpsearch.metrics import MetricFormat
from hpsearch.results.question import (
    best_with,
    comparable_parameter,
    describe,
    paths_in_question,
    rivals,
)
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
    #: What the study asks about and the model, the trial, its value, and how reliable that is.
    sentence: str
    #: What it is compared with: the best trial with another value of what the study asks about, the
    #: first of ``try_first``, or the second; empty if there is nothing to compare.
    against: str = ""

    @property
    def sentences(self) -> tuple[str, ...]:
        """``sentence``, and ``against`` if there is one."""
        return tuple(filter(None, (self.sentence, self.against)))

    @property
    def is_confirmed(self) -> bool:
        """Whether fresh seeds confirmed it."""
        return self.seeds > 0


def winner_of(
    record: StudyRecord, verdict: ConfirmationResult | None, fallback_paths: Sequence[str] = ()
) -> Winner | None:
    """Return the confirmed winner, or the best seen if there is none.

    Args:
        record: The search.
        verdict: The verdict of its newest confirmation; ``None`` without one.
        fallback_paths: Paths of the parameters to name first if the study's question names none.

    Returns:
        The winner; ``None`` if no trial has a rank. With several objectives, it is the point of the
        front that is best by the objective that pruners use.
    """
    return (verdict and confirmed_winner(record, verdict, fallback_paths)) or best_seen(
        record, fallback_paths
    )


def confirmed_winner(
    record: StudyRecord, verdict: ConfirmationResult, fallback_paths: Sequence[str] = ()
) -> Winner | None:
    """Return the winner of a finished confirmation; ``None`` if it has no valid one.

    Args:
        record: The search.
        verdict: The verdict of one of its confirmations.
        fallback_paths: As in ``winner_of``.
    """
    spread = verdict.over_seeds_and_images or verdict.over_seeds
    if verdict.winner is None or not verdict.has_valid_winner or spread is None:
        return None
    form, interval = MetricFormat(verdict.metric), (spread.low, spread.high)
    paths = paths_in_question(record) or fallback_paths
    return Winner(
        trial=verdict.winner,
        metric=verdict.metric,
        value=spread.estimate,
        interval=interval,
        seeds=len(verdict.reported),
        sentence=f"The winner is {_which(record, verdict.winner, paths)}: {verdict.metric} "
        f"{form.value(spread.estimate)} (95 %: {form.interval(interval)}), confirmed with "
        f"{count_noun(len(verdict.reported), 'fresh seed')}.",
        against=_against(record, verdict, verdict.winner, paths),
    )


def best_seen(record: StudyRecord, fallback_paths: Sequence[str] = ()) -> Winner | None:
    """Return the best trial of the search itself; ``None`` if no trial has a rank.

    Args:
        record: The search.
        fallback_paths: As in ``winner_of``.
    """
    order = ranked(record)
    if not order or order[0].number is None or order[0].value is None:
        return None
    paths = paths_in_question(record) or fallback_paths
    against = ""
    if not record.goals.is_multi_objective:
        against = _best_other(record, order[0], paths)
    return Winner(
        trial=order[0].number,
        metric=record.objective.metric,
        value=order[0].value,
        sentence=unconfirmed_sentence(record, order[0], fallback_paths),
        against=against and f"{against}.",
    )


def _which(record: StudyRecord, number: int, paths: Sequence[str]) -> str:
    """Return ``simple_cnn (trial 4)``, and only ``trial 4`` if the study has no model."""
    description = describe(record, record.trial(number).params, paths)
    return f"{description} (trial {number})" if description else f"trial {number}"


def _against(
    record: StudyRecord, verdict: ConfirmationResult, winner: int, paths: Sequence[str]
) -> str:
    """Return what a confirmed winner is compared with, in one or two sentences."""
    own_trial, metric = record.trial(winner), verdict.metric
    path = comparable_parameter(record, own_trial.params, paths)
    unconfirmed = ""
    if path is not None:
        finalists = [record.trial(finalist.standing.trial) for finalist in verdict.finalists]
        others = rivals(record, finalists, own_trial.params, path)
        for other in others:
            lead = verdict.leads.get(other.number or 0)
            if lead is not None:
                best = best_with(path, other.params[path], dict.fromkeys(record.paths))
                return lead.sentence(metric, f"{best} (trial {other.number})")
        unconfirmed = "" if others else _best_other(record, own_trial, paths)
        unconfirmed = unconfirmed and (
            f"{unconfirmed}, and wasn't trained again with fresh seeds: no fair comparison. "
        )
    if verdict.winner_is_baseline:
        return f"{unconfirmed}The winner is the first of try_first: nothing better was found."
    if verdict.baseline is not None:
        name = f"the first of try_first (trial {verdict.baseline.trial})"
        return unconfirmed + verdict.baseline.sentence(metric, name)
    if verdict.runner_up is not None:
        second = verdict.runner_up.trial
        description = describe(record, record.trial(second).params, paths)
        name = (
            f"the second, {description} (trial {second})"
            if description
            else f"the second (trial {second})"
        )
        return unconfirmed + verdict.runner_up.sentence(metric, name)
    return unconfirmed.rstrip()


def _best_other(record: StudyRecord, own_trial: TrialRecord, paths: Sequence[str]) -> str:
    """Return the best trial of the search that differs in what the study asks about.

    As a sentence without its full stop; empty if there is none.
    """
    path = comparable_parameter(record, own_trial.params, paths)
    candidates = [
        trial for trial in record.trials if trial.invalid is None and trial.value is not None
    ]
    others = rivals(record, candidates, own_trial.params, path) if path is not None else []
    if path is None or not others:
        return ""
    sign = 1.0 if record.objective.direction == "maximize" else -1.0
    # The one that came furthest: values of other epochs can't be compared
    best = max(others, key=lambda trial: (trial.epochs_done, sign * (trial.value or 0.0)))
    label = best_with(path, best.params[path], dict.fromkeys(record.paths))
    metric, epochs = record.objective.metric, record.study.epochs_per_trial
    stopped = "" if best.epochs_done >= epochs else f" after {best.epochs_done} of {epochs} epochs"
    value = MetricFormat(metric).value(best.value)
    return (
        f"{label[:1].upper()}{label[1:]} in the search (trial {best.number}) had {value}{stopped}"
    )


def unconfirmed_sentence(
    record: StudyRecord, trial: TrialRecord, fallback_paths: Sequence[str] = ()
) -> str:
    """Return a trial's value in the search, and its meaning: the best of many is optimistic.

    Args:
        record: The search.
        trial: One of its trials.
        fallback_paths: As in ``winner_of``.
    """
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
        basis = "one seed, the only complete trial"
    elif record.goals.is_multi_objective:
        head = f"Trial {trial.number} was chosen from {trials} by several objectives"
        basis = "one seed: optimistic"
    elif place == 1:
        basis = f"one seed, the best of {trials}: optimistic"
    if len(order) == 1 or (place == 1 and not record.goals.is_multi_objective):
        paths = paths_in_question(record) or fallback_paths
        head = f"The best seen is {_which(record, trial.number or 0, paths)}"
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
        f"interval is over seeds{f' and {verdict.other_images}' if verdict.images else ''}."
    ]
    if verdict.images_in_words:
        sentences.append(verdict.images_in_words)
    if verdict.lacks_groups:
        sentences.append(LACKS_GROUPS)
    if verdict.next_training is not None:
        interval = verdict.next_training
        ends = MetricFormat(verdict.metric).interval((interval.low, interval.high))
        sentences.append(f"The 95 % interval of one more training is {ends}.")
    sentences += [invalid_finalists_warning(verdict), repetition_warning(nth)]
    return " ".join(filter(None, sentences))


def invalid_finalists_warning(verdict: ConfirmationResult) -> str:
    """Return which finalists were declared invalid since, as text; empty if there are none."""
    if not verdict.invalid:
        return ""
    finalists = "; ".join(
        f"trial {trial} ({reason})" for trial, reason in sorted(verdict.invalid.items())
    )
    return (
        f"Of its finalists these have since been declared invalid in the search: {finalists}. "
        "Confirm again to compare without them (`hpsearch confirm --again`)."
    )


def repetition_warning(nth: int) -> str:
    """Return the warning about the ``nth`` confirmation of a search; empty for the first."""
    if nth == 1:
        return ""
    return (
        f"This is confirmation {nth} of this search: the best of several is optimistic again. "
        "Report each of them, or the first."
    )


def newer_trials_warning(newer: int) -> str:
    """Return the warning that ``newer`` trials ended since a confirmation; empty without one."""
    if newer <= 0:
        return ""
    return (
        f"The search has continued since: {count_noun(newer, 'newer trial')} not included in the "
        "confirmation (`hpsearch confirm --again` starts a new one)."
    )
