"""Trials by model, or by another branch of the space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from hpsearch.metrics import EpochMetrics
from hpsearch.reporting.blocks import Block, Charts, Column, Section, Table, Text
from hpsearch.reporting.charts.groups import TrialGroup, best_curves, dots, groups
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import COMPUTE, Unit, sentence
from hpsearch.results.final_evaluations import FinalEvaluation


def architectures(content: StudyContent) -> Section:
    """Return every trial by model, and a table of the models: size, accuracy, time."""
    branching = content.branching
    title = "By architecture" if branching.is_architecture else f"By {branching.name}"
    trial_groups = groups(content)
    chart = dots(content, trial_groups)
    if chart is None:
        text = "No trial has a value yet: there is a chart from the first one on."
        return Section(name="architectures", title=title, blocks=[Text(text=text)])
    blocks: list[Block] = [chart, _table(content, trial_groups)]
    untested = len(trial_groups) > 1 and any(
        _evaluation(content, group) is None for group in trial_groups
    )
    note = (
        "A row shows one trial: the one that was tested, else confirmed, else the best. Times were "
        "measured in the search; those of an epoch are medians."
    )
    if untested:
        note += (
            " Confirmed: over fresh seeds. Test: only the winner is evaluated on the test images, "
            "so that they stay unseen for the choice."
        )
    blocks.append(Text(text=note, style="note"))
    curves = best_curves(content, trial_groups)
    if curves:
        blocks.append(Charts(name="groups-curves", charts=curves))
    return Section(name="architectures", title=title, blocks=blocks)


def _table(content: StudyContent, trial_groups: Sequence[TrialGroup]) -> Table:
    unit = content.unit
    rows = [_representative(content, group) for group in trial_groups]
    return Table(
        caption=f"{sentence(content.branching.name)}, parameters, accuracy and time",
        columns=[
            Column(label=content.branching.name),
            Column(label="trial", numeric=True),
            Column(label="parameters", title="learned parameters", numeric=True),
            Column(label="in search", title=f"{unit.name} in the search", numeric=True),
            Column(label="confirmed", title=f"{unit.name}, mean of fresh seeds", numeric=True),
            Column(label="test accuracy", numeric=True),
            Column(label="epoch: training", title="median of its epochs", numeric=True),
            Column(label="epoch: validation", title="median of its epochs", numeric=True),
            Column(label="whole training", numeric=True),
        ],
        rows=[_row(content, group, row) for group, row in zip(trial_groups, rows, strict=True)],
        marked=frozenset(
            place for place, row in enumerate(rows) if row.get("number") == content.winner
        ),
        sortable=True,
    )


def _row(content: StudyContent, group: TrialGroup, row: Mapping[str, Any]) -> list[str]:
    unit = content.unit
    if not row:
        return [group.name, *["-"] * 8]
    number, state = row["number"], row["state"]
    curve = content.curves.get(number, [])
    evaluation = _evaluation(content, group)
    return [
        group.name,
        str(number) if state == "complete" else f"{number} ({_state_name(state)})",
        Unit("parameters").value(row["parameters"]),
        unit.value(row["value"]),
        unit.value(_confirmed_values(content).get(number)),
        Unit("val_accuracy").value(None if evaluation is None else evaluation.accuracy),
        COMPUTE.value(_median(curve, "train_seconds")),
        COMPUTE.value(_median(curve, "val_seconds")),
        COMPUTE.value(row["seconds"]),
    ]


def _representative(content: StudyContent, group: TrialGroup) -> Mapping[str, Any]:
    """Return the trial that a group's row shows; empty if none has a value."""
    rows = {row["number"]: row for row in group.rows if row["value"] is not None}
    evaluation = _evaluation(content, group)
    if evaluation is not None:
        return rows[evaluation.trial]
    for number in _confirmed_values(content):  # by rank
        if number in rows:
            return rows[number]
    better = max if content.maximize else min
    return group.best or better(rows.values(), key=lambda row: row["value"], default={})


def _evaluation(content: StudyContent, group: TrialGroup) -> FinalEvaluation | None:
    numbers = {row["number"] for row in group.rows if row["value"] is not None}
    # Later evaluations are no test any more: somebody has seen the first one
    return next(
        (evaluation for evaluation in content.test[:1] if evaluation.trial in numbers), None
    )


def _confirmed_values(content: StudyContent) -> dict[int, float]:
    """Return trial -> mean over fresh seeds, in the order of the confirmation's ranking."""
    if content.confirmed is None or not content.confirmed.verdict.finished:
        return {}
    return {
        finalist.standing.trial: finalist.reported
        for finalist in content.confirmed.verdict.finalists
        if finalist.reported is not None
    }


def _state_name(state: str) -> str:
    return {"pruned": "stopped"}.get(state, state)


def _median(curve: Sequence[EpochMetrics], name: str) -> float | None:
    return median(getattr(epoch, name) for epoch in curve) if curve else None
