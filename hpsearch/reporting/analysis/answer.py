"""A study's answer, in two sentences.

Plain text, with names and descriptions as their authors wrote them. Callers must escape it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.reporting.analysis.findings import Effect, Effects, Verdict
from hpsearch.reporting.analysis.parameters import format_value, short_name
from hpsearch.reporting.analysis.sentences import amount, between, telling
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.ranking import front, none_eligible, ranked
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.results.winner import winner_of

#: Number of the winner's parameters in the sentence; a report's table has the rest.
_NAMED = 4


def answer(
    record: StudyRecord,
    confirmation: ConfirmationResult | None = None,
    effects: Effects | None = None,
) -> tuple[str, ...]:
    """Return one or two sentences: the winner with its honest value, and what a parameter does.

    Args:
        record: The study with its trials.
        confirmation: The study's confirmation; ``None`` if there is none.
        effects: Effects of the parameters; ``None`` leaves the second sentence out.

    Returns:
        The sentences. The second one is about the parameter that the study's description names
        first, or about the strongest effect if it names none.
    """
    asked = record.study.document.get("description", "")
    return tuple(filter(None, [_winner(record, confirmation, effects), _effect(asked, effects)]))


def _winner(
    record: StudyRecord, confirmation: ConfirmationResult | None, effects: Effects | None
) -> str:
    if not ranked(record):
        return f"No answer yet: {none_eligible(record)}."
    if record.goals.is_multi_objective:
        points = front(record)
        return (
            f"No one trial is best in all of {', '.join(record.goals.objectives)}: "
            f"{len(points)} of {record.counts.complete} complete trials are on the front."
        )
    winner = winner_of(record, confirmation)
    if winner is None:
        return ""
    text = f"{winner.sentence} Its settings: {_named(record.trial(winner.trial), record, effects)}."
    if confirmation is not None and not confirmation.finished:
        text += " Its confirmation isn't finished."
    rival = None if confirmation is None or not winner.is_confirmed else confirmation.runner_up
    if rival is not None and not rival.distinguishable:
        text += f" Trial {rival.trial} can't be distinguished from it."
    return text


def _named(trial: TrialRecord, record: StudyRecord, effects: Effects | None) -> str:
    """Name the parameters that matter most first, and branches before what is within them."""
    weight: Mapping[str, int] = {}
    if effects is not None:
        weight = {effect.parameter: place for place, effect in enumerate(effects.effects)}
    everything = dict.fromkeys(path for other in record.trials for path in other.params)
    paths = sorted(trial.params, key=lambda path: weight.get(path, len(weight)))[:_NAMED]
    rest = len(trial.params) - len(paths)
    named = [f"{short_name(path, everything)} {_value(trial.params[path])}" for path in paths]
    return ", ".join(named) + (f" and {rest} more" if rest else "") if named else "nothing searched"


def _value(value: Any) -> str:
    return format_value(value)


def _effect(asked: str, effects: Effects | None) -> str:
    if effects is None:
        return ""
    if effects.reason is not None:
        return f"What the parameters do is undecided: {effects.reason}."
    known = [effect for effect in effects.effects if effect.p_value is not None]
    if not known:
        return "What the parameters do is undecided: too few trials of each of their values."
    words = [word.strip("?.,;:!()'\"").lower() for word in asked.split()]
    places = [_named_at(effect, words) for effect in known]
    # The description's first parameter is the study's question; several may share the word
    first = min(places)
    return _told(known[places.index(first)], effects)


def _named_at(effect: Effect, words: Sequence[str]) -> int:
    """Return the place of the parameter's name in a text (``dilated`` for ``dilation`` counts).

    The number of words if the text doesn't contain it.
    """
    parts = effect.parameter.split(".")[-1].split("_")
    stems = tuple(part[:_STEM].lower() for part in parts if len(part) >= _STEM)
    said = (place for place, word in enumerate(words) if stems and word.startswith(stems))
    return next(said, len(words))


#: Letters that two forms of one word share.
_STEM = 5


def _told(effect: Effect, effects: Effects) -> str:
    shown_contrast = telling(effect)
    if shown_contrast is None:
        return f"Whether {effect.name} matters is undecided."
    by = (
        f"{amount(shown_contrast.ahead.estimate, effects.metric, signed=True)} "
        f"{between(shown_contrast.ahead, effects.metric)}"
    )
    pair = f"{shown_contrast.level} over {shown_contrast.other}"
    rest = "all else equal"
    if effect.verdict is Verdict.YES:
        return f"{effect.name} matters: {by} for {pair}, {rest}."
    if effect.verdict is Verdict.NO:
        margin = amount(effects.margin, effects.metric)
        return f"{effect.name} doesn't matter: no two of its values differ by more than {margin}."
    chance = ""
    if shown_contrast.ahead.excludes(0.0):
        chance = f"; of {effects.examined} parameters one may be so by chance"
    return f"Whether {effect.name} matters is undecided: {by} for {pair}, {rest}{chance}."
