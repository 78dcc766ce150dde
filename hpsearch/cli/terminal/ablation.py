"""The effects that an ablation measured, on the terminal and for programs."""

from __future__ import annotations

from typing import Any

from hpsearch.cli.terminal.output import say
from hpsearch.metrics import MetricFormat
from hpsearch.results.ablation.judging import AblationResult
from hpsearch.results.ablation.sentences import (
    basis,
    effect_sentence,
    left_out,
    variant_names,
)


def effects_json(name: str, result: AblationResult) -> dict[str, Any]:
    """Return the effects, JSON-like.

    Args:
        name: The ablation's name as a study.
        result: Its result.
    """
    spec = result.spec
    names = variant_names(spec)
    return {
        "study": spec.study,
        "ablation": name,
        "trial": spec.trial,
        "metric": spec.metric,
        "seeds": spec.seeds,
        "finished": result.progress.finished,
        "trainings": result.ended,
        "planned": spec.trainings,
        "comparisons": result.compared,
        "margin": result.margin,
        "held_fixed": {
            path: value
            for path, value in spec.variants[0].params.items()
            if all(path not in each.changed for each in spec.variants)
        },
        "effects": [
            {
                "parameter": each.contrast.parameter,
                "value": each.contrast.level,
                "instead_of": each.contrast.base,
                "at": dict(each.contrast.at),
                "better_by": None if each.ahead is None else each.ahead.estimate,
                "interval": None if each.ahead is None else [each.ahead.low, each.ahead.high],
                "seeds": each.seeds,
                "settled_early": each.settled,
                "p_value": each.p_value,
                "answer": each.answer.value,
                "reason": each.reason,
                "sentence": effect_sentence(each, spec),
            }
            for each in result.effects
        ],
        "configurations": [
            {
                "name": names[number],
                "changed": dict(variant.changed),
                "mean": result.means.get(number),
                "failed_with_seed": result.progress.failed.get(number),
            }
            for number, variant in enumerate(spec.variants)
        ],
        "not_trained": left_out(spec),
    }


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
    for each in result.effects:
        say(f"  {effect_sentence(each, spec)}")
    if 0 in result.means:
        say(f"trial {spec.trial} itself: {unit.value(result.means[0])}")
    say(basis(result))
