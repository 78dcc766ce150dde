"""The result of a confirmation, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hpsearch.cli.terminal.output import say, show_params, table
from hpsearch.formatting import count_noun, format_percent
from hpsearch.metrics import MetricFormat

if TYPE_CHECKING:
    from hpsearch.results.confirmation.statistics import Interval
    from hpsearch.results.confirmation.verdict import Comparison, ConfirmationResult, Finalist
    from hpsearch.results.confirmation_gap import TestGap
    from hpsearch.results.records import StudyRecord

#: Costs in the order of their importance, and what the cheaper model is.
_CHEAPER = {
    "latency_seconds": "faster on one image",
    "epoch_seconds": "faster to train",
    "parameters": "smaller",
}
#: Differences of cost below this factor aren't printed.
_WORTH_TELLING = 1.1


def verdict_json(
    verdict: ConfirmationResult, confirmation: StudyRecord, *, nth: int, newer: int
) -> dict[str, Any]:
    """Return the verdict, JSON-like.

    Args:
        verdict: The result of the confirmation.
        confirmation: The stored confirmation.
        nth: Which confirmation of the search it is, from 1.
        newer: The number of trials that the search has run since.
    """
    from hpsearch.results.confirmation.spec import spec_of

    spec = spec_of(confirmation.study)
    return {
        "study": spec.study,
        "confirmation": confirmation.study.name,
        "nth": nth,
        "newer_trials": newer,
        "rule": spec.rule,
        "seeds": spec.seeds,
        "seeds_before": spec.seeds_before,
        "confirmed": verdict.confirmed,
        "spent_epochs": verdict.spent_epochs,
        "full_trainings": verdict.full_trainings,
        "confirmation_share": verdict.confirmation_share,
        **asdict(verdict),
    }


def print_verdict(
    search: StudyRecord,
    verdict: ConfirmationResult,
    confirmation: StudyRecord,
    *,
    nth: int,
    newer: int,
) -> None:
    """Print the verdict: the confirmed value, its evidence, and the finalists.

    Args:
        search: The search that is confirmed.
        verdict: The result of the confirmation.
        confirmation: The stored confirmation.
        nth: Which confirmation of the search it is, from 1.
        newer: The number of trials that the search has run since.
    """
    from hpsearch.results.confirmation.spec import spec_of
    from hpsearch.results.winner import (
        LACKS_GROUPS,
        confirmed_winner,
        invalid_finalists_warning,
        newer_trials_warning,
        repetition_warning,
    )

    spec = spec_of(confirmation.study)
    unit = MetricFormat(verdict.metric)
    say()
    state = "" if verdict.finished else " (not finished: results of what has ended so far)"
    say(f"{spec.study}: {verdict.metric}{state}", style="bold")
    if (winner := confirmed_winner(search, verdict)) is not None:
        for sentence in winner.sentences:
            say(sentence)
    for label, text in _lines(verdict, unit):
        say(f"{label:<21} {text}")
    if verdict.lacks_groups:
        say(LACKS_GROUPS, style="bold red")
    say()
    _print_finalists(verdict, unit)
    if verdict.images_in_words:
        say(f"Images: {verdict.images_in_words}")
    say(f"Finalists: {spec.rule}")
    if verdict.winner is not None:
        among = dict.fromkeys(path for finalist in spec.finalists for path in finalist.params)
        values = confirmation.values(spec.params[verdict.winner])
        say(f"Trial {verdict.winner}: {show_params(values, among)}")
    if warning := invalid_finalists_warning(verdict):
        say(warning, style="bold red")
    for note in filter(None, (repetition_warning(nth), newer_trials_warning(newer))):
        say(note)


def print_gap(gap: TestGap) -> None:
    """Print that the test value contradicts the confirmed value."""
    say(gap.headline, style="bold red")
    for reason in gap.reasons:
        say(f"- {reason}")
    say()


def print_agreement(search: StudyRecord, verdict: ConfirmationResult, test: float) -> None:
    """Print the confirmed value beside a test value that doesn't contradict it.

    Args:
        search: The search.
        verdict: The result of its confirmation.
        test: The objective on the test images.
    """
    from hpsearch.results.winner import confirmed_winner

    if (winner := confirmed_winner(search, verdict)) is not None:
        value = MetricFormat(verdict.metric).value(test)
        say(f"{winner.sentence} The test value, {value}, is inside the interval.")


def _lines(verdict: ConfirmationResult, unit: MetricFormat) -> list[tuple[str, str]]:
    """Return label and text of each line of the verdict."""
    from hpsearch.results.confirmation.verdict import optimism_in_words

    lines = [
        (
            "Best seen in search",
            f"{unit.value(verdict.best_seen):<9} (1 seed, "
            + (
                "the only one)"
                if verdict.complete == 1
                else f"best of {verdict.complete}: optimistic)"
            ),
        )
    ]
    if verdict.winner is None:
        text = "every finalist failed" if verdict.finished else "no winner yet"
        lines.append(("Confirmed", f"- ({text})"))
    elif verdict.confirmed is not None:
        seeds = count_noun(len(verdict.reported), "seed")
        text = f"{unit.value(verdict.confirmed):<9} ({verdict.judged_on})"
        lines.append((f"Confirmed, {seeds}", text))
        # Both ends are printed, since the intervals may be asymmetric
        if verdict.over_seeds is not None:
            lines.append(("  other seeds", f"{_ends(verdict.over_seeds, unit)} (95 %)"))
        if verdict.over_seeds_and_images is not None and verdict.images:
            ends = _ends(verdict.over_seeds_and_images, unit)
            text = f"{ends} (95 %; seeds and {verdict.other_images})"
            lines.append(("  and other images", text))
        if verdict.next_training is not None:
            lines.append(("One more training", f"{_ends(verdict.next_training, unit)} (95 %)"))
        if verdict.optimism is not None:
            lines.append(("Optimism", optimism_in_words(verdict.optimism, verdict.metric)))
    if verdict.runner_up is not None:
        lines.append((f"vs trial {verdict.runner_up.trial} (#2)", _versus(verdict.runner_up, unit)))
    if verdict.winner_is_baseline:
        lines.append(("vs first try_first", "it is the winner itself"))
    elif verdict.baseline is not None:
        lines.append(("vs first try_first", _versus(verdict.baseline, unit)))
    if verdict.chance_of_best is not None:
        lines.append(("P(best)", f"{format_percent(verdict.chance_of_best)} (of the finalists)"))
    lines.append(
        (
            "Spent",
            f"{count_noun(verdict.spent_epochs, 'epoch')} = {verdict.full_trainings:.1f} full "
            f"trainings; {format_percent(verdict.confirmation_share)} on confirmation",
        )
    )
    return lines


def _ends(interval: Interval, unit: MetricFormat) -> str:
    return unit.interval((interval.low, interval.high))


def _versus(versus: Comparison, unit: MetricFormat) -> str:
    cheaper = [
        f"{versus.cheaper[name]:.1f}x {word}"
        for name, word in _CHEAPER.items()
        if versus.cheaper.get(name, 0.0) >= _WORTH_TELLING
    ]
    text = versus.describe(unit.metric)
    return f"{text}; trial {versus.trial} is {', '.join(cheaper)}" if cheaper else text


def _print_finalists(verdict: ConfirmationResult, unit: MetricFormat) -> None:
    table(
        (
            "#",
            "trial",
            "in search",
            "mean",
            "seeds",
            "confirmed",
            "s/epoch",
            "parameters",
            "ms/image",
            "out",
        ),
        [_row(finalist, unit) for finalist in verdict.finalists],
    )


def _row(finalist: Finalist, unit: MetricFormat) -> tuple[Any, ...]:
    rank, cost = finalist.standing, finalist.cost
    out = "" if rank.reason is None else f"after seed {rank.rejected_after}: {rank.reason}"
    return (
        finalist.place,
        rank.trial,
        unit.value(finalist.seen),
        unit.value(rank.mean),
        rank.seeds,
        unit.value(finalist.reported),
        cost.epoch_seconds and MetricFormat("epoch_seconds").number(cost.epoch_seconds),
        cost.parameters,
        cost.latency_ms and MetricFormat("latency").number(cost.latency_ms),
        out,
    )
