"""The next training of an ablation: a pure function of those that have ended.

Every variant is trained with every seed; the seeds are the same for all variants. A variant whose
training fails in the first round (a learning rate that diverges, usually) gets no further seeds.
No variant leaves because of its values: then intervals and error rates are those of a fixed number
of seeds.

As in a confirmation, the plan only grows, so ticket n is entry n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hpsearch.results.ablation.spec import AblationSpec
from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult

#: Seeds of the first round.
FIRST_ROUND = 2


@dataclass(frozen=True, kw_only=True)
class AblationProgress:
    """An ablation's progress. A training's ``trial`` is the number of its variant."""

    #: Every training that is known to be needed, in the order of their tickets.
    planned: tuple[PlannedTraining, ...]
    #: Variant -> the first seed with which its training failed.
    failed: Mapping[int, int]
    #: Whether every planned training has ended.
    finished: bool


def progress(
    spec: AblationSpec, outcomes: Mapping[PlannedTraining, TrainingResult]
) -> AblationProgress:
    """Return the plan that follows from the trainings that have ended."""
    going = list(range(len(spec.variants)))
    planned: list[PlannedTraining] = []
    seeds = range(1, spec.seeds + 1)
    finished = False
    for batch in (seeds[:FIRST_ROUND], seeds[FIRST_ROUND:]):
        planned += [PlannedTraining(trial=one, seed=seed) for seed in batch for one in going]
        finished = all(entry in outcomes for entry in planned)
        if not finished:
            break
        lost = _failed(outcomes)
        going = [each for each in going if each not in lost]
    return AblationProgress(planned=tuple(planned), failed=_failed(outcomes), finished=finished)


def _failed(outcomes: Mapping[PlannedTraining, TrainingResult]) -> dict[int, int]:
    lost = [entry for entry, outcome in outcomes.items() if outcome.score is None]
    return {each.trial: each.seed for each in sorted(lost, key=lambda each: -each.seed)}
