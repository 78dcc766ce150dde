"""Metrics of validation predictions: their definitions, their names, and a plug-in's own."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score, top_k_accuracy_score

from hpsearch import metric_registry
from hpsearch.errors import UnknownName, UserError
from hpsearch.metric_registry import (
    METRICS,
    compute,
    direction_of,
    is_spelled,
    require_finite,
    require_usable,
)

NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen")


def predictions(classes: int, images: int = 60, *, ties: bool = False):
    """Probabilities that know a little, and the truth; with ``ties``, many are equal."""
    rng = np.random.default_rng(classes)
    truth = rng.integers(classes, size=images)
    logits = rng.normal(size=(images, classes)) + 1.5 * np.eye(classes)[truth]
    if ties:
        logits = np.round(logits)
    scores = np.exp(logits)
    return scores / scores.sum(1, keepdims=True), truth


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 8])
def test_auroc_is_scikit_learns_and_counts_pairs(classes: int, ties: bool) -> None:
    said, truth = predictions(classes, ties=ties)
    areas = []
    for each in range(classes):
        pairs = itertools.product(said[truth == each, each], said[truth != each, each])
        areas.append(np.mean([(one > other) + 0.5 * (one == other) for one, other in pairs]))
    found = compute("val_auroc", said, truth, NAMES[:classes])
    assert found == pytest.approx(np.mean(areas), abs=1e-12)
    given = said[:, 1] if classes == 2 else said
    assert found == pytest.approx(roc_auc_score(truth, given, multi_class="ovr"), abs=1e-12)


def test_an_auroc_leaves_out_a_class_without_images() -> None:
    said, truth = predictions(3)
    kept = truth != 2
    both = [roc_auc_score(truth[kept] == each, said[kept, each]) for each in (0, 1)]
    assert compute("val_auroc", said[kept], truth[kept], NAMES[:3]) == pytest.approx(np.mean(both))
    assert math.isnan(compute("val_auroc", said[truth == 1], truth[truth == 1], NAMES[:3]))


@pytest.mark.parametrize("ties", [False, True])
def test_top5_accuracy_is_scikit_learns(ties: bool) -> None:
    said, truth = predictions(8, ties=ties)
    expected = top_k_accuracy_score(truth, said, k=5)
    assert compute("val_top5_accuracy", said, truth, NAMES) == pytest.approx(expected, abs=1e-12)


def test_recall_is_of_the_named_class() -> None:
    said, truth = predictions(3)
    expected = recall_score(truth, said.argmax(1), average=None)
    found = [compute(f"val_recall({name})", said, truth, NAMES[:3]) for name in NAMES[:3]]
    assert found == pytest.approx(expected.tolist(), abs=1e-12)
    assert math.isnan(compute("val_recall(ant)", said[truth == 1], truth[truth == 1], NAMES[:3]))


def test_calibration_error_by_hand() -> None:
    # 0.7 twice, one right: |0.7 - 0.5|; 0.9 twice, both right: |0.9 - 1|. Each half of the images
    said = np.array([[0.7, 0.3], [0.7, 0.3], [0.1, 0.9], [0.1, 0.9]])
    truth = np.array([0, 1, 1, 1])
    found = compute("val_calibration_error", said, truth, NAMES[:2])
    assert found == pytest.approx((0.2 + 0.1) / 2, abs=1e-12)


def test_calibration_error_is_that_of_its_definition() -> None:
    said, truth = predictions(8)
    confidence, right = said.max(1), said.argmax(1) == truth
    expected = 0.0
    for each in range(15):
        inside = (confidence > each / 15) & (confidence <= (each + 1) / 15)
        if inside.any():
            gap = abs(confidence[inside].mean() - right[inside].mean())
            expected += inside.mean() * gap
    assert compute("val_calibration_error", said, truth, NAMES) == pytest.approx(expected)


def test_names_and_directions() -> None:
    assert direction_of("val_auroc") == "maximize"
    assert direction_of("val_recall(ant)") == "maximize"
    assert direction_of("val_calibration_error") == "minimize"
    assert direction_of("latency") == "minimize"
    with pytest.raises(UnknownName):
        direction_of("val_dice")
    spelled = ["val_accuracy", "val_auroc", "val_recall(two words (2))"]
    wrong = ["val_recall", "val_recall()", "val_recall(ant", "val_auroc(ant)", "latency", "dice"]
    assert [each for each in [*spelled, *wrong] if is_spelled(each)] == spelled
    assert is_spelled("latency", costs=True)


def test_what_cannot_be_computed_is_refused() -> None:
    require_usable(["val_recall(ant)", "val_top5_accuracy", "val_auroc"], NAMES)
    with pytest.raises(UserError, match=r"val_recall\(cow\) must name one of the classes \(ant, "):
        require_usable(["val_recall(cow)"], NAMES)
    with pytest.raises(UserError, match="more than 5 classes, but there are 5"):
        require_usable(["val_top5_accuracy"], NAMES[:5])
    with pytest.raises(UserError, match=r"val_recall\(ant\) must be a finite number, but"):
        require_finite({"val_auroc": 0.5, "val_recall(ant)": math.nan}, 12)


def test_a_registration_states_a_new_name_and_a_direction(monkeypatch) -> None:
    own = metric_registry.MetricRegistry()
    with pytest.raises(ValueError, match="maximize or minimize, but got 'max'"):
        own.register("val_dice", direction="max")
    for taken in ("val_accuracy", "latency", "val dice"):
        with pytest.raises(ValueError, match="must be a new name"):
            own.register(taken)
    with pytest.raises(ValueError, match="already registered"):
        METRICS.register("val_auroc")(lambda probabilities, truth: 0.0)
