"""Lines over epochs: an axis on which their ends are told apart, labels that don't overlap."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from hpsearch.reporting.charts.lines import (
    Line,
    apart,
    end_labels,
    label_margin,
    lines_figure,
    zoom_note,
    zoom_range,
)
from hpsearch.reporting.labels import Unit

ACCURACY, LOSS = Unit("val_accuracy"), Unit("val_loss")


def line(values: Sequence[float | None], name: str = "trial 1", **more: Any) -> Line:
    epochs = list(range(1, len(values) + 1))
    return Line(name=name, epochs=epochs, values=values, colour="series-1", **more)


def bounds(lines: Sequence[Line], unit: Unit = ACCURACY, **more: Any) -> tuple[float, float]:
    axis_range = zoom_range(lines, unit, maximize=unit is ACCURACY, **more)
    assert axis_range is not None
    low, high = axis_range
    return low, high


def test_epochs_at_chance_dont_press_the_ends_together() -> None:
    """Three quarters of the epochs at chance: the ends still take a fifth of the axis."""
    at_chance: list[float | None] = [10.0] * 15
    lines = [line([*at_chance, 60.0, 80.0, 90.0, 95.0, end]) for end in (96.0, 97.5, 99.0)]
    low, high = bounds(lines)
    assert (99.0 - 96.0) / (high - low) >= 0.2
    assert low < 96.0
    assert high > 99.0


def test_a_loss_is_zoomed_from_above() -> None:
    lines = [line([2.3, 2.3, 2.2, 0.9, 0.5, end]) for end in (0.2, 0.3, 0.4)]
    low, high = bounds(lines, LOSS)
    assert low < 0.2 < 0.4 < high < 1.0


def test_a_line_that_falls_back_at_its_end_is_whole_there() -> None:
    lines = [line([50.0, 90.0, 99.0, 98.0]), line([50.0, 99.5, 97.0, 60.0])]
    low, high = bounds(lines)
    assert low < 60.0
    assert high > 99.5


@pytest.mark.parametrize("values", [[97.0], [97.0, 97.0, 97.0], [10.0, 97.0, 97.0]])
def test_equal_ends_have_an_axis_of_a_width(values: list[float | None]) -> None:
    low, high = bounds([line(values), line(values)])
    assert high - low >= 1.0
    assert low < 97.0 < high


def test_without_a_point_there_is_no_range() -> None:
    assert zoom_range([], ACCURACY, maximize=True) is None
    assert zoom_range([line([None, float("nan")])], ACCURACY, maximize=True) is None


def test_the_course_of_a_single_training_matters_more_than_its_end() -> None:
    pair = [line([30.0, 60.0, 80.0, 90.0, 92.0, 93.0]), line([40.0, 70.0, 85.0, 91.0, 93.0, 94.0])]
    assert bounds(pair, tight=False)[0] < 90.0 < bounds(pair)[0] + 1.5


def test_a_range_that_leaves_something_out_says_so() -> None:
    cut = [line([10.0, 95.0, 96.0]), line([10.0, 96.0, 99.0])]
    assert "double click" in zoom_note(cut, bounds(cut))
    whole = [line([95.0, 96.0])]
    assert zoom_note(whole, bounds(whole)) == ""
    assert "double click" in zoom_note(whole, bounds(whole), others=True)


def test_labels_are_apart_and_in_order() -> None:
    values = [97.0, 97.1, 97.1, 97.2, 99.9]
    places = apart(values, gap=0.5, low=90.0, high=100.0)
    steps = [after - before for before, after in itertools.pairwise(places)]
    assert min(steps) >= 0.5 - 1e-9
    assert places[-1] <= 100.0
    assert abs(places[0] - 97.0) <= 1.0


def test_labels_at_the_top_are_moved_down() -> None:
    places = apart([99.9, 99.8, 100.0], gap=1.0, low=90.0, high=100.0)
    assert sorted(places) == pytest.approx([98.0, 99.0, 100.0])
    assert places[2] == max(places)


def test_labels_at_the_bottom_are_moved_up() -> None:
    assert apart([0.0, 0.1], gap=1.0, low=0.0, high=10.0) == pytest.approx([0.0, 1.0])


def test_too_many_labels_share_the_room() -> None:
    places = apart([5.0] * 11, gap=3.0, low=0.0, high=10.0)
    assert sorted(places) == pytest.approx(list(range(11)))


def test_every_label_is_within_the_chart_and_apart_in_pixels() -> None:
    height = 440
    lines = [line([10.0, 97.0, 97.0 + place / 50], name=f"trial {place}") for place in range(5)]
    lines.append(line([10.0, 97.02], name="trial 9"))  # it ended early
    figure = lines_figure(
        [curve.trace() for curve in lines],
        lines,
        ACCURACY,
        zoom_range(lines, ACCURACY, maximize=True),
        height=height,
    )
    layout = figure["layout"]
    low, high = layout["yaxis"]["range"]
    plot = height - layout["margin"]["t"] - layout["margin"]["b"]
    pixels = sorted(plot * (label["ay"] - low) / (high - low) for label in layout["annotations"])
    assert len(pixels) == len(lines)
    steps = [after - before for before, after in itertools.pairwise(pixels)]
    assert min(steps) >= 14
    assert pixels[0] >= 0
    assert pixels[-1] <= plot
    # Each label is connected with the end of its own line
    assert [(annotation["x"], annotation["y"]) for annotation in layout["annotations"]] == [
        curve.points[-1] for curve in lines
    ]
    assert layout["margin"]["r"] == layout["meta"]["narrow"]["r"] == label_margin(lines) > 50
    # A label replaces an entry of the legend
    assert not layout["showlegend"]


def test_a_name_from_outside_stays_text() -> None:
    [label] = end_labels([line([1.0, 2.0], name="<b>x</b>")], [0.0, 3.0], 300)
    assert "<b>" not in label["text"]
