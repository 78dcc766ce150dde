"""The next training of an ablation: a pure function of those that have ended.

Every variant is trained with every seed; the seeds are the same for all variants. A variant whose
training fails in the first round (a learning rate that diverges, usually) gets no further seeds.
Nor does a variant all of whose differences are settled: after some seeds (``spec.looks``) they are
tested at a level that is strict enough not to change the error rates (``judging``).

As in a confirmation, the plan only grows, so ticket n is entry n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    #: The seeds after which a look is due: all their trainings have ended; ``None`` if none is.
    due: int | None = None


def progress(
    spec: AblationSpec, outcomes: Mapping[PlannedTraining, TrainingResult]
) -> AblationProgress:
    """Return the plan that follows from the trainings that have ended."""
    going = list(range(len(spec.variants)))
    planned: list[PlannedTraining] = []
    past_looks = {look.seeds for look in spec.taken}
    before, finished, due = 0, False, None
    for last in sorted({min(FIRST_ROUND, spec.seeds), *spec.early_looks, spec.seeds}):
        seeds = range(before + 1, last + 1)
        planned += [
            PlannedTraining(trial=variant, seed=seed) for seed in seeds for variant in going
        ]
        finished = all(entry in outcomes for entry in planned)
        if not finished:
            break
        # Not those of later rounds: known entries keep their places
        lost = _first_failures({entry: outcomes[entry] for entry in planned})
        going = [variant for variant in going if variant not in lost]
        if last in spec.early_looks:
            if last not in past_looks:
                finished, due = False, last
                break
            going = _undecided_variants(spec, going, last)
        if not going:
            break
        before = last
    return AblationProgress(
        planned=tuple(planned), failed=_first_failures(outcomes), finished=finished, due=due
    )


def _undecided_variants(spec: AblationSpec, going: Sequence[int], seeds: int) -> list[int]:
    """Return the variants with a difference that isn't settled after this number of seeds."""
    settled = {number for number, at in spec.settled.items() if at <= seeds}
    needed = {
        variant
        for number, contrast in enumerate(spec.contrasts)
        if number not in settled and contrast.one in going and contrast.other in going
        for variant in (contrast.one, contrast.other)
    }
    return [variant for variant in going if variant in needed]


def _first_failures(outcomes: Mapping[PlannedTraining, TrainingResult]) -> dict[int, int]:
    lost = [entry for entry, outcome in outcomes.items() if outcome.score is None]
    return {
        training.trial: training.seed
        for training in sorted(lost, key=lambda training: -training.seed)
    }
