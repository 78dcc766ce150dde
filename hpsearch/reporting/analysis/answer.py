"""The answer to a study's question: the winner, its comparison, and a decided effect.

It is plain text, with names and descriptions as their authors wrote them. Callers must escape it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.reporting.analysis.findings import Effect, Effects
from hpsearch.reporting.analysis.sentences import amount, between, main_contrast
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.question import paths_in_question
from hpsearch.results.ranking import front, none_eligible, ranked
from hpsearch.results.records import StudyRecord
from hpsearch.results.verdicts import Verdict
from hpsearch.results.winner import winner_of


def answer(
    record: StudyRecord,
    confirmation: ConfirmationResult | None = None,
    effects: Effects | None = None,
) -> tuple[str, ...]:
    """Return the answer in one to three sentences.

    The first names what the study's question is about (``results.question``) and the model, with
    the confirmed value. The second compares the value. The third is the effect of the question's
    parameter, if it is decided. If the question names no parameter, it is the strongest effect
    that matters.

    Args:
        record: The study with its trials.
        confirmation: The study's confirmation; ``None`` if there is none.
        effects: Effects of the parameters; ``None`` leaves them out.

    Returns:
        The sentences.
    """
    if not ranked(record):
        return (f"No answer yet: {none_eligible(record)}.",)
    if record.goals.is_multi_objective:
        points = front(record)
        return (
            f"No one trial is best in all of {', '.join(record.goals.objectives)}: "
            f"{len(points)} of {record.counts.complete} complete trials are on the front.",
        )
    decided = [] if effects is None else _decided_effects(paths_in_question(record), effects)
    winner = winner_of(record, confirmation, [effect.parameter for effect in decided])
    if winner is None:
        return ()
    unfinished = confirmation is not None and not confirmation.finished
    lines = [*winner.sentences, "Its confirmation isn't finished." if unfinished else ""]
    if effects is not None:
        lines += [_sentence(effect, effects) for effect in decided[:1]]
    return tuple(filter(None, lines))


def _decided_effects(paths: Sequence[str], effects: Effects) -> list[Effect]:
    """Return the decided effects of the parameters ``paths``, the strongest first.

    Without paths, it is the strongest effect that matters.
    """
    decided = [effect for effect in effects.effects if effect.verdict is not Verdict.UNDECIDED]
    if paths:
        return [effect for effect in decided if effect.parameter in paths]
    return [effect for effect in decided if effect.verdict is Verdict.YES][:1]


def _sentence(effect: Effect, effects: Effects) -> str:
    contrast = main_contrast(effect)
    if effect.verdict is Verdict.NO:
        margin = amount(effects.margin, effects.metric)
        return f"All else equal, no two values of {effect.name} differ by more than {margin}."
    if contrast is None:
        return ""
    ahead = contrast.ahead
    by = f"{amount(ahead.estimate, effects.metric)} {between(ahead, effects.metric)}"
    return (
        f"All else equal, {effect.name} {contrast.level} is better than {contrast.other} by {by}, "
        "in the search."
    )
