"""The effects that an ablation measured, on the terminal."""

from __future__ import annotations

from hpsearch.cli.terminal.output import say
from hpsearch.metrics import MetricFormat
from hpsearch.results.ablation.judging import AblationResult
from hpsearch.results.ablation.sentences import (
    basis,
    effect_sentence,
    what_undecided_means,
)


def print_effects(name: str, result: AblationResult) -> None:
    """Print the effects as a table.

    Args:
        name: The ablation's name as a study.
        result: Its result.
    """
    spec, unit = result.spec, MetricFormat(result.spec.metric)
    state = "" if result.progress.finished else " (not finished: what has ended so far)"
    say()
    say(f"{name}: {spec.metric}, better by{state}", style="bold")
    for effect in result.effects:
        say(f"  {effect_sentence(effect, spec)}")
    if 0 in result.means:
        say(f"trial {spec.trial} itself: {unit.value(result.means[0])}")
    for line in (basis(result), what_undecided_means(result)):
        if line is not None:
            say(line)
