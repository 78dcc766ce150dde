"""Each image's contribution: the mean is the objective, and other images move it as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from hpsearch.metrics import OBJECTIVES
from hpsearch.results.confirmation.contributions import contributions, lean, training_values
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


def grouped(rng: np.random.Generator, groups: int) -> Predictions:
    """Return predictions of groups of uneven sizes, each of one class."""
    of_image = np.repeat(np.arange(groups), rng.geometric(0.25, groups))
    truth = rng.integers(0, 4, groups)[of_image]
    right = (rng.random(groups) < 0.7)[of_image] & (rng.random(len(truth)) < 0.9)
    wrong = (truth + rng.integers(1, 4, len(truth))) % 4
    predicted = np.where(right, truth, wrong)
    return Predictions(
        rows=np.arange(len(truth)),
        predicted=predicted,
        truth=truth,
        loss=np.ones(len(truth)),
        groups=of_image,
    )


def macro(answers: Predictions, taken: object = slice(None)) -> float:
    truth, predicted = answers.truth[taken], answers.predicted[taken]  # type: ignore[index]
    return float(f1_score(truth, predicted, average="macro"))


@pytest.mark.parametrize("known", [True, False])
def test_how_low_macro_f1_reads_is_what_the_jackknife_says(known: bool) -> None:
    answers = grouped(np.random.default_rng(5), 150)
    groups = answers.groups if known else answers.rows
    assert groups is not None
    if not known:
        answers = replace(answers, groups=None)
    left_out = [macro(answers, groups != each) for each in np.unique(groups)]
    bias = (len(left_out) - 1) * (np.mean(left_out) - macro(answers))
    assert bias < 0
    assert lean("val_macro_f1", answers) == pytest.approx(bias, rel=0.1)


def test_less_what_it_reads_low_macro_f1_is_right_on_average() -> None:
    rng = np.random.default_rng(6)
    # Right are 0.7 * 0.9, and classes are alike: so is each one's F1
    parts = [grouped(rng, 40) for _ in range(600)]
    read = np.array([macro(each) for each in parts])
    less = read - [lean("val_macro_f1", each) for each in parts]
    error = read.std() / np.sqrt(len(read))
    assert read.mean() < 0.63 - 5 * error
    assert abs(less.mean() - 0.63) < 3 * error


def test_a_mean_over_images_reads_right() -> None:
    answers = grouped(np.random.default_rng(1), 30)
    for metric in ("val_accuracy", "val_loss", "val_balanced_accuracy"):
        assert training_values(metric, answers).lean == lean(metric, answers) == 0.0
    assert training_values("val_macro_f1", answers).lean == lean("val_macro_f1", answers) != 0.0
    # One group shows no spread
    one = replace(answers, groups=np.zeros(len(answers), np.int64))
    assert lean("val_macro_f1", one) == 0.0


def test_no_image_no_objective() -> None:
    with pytest.raises(ValueError, match="needs images"):
        contributions("val_accuracy", said([], []))
