"""An ablation's result for programs: what ``ablate --json`` prints and ``Study.ablate`` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hpsearch.results.ablation.judging import AblationResult, Effect
from hpsearch.results.ablation.sentences import basis, effect_sentence, left_out, variant_names
from hpsearch.results.ablation.spec import AblationSpec
from hpsearch.results.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class MeasuredEffect:
    """What one change is worth."""

    #: The path of the parameter that is changed.
    parameter: str
    #: Its value, and the value that this is compared with.
    value: Any
    instead_of: Any
    #: Path -> value of other parameters that both have, if the effect was measured at several.
    at: Mapping[str, Any]
    #: By how much ``value`` is better, in the objective's unit (shares: 0 to 1), for either
    #: direction of the objective; ``None`` without an estimate.
    better_by: float | None
    #: Its interval, corrected for the number of comparisons.
    interval: tuple[float, float] | None
    #: Seeds that both have.
    seeds: int
    #: Whether these settled it before the last seed.
    settled_early: bool
    #: Corrected for the number of comparisons; 1 without an estimate.
    p_value: float
    #: Whether it makes a difference: yes, no or undecided.
    answer: Verdict
    #: Why there is no estimate; ``None`` if there is one.
    reason: str | None
    #: All of it in one line.
    sentence: str


@dataclass(frozen=True, kw_only=True)
class TrainedConfiguration:
    """One configuration of an ablation."""

    #: What differs from the ablated trial, in words and as path -> value.
    name: str
    changed: Mapping[str, Any]
    #: Mean objective over its seeds; ``None`` if none has ended.
    mean: float | None
    #: The first seed with which its training failed; ``None`` if none did.
    failed_with_seed: int | None


@dataclass(frozen=True, kw_only=True)
class AblationSummary:
    """An ablation's result, which may not be finished."""

    #: The search, and the ablation's own name as a study.
    study: str
    ablation: str
    #: The trial that is changed.
    trial: int
    metric: str
    #: Fresh seeds of each configuration.
    seeds: int
    finished: bool
    #: Trainings that have ended, and the most that there may be.
    trainings: int
    planned: int
    #: The number of comparisons that the intervals are corrected for.
    comparisons: int
    #: Differences below this don't matter, in the objective's unit.
    margin: float
    #: Path -> value of what no comparison changes.
    held_fixed: Mapping[str, Any]
    effects: tuple[MeasuredEffect, ...]
    #: The ablated trial is the first one.
    configurations: tuple[TrainedConfiguration, ...]
    #: What couldn't be trained, a line each.
    not_trained: tuple[str, ...]
    #: How it was measured, in sentences.
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def summarize(name: str, result: AblationResult) -> AblationSummary:
    """Return an ablation's result for programs.

    Args:
        name: The ablation's name as a study.
        result: Its result.
    """
    return AblationSummary(**fields_of(name, result))


def fields_of(name: str, result: AblationResult) -> dict[str, Any]:
    """Return the fields of an ``AblationSummary``, or of a class that is one.

    Args:
        name: The ablation's name as a study.
        result: Its result.
    """
    spec = result.spec
    return {
        "study": spec.study,
        "ablation": name,
        "trial": spec.trial,
        "metric": spec.metric,
        "seeds": spec.seeds,
        "finished": result.progress.finished,
        "trainings": result.ended,
        "planned": spec.trainings,
        "comparisons": result.comparisons,
        "margin": result.margin,
        "held_fixed": {
            path: value
            for path, value in spec.variants[0].params.items()
            if all(path not in variant.changed for variant in spec.variants)
        },
        "effects": tuple(_effect(effect, spec) for effect in result.effects),
        "configurations": tuple(
            TrainedConfiguration(
                name=variant_name,
                changed=dict(variant.changed),
                mean=result.means.get(number),
                failed_with_seed=result.progress.failed.get(number),
            )
            for number, (variant, variant_name) in enumerate(
                zip(spec.variants, variant_names(spec), strict=True)
            )
        ),
        "not_trained": tuple(left_out(spec)),
        "note": basis(result),
    }


def _effect(effect: Effect, spec: AblationSpec) -> MeasuredEffect:
    contrast, ahead = effect.contrast, effect.ahead
    return MeasuredEffect(
        parameter=contrast.parameter,
        value=contrast.level,
        instead_of=contrast.base,
        at=dict(contrast.at),
        better_by=None if ahead is None else ahead.estimate,
        interval=None if ahead is None else (ahead.low, ahead.high),
        seeds=effect.seeds,
        settled_early=effect.settled,
        p_value=effect.p_value,
        answer=effect.answer,
        reason=effect.reason,
        sentence=effect_sentence(effect, spec),
    )
