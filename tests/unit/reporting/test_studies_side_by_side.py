"""The part of a report that compares several studies."""

from __future__ import annotations

from dataclasses import replace

from hpsearch.reporting.analysis.comparison import Line, compare_lines
from hpsearch.reporting.blocks import Block, Facts, Report, Stages, Table, Text
from hpsearch.reporting.markdown import markdown
from hpsearch.reporting.sections.studies import studies
from hpsearch.results.confirmation.statistics import Interval

FIRST = Line(
    study="s_arch", metric="val_accuracy", maximize=True, trials=20, complete=9, pruned=11,
    number=3, params={"model": "resnet18"}, best_seen=0.60, epochs=100, hours=36 / 3600,
    confirmation_epochs=50, confirmed=None,
)  # fmt: skip
SECOND = replace(FIRST, study="s_act", best_seen=0.65, starts_from="s_arch")
THIRD = replace(FIRST, study="s_opt", best_seen=0.66, starts_from="s_act")
HIGH, LOW = (
    Interval(estimate=0.66, low=0.65, high=0.67),
    Interval(estimate=0.60, low=0.59, high=0.61),
)


def blocks_of(*lines: Line) -> list[Block]:
    return list(studies(compare_lines(lines), []).blocks)


def lead_of(*lines: Line) -> str:
    [lead] = [
        block.text
        for block in blocks_of(*lines)
        if isinstance(block, Text) and block.style == "lead"
    ]
    return lead


def test_what_is_not_confirmed_does_not_lead() -> None:
    assert lead_of(FIRST, SECOND) == (
        "None of them leads: none of 2 studies are confirmed, and two are needed."
    )
    assert lead_of(FIRST, replace(SECOND, confirmed=HIGH)) == (
        "None of them leads: 1 of 2 studies is confirmed, and two are needed."
    )
    [table] = [block for block in blocks_of(FIRST, SECOND) if isinstance(block, Table)]
    assert table.marked == frozenset()


def test_only_a_difference_that_is_not_chance_is_a_lead() -> None:
    confirmed = replace(SECOND, confirmed=HIGH)
    assert lead_of(replace(FIRST, confirmed=LOW), confirmed).startswith(
        "s_act leads: 66.00 % confirmed (95 %: 65.00 to 67.00 %). s_arch is 6.00 points behind"
    )
    near = replace(FIRST, confirmed=Interval(estimate=0.655, low=0.645, high=0.665))
    lead = lead_of(near, confirmed)
    assert lead.startswith("s_act has the best confirmed value")
    assert "which chance may explain" in lead


def test_stages_are_arrows_from_the_first_to_each_last() -> None:
    other = replace(THIRD, study="s_reg")
    [stages] = [
        block for block in blocks_of(FIRST, SECOND, THIRD, other) if isinstance(block, Stages)
    ]
    assert [[stage.name for stage in chain] for chain in stages.chains] == [
        ["s_arch", "s_act", "s_opt"],
        ["s_arch", "s_act", "s_reg"],
    ]
    assert stages.chains[0][0].detail == "60.00 % best seen, not confirmed"
    section = studies(compare_lines([FIRST, SECOND, THIRD]), [])
    report = Report(title="t", byline="now", comparison=section, studies=[])
    assert "**s_arch** (60.00 % best seen, not confirmed) → **s_act**" in (
        markdown(report, {}).replace("\\", "")
    )
    [missing] = [block for block in blocks_of(SECOND, THIRD) if isinstance(block, Stages)]
    assert missing.chains[0][0].detail == "not shown here"
    assert not [block for block in blocks_of(FIRST) if isinstance(block, Stages)]


def test_settings_are_whole_and_short_times_are_not_zero() -> None:
    params = {f"optimizer.sgd.setting_{place}": place / 7 for place in range(40)}
    blocks = blocks_of(replace(FIRST, params=params), SECOND)
    [settings] = [block for block in blocks if isinstance(block, Facts)]
    assert settings.facts[0][1].count(", ") == 39
    assert "…" not in settings.facts[0][1]
    [table] = [block for block in blocks if isinstance(block, Table)]
    assert [row[-1] for row in table.rows] == ["36 s", "36 s"]
