"""The course of the search: overfitting, pruning, and costs."""

from __future__ import annotations

from hpsearch.formatting import count_noun, format_percent, format_percent_range
from hpsearch.reporting.blocks import Block, Column, Facts, Section, Table, Text, Tile, Tiles
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import COMPUTE


def overfitting(content: StudyContent) -> Section:
    """Return which trials overfit, and from which epoch on."""
    title, first_epochs = "Overfitting", content.overfits
    candidates = [number for number, curve in content.curves.items() if len(curve) > 3]
    if not candidates:
        why = "No trial has the four epochs that are needed to detect overfitting."
        return Section(name="overfitting", title=title, blocks=[Text(text=why)])
    text = (
        f"Of {count_noun(len(candidates), 'trial')} with four epochs or more {len(first_epochs)} "
        f"{'overfits' if len(first_epochs) == 1 else 'overfit'}: validation loss rises while "
        "training loss falls."
    )
    blocks: list[Block] = [Text(text=text)]
    since = first_epochs.get(content.winner) if content.winner is not None else None
    if since is not None:
        blocks.append(
            Text(
                text=f"The winner, trial {content.winner}, is among them, from epoch {since} on: "
                "the weights of its best epoch are kept. Fewer epochs or more regularization may "
                "be better.",
                style="warning",
            )
        )
    if first_epochs:
        unit = content.unit
        ranks = {number: rank for rank, number in enumerate(content.ranked, start=1)}
        order = sorted(first_epochs, key=lambda number: (ranks.get(number, len(ranks) + 1), number))
        rows = []
        for number in order:
            row = content.row(number)
            rows.append(
                [
                    str(number),
                    str(ranks.get(number, "-")),
                    str(first_epochs[number]),
                    str(row["best_epoch"]),
                    unit.value(row["best_value"]),
                    unit.value(content.objective_of(content.curves[number][-1])),
                ]
            )
        blocks.append(
            Table(
                caption="Trials that overfit",
                columns=[
                    Column(label="trial", numeric=True),
                    Column(label="rank", numeric=True),
                    Column(label="from epoch", numeric=True),
                    Column(label="best epoch", numeric=True),
                    Column(label=f"best {unit.name}", numeric=True),
                    Column(label="after its last epoch", numeric=True),
                ],
                rows=rows,
                visible_rows=10,
                sortable=True,
            )
        )
    return Section(name="overfitting", title=title, blocks=blocks)


def pruning(content: StudyContent) -> Section:
    """Return what pruning saved, and what it cost according to the pruning audit."""
    title, costs = "Pruning", content.costs
    audit, unit = costs.audit, content.unit
    if audit is None:
        why = "The pruner stopped no trial, and would have stopped none."
        return Section(name="pruning", title=title, blocks=[Text(text=why)])
    tiles = [
        Tile(
            label="Saved",
            value=count_noun(costs.epochs_saved, "epoch"),
            detail=f"{format_percent(costs.share_saved)} of the epochs of full trainings",
        ),
        Tile(
            label="Stopped early",
            value=count_noun(audit.pruned, "trial"),
            detail="by the pruner",
        ),
        Tile(
            label="Kept by the audit",
            value=count_noun(len(audit.spared), "trial"),
            detail=f"for {count_noun(audit.epochs_paid, 'epoch')}",
        ),
    ]
    blocks: list[Block] = [Tiles(tiles=tiles)]
    if audit.false_rate is not None and audit.false_interval is not None:
        low, high = audit.false_interval
        blocks.append(
            Text(
                text=f"Of {count_noun(len(audit.spared), 'trial')} that the pruner would have "
                f"stopped and the audit kept, {audit.falsely_pruned} ended better than half of "
                f"the others: {format_percent(audit.false_rate)} (95 %: "
                f"{format_percent_range(low, high)}) are stopped falsely. The best of them was "
                f"{unit.width(audit.regret)} better than the best that the pruner kept."
            )
        )
    else:
        why = (
            "Only trials that the audit kept are complete"
            if audit.spared
            else "The audit kept no trial that the pruner would have stopped"
        )
        text = f"{why}, so the share of falsely stopped trials is unknown."
        blocks.append(Text(text=text, style="note"))
    if audit.rungs:
        blocks.append(
            Table(
                caption="How well the order after an epoch predicts the order at the end",
                columns=[
                    Column(label="after epoch", numeric=True),
                    Column(label="trials", numeric=True),
                    Column(label="rank correlation (Spearman)", numeric=True),
                    Column(label="Kendall's tau", numeric=True),
                ],
                rows=[
                    [str(rung.epoch), str(rung.trials), _two(rung.spearman), _two(rung.kendall)]
                    for rung in audit.rungs
                ],
            )
        )
    return Section(name="pruning", title=title, blocks=blocks)


def cost(content: StudyContent) -> Section:
    """Return epochs, hours, and energy if it was measured."""
    costs, confirmed = content.costs, content.confirmed
    facts = [
        ("Epochs of the search", f"{costs.epochs:,}"),
        ("Compute of the search", COMPUTE.value(costs.compute_seconds)),
    ]
    if confirmed is not None:
        verdict = confirmed.verdict
        facts += [
            ("Epochs of the confirmation", f"{verdict.confirmation_epochs:,}"),
            (
                "Together",
                f"{count_noun(verdict.spent_epochs, 'epoch')}, as many as in "
                f"{verdict.full_trainings:.1f} full trainings; "
                f"{format_percent(verdict.confirmation_share)} for the confirmation",
            ),
        ]
    if costs.wall_seconds is not None:
        facts.append(("From the first event to the last", COMPUTE.value(costs.wall_seconds)))
    if costs.busy_seconds is not None:
        facts.append(("Of that, with a worker at work", COMPUTE.value(costs.busy_seconds)))
    if costs.parallelism is not None:
        facts.append(("Trials trained at once, on average", f"{costs.parallelism:.1f}"))
    energy = costs.energy_joules
    facts.append(("Energy", "not measured" if energy is None else f"{energy / 3.6e6:.3g} kWh"))
    rows = [
        [
            state.replace("pruned", "stopped early"),
            f"{spent.trials:,}",
            f"{spent.epochs:,}",
            COMPUTE.value(spent.compute_seconds),
        ]
        for state, spent in costs.by_state.items()
        if spent.trials
    ]
    blocks: list[Block] = [Facts(facts=facts)]
    if rows:
        blocks.append(
            Table(
                caption="Cost by state of the trials",
                columns=[
                    Column(label="state of the trials"),
                    Column(label="trials", numeric=True),
                    Column(label="epochs", numeric=True),
                    Column(label="compute", numeric=True),
                ],
                rows=rows,
            )
        )
    return Section(name="cost", title="Cost", blocks=blocks)


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
