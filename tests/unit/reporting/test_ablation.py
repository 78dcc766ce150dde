"""An ablation in the report: one row for each comparison, drawn for page and paper."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpsearch.reporting.charts.ablation import ablation
from hpsearch.reporting.labels import Unit
from hpsearch.reporting.matplotlib_charts import draw
from hpsearch.results.ablation.judging import AblationResult, judge
from hpsearch.results.ablation.sentences import answers
from hpsearch.results.ablation.spec import AblationSpec, Contrast, RequestedChanges, Variant
from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult

DILATION, KERNEL = "model.cnn.dilation", "model.cnn.kernel"


@pytest.fixture
def result() -> AblationResult:
    params = [{DILATION: d, KERNEL: k} for k in (2, 3) for d in (1, 2)]
    spec = AblationSpec(
        study="s",
        fingerprint="f",
        trial=4,
        metric="val_accuracy",
        maximize=True,
        seeds=4,
        seeds_before=0,
        asked=RequestedChanges(parameters=(), crossed=((DILATION, (KERNEL,)),), most_cells=24),
        variants=tuple(
            Variant(params=variant, changed=variant if place else {})
            for place, variant in enumerate(params)
        ),
        contrasts=tuple(
            Contrast(parameter=DILATION, one=one, other=one - 1, level=2, base=1, at={KERNEL: at})
            for one, at in ((1, 2), (3, 3))
        ),
        left_out=(),
    )
    values = {
        PlannedTraining(trial=one, seed=seed): TrainingResult(
            value=0.7 + 0.05 * (one == 1) + 0.001 * ((seed * (one + 3)) % 5)
        )
        for one in range(4)
        for seed in range(1, 5)
    }
    return judge(spec, values, has_images=False)


def test_each_comparison_is_a_row_with_its_interval(result) -> None:
    chart = ablation(result, Unit("val_accuracy"), 0)
    assert chart is not None and chart.table is not None
    assert [row[0] for row in chart.table.rows] == [
        "dilation 2 instead of 1 at kernel 2",
        "dilation 2 instead of 1 at kernel 3",
    ]
    (first,) = [line for line in answers(result) if "kernel 2" in line]
    assert first.endswith(": yes, better") and first in chart.description
    *intervals, points = chart.figure["data"]
    assert points["y"] == [0, 1] and points["x"][1] == pytest.approx(5, abs=0.3)  # first on top
    assert all(interval["x"][0] < point < interval["x"][1] for interval, point in zip(
        intervals, points["x"], strict=True
    ))  # fmt: skip
    assert draw(chart) is not None


def test_nothing_is_drawn_before_two_seeds(result) -> None:
    empty = replace(result, effects=tuple(replace(effect, ahead=None) for effect in result.effects))
    assert ablation(empty, Unit("val_accuracy"), 0) is None
