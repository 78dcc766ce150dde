"""What the ablations of the study measured: the answer by experiment."""

from __future__ import annotations

from hpsearch.formatting import count_noun
from hpsearch.reporting.blocks import Block, Commands, Section, Text
from hpsearch.reporting.charts.ablation import ablation
from hpsearch.reporting.content import StudyAblation, StudyContent
from hpsearch.results.ablation.sentences import (
    answers,
    basis,
    effect_sentence,
    left_out,
    what_undecided_means,
)

#: Effects that the first screen names.
_IN_LEAD = 4


def experiment(content: StudyContent) -> Section:
    """Return the effects that were measured by changing one setting of a trial at a time."""
    blocks: list[Block] = []
    for place, study_ablation in enumerate(content.ablations):
        blocks += _ablation(content, study_ablation, place)
    if not blocks:
        blocks = [
            Text(
                text="No setting of the winner was changed by itself yet. The effects further down "
                "compare trials that differ in everything at once. An ablation changes one setting "
                "at a time:"
            ),
            Commands(label="Ablate", lines=[f"hpsearch ablate --study {content.name}"]),
        ]
    return Section(name="experiment", title="The answer by experiment", blocks=blocks)


def experiment_lead(content: StudyContent) -> list[Block]:
    """Return the answers of the newest ablation, for the first screen; empty without one."""
    if not content.ablations:
        return []
    result = content.ablations[-1].result
    lines = answers(result) or [
        effect_sentence(effect, result.spec) for effect in result.effects[:1]
    ]
    state = "" if result.progress.finished else " (not finished)"
    more = len(lines) - _IN_LEAD
    rest = f"; {more} more are below" if more > 0 else ""
    return [Text(text=f"By experiment{state}: {'; '.join(lines[:_IN_LEAD])}{rest}.")]


def _ablation(content: StudyContent, study_ablation: StudyAblation, place: int) -> list[Block]:
    result = study_ablation.result
    spec = result.spec
    blocks: list[Block] = [
        Text(text=f"{study_ablation.study}, trial {spec.trial}", style="heading")
    ]
    if not result.progress.finished:
        blocks.append(
            Text(
                text=f"Not finished: {count_noun(result.ended, 'training')} of {spec.trainings} "
                "ended. Everything here may change.",
                style="warning",
            )
        )
    chart = ablation(result, content.unit, place)
    if chart is not None:
        blocks.append(chart)
    blocks += [Text(text=line) for line in (basis(result), what_undecided_means(result)) if line]
    blocks += [Text(text=f"{line}.", style="note") for line in left_out(spec)]
    return blocks
