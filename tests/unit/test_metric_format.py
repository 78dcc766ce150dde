"""One number has one spelling, wherever it is shown."""

from __future__ import annotations

import pytest

from hpsearch.metrics import MetricFormat, format_metrics
from hpsearch.reporting.analysis.sentences import amount, metric_value
from hpsearch.reporting.labels import Unit
from hpsearch.results.confirmation.verdict import optimism_in_words
from hpsearch.results.export.card_metrics import bounds, number
from hpsearch.study_file.space import plain_values


@pytest.mark.parametrize(
    ("metric", "value", "shown", "difference"),
    [
        ("val_accuracy", 0.367757, "36.78 %", "+36.78 points"),
        ("val_macro_f1", 1.0, "100.00 %", "+100.00 points"),
        ("train_accuracy", 0.00001, "0.00 %", "+0.00 points"),
        ("val_loss", 2.302585, "2.303", "+2.303"),
        ("parameters", 9610.0, "9,610", "+9610"),
        ("latency", 0.123456, "0.1235", "+0.1235"),
    ],
)
def test_a_value_is_written_alike_everywhere(metric, value, shown, difference):
    written = MetricFormat(metric)
    assert (written.value(value), written.difference(value)) == (shown, difference)
    assert (Unit(metric).value(value), Unit(metric).difference(value)) == (shown, difference)
    assert metric_value(value, metric) == number(value, metric) == shown
    assert amount(value, metric, signed=True) == difference
    assert format_metrics({metric: value}) == f"{metric} {shown}"


def test_intervals_and_nothing():
    assert MetricFormat("val_accuracy").interval((0.334, 0.4033)) == "33.40 to 40.33 %"
    assert bounds((0.334, 0.4033)) == "33.40 to 40.33 %"
    assert MetricFormat("val_loss").interval((0.334, 0.4033)) == "0.334 to 0.4033"
    assert MetricFormat("val_accuracy").value(None) == "-"


@pytest.mark.parametrize(
    ("optimism", "metric", "says"),
    [
        (0.0264, "val_accuracy", "+2.64 points (the best seen less the confirmed value)"),
        (
            -0.0121,
            "val_accuracy",
            "none: the confirmed value is 1.21 points better than the best seen",
        ),
        (-0.25, "val_loss", "none: the confirmed value is 0.25 better than the best seen"),
    ],
)
def test_no_optimism_is_below_nothing(optimism, metric, says):
    assert optimism_in_words(optimism, metric) == says


def test_lists_come_back_as_lists():
    document = {
        "model": {"mlp": {"hidden": {"values": [[256], [128, 64]]}}, "net": {"kind": "a"}},
        "optimizer": {"sgd": {"lr": {"min": 0.1, "max": 1.0}}},
        "data": {"normalization": {"values": ["raw", {"mean": [0.5], "std": [0.1]}]}},
    }
    stored = {
        "model": "mlp",
        "model.mlp.hidden": "[128,64]",
        "optimizer.sgd.lr": 0.5,
        "data.normalization": '{"mean":[0.5],"std":[0.1]}',
        "confirm_seed": 3,
    }
    assert plain_values(document, stored) == {
        "model": "mlp",
        "model.mlp.hidden": [128, 64],
        "optimizer.sgd.lr": 0.5,
        "data.normalization": {"mean": [0.5], "std": [0.1]},
        "confirm_seed": 3,
    }
