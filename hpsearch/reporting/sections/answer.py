"""The answer in sentences, and the most important numbers."""

from __future__ import annotations

from dataclasses import replace

from hpsearch.formatting import count_noun
from hpsearch.reporting.blocks import Block, Section, Text, Tile, Tiles
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import COMPUTE
from hpsearch.results.winner import LACKS_GROUPS, distrusted


def answer(content: StudyContent) -> Section:
    """Return the answer in sentences, and the most important numbers."""
    counts = content.counts
    tiles = [
        *_value_tiles(content),
        Tile(
            label="Trials",
            value=f"{counts['total']:,} of {content.budget_trials:,}",
            detail=f"{counts['complete']:,} complete, {counts['pruned']:,} stopped early, "
            f"{counts['failed']:,} failed"
            + (f", {counts['invalid']:,} declared invalid" if "invalid" in counts else ""),
        ),
        Tile(
            label="Spent on the search",
            value=count_noun(content.costs.epochs, "epoch"),
            detail=f"{COMPUTE.value(content.costs.compute_seconds)} of training",
        ),
    ]
    blocks: list[Block] = []
    if content.test_gap is not None:
        # Before the answer: a reader who stops early must have seen it
        blocks.append(Text(text=content.test_gap.headline, style="warning"))
        blocks.append(Text(text=" ".join(["Likely reasons.", *content.test_gap.reasons])))
    blocks.append(Text(text=" ".join(content.answer), style="lead"))
    blocks += [Text(text=each, style="warning") for each in content.warnings]
    found = content.confirmed
    if found is not None and found.verdict.winner_is_invalid:
        blocks.append(Text(text=distrusted(found.verdict), style="warning"))
    if found is not None and found.verdict.lacks_groups:
        blocks.append(Text(text=LACKS_GROUPS, style="warning"))
    if not content.finished:
        blocks.append(
            Text(text="The study isn't finished: everything here may change.", style="warning")
        )
    return Section(name="answer", title="The answer", blocks=[*blocks, Tiles(tiles=tiles)])


def _value_tiles(content: StudyContent) -> list[Tile]:
    unit = content.unit
    best = content.row(next(iter(content.ranked), None)).get("value")
    seen = Tile(
        label="Best seen in the search",
        value=unit.value(best),
        detail=f"one seed, best of {count_noun(len(content.ranked), 'trial')}: optimistic"
        if best is not None
        else "no trial has a rank yet",
    )
    if len(content.objectives) > 1:
        front = Tile(
            label="On the front",
            value=count_noun(len(content.front), "trial"),
            detail="none yet" if content.knee is None else f"its knee is trial {content.knee}",
        )
        return [front, replace(seen, label=f"Best {unit.name} seen")]
    found = content.confirmed
    verdict = None if found is None else found.verdict
    if verdict is None or verdict.confirmed is None or not verdict.finished:
        return [
            Tile(label="Confirmed", value="not yet", detail="the best seen is not a result"),
            seen,
        ]
    interval = verdict.over_seeds_and_images
    return [
        Tile(
            label=f"Confirmed, {count_noun(len(verdict.reported), 'fresh seed')}",
            value=unit.value(verdict.confirmed),
            detail=""
            if interval is None
            else f"95 %: {unit.interval((interval.low, interval.high))}, on {verdict.sample}",
        ),
        seen,
    ]
