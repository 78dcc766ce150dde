"""The first screen: the winner to copy, its value, the answer, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hpsearch.formatting import count_noun
from hpsearch.metrics import SHARE
from hpsearch.reporting.blocks import Block, Commands, Facts, Section, Text, Tile, Tiles
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.labels import COMPUTE, Unit, params_line
from hpsearch.reporting.sections.experiment import experiment_lead
from hpsearch.results.question import MODEL
from hpsearch.results.winner import LACKS_GROUPS, invalid_finalists_warning


def answer(content: StudyContent) -> Section:
    """Return what a reader looks for first, in this order.

    The winner's settings to copy, its value, the answer to the study's question, what to do next,
    and the test result if the test images were opened.
    """
    blocks: list[Block] = []
    if content.test_gap is not None:
        # Before the answer: a reader who stops early must have seen it
        blocks.append(Text(text=content.test_gap.headline, style="warning"))
        blocks.append(Text(text=" ".join(["Likely reasons.", *content.test_gap.reasons])))
    if content.winner is not None:
        blocks.append(Text(text=f"The winner, trial {content.winner}, to copy", style="heading"))
        yaml = content.winner_yaml.rstrip("\n").split("\n")
        blocks.append(Commands(label="The winner's settings, for a study file", lines=yaml))
    blocks.append(Tiles(tiles=_value_tiles(content)))
    blocks.append(Text(text=" ".join(content.answer), style="lead"))
    blocks += experiment_lead(content)
    blocks += _warnings(content)
    if content.winner is not None:
        blocks += _what_next(content)
    if content.test:
        blocks.append(Text(text="The test", style="heading"))
        blocks.append(Tiles(tiles=_test_tile(content)))
    return Section(
        name="answer", title="The answer", blocks=[*blocks, *_winner(content), _cost_tiles(content)]
    )


def _warnings(content: StudyContent) -> list[Block]:
    """Return what a reader must know of the answer."""
    blocks: list[Block] = [Text(text=warning, style="warning") for warning in content.warnings]
    confirmation = content.confirmed
    if confirmation is not None and confirmation.verdict.winner_is_invalid:
        blocks.append(Text(text=invalid_finalists_warning(confirmation.verdict), style="warning"))
    if confirmation is not None and confirmation.verdict.lacks_groups:
        blocks.append(Text(text=LACKS_GROUPS, style="warning"))
    if content.deadline:
        blocks.append(Text(text=f"{content.deadline[0].upper()}{content.deadline[1:]}."))
    if not content.finished:
        blocks.append(
            Text(text="The study isn't finished: everything here may change.", style="warning")
        )
    return blocks


def _cost_tiles(content: StudyContent) -> Tiles:
    """Return what the search cost."""
    counts = content.counts
    return Tiles(
        tiles=[
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
    )


def _test_tile(content: StudyContent) -> list[Tile]:
    """Return the test accuracy once the test images were opened; only the first is a test."""
    if not content.test:
        return []
    first = content.test[0]
    detail = (
        f"95 % interval {SHARE.interval(first.interval)}, on {first.sample} that no trial has seen"
    )
    if first.trial != content.winner:
        detail += f"; of trial {first.trial}"
    if len(content.test) > 1:
        detail += f"; opened {count_noun(len(content.test), 'time')}, this is the first"
    gap, alarm = content.test_gap, ""
    if gap is not None:
        ends = content.unit.interval(gap.confirmed_interval)
        what = "" if gap.metric == "val_accuracy" else f"{content.unit.value(gap.test)}: "
        alarm = f"{what}outside the confirmed interval, {ends}"
    return [
        Tile(label="Test accuracy", value=SHARE.value(first.accuracy), detail=detail, alarm=alarm)
    ]


def _value_tiles(content: StudyContent) -> list[Tile]:
    unit = content.unit
    best = content.row(next(iter(content.ranked), None)).get("value")
    best_tile = Tile(
        label="Best seen in the search",
        value=unit.value(best),
        detail=f"trial {content.ranked[0]}, one seed, the best of "
        f"{count_noun(len(content.ranked), 'complete trial')}: optimistic"
        if best is not None
        else "no trial has a rank yet",
    )
    if len(content.objectives) > 1:
        front = Tile(
            label="On the front",
            value=count_noun(len(content.front), "trial"),
            detail="none yet" if content.knee is None else f"its knee is trial {content.knee}",
        )
        return [front, replace(best_tile, label=f"Best {unit.name} seen")]
    confirmation = content.confirmed
    verdict = None if confirmation is None else confirmation.verdict
    if verdict is None or verdict.confirmed is None or not verdict.finished:
        return [
            Tile(label="Confirmed", value="not yet", detail="the best seen is not a result"),
            best_tile,
        ]
    interval = verdict.over_seeds_and_images
    if verdict.optimism == 0:
        best_tile = replace(best_tile, detail="one seed; the search was not optimistic here")
    return [
        Tile(
            label=f"Confirmed, {count_noun(len(verdict.reported), 'fresh seed')}",
            value=unit.value(verdict.confirmed),
            detail=""
            if interval is None
            else f"95 % interval {unit.interval((interval.low, interval.high))}, on "
            f"{verdict.sample}",
        ),
        best_tile,
    ]


def _what_next(content: StudyContent) -> list[Block]:
    """Return what is worth doing next, and the commands for it."""
    advice = [Text(text=content.advice)] if content.advice else []
    return [
        Text(text="What to do next", style="heading"),
        *advice,
        *(
            block
            for what, command in _next(content)
            for block in (Text(text=what), Commands(label=what, lines=[command]))
        ),
        *_look_at_labels(content),
    ]


def _winner(content: StudyContent) -> list[Block]:
    """Return the winner in three lines."""
    number = content.winner
    if number is None:
        return []
    params, names = content.params(number), content.short_names
    inside = {path: value for path, value in params.items() if path.startswith(f"{MODEL}.")}
    others = {path: value for path, value in params.items() if path not in inside and path != MODEL}
    lines = [
        ("Model", _line(content.winner_model, inside, names)),
        ("Training", _line("", others, names)),
        ("Size and speed", _size(content.row(number))),
    ]
    return [Facts(facts=[(label, text) for label, text in lines if text])]


def _look_at_labels(content: StudyContent) -> list[Block]:
    many = 0 if content.matrices is None else len(content.matrices.pictures.label_errors)
    if not many:
        return []
    pictures = f"{count_noun(many, 'picture')} {'has' if many == 1 else 'have'}"
    text = f"{pictures} a label that is probably wrong: see Probable label errors below."
    return [Text(text=text)]


def _line(name: str, params: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return ": ".join(filter(None, (name, params_line(params, names))))


def _size(row: Mapping[str, Any]) -> str:
    lines = [
        text.format(Unit(name).value(row.get(name)))
        for name, text in (
            ("parameters", "{} learned parameters"),
            ("epoch_seconds", "{} an epoch"),
            ("latency", "{} for one image"),
        )
        if row.get(name) is not None
    ]
    return ", ".join(lines)


def _next(content: StudyContent) -> list[tuple[str, str]]:
    """Return what may come next: what it does, and its command."""
    name, confirmation = content.name, content.confirmed
    bundle, out = (
        "Write the winner's model, settings and model card into a folder:",
        "--bundle best/",
    )
    if content.has_loop:
        bundle, out = (
            "Write the winner's settings into a file, which trains it again:",
            "--out best.yaml",
        )
    if len(content.objectives) > 1:
        return [(bundle, f"hpsearch export --study {name} --pick knee {out}")]
    verdict = None if confirmation is None else confirmation.verdict
    if verdict is None or not verdict.has_valid_winner:
        again = " --again" if verdict is not None and verdict.winner_is_invalid else ""
        confirm = "Train the best trials again with fresh seeds, for a value that can be quoted:"
        return [(confirm, f"hpsearch confirm --study {name}{again}")]
    lines = [(bundle, f"hpsearch export --study {name} {out}")]
    if verdict.runner_up is not None and not verdict.runner_up.distinguishable:
        seeds = 2 * max(len(verdict.reported), 2)
        lines.append(
            (
                f"Trial {verdict.runner_up.trial} and the winner can't be distinguished. "
                "Take the cheaper one of the two, or confirm again with more seeds:",
                f"hpsearch confirm --study {name} --again --seeds {seeds}",
            )
        )
    return lines
