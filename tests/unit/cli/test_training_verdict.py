from __future__ import annotations

from types import SimpleNamespace

import pytest

from hpsearch.cli.terminal.reproduction import verdict
from hpsearch.metrics import EpochMetrics
from hpsearch.results.provenance import versions


def result(epoch: int, **others: float) -> EpochMetrics:
    figures = {
        "train_loss": 0.5,
        "train_accuracy": 0.75,
        "val_loss": 0.25,
        "val_accuracy": 0.875,
        "val_macro_f1": 0.75,
        "val_balanced_accuracy": 0.8,
        "lr": 0.1,
        "seconds": 1.0,
        "val_seconds": 0.25,
    }
    return EpochMetrics(epoch=epoch, **{**figures, **others})


RECORDED = {
    "epoch": 2,
    "train_loss": 0.5,
    "train_accuracy": 0.75,
    "val_loss": 0.25,
    "val_accuracy": 0.875,
}
NOTED = {"device": "cpu", "threads": 1, "precision": "fp32"}


@pytest.mark.parametrize(
    ("curve", "noted", "says"),
    [
        pytest.param(
            [result(1, val_accuracy=0.1), result(2)],
            NOTED,
            "reproduced exactly: every metric equals that of trial 7 at epoch 2",
            id="every digit",
        ),
        pytest.param(
            [result(1), result(2, val_loss=0.25 + 2**-20)],
            NOTED,
            "reproduced: the validation accuracy of trial 7 at epoch 2 exactly, "
            "its loss up to +9.537e-07",
            id="another loss",
        ),
        pytest.param(
            [result(1), result(2, val_accuracy=0.75)],
            {**NOTED, "threads": 2},
            "differs by -12.5000 points: trial 7 at epoch 2 had the validation accuracy 87.5000 % "
            "(changed since: threads 2 instead of 1)",
            id="another accuracy, and why it may be",
        ),
        pytest.param(
            [result(1)],
            NOTED,
            "the recorded metrics are of epoch 2, which this training doesn't reach",
            id="too short",
        ),
    ],
)
def test_what_came_out_again(curve, noted, says):
    blueprint = SimpleNamespace(attributes=lambda: noted)
    provenance = {"trial": 7, **NOTED, "versions": versions()}
    assert verdict(curve, RECORDED, blueprint, provenance) == says  # type: ignore[arg-type]


def test_other_versions_are_told():
    blueprint = SimpleNamespace(attributes=lambda: NOTED)
    provenance = {"trial": 7, **NOTED, "versions": {**versions(), "torch": "1.0"}}
    told = verdict([result(2, val_loss=1.0)], RECORDED, blueprint, provenance)  # type: ignore[arg-type]
    assert told.endswith(f"(changed since: torch {versions()['torch']} instead of 1.0)")
