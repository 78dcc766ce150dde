"""The few numbers that a training keeps of its images' groups, and what becomes of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hpsearch.results.confirmation.contributions import contributions, lean
from hpsearch.results.confirmation.over_groups import (
    Error,
    error_of,
    names_groups,
    of_json,
    over_groups,
)
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.confirmation.statistics import TrainingValues
from hpsearch.results.export.card_metrics import Judgement, classes_of, metrics_of


def said(groups: int = 30, images: int = 4, seed: int = 0) -> Predictions:
    """Return predictions of groups whose images are right or wrong together."""
    rng = np.random.default_rng(seed)
    of_image = np.repeat(np.arange(groups), images)
    truth = of_image % 3
    right = (rng.random(groups) < 0.7)[of_image]
    return Predictions(
        rows=np.arange(len(truth)),
        predicted=np.where(right, truth, (truth + 1) % 3),
        truth=truth,
        loss=np.where(right, 0.3, 2.0),
        groups=of_image,
    )


def test_where_a_groups_images_are_alike_only_groups_count() -> None:
    found = over_groups(said(), classes=3)
    assert found is not None
    assert (found.images, found.groups) == (120, 30)
    accuracy = found.figures["val_accuracy"]
    share = contributions("val_accuracy", said()).mean()
    assert accuracy.standard_error == pytest.approx(np.sqrt(share * (1 - share) / 29))
    assert accuracy.freedom == pytest.approx(29)
    interval = accuracy.interval(share, share=True)
    low, high = stats.binomtest(round(30 * share), 30).proportion_ci(method="wilson")
    # t instead of z and 29 instead of 30: a little wider
    assert interval == pytest.approx((low, high), abs=0.012)
    assert [each.groups for each in found.recall] == [10, 10, 10]


def test_it_is_stored_as_json() -> None:
    found = over_groups(said(), classes=3)
    assert found is not None
    assert of_json(json.loads(json.dumps(found.to_json()))) == found
    assert over_groups(said(), classes=101).recall == ()  # type: ignore[union-attr]
    for damaged in (None, {}, [], {"images": 3}, {**found.to_json(), "recall": 1}):
        assert of_json(damaged) is None


def test_without_groups_there_is_nothing_to_keep() -> None:
    whole = said()
    assert (
        over_groups(
            Predictions(
                rows=whole.rows, predicted=whole.predicted, truth=whole.truth, loss=whole.loss
            ),
            classes=3,
        )
        is None
    )


def alone(values: list[float], groups: list[int] | None) -> TrainingValues:
    return TrainingValues(
        rows=np.arange(len(values)),
        values=np.array(values),
        groups=None if groups is None else np.array(groups, dtype=np.int64),
    )


def test_without_groups_each_image_is_one() -> None:
    values = [1.0, 0.0, 1.0, 1.0, 0.0]
    assert error_of(alone(values, None)) == error_of(alone(values, [0, 1, 2, 3, 4]))


def test_an_interval_reaches_to_where_a_figure_that_reads_low_belongs() -> None:
    error = Error(groups=20, standard_error=0.02, freedom=15.0)
    low, high = error.interval(0.8, share=True) or (0.0, 0.0)
    assert replace(error, lean=-0.01).interval(0.8, share=True) == pytest.approx((low, high + 0.01))
    assert replace(error, lean=-0.5).interval(0.8, share=True) == pytest.approx((low, 1.0))
    assert replace(error, lean=0.01).interval(0.8, share=True) == pytest.approx((low - 0.01, high))


def test_a_macro_f1_keeps_how_low_it_reads() -> None:
    found = over_groups(said(), classes=3)
    assert found is not None
    assert found.figures["val_macro_f1"].lean == lean("val_macro_f1", said()) < 0
    assert found.figures["val_accuracy"].lean == 0
    # What an earlier version stored lacks it
    stored = found.to_json()
    del stored["figures"]["val_macro_f1"]["lean"]
    assert of_json(stored) is not None


def test_one_group_has_no_interval() -> None:
    one = error_of(alone([1.0, 0.0], [7, 7]))
    assert one == Error(groups=1, standard_error=None, freedom=None)
    assert one.interval(0.5, share=True) is None
    assert error_of(alone([], [])).interval(0.5, share=True) is None


def test_a_loss_has_a_t_interval() -> None:
    found = over_groups(said(), classes=3)
    assert found is not None
    error = found.figures["val_loss"]
    reach = stats.t.ppf(0.975, error.freedom) * (error.standard_error or 0)
    assert error.interval(0.8, share=False) == pytest.approx((0.8 - reach, 0.8 + reach))


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"image_folder": {"path": "x", "group": "^a"}}, True),
        ({"image_folder": {"path": "x", "group": None}}, False),
        ({"image_folder": {"path": "x"}}, False),
        ({"pickled_dict": {"path": "x", "groups_key": "object"}}, True),
        ({"values": {"digits": {}, "pickled_dict": {"groups_key": "object"}}}, True),
        ("digits", False),
        (None, False),
    ],
)
def test_whether_a_study_names_groups(source: object, named: bool) -> None:
    assert names_groups({"source": source}) is named


def test_a_cards_intervals_are_over_groups() -> None:
    predictions = said()
    found = over_groups(predictions, classes=3)
    assert found is not None
    matrix = np.zeros((3, 3), dtype=int)
    np.add.at(matrix, (predictions.truth, predictions.predicted), 1)
    share = float(np.trace(matrix) / matrix.sum())
    origin = {
        "figures": {
            "last": {
                "epoch": 3,
                "val_accuracy": share,
                "val_loss": float(predictions.loss.mean()),
                "val_macro_f1": share,
                "val_balanced_accuracy": share,
            }
        },
        "val_images": 120,
        "val_groups": 30,
        "over_groups": found.to_json(),
        "class_names": ["a", "b", "c"],
    }
    judgement = Judgement(
        confusion=matrix.tolist(), what="them", once=True, over_groups=found, grouped=True
    )
    told = metrics_of(origin, judgement)
    low, high = found.figures["val_accuracy"].interval(share, share=True) or (0, 0)
    assert f"{100 * low:.2f} to {100 * high:.2f} %" in told
    assert told.count("groups of validation images (30)") == 4
    recall = matrix[1, 1] / matrix[1].sum()
    low, high = found.recall[1].interval(recall, share=True) or (0, 0)
    assert f"{100 * low:.2f} to {100 * high:.2f} %" in classes_of(origin, judgement)
    # An error that isn't known is no reason for a binomial interval
    unknown = metrics_of({**origin, "over_groups": None}, judgement)
    assert " to " not in unknown
