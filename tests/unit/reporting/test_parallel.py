"""Parallel coordinates: every searched number, the objective as the last axis, no empty axis."""

from __future__ import annotations

from typing import Any

import pytest
from support.reporting import write_study

from hpsearch.reporting.assemble import read_report
from hpsearch.reporting.blocks import Chart
from hpsearch.reporting.charts.parallel import AXES, parallel
from hpsearch.reporting.content import StudyContent
from hpsearch.reporting.sections.trials import settings
from hpsearch.search.database.storage import Database
from hpsearch.study_file.space import Branch, Choice, Group, Range, Space

SPACE = Space(
    Group(
        {
            "model": Branch(
                {
                    "mlp": Group({"dropout": Range(low=0.0, high=0.5)}),
                    "cnn": Group({"channels": Choice((8, 16, 32))}),
                }
            ),
            "lr": Range(low=1e-4, high=0.5, log=True),
            "batch_size": Choice((16, 32, 64)),
        }
    )
)


def read(database: Database, ends: list[str], space: Space = SPACE) -> StudyContent:
    write_study(database, ends, space=space)
    return read_report(database, ["made"]).studies[0]


def charts(content: StudyContent) -> list[Chart]:
    return [block for block in settings(content).blocks if isinstance(block, Chart)]


def lines(chart: Chart) -> list[list[tuple[int, float]]]:
    """Return the points of each line."""
    segments: list[list[tuple[int, float]]] = []
    for trace in chart.figure["data"]:
        segments.append([])
        for x, y in zip(trace["x"], trace["y"], strict=True):
            if x is None:
                segments.append([])
            else:
                segments[-1].append((x, y))
    return [line for line in segments if line]


def names(chart: Chart) -> list[str]:
    return list(chart.figure["layout"]["xaxis"]["ticktext"])


def test_without_importances_no_number_is_left_out(database: Database) -> None:
    content = read(database, ["complete"] * 4 + ["pruned"] * 2)
    assert all(group.reason for group in content.importances.groups)
    [chart] = charts(content)
    assert names(chart)[:-1] == ["model", "dropout", "channels", "lr", "batch_size"]


def test_the_objective_is_the_last_axis(database: Database) -> None:
    content = read(database, ["complete"] * 6)
    [chart] = charts(content)
    assert names(chart)[-1] == "validation accuracy"
    ends = sorted({y for line in lines(chart) for x, y in line if x == len(names(chart)) - 1})
    values = [row["value"] for row in content.trials]
    low, high = min(values), max(values)
    expected = sorted({round((value - low) / (high - low), 4) for value in values})
    assert ends == pytest.approx(expected)
    labels = [
        annotation["text"]
        for annotation in chart.figure["layout"]["annotations"]
        if annotation["x"] == len(names(chart)) - 1
    ]
    assert labels[0] == content.unit.value(low)
    assert labels[-1] == content.unit.value(high)


def test_every_line_reaches_every_axis(database: Database) -> None:
    """Also those of the other model: a line with a gap ends nowhere, and its axis is empty."""
    content = read(database, ["complete"] * 6 + ["pruned"] * 3)
    [chart] = charts(content)
    trial_lines = lines(chart)
    assert len(trial_lines) == 9 + 1  # each trial, and the winner again
    assert all([x for x, _ in line] == list(range(len(names(chart)))) for line in trial_lines)
    dropout = names(chart).index("dropout")
    below = [y for line in trial_lines for x, y in line if x == dropout and y < -0.1]
    assert below
    assert (
        min(y for line in trial_lines for _, y in line)
        > chart.figure["layout"]["yaxis"]["range"][0]
    )
    assert "doesn't apply" in chart.note
    labels = chart.figure["layout"]["annotations"]
    assert [annotation["x"] for annotation in labels if annotation["text"] == "not used"] == [
        dropout,
        names(chart).index("channels"),
    ]


def test_what_no_drawn_trial_has_is_no_axis(database: Database) -> None:
    """The failed trial alone is a cnn."""
    content = read(database, ["complete", "failed", "complete"])
    [chart] = charts(content)
    assert "channels" not in names(chart)
    assert "not used" not in [
        annotation["text"] for annotation in chart.figure["layout"]["annotations"]
    ]


def test_many_parameters_are_spread_over_several_charts(database: Database) -> None:
    many = Space(Group({f"p{at:02}": Range(low=0.0, high=1.0) for at in range(2 * AXES + 1)}))
    several = charts(read(database, ["complete"] * 3, many))
    assert [chart.name for chart in several] == ["parallel", "parallel-2", "parallel-3"]
    parameters = [name for chart in several for name in names(chart)[:-1]]
    assert parameters == [f"p{at:02}" for at in range(2 * AXES + 1)]
    assert all(len(names(chart)) <= AXES + 1 for chart in several)
    assert all(names(chart)[-1] == "validation accuracy" for chart in several)


def test_a_measured_number_is_on_its_own_scale_a_choice_is_not(database: Database) -> None:
    """Few trials have few learning rates, which are no choice all the same."""
    space = Space(Group({"rate": Range(low=0.0, high=0.7), "batch_size": Choice((16, 32, 64))}))
    content = read(database, ["complete"] * 4, space)
    [chart] = charts(content)
    rates = sorted(row["rate"] for row in content.trials)
    expected = [(rate - rates[0]) / (rates[-1] - rates[0]) for rate in rates]
    assert expected != pytest.approx([0.0, 1 / 3, 2 / 3, 1.0], abs=0.1)
    assert sorted({y for line in lines(chart) for x, y in line if x == 0}) == pytest.approx(
        expected, abs=1e-3
    )
    ticks = [
        annotation["y"]
        for annotation in chart.figure["layout"]["annotations"]
        if annotation["x"] == 1
    ]
    assert ticks == [0.0, 0.5, 1.0]


def test_one_parameter_and_the_objective_are_two_axes(database: Database) -> None:
    one = Space(Group({"lr": Range(low=1e-4, high=0.5, log=True)}))
    [chart] = charts(read(database, ["complete"] * 2, one))
    assert names(chart) == ["lr", "validation accuracy"]


@pytest.mark.parametrize("ends", [[], ["complete"], ["failed", "complete"]])
def test_a_single_line_is_no_chart(database: Database, ends: list[Any]) -> None:
    content = read(database, ends)
    assert parallel(content, list(content.parameters)) == []
    assert settings(content).blocks


def test_the_legend_on_a_phone_has_room_for_every_entry(database: Database) -> None:
    [chart] = charts(read(database, ["complete"] * 6))
    meta = chart.figure["layout"]["meta"]
    assert meta["narrow_legend"] == {"orientation": "v"}
    assert meta["narrow"]["t"] >= 20 * len(chart.figure["data"])
