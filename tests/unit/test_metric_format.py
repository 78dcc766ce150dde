"""One number has one format, wherever it is shown."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_type_hints

import pytest

import hpsearch
from hpsearch.metric_registry import METRICS
from hpsearch.metrics import (
    COSTS,
    METRIC_COLUMNS,
    OBJECTIVES,
    EpochMetrics,
    MetricFormat,
    format_metrics,
    is_share,
)
from hpsearch.reporting.analysis.sentences import amount
from hpsearch.reporting.labels import Unit
from hpsearch.results.confirmation.verdict import optimism_in_words
from hpsearch.results.export.card_metrics import bounds, number
from hpsearch.study_file.space import plain_values, point_of


@pytest.mark.parametrize(
    ("metric", "value", "shown", "difference"),
    [
        ("val_accuracy", 0.367757, "36.78 %", "+36.78 points"),
        ("val_macro_f1", 1.0, "100.00 %", "+100.00 points"),
        ("train_accuracy", 0.00001, "0.00 %", "+0.00 points"),
        ("val_loss", 2.302585, "2.303", "+2.303"),
        ("parameters", 9610.0, "9,610", "+9,610"),
        ("latency", 0.123456, "0.1235 ms", "+0.1235 ms"),
        ("epoch_seconds", 4.21, "4.2 s", "+4.21 s"),
        ("receptive_field", 24.0, "24 pixels", "+24 pixels"),
    ],
)
def test_a_value_is_written_alike_everywhere(metric, value, shown, difference):
    written = MetricFormat(metric)
    assert (written.value(value), written.difference(value)) == (shown, difference)
    assert (Unit(metric).value(value), Unit(metric).difference(value)) == (shown, difference)
    assert number(value, metric) == shown
    assert amount(value, metric, signed=True) == difference
    assert format_metrics({metric: value}) == f"{metric} {shown}"


def test_more_digits_for_what_is_reproduced():
    assert MetricFormat("val_accuracy", digits=4).value(0.98765432) == "98.7654 %"
    assert MetricFormat("val_accuracy", digits=4).difference(-0.00001) == "-0.0010 points"
    assert MetricFormat("val_loss", digits=4).value(0.123456789) == "0.123457"


def test_which_metrics_are_shares():
    metrics = [*OBJECTIVES, *METRICS.names(), *COSTS, "train_accuracy", "train_loss", "lr"]
    metrics += ["seconds", "compute_seconds", "val_recall(rare loss)", "val_loss(accuracy)"]
    shares = ["val_accuracy", "val_macro_f1", "val_balanced_accuracy", "val_auroc", "val_recall"]
    shares += ["val_top5_accuracy", "train_accuracy", "val_recall(rare loss)"]
    assert [each for each in metrics if is_share(each)] == shares


def _by_hand(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield where a module formats a share or a metric, or decides whether it is a share."""
    for node in ast.walk(tree):
        match node:
            case ast.FormattedValue(value=value, format_spec=ast.JoinedStr() as spec):
                how = ast.unparse(spec)
                named = re.search(r"accuracy|f1\b|loss|recall", ast.unparse(value))
                if how.strip("f'\"").endswith("%") or (named and re.search(r"\.\d[fg]", how)):
                    yield node
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                if any(
                    isinstance(each, ast.Constant) and each.value == 100 for each in (left, right)
                ):
                    yield node
            case ast.Compare(comparators=[ast.Constant(value="val_loss")]):
                yield node


def test_no_other_module_formats_a_share_by_hand():
    """Samplers and training compute with percent, but print nothing."""
    package = Path(hpsearch.__file__).parent
    home = {package / "metrics.py", package / "formatting.py"}
    rooms = ("cli", "dashboard", "notebook", "reporting", "results", "workers", "tracking")
    found = [
        f"{path.relative_to(package)}:{each.lineno}: {ast.unparse(each)}"
        for room in rooms
        for path in sorted((package / room).rglob("*.py"))
        if path not in home
        for each in _by_hand(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == [], "hpsearch.metrics.MetricFormat does it"


@pytest.mark.parametrize(
    "text",
    ["f'{share:.1%}'", "f'{100 * share:.2f} %'", "f'{last.val_loss:.4f}'", "metric == 'val_loss'"],
)
def test_what_is_formatted_by_hand_is_found(text):
    assert list(_by_hand(ast.parse(text)))


def test_intervals_and_nothing():
    assert MetricFormat("val_accuracy").interval((0.334, 0.4033)) == "33.40 to 40.33 %"
    assert bounds((0.334, 0.4033)) == "33.40 to 40.33 %"
    assert MetricFormat("val_loss").interval((0.334, 0.4033)) == "0.334 to 0.4033"
    assert MetricFormat("val_accuracy").value(None) == "-"


NOT_OPTIMISTIC = "the search was not optimistic here: the confirmed value is as good or better"


@pytest.mark.parametrize(
    ("optimism", "metric", "says"),
    [
        (0.0264, "val_accuracy", "+2.64 points (the best seen less the confirmed value)"),
        (0.0, "val_loss", NOT_OPTIMISTIC),
        # In files of earlier versions
        (-0.0121, "val_accuracy", NOT_OPTIMISTIC),
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


def test_an_epochs_metrics_are_numbers_alone() -> None:
    """They are the columns of a curve, of the ledger and of a checkpoint's history."""
    hints = get_type_hints(EpochMetrics)
    assert hints.pop("others") == Mapping[str, float]
    assert tuple(hints) == METRIC_COLUMNS
    assert set(hints.values()) == {int, float}


def test_a_point_takes_the_place_of_ranges_and_branches():
    document = {
        "study": "a",
        "data": {"source": {"digits": {}}, "augmentation": {"flip": {"values": [True, False]}}},
        "model": {
            "mlp": {"hidden": {"values": [[256], [128, 64]]}, "dropout": 0.1},
            "net": {"kind": "a"},
        },
        "optimizer": {"sgd": {"lr": {"min": 0.1, "max": 1.0}, "momentum": 0.9}},
        "batch_size": {"values": [16, 32]},
    }
    stored = {
        "data.augmentation.flip": False,
        "model": "mlp",
        "model.mlp.hidden": "[128,64]",
        "optimizer.sgd.lr": 0.5,
        "batch_size": 32,
    }
    sections = ("data", "model", "optimizer", "batch_size", "absent")
    assert point_of(document, stored, sections) == {
        "data": {"source": {"digits": {}}, "augmentation": {"flip": False}},
        "model": {"mlp": {"hidden": [128, 64], "dropout": 0.1}},
        "optimizer": {"sgd": {"lr": 0.5, "momentum": 0.9}},
        "batch_size": 32,
    }
    other = {**stored, "model": "net"}
    assert point_of(document, other, ("model",)) == {"model": {"net": {"kind": "a"}}}
