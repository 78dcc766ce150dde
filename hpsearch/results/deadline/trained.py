"""What a planned study under a deadline has trained, and how long its trainings take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hpsearch.results.confirmation.outcomes import results_of
from hpsearch.results.confirmation.plan import PlannedTraining, TrainingResult
from hpsearch.results.deadline.costs import EpochTime, training_seconds
from hpsearch.results.deadline.forecast import Forecast
from hpsearch.results.records import StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Begun:
    """The trainings of a planned study that have ended, and those that have begun."""

    outcomes: Mapping[PlannedTraining, TrainingResult]
    #: Number of tickets: the first entries of the plan have begun.
    issued: int
    #: Entry -> epochs that it has trained so far, of those that haven't ended.
    epochs_done: Mapping[PlannedTraining, int]


def begun_of(record: StudyRecord, trainings: Mapping[PlannedTraining, TrialRecord]) -> Begun:
    """Return what a planned study has trained.

    Args:
        record: The planned study.
        trainings: Its trainings that were started.
    """
    return Begun(
        outcomes=results_of(trainings),
        issued=max((trial.ticket for trial in record.trials), default=0),
        epochs_done={
            entry: trial.epochs_done
            for entry, trial in trainings.items()
            if not trial.state.is_finished
        },
    )


def epoch_mean(
    trainings: Mapping[PlannedTraining, TrialRecord], trial: int | None = None
) -> float | None:
    """Return the mean seconds of an epoch; ``None`` if none was measured.

    Args:
        trainings: The trainings that were started.
        trial: Count only those of this ``PlannedTraining.trial``; ``None``: all.
    """
    counted = [training for entry, training in trainings.items() if trial in (None, entry.trial)]
    done = sum(training.epochs_done for training in counted)
    seconds = sum(training.compute_seconds for training in counted)
    return seconds / done if done and seconds else None


def seconds_of_trainings(
    record: StudyRecord,
    trainings: Mapping[PlannedTraining, TrialRecord],
    usual: Mapping[int, float],
    forecast: Forecast,
) -> dict[int, float]:
    """Return ``PlannedTraining.trial`` -> seconds of a whole training.

    Args:
        record: The planned study.
        trainings: Its trainings that were started: what they measured counts.
        usual: ``PlannedTraining.trial`` -> seconds of an epoch before one was measured.
        forecast: That of its search.
    """
    return {
        trial: training_seconds(
            EpochTime(mean=epoch_mean(trainings, trial) or mean, spread=forecast.epoch.spread),
            record.study.epochs_per_trial,
            overhead=forecast.overhead,
        )
        for trial, mean in usual.items()
    }
