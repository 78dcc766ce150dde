"""Which classes are mistaken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpsearch.metrics import CONFUSION_CLASSES
from hpsearch.reporting.analysis.pictures import WrongPictures, wrong_pictures
from hpsearch.results import trial_attributes
from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.confirmation.spec import spec_of
from hpsearch.results.confirmation.statistics import Interval, TrainingValues, difference
from hpsearch.results.confirmation.stored import newest, outcomes_of, progress_of
from hpsearch.results.records import StudyRecord
from hpsearch.search.database.storage import Database


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A configuration's images by true class (rows) and predicted class (columns)."""

    #: Number of the trial in the search.
    trial: int
    #: Number of trainings in the sum, one per seed; 1 for a trial of the search.
    trainings: int
    #: int (classes, classes): each image counts once for every training that predicted it.
    counts: Sequence[Sequence[int]]

    @property
    def shares(self) -> list[list[float | None]]:
        """Each row as shares of its class's images, 0..1; ``None`` for a class without images."""
        return [[cell / sum(row) if sum(row) else None for cell in row] for row in self.counts]


@dataclass(frozen=True, kw_only=True)
class ClassDifference:
    """The recall of one class, winner less another finalist, as shares (0..1)."""

    name: str
    #: The 95 % interval over seeds and images, for all classes at once (Bonferroni); ``None``
    #: if too few seeds or images are shared.
    ahead: Interval | None
    #: Distinct images of the class, and their groups; ``None`` if each image is independent.
    images: int
    groups: int | None = None


@dataclass(frozen=True, kw_only=True)
class Versus:
    """The winner against another finalist, class by class."""

    trial: int
    other: int
    seeds: int
    classes: tuple[ClassDifference, ...]


@dataclass(frozen=True, kw_only=True)
class Matrices:
    """The stored predictions of a study's newest confirmation, class by class."""

    class_names: tuple[str, ...]
    #: The winner first, then the others by rank; empty with more than ``CONFUSION_CLASSES``.
    finalists: tuple[Matrix, ...]
    versus: tuple[Versus, ...]
    pictures: WrongPictures
    #: Distinct images with predictions.
    images: int


def read_matrices(
    database: Database, record: StudyRecord, *, pictures: int = 24
) -> Matrices | None:
    """Return the matrices of the newest confirmation.

    Args:
        database: The study's database.
        record: The study with its trials.
        pictures: Largest number of the hardest pictures.

    Returns:
        The matrices; ``None`` if nothing has been confirmed yet.

    Raises:
        StorageError: If stored predictions are damaged.
    """
    confirmation = newest(database, record.study.name)
    if confirmation is None:
        return None
    attributes = trial_attributes.read_many(database, confirmation.study.study_id, ["class_names"])
    names: list[str] = next((values["class_names"] for values in attributes.values()), [])
    spec, now = spec_of(confirmation.study), progress_of(confirmation)
    outcomes = outcomes_of(database, confirmation)
    places = [standing.trial for standing in now.standings]
    if spec.baseline_trial is not None and spec.baseline_trial not in places:
        places.append(spec.baseline_trial)
    # The confirmed value uses the report's seeds only; shares by class must agree with it
    return matrices(outcomes, names, places, fresh=spec.report_seeds, pictures=pictures)


def matrices(
    outcomes: Mapping[PlannedTraining, TrainingResult],
    names: Sequence[str],
    places: Sequence[int],
    *,
    fresh: Sequence[int] = (),
    pictures: int = 24,
) -> Matrices | None:
    """Add up the predictions of the trainings.

    Args:
        outcomes: Planned training -> its result.
        names: Class names, in the order of the class indices.
        places: Trial numbers, best first.
        fresh: Seeds that weren't used to choose the winner; of a trial that has trainings with
            them, only these count.
        pictures: Largest number of the hardest pictures.

    Returns:
        The matrices; ``None`` if none of these trials has predictions.
    """
    by_trial: dict[int, dict[int, Predictions]] = {}
    for entry, outcome in outcomes.items():
        if outcome.predictions is not None and outcome.score is not None:
            by_trial.setdefault(entry.trial, {})[entry.seed] = outcome.predictions
    content = {trial: _fresh(by_trial[trial], fresh) for trial in places if trial in by_trial}
    if not content:
        return None
    small = len(names) <= CONFUSION_CLASSES
    all_predictions = [predictions for seeds in by_trial.values() for predictions in seeds.values()]
    leader, *others = content
    return Matrices(
        class_names=tuple(names),
        finalists=tuple(
            Matrix(trial=trial, trainings=len(seeds), counts=_counts(seeds, len(names)))
            for trial, seeds in content.items()
        )
        if small
        else (),
        versus=tuple(
            comparison
            for other in others
            if (comparison := _versus(leader, other, by_trial, fresh, names)) is not None
        )
        if small
        else (),
        pictures=wrong_pictures(all_predictions, names, at_most=pictures),
        images=len(
            np.unique(np.concatenate([predictions.rows for predictions in all_predictions]))
        ),
    )


def read_trial_matrices(
    database: Database, record: StudyRecord, numbers: Sequence[int]
) -> dict[int, Matrix]:
    """Return number -> the matrix of a complete trial of the search, if one is stored.

    Args:
        database: The study's database.
        record: The study with its trials.
        numbers: Trial numbers to read.
    """
    attributes = trial_attributes.read_many(database, record.study.study_id, ["val_confusion"])
    by_number = {}
    for trial in record.trials:
        counts = attributes.get(trial.trial_id or -1, {}).get("val_confusion")
        if trial.number in numbers and trial.number is not None and counts is not None:
            by_number[trial.number] = Matrix(trial=trial.number, trainings=1, counts=counts)
    return by_number


def _fresh(seeds: Mapping[int, Predictions], fresh: Sequence[int]) -> dict[int, Predictions]:
    fresh_predictions = {seed: predictions for seed, predictions in seeds.items() if seed in fresh}
    return fresh_predictions or dict(seeds)


def _counts(seeds: Mapping[int, Predictions], classes: int) -> list[list[int]]:
    cells = np.concatenate(
        [predictions.truth * classes + predictions.predicted for predictions in seeds.values()]
    )
    square = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    counts: list[list[int]] = square.tolist()
    return counts


def _versus(
    leader: int,
    other: int,
    by_trial: Mapping[int, Mapping[int, Predictions]],
    fresh: Sequence[int],
    names: Sequence[str],
) -> Versus | None:
    one: Mapping[int, Predictions] = _fresh(by_trial[leader], fresh)
    two: Mapping[int, Predictions] = _fresh(by_trial[other], fresh)
    if len(one.keys() & two.keys()) < 2:
        # A finalist that left early shares only the seeds of the selection
        one, two = by_trial[leader], by_trial[other]
    common_seeds = one.keys() & two.keys()
    if len(common_seeds) < 2:
        return None
    return Versus(
        trial=leader,
        other=other,
        seeds=len(common_seeds),
        classes=tuple(
            _class_difference(name, index, one, two, len(names)) for index, name in enumerate(names)
        ),
    )


def _class_difference(
    name: str,
    index: int,
    one: Mapping[int, Predictions],
    two: Mapping[int, Predictions],
    classes: int,
) -> ClassDifference:
    leader_recall, other_recall = _recall(one, index), _recall(two, index)
    images = np.unique(
        np.concatenate([np.zeros(0, np.int64), *(recall.rows for recall in leader_recall.values())])
    )
    estimate = difference(leader_recall, other_recall)
    ahead = None
    # If both predict the same for every image, there is no estimate of the error
    if estimate is not None and estimate.freedom > 0 and estimate.standard_error > 0:
        ahead = _for_all(estimate.over_seeds_and_images(), estimate.freedom, classes)
    return ClassDifference(
        name=name,
        ahead=ahead,
        images=len(images),
        groups=None if estimate is None else estimate.groups,
    )


def _for_all(interval: Interval, freedom: float, count: int) -> Interval:
    """Widen a t interval so that ``count`` such intervals are valid at once."""
    from scipy.special import stdtrit

    widening = float(stdtrit(freedom, 1 - 0.025 / count) / stdtrit(freedom, 0.975))
    middle = interval.estimate
    low, high = (middle + (end - middle) * widening for end in (interval.low, interval.high))
    # A difference of two shares is within these bounds
    return replace(interval, low=max(-1.0, low), high=min(1.0, high))


def _recall(seeds: Mapping[int, Predictions], index: int) -> dict[int, TrainingValues]:
    by_seed = {}
    for seed, predictions in seeds.items():
        in_class: NDArray[np.bool_] = predictions.truth == index
        if in_class.sum() >= 2:
            right = (predictions.predicted[in_class] == index).astype(np.float64)
            groups = None if predictions.groups is None else predictions.groups[in_class]
            by_seed[seed] = TrainingValues(
                rows=predictions.rows[in_class], values=right, groups=groups
            )
    return by_seed
