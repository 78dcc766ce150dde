"""From trainings to the verdict. The same trainings always give the same verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import StorageError
from hpsearch.metrics import CONFUSION_CLASSES, is_share
from hpsearch.results.confirmation.contributions import training_values
from hpsearch.results.confirmation.luck import at_level_of, share_of_luck
from hpsearch.results.confirmation.plan import (
    PlannedTraining,
    Progress,
    TrainingResult,
    progress,
    seed_noise,
)
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.confirmation.spec import ConfirmationSpec, Field
from hpsearch.results.confirmation.statistics import (
    Estimate,
    TrainingValues,
    difference,
    estimate,
    of_value,
    prob_best,
)
from hpsearch.results.confirmation.verdict import (
    Comparison,
    ConfirmationResult,
    Cost,
    Finalist,
    PerClass,
    Search,
)


def judge(
    spec: ConfirmationSpec, outcomes: Mapping[PlannedTraining, TrainingResult], search: Search
) -> ConfirmationResult:
    """Return the verdict on the trainings that have ended so far.

    Args:
        spec: The confirmation's settings.
        outcomes: Planned training -> result, of those that have ended.
        search: Facts about the search.

    Raises:
        StorageError: If a training with a value has no predictions.
    """
    return _Judge(spec, outcomes, search).verdict()


class _Judge:
    def __init__(
        self,
        spec: ConfirmationSpec,
        outcomes: Mapping[PlannedTraining, TrainingResult],
        search: Search,
    ) -> None:
        self.spec = spec
        self.outcomes = outcomes
        self.search = search
        self.sign = 1.0 if spec.maximize else -1.0
        self.state: Progress = progress(spec, outcomes)
        self._values: dict[PlannedTraining, TrainingValues] = {}

    def verdict(self) -> ConfirmationResult:
        search, state, winner = self.search, self.state, self.state.winner
        report, mean = self.report, self.confirmed
        confusion = None if winner is None else self.confusion(winner, report)
        small = len(search.class_names) <= CONFUSION_CLASSES
        return ConfirmationResult(
            metric=search.metric,
            maximize=self.spec.maximize,
            finished=state.finished,
            winner=winner,
            best_seen=search.best_seen,
            complete=search.complete,
            winner_seen=None if winner is None else search.values[winner],
            over_seeds=None if mean is None else mean.over_seeds(),
            over_seeds_and_images=None
            if mean is None
            else mean.over_seeds_and_images(self.luck_of_winner),
            next_training=None if mean is None else mean.next_training(),
            reported={seed: training.mean for seed, training in report.items()},
            images=0 if mean is None or not search.has_images else mean.images,
            groups=None if mean is None else mean.groups,
            lacks_groups=search.names_groups and mean is not None and mean.groups is None,
            new_splits=search.new_splits,
            folds=search.folds,
            optimism=None if mean is None else max(0.0, self.sign * (search.best_seen - mean.mean)),
            runner_up=self.comparison(state.runner_up),
            baseline=self.comparison(self.spec.baseline_trial),
            winner_is_baseline=winner is not None and winner == self.spec.baseline_trial,
            chance_of_best=self.prob_best(),
            search_epochs=search.search_epochs,
            confirmation_epochs=search.confirmation_epochs,
            epochs_per_trial=search.epochs_per_trial,
            finalists=self.finalists(),
            leads={
                rank.trial: comparison
                for rank in state.standings
                if not rank.failed and (comparison := self.comparison(rank.trial)) is not None
            },
            confusion=confusion.tolist() if confusion is not None and small else None,
            per_class=[] if confusion is None else self.per_class(confusion, report),
        )

    @cached_property
    def report(self) -> dict[int, TrainingValues]:
        """Seed -> training of the winner that didn't contribute to its choice."""
        winner = self.state.winner
        return {} if winner is None else self.trainings(winner, self.spec.report_seeds)

    @cached_property
    def confirmed(self) -> Estimate | None:
        """The winner's mean over the report's trainings; ``None`` before one has ended."""
        if not self.report:
            return None
        # A share stays within 0..1, and so must its interval
        return estimate(list(self.report.values()), share=is_share(self.search.metric))

    def trainings(self, trial: int, seeds: Sequence[int]) -> dict[int, TrainingValues]:
        """Return seed -> training, of those that have a value."""
        trainings = {}
        for entry in (PlannedTraining(trial=trial, seed=seed) for seed in seeds):
            outcome = self.outcomes.get(entry)
            if outcome is None or outcome.score is None:
                continue
            if entry not in self._values and not self.search.has_images:
                self._values[entry] = of_value(outcome.score)
            if entry not in self._values:
                predictions = self.predictions(entry)
                predictions = replace(predictions, groups=self.groups_of(predictions))
                self._values[entry] = training_values(self.search.metric, predictions)
            trainings[entry.seed] = self._values[entry]
        return trainings

    def groups_of(self, predictions: Predictions) -> NDArray[np.int64] | None:
        """Return the groups of a training's images.

        In a confirmation that an earlier version began, trainings may lack them, but other
        trainings have the groups of the same images.
        """
        if predictions.groups is not None:
            return predictions.groups
        rows, groups = self.stored_groups
        places = np.searchsorted(rows, predictions.rows)
        if not len(rows) or np.any(places == len(rows)):
            return None
        return groups[places] if np.array_equal(rows[places], predictions.rows) else None

    @cached_property
    def stored_groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of all images whose group some training stored, ascending, and their groups."""
        stored = [outcome.predictions for outcome in self.outcomes.values() if outcome.predictions]
        grouped = [
            (predictions.rows, predictions.groups)
            for predictions in stored
            if predictions.groups is not None
        ]
        if not grouped:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        rows = np.concatenate([rows for rows, _ in grouped])
        images, first = np.unique(rows, return_index=True)
        return images, np.concatenate([groups for _, groups in grouped])[first]

    def predictions(self, entry: PlannedTraining) -> Predictions:
        predictions = self.outcomes[entry].predictions
        if predictions is None:
            raise StorageError(
                "every training of a confirmation must have stored predictions, but the training "
                f"of trial {entry.trial} with seed {entry.seed} has none; confirm again with "
                "--again"
            )
        return predictions

    def comparison(self, other: int | None) -> Comparison | None:
        winner, seeds = self.state.winner, self.spec.report_seeds
        if winner is None or other is None or other == winner:
            return None
        fresh = any(PlannedTraining(trial=other, seed=seed) in self.state.planned for seed in seeds)
        ahead = self.ahead(winner, other, seeds) if fresh else self.over_all(winner, other)
        if ahead is None or ahead.freedom == 0:
            return None
        return Comparison(
            trial=other,
            ahead=ahead.over_seeds_and_images(self.luck * ahead.mean),
            seeds=ahead.seeds,
            fresh=fresh,
            cheaper=self.cheaper(winner, other),
        )

    def ahead(
        self, one: int, other: int, seeds: Sequence[int], noise: tuple[float, int] | None = None
    ) -> Estimate | None:
        """Return the lead of ``one``, over the seeds that both were trained with."""
        if not self.spec.maximize:
            one, other = other, one
        return difference(self.trainings(one, seeds), self.trainings(other, seeds), noise=noise)

    def over_all(self, winner: int, other: int) -> Estimate | None:
        """Return the winner's lead over every shared seed, including those of the selection."""
        seeds = [*self.spec.selection_seeds, *self.spec.report_seeds]
        shared = len(self.trainings(winner, seeds).keys() & self.trainings(other, seeds).keys())
        # A finalist that left early has too few seeds to show the spread of the differences
        pooled = self.noise if shared < self.spec.seeds else None
        return self.ahead(winner, other, seeds, pooled)

    @cached_property
    def noise(self) -> tuple[float, int]:
        """The finalists' ``seed_noise``."""
        seeds = self.spec.selection_seeds
        return seed_noise(
            {
                trial: {
                    seed: training.mean for seed, training in self.trainings(trial, seeds).items()
                }
                for trial in self.spec.trials
            }
        )

    def prob_best(self) -> float | None:
        return None if self.state.winner is None else prob_best(self.leads)

    @cached_property
    def leads(self) -> list[Estimate]:
        """The winner's paired differences to the other finalists."""
        winner = self.state.winner
        if winner is None:
            return []
        fit = [rank.trial for rank in self.state.standings if not rank.failed]
        leads = (self.over_all(winner, other) for other in fit if other != winner)
        return [lead for lead in leads if lead is not None]

    @cached_property
    def field(self) -> Field | None:
        """The search's values, scaled to the level of the confirmed value."""
        if self.search.field is None or self.confirmed is None:
            return None
        return at_level_of(self.confirmed, self.search.field)

    @cached_property
    def luck(self) -> float:
        """The share of a lead that is luck with the images (see ``luck``)."""
        return 0.0 if self.field is None else share_of_luck(self.field, self.leads, self.noise)

    @property
    def luck_of_winner(self) -> float:
        """The part of the winner's value that is luck, from its lead over the search's median."""
        if self.field is None or self.confirmed is None:
            return 0.0
        return self.luck * (self.confirmed.mean - self.field.middle)

    def finalists(self) -> list[Finalist]:
        table = []
        seeds = [*self.spec.selection_seeds, *self.spec.report_seeds]
        for place, rank in enumerate(self.state.standings, start=1):
            trial = rank.trial
            reported = self.trainings(trial, self.spec.report_seeds)
            table.append(
                Finalist(
                    standing=rank,
                    place=place,
                    seen=self.search.values[trial],
                    reported=float(np.mean([training.mean for training in reported.values()]))
                    if reported
                    else None,
                    trainings=sum(
                        PlannedTraining(trial=trial, seed=seed) in self.outcomes for seed in seeds
                    ),
                    cost=self.search.costs.get(trial, Cost()),
                )
            )
        return table

    def cheaper(self, winner: int, other: int) -> dict[str, float]:
        costs = [self.search.costs.get(trial, Cost()) for trial in (winner, other)]
        ratios = {}
        for field in fields(Cost):
            own_cost, other_cost = (getattr(cost, field.name) for cost in costs)
            if own_cost is not None and other_cost:
                ratios[field.name] = own_cost / other_cost
        return ratios

    def per_class(
        self, confusion: NDArray[np.int64], seeds: Mapping[int, TrainingValues]
    ) -> list[PerClass]:
        """Return the winner's classes, each with its recall's interval."""
        winner = self.state.winner
        if winner is None:
            return []
        all_predictions = [
            self.predictions(PlannedTraining(trial=winner, seed=seed)) for seed in seeds
        ]
        groups = [self.groups_of(predictions) for predictions in all_predictions]
        table = []
        for index, metrics in enumerate(per_class(confusion, self.search.class_names)):
            trainings = []
            for predictions, of_image in zip(all_predictions, groups, strict=True):
                mask = predictions.truth == index
                trainings.append(
                    TrainingValues(
                        rows=predictions.rows[mask],
                        values=(predictions.predicted[mask] == index).astype(np.float64),
                        groups=None if of_image is None else of_image[mask],
                    )
                )
            is_known = len(trainings) > 1 and all(len(training.rows) > 1 for training in trainings)
            recall = estimate(trainings, share=True) if is_known else None
            interval = None
            if recall is not None and recall.freedom > 0:
                interval = recall.over_seeds_and_images()
            table.append(replace(metrics, recall_interval=interval))
        return table

    def confusion(
        self, trial: int, seeds: Mapping[int, TrainingValues]
    ) -> NDArray[np.int64] | None:
        """Return the images of all ``seeds`` by true class (rows) and predicted class."""
        classes = len(self.search.class_names)
        if not seeds or not self.search.has_images:
            return None
        all_predictions = [
            self.predictions(PlannedTraining(trial=trial, seed=seed)) for seed in seeds
        ]
        cells = np.concatenate(
            [predictions.truth * classes + predictions.predicted for predictions in all_predictions]
        )
        return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def per_class(confusion: NDArray[np.int64], names: Sequence[str]) -> list[PerClass]:
    """Return each class's metrics from a confusion matrix (rows are true classes)."""
    table = []
    for index, name in enumerate(names):
        right = int(confusion[index, index])
        images, predicted = int(confusion[index].sum()), int(confusion[:, index].sum())
        table.append(
            PerClass(
                name=name,
                images=images,
                precision=right / predicted if predicted else None,
                recall=right / images if images else None,
                f1=2 * right / (images + predicted) if images + predicted else None,
            )
        )
    return table
