"""An ablation in words, which every output shows. Plain text: callers must escape it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hpsearch.formatting import count_noun
from hpsearch.metrics import MetricFormat
from hpsearch.results.ablation.judging import AblationResult, Effect
from hpsearch.results.ablation.spec import AblationSpec
from hpsearch.results.verdicts import Verdict
from hpsearch.study_file.space import format_value, short_name


def setting_names(paths: Iterable[str], spec: AblationSpec) -> str:
    """Return the short names of parameters: ``kernel_size, input_size``."""
    among = {path: None for variant in spec.variants for path in variant.params}
    return ", ".join(short_name(path, among) for path in paths)


def settings(values: Mapping[str, Any], spec: AblationSpec) -> str:
    """Return settings in short: ``kernel_size 2, input_size 32``."""
    among = {path: None for variant in spec.variants for path in variant.params}
    return ", ".join(
        f"{short_name(path, among)} {format_value(value)}" for path, value in values.items()
    )


def variant_names(spec: AblationSpec) -> list[str]:
    """Return each variant's name: what differs from the ablated trial."""
    return [settings(variant.changed, spec) or f"trial {spec.trial}" for variant in spec.variants]


def effect_name(effect: Effect, spec: AblationSpec) -> str:
    """Return what is compared: ``dilation 2 instead of 1 at kernel_size 2``."""
    contrast = effect.contrast
    level = settings({contrast.parameter: contrast.level}, spec)
    place = settings(contrast.at, spec)
    return f"{level} instead of {format_value(contrast.base)}" + (f" at {place}" if place else "")


def effect_result(effect: Effect, spec: AblationSpec) -> str:
    """Return the result: ``+1.90 points (+0.80 to +3.00 points): yes, better``."""
    if effect.ahead is None:
        return f"undecided: {effect.reason}"
    form, ahead = MetricFormat(spec.metric), effect.ahead
    answer: str = effect.answer
    if effect.answer is Verdict.YES:
        answer += ", better" if ahead.estimate > 0 else ", worse"
    if effect.settled:
        answer += f"; settled after {effect.seeds} of {count_noun(spec.seeds, 'seed')}"
    return (
        f"{form.difference(ahead.estimate)} ({form.differences(ahead.low, ahead.high)}): {answer}"
    )


def effect_sentence(effect: Effect, spec: AblationSpec) -> str:
    """Return a comparison and its result in one line."""
    return f"{effect_name(effect, spec)}: {effect_result(effect, spec)}"


def held_fixed(spec: AblationSpec) -> str:
    """Return which settings a comparison doesn't change, as a sentence."""
    params = spec.variants[0].params
    return (
        f"Everything that a comparison doesn't name is held fixed, as in trial {spec.trial}: "
        f"{settings(params, spec)}."
    )


def basis(result: AblationResult) -> str:
    """Return how the effects were measured, in sentences."""
    spec = result.spec
    comparisons = result.comparisons
    # Fewer than planned if it isn't finished
    seeds = max((effect.seeds for effect in result.effects), default=0) or spec.seeds
    chance = 'A false "yes" has a chance of at most 5 %.'
    if comparisons > 1:
        chance = (
            f"The {count_noun(comparisons, 'comparison')} are corrected for their number (Holm): "
            'any false "yes" has a chance of at most 5 %.'
        )
    early = ""
    if any(effect.settled for effect in result.effects):
        early = " A comparison that was settled before the last seed (p < 0.001) got no more seeds."
    return (
        f"Each value was trained with the same {count_noun(seeds, 'fresh seed')}, and is "
        f"compared in pairs of the same seed.{early} {chance} {held_fixed(spec)}"
    )


def what_undecided_means(result: AblationResult) -> str | None:
    """Return what is open if a finished ablation didn't decide all, and how to decide it."""
    spec = result.spec
    is_open = [
        effect for effect in result.effects if effect.ahead and effect.answer is Verdict.UNDECIDED
    ]
    if not is_open or not result.progress.finished:
        return None
    small = MetricFormat(spec.metric).difference(result.margin).lstrip("+")
    return (
        f"Undecided: the interval contains 0, and differences of more than {small}. More seeds "
        f"narrow it: `hpsearch ablate --study {spec.study} --seeds {2 * spec.seeds}` trains a new "
        "ablation; give it --question for the study's question, or the same parameters."
    )


def left_out(spec: AblationSpec) -> list[str]:
    """Return a line for each configuration that isn't trained."""
    return [
        f"{settings(configuration.changed, spec)}: not trained, {configuration.reason}"
        for configuration in spec.left_out
    ]


def answers(result: AblationResult) -> list[str]:
    """Return the comparisons that are decided, a line each: first "yes", then "no"."""
    return [
        effect_sentence(effect, result.spec)
        for answer in (Verdict.YES, Verdict.NO)
        for effect in result.effects
        if effect.answer is answer
    ]
