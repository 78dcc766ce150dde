from __future__ import annotations

import numpy as np
import pytest

from hpsearch.reporting.analysis.matrices import matrices, read_matrices
from hpsearch.reporting.analysis.pictures import wrong_pictures
from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.records import read_study

NAMES = ("cat", "dog", "ship")


def predictions_of(
    rows: list[int], truth: list[int], predicted: list[int], loss: float = 1.0
) -> Predictions:
    return Predictions(
        rows=np.array(rows),
        predicted=np.array(predicted),
        truth=np.array(truth),
        loss=np.full(len(rows), loss),
    )


def result_of(predictions: Predictions) -> TrainingResult:
    return TrainingResult(value=0.5, predictions=predictions)


def test_fresh_seeds_alone_are_counted_where_there_are_any() -> None:
    outcomes = {
        PlannedTraining(trial=4, seed=1): result_of(predictions_of([0, 1], [0, 1], [2, 2])),
        PlannedTraining(trial=4, seed=3): result_of(predictions_of([0, 1], [0, 1], [0, 2])),
        PlannedTraining(trial=9, seed=1): result_of(predictions_of([0, 1], [0, 1], [1, 1])),
    }
    study_matrices = matrices(outcomes, NAMES, [4, 9], fresh=[3, 4])
    assert study_matrices is not None
    winner, other = study_matrices.finalists
    assert (winner.trial, winner.trainings) == (4, 1)
    assert winner.counts == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert winner.shares == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [None, None, None]]
    assert (other.trial, other.counts) == (9, [[0, 1, 0], [0, 1, 0], [0, 0, 0]])
    assert study_matrices.images == 2


def test_the_hardest_picture_is_the_one_that_is_most_often_wrong() -> None:
    trainings = [
        predictions_of([0, 1, 2], [0, 1, 2], [0, 2, 1], 1.0),
        predictions_of([0, 1, 2], [0, 1, 2], [1, 2, 0], 3.0),
        predictions_of([0, 1, 2], [0, 1, 2], [0, 0, 1], 2.0),
        predictions_of([7], [1], [0], 9.0),
    ]
    pictures = wrong_pictures(trainings, NAMES, at_most=5).hardest
    assert [(picture.row, picture.wrong, picture.trainings) for picture in pictures] == [
        (1, 3, 3), (2, 3, 3), (0, 1, 3),
    ]  # fmt: skip
    first = pictures[0]
    assert (first.truth, first.taken_for, first.times) == ("dog", "ship", 2)
    assert first.guesses == (("ship", 2), ("cat", 1)), "of all trainings, the most frequent first"
    assert pictures[2].guesses == (("cat", 2), ("dog", 1)), "also what is right"
    assert first.loss == pytest.approx(2.0)
    assert len(wrong_pictures(trainings, NAMES, at_most=1).hardest) == 1


def test_a_label_is_probably_wrong_if_all_trainings_predict_the_same_other_class() -> None:
    certain, unsure = 9.0, 1.0
    trainings = [
        predictions_of([0, 1, 2, 3, 4], [0, 0, 0, 0, 0], [1, 1, 1, 0, 1], certain),
        predictions_of([0, 1, 2, 3], [0, 0, 0, 0], [1, 2, 0, 1], certain),
        predictions_of([5, 6], [0, 2], [1, 1], unsure),
        predictions_of([5, 6], [0, 2], [1, 1], certain),
        predictions_of([6], [2], [1], certain),
    ]
    pictures = wrong_pictures(trainings, NAMES, at_most=9)
    # 1: two other classes. 2, 3: once the label. 4: only one training. 5, 6: not certain enough
    assert [picture.row for picture in pictures.label_errors] == [0]
    (error,) = pictures.label_errors
    assert (error.truth, error.taken_for, error.trainings) == ("cat", "dog", 2)
    assert error.probability == pytest.approx(np.exp(-certain), rel=0.01)
    assert [picture.row for picture in pictures.hardest] == [1, 6, 5, 2, 3]
    assert pictures.judged == 6
    assert wrong_pictures([predictions_of([], [], [])], NAMES, at_most=9).judged == 0


def test_a_class_that_one_finalist_knows_better_stands_out() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 60)
    outcomes = {}
    for seed in range(1, 6):
        for trial, recall in ((4, (0.9, 0.9, 0.9)), (9, (0.9, 0.6, 0.9))):
            right = rng.random(180) < np.array(recall)[truth]
            predicted = np.where(right, truth, (truth + 1) % 3)
            outcomes[PlannedTraining(trial=trial, seed=seed)] = result_of(
                predictions_of(list(range(180)), truth.tolist(), predicted.tolist())
            )
    study_matrices = matrices(outcomes, NAMES, [4, 9])
    assert study_matrices is not None
    (versus,) = study_matrices.versus
    assert (versus.trial, versus.other, versus.seeds) == (4, 9, 5)
    cat, dog, ship = versus.classes
    assert dog.ahead is not None
    assert dog.ahead.low > 0.1
    assert dog.ahead.low < 0.3 < dog.ahead.high
    assert dog.images == 60
    assert cat.ahead is not None and not cat.ahead.excludes(0.0)
    assert ship.ahead is not None and not ship.ahead.excludes(0.0)


def test_two_that_say_the_same_have_no_interval() -> None:
    same = predictions_of([0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 1, 1])
    outcomes = {PlannedTraining(trial=t, seed=s): result_of(same) for t in (4, 9) for s in (1, 2)}
    study_matrices = matrices(outcomes, NAMES, [4, 9])
    assert study_matrices is not None
    assert [difference.ahead for difference in study_matrices.versus[0].classes] == [None] * 3


def test_without_predictions_there_is_nothing(searched) -> None:
    assert (
        matrices({PlannedTraining(trial=1, seed=1): TrainingResult(value=None)}, NAMES, [1]) is None
    )
    assert read_matrices(searched.database, read_study(searched.database, "made_up")) is None
