"""Each image's contribution: the mean is the objective, and other images move it as they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from hpsearch.measurement import OBJECTIVES
from hpsearch.results.confirmation.contributions import contributions
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.training.confusion import balanced_accuracy, confusion, macro_f1


def said(truth: list[int], predicted: list[int]) -> Predictions:
    rows = list(range(len(truth)))
    return Predictions(rows=rows, predicted=predicted, truth=truth, loss=[0.5] * len(truth))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40))
def test_the_mean_is_the_objective_as_training_measures_it(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (list(column) for column in zip(*pairs, strict=True))
    answers = said(truth, predicted)
    matrix = confusion(torch.tensor(truth), torch.tensor(predicted), 7)
    expected = {
        "val_accuracy": np.mean(np.equal(truth, predicted)),
        "val_loss": 0.5,
        "val_balanced_accuracy": balanced_accuracy(matrix),
        "val_macro_f1": macro_f1(matrix),
    }
    assert expected.keys() == OBJECTIVES.keys()
    for metric, value in expected.items():
        assert contributions(metric, answers).mean() == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        ("val_balanced_accuracy", balanced_accuracy_score),
        ("val_macro_f1", lambda truth, predicted: f1_score(truth, predicted, average="macro")),
    ],
)
def test_their_spread_is_the_objectives_over_other_images(metric: str, score: object) -> None:
    rng = np.random.default_rng(3)
    truth = rng.choice(4, 1500, p=[0.6, 0.25, 0.1, 0.05])
    predicted = np.where(rng.random(1500) < 0.8, truth, rng.integers(0, 4, 1500))
    values = contributions(metric, said(truth.tolist(), predicted.tolist()))
    resampled = []
    for _ in range(400):
        drawn = rng.integers(0, 1500, 1500)
        resampled.append(score(truth[drawn], predicted[drawn]))  # type: ignore[operator]
    assert np.std(values) / np.sqrt(1500) == pytest.approx(np.std(resampled), rel=0.12)


def test_no_image_no_objective() -> None:
    with pytest.raises(ValueError, match="needs images"):
        contributions("val_accuracy", said([], []))
