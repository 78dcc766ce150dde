"""Effects as sentences. Plain text: callers must escape it."""

from __future__ import annotations

from hpsearch.metrics import MetricFormat
from hpsearch.reporting.analysis.findings import Contrast, Effect, Interaction
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.verdicts import Verdict


def amount(value: float, metric: str, *, signed: bool = False) -> str:
    """Return a difference of the objective: points for shares, the number itself for a loss.

    Args:
        value: The difference, in the objective's unit.
        metric: The objective.
        signed: Whether the number has a sign.
    """
    number_format = MetricFormat(metric)
    return number_format.difference(value) if signed else number_format.width(value)


def between(interval: Interval, metric: str) -> str:
    """Return an interval of differences: ``(+0.40 to +2.00 points)``."""
    return f"({MetricFormat(metric).differences(interval.low, interval.high)})"


def effect_sentence(effect: Effect, metric: str, margin: float, examined: int) -> str:
    """Return the verdict in one sentence: "dilation: yes, 2 is better than 1 by ...".

    Args:
        effect: The effect, with its verdict.
        metric: The objective.
        margin: Differences below this don't matter, in the objective's unit.
        examined: Number of parameters that were examined.
    """
    if effect.reason is not None:
        return f"{effect.name}: undecided, {effect.reason}."
    contrast = main_contrast(effect)
    if contrast is None:
        return f"{effect.name}: undecided."
    by = f"{amount(contrast.ahead.estimate, metric)} {between(contrast.ahead, metric)}"
    if effect.verdict is Verdict.YES:
        return f"{effect.name}: yes, {contrast.level} is better than {contrast.other} by {by}."
    if effect.verdict is Verdict.NO:
        return (
            f"{effect.name}: no, no two of its values differ by more than "
            f"{amount(margin, metric)} (the clearest: {contrast.level} over {contrast.other}, "
            f"{by})."
        )
    if contrast.ahead.excludes(0.0):
        return (
            f"{effect.name}: undecided, {contrast.level} is ahead of {contrast.other} by {by}, but "
            f"of {examined} parameters one may be so by chance."
        )
    return f"{effect.name}: undecided, {contrast.level} is ahead of {contrast.other} by {by}."


def main_contrast(effect: Effect) -> Contrast | None:
    """Return the comparison that an effect's sentence names.

    It is ``difference``, or ``span`` if only the interval of ``span`` excludes 0.
    """
    difference, span = effect.difference, effect.span
    if difference is None or span is None:
        return difference or span
    if span.ahead.excludes(0.0) and not difference.ahead.excludes(0.0):
        return span
    return difference


def interaction_sentence(interaction: Interaction, metric: str, examined: int) -> str:
    """Return the verdict on a pair in one sentence.

    Args:
        interaction: The interaction, with its verdict.
        metric: The objective.
        examined: Number of pairs that were examined.
    """
    pair = f"{interaction.a_name} and {interaction.b_name}"
    strongest = interaction.strongest
    if interaction.reason is not None or strongest is None:
        return f"{pair}: undecided, {interaction.reason or 'nothing is known'}."
    text = (
        f"the lead of {interaction.a_name} {strongest.level} over {strongest.other} is larger by "
        f"{amount(strongest.difference.estimate, metric)} {between(strongest.difference, metric)} "
        f"at {interaction.b_name} {strongest.where} than at {strongest.elsewhere}"
    )
    if interaction.verdict is Verdict.YES:
        return f"{pair}: they depend on each other, {text}."
    chance = ""
    if strongest.difference.excludes(0.0) and examined > 1:
        chance = f"; of {examined} pairs one may be so by chance"
    return f"{pair}: undecided, {text}{chance}."
