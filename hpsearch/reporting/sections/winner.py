"""The winner, its value, and its comparisons; with several objectives the front."""

from __future__ import annotations

from hpsearch.formatting import count_noun, format_percent
from hpsearch.reporting.blocks import Block, Column, Facts, Section, Table, Text
from hpsearch.reporting.charts.finalists import finalists
from hpsearch.reporting.content import StudyConfirmation, StudyContent
from hpsearch.reporting.labels import COMPUTE, Unit, sentence, setting
from hpsearch.results.confirmation.verdict import (
    ConfirmationResult,
    Finalist,
    optimism_in_words,
)
from hpsearch.results.winner import (
    invalid_finalists_warning,
    newer_trials_warning,
    repetition_warning,
)


def winner(content: StudyContent) -> Section:
    """Return the winner, its value, and its comparisons."""
    number = content.winner
    blocks: list[Block] = []
    if number is None:
        return Section(name="winner", title="The winner", blocks=[Text(text=_no_winner(content))])
    blocks += _standing(content)
    if len(content.objectives) > 1:
        blocks.append(_front(content))
    params = content.params(number)
    names = content.short_names
    row = content.row(number)
    blocks.append(Text(text=f"Settings of trial {number}", style="heading"))
    blocks.append(
        Table(
            caption=f"Settings of trial {number}",
            columns=[
                Column(label="parameter"),
                Column(label="value"),
                Column(label="path in the study file"),
            ],
            rows=[[names[path], setting(value), path] for path, value in params.items()],
            visible_rows=40,
        )
    )
    facts = [
        (sentence(label), Unit(name).value(row.get(name)))
        for name, label in (
            ("parameters", "learned parameters"),
            ("multiply_adds", "multiply-adds per image"),
            ("epoch_seconds", "time of an epoch (median)"),
            ("latency", "time for one image"),
        )
        if row.get(name) is not None
    ]
    if facts:
        blocks.append(Facts(facts=facts))
    return Section(name="winner", title="The winner", blocks=blocks)


def _no_winner(content: StudyContent) -> str:
    if content.violators:
        return (
            f"All {len(content.violators)} complete trials break a constraint "
            f"({', '.join(content.constraints)}), so none can win."
        )
    counts = content.counts
    return (
        "No trial is complete, so there is no winner: "
        f"{counts['pruned']} stopped early, {counts['failed']} failed, "
        f"{counts['running']} running, {counts['paused']} paused."
    )


def _standing(content: StudyContent) -> list[Block]:
    confirmation = content.confirmed
    if (
        confirmation is None
        or confirmation.verdict.winner is None
        or not confirmation.verdict.finished
    ):
        return _unconfirmed_warning(content)
    verdict, unit = confirmation.verdict, content.unit
    blocks: list[Block] = [Facts(facts=_verdict_facts(confirmation, unit))]
    warnings = (
        invalid_finalists_warning(verdict),
        repetition_warning(confirmation.nth),
        newer_trials_warning(confirmation.newer_trials),
    )
    blocks += [Text(text=warning, style="warning") for warning in warnings if warning]
    chart = finalists(verdict)
    if chart is not None:
        blocks.append(chart)
    blocks.append(_finalists_table(confirmation, unit))
    blocks.append(Text(text=f"Finalists: {confirmation.rule}", style="note"))
    return blocks


def _unconfirmed_warning(content: StudyContent) -> list[Block]:
    confirmation, name = content.confirmed, content.name
    if len(content.objectives) > 1:
        text = (
            "Unconfirmed. The metrics of each point are from one training with one seed; hpsearch "
            "train FILE --seeds 5 trains an exported point again."
        )
        return [Text(text=text, style="warning")]
    if confirmation is None:
        why = f"No fresh seed has confirmed it; hpsearch confirm --study {name} confirms it."
    elif not confirmation.verdict.finished:
        why = f"Its confirmation isn't finished; hpsearch confirm --study {name} continues it."
    else:
        why = (
            "In its confirmation every finalist failed; "
            f"hpsearch show --study {confirmation.study} shows why."
        )
    return [Text(text=f"{content.best_seen} {why}", style="warning")]


def _verdict_facts(confirmation: StudyConfirmation, unit: Unit) -> list[tuple[str, str]]:
    verdict = confirmation.verdict
    facts = [("Winner", f"trial {verdict.winner}")]
    if verdict.confirmed is not None:
        facts.append((f"Confirmed {unit.name}", unit.value(verdict.confirmed)))
    for label, interval in (
        ("95 % interval over seeds", verdict.over_seeds),
        (
            f"95 % interval over seeds and {verdict.other_images}",
            verdict.over_seeds_and_images if verdict.images else None,
        ),
        ("95 % interval of one more training", verdict.next_training),
    ):
        if interval is not None:
            facts.append((label, unit.interval((interval.low, interval.high))))
    facts.append(
        (
            "Based on",
            f"{count_noun(len(verdict.reported), 'fresh seed')}; validation: {verdict.judged_on}",
        )
    )
    if verdict.images_in_words:
        facts.append(("Images", verdict.images_in_words))
    facts.append(
        (
            "Best seen in the search",
            f"{unit.value(verdict.best_seen)} (one seed, best of "
            f"{count_noun(verdict.complete, 'trial')})",
        )
    )
    if verdict.optimism is not None:
        optimism = optimism_in_words(verdict.optimism, verdict.metric)
        facts.append(("Optimism of the search", optimism))
    if verdict.runner_up is not None:
        facts.append(
            (
                f"Against trial {verdict.runner_up.trial} (second)",
                verdict.runner_up.describe(unit.metric),
            )
        )
    if verdict.winner_is_baseline:
        facts.append(("Against the first try_first", "it is the winner itself"))
    elif verdict.baseline is not None:
        facts.append(
            (
                f"Against trial {verdict.baseline.trial} (first try_first)",
                verdict.baseline.describe(unit.metric),
            )
        )
    if verdict.chance_of_best is not None:
        facts.append(
            ("Chance that it is the best of the finalists", format_percent(verdict.chance_of_best))
        )
    return facts


def _finalists_table(confirmation: StudyConfirmation, unit: Unit) -> Table:
    verdict = confirmation.verdict
    return Table(
        caption="The finalists",
        columns=[
            Column(label="#", numeric=True),
            Column(label="trial", numeric=True),
            Column(label="in search", numeric=True),
            Column(label="mean of choosing seeds", numeric=True),
            Column(label="seeds", numeric=True),
            Column(label="confirmed", numeric=True),
            Column(label="epoch", numeric=True),
            Column(label="parameters", numeric=True),
            Column(label="one image", numeric=True),
            Column(label="why it isn't the winner"),
        ],
        rows=[
            [
                str(finalist.place),
                str(finalist.standing.trial),
                unit.value(finalist.seen),
                unit.value(finalist.standing.mean),
                str(finalist.standing.seeds),
                unit.value(finalist.reported),
                COMPUTE.value(finalist.cost.epoch_seconds),
                Unit("parameters").value(finalist.cost.parameters),
                Unit("latency").value(finalist.cost.latency_ms),
                _why_not(finalist, verdict, unit),
            ]
            for finalist in verdict.finalists
        ],
        marked=frozenset(
            place
            for place, finalist in enumerate(verdict.finalists)
            if finalist.standing.trial == verdict.winner
        ),
    )


def _why_not(finalist: Finalist, verdict: ConfirmationResult, unit: Unit) -> str:
    """Return why a finalist isn't the winner, in points; empty for the winner."""
    rank = finalist.standing
    if rank.trial == verdict.winner:
        return ""
    if rank.reason is not None:
        return f"dropped after seed {rank.rejected_after}: {rank.reason}"
    lead = verdict.leads.get(rank.trial)
    if lead is None:
        return ""
    ahead = lead.ahead
    way = "behind" if ahead.estimate >= 0 else "ahead"
    return (
        f"{unit.width(abs(ahead.estimate))} {way} (95 %: {unit.differences(ahead.low, ahead.high)} "
        f"for the winner){'' if lead.distinguishable else ', not distinguishable'}"
    )


def _front(content: StudyContent) -> Table:
    names = list(content.objectives)
    ways = ", ".join(f"{name} ({way})" for name, way in content.objectives.items())
    rows = [content.row(number) for number in content.front]
    return Table(
        caption=f"The Pareto front: {ways}",
        columns=[
            Column(label="trial", numeric=True),
            *(Column(label=name, numeric=True) for name in names),
            Column(label="point"),
        ],
        rows=[
            [
                str(row["number"]),
                *(
                    Unit(name).value(
                        row.get(name, row["value"] if name == content.metric else None)
                    )
                    for name in names
                ),
                "knee" if row["number"] == content.knee else "",
            ]
            for row in rows
        ],
        sortable=True,
    )
