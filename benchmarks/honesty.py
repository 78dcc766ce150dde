"""Does a confirmation tell the truth? Thousands of searches whose truth is known.

    python -m benchmarks.honesty [--searches 1000] [--world NAME]... [--seed 0]

Rules that were chosen by the searches of one seed must be measured on those of another.

Searches are made up, the rules aren't: ``finalists``, the plan with its rejections and the verdict
are the ones that ``hpsearch confirm`` uses. A training of configuration c with seed s judges image
i right where

    skill[c] + luck[c, s] + ease[i] + taste[c, i] + chance[c, s, i] > 0

so some images are hard for everybody (ease), each configuration has images of its own (taste: this
is what a search overfits to), and a seed moves the whole network (luck). The truth of a
configuration is the mean over all seeds and all images, by quadrature.

In grouped worlds images come in groups of uneven sizes, whose images share most of ease and taste,
and a split keeps groups together. There the last column repeats the first as it would be if each
image counted as independent.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import expit, ndtri
from scipy.stats import binomtest

from hpsearch.metric_registry import direction_of
from hpsearch.results.confirmation.contributions import contributions, jackknife, training_values
from hpsearch.results.confirmation.finalists import Candidate, Finalists, finalists
from hpsearch.results.confirmation.judging import judge
from hpsearch.results.confirmation.over_groups import error_of
from hpsearch.results.confirmation.plan import (
    PlannedTraining,
    TrainingResult,
    entries,
)
from hpsearch.results.confirmation.predictions import Predictions
from hpsearch.results.confirmation.spec import (
    Configuration,
    ConfirmationSpec,
    Field,
    RequestedSettings,
    SearchSnapshot,
)
from hpsearch.results.confirmation.verdict import Comparison, Search

EASE, TASTE, LUCK = 2.0, 0.7, 0.08
#: Share of the variance of ease and of taste that all images of a group have in common.
TOGETHER = 0.6
CLASSES = 10
EPOCHS = 10
#: Its worlds have two classes. An image's logit is the sum above, with the sign of its class.
AUROC = "val_auroc"

_QUADRATURE = np.polynomial.hermite_e.hermegauss(80)


@dataclass(frozen=True, kw_only=True)
class World:
    """The search, and how its trials are measured."""

    name: str
    #: Number of complete trials of a search, and the spread of their skills.
    configurations: int = 100
    spread: float
    #: Number of images that a split draws its validation images from; ``None`` if these are fixed.
    pool: int | None
    images: int
    metric: str = "val_accuracy"
    skill: float = 3.0
    top: int = 6
    seeds: int = 5
    #: Mean number of images in a group (sizes range from 1 to several times that); 1: no groups.
    group: int = 1


WORLDS = (
    World(name="fixed images, clear differences", spread=0.6, pool=None, images=1000),
    World(name="fixed images, plateau", spread=0.1, pool=None, images=1000),
    World(name="new splits, clear differences", spread=0.6, pool=5000, images=1000),
    World(name="new splits, plateau", spread=0.1, pool=5000, images=1000),
    World(name="new splits, few images", spread=0.3, pool=1000, images=200, skill=4.0),
    World(name="two seeds", spread=0.3, pool=5000, images=1000, seeds=2),
    World(name="macro-F1", spread=0.3, pool=5000, images=1000, metric="val_macro_f1"),
    World(name="loss", spread=0.3, pool=5000, images=1000, metric="val_loss"),
    World(name="groups, new splits", spread=0.3, pool=2500, images=500, group=5),
    World(name="groups, fixed images", spread=0.3, pool=None, images=500, group=5),
    World(name="groups, few images", spread=0.3, pool=1000, images=200, group=3, skill=1.5),
    World(name="few groups, new splits", spread=0.3, pool=1000, images=200, group=10, skill=1.5),
    World(name="few groups, fixed images", spread=0.3, pool=None, images=200, group=10, skill=1.5),
    World(
        name="groups, macro-F1", spread=0.3, pool=5000, images=1000, group=5, metric="val_macro_f1"
    ),
    World(name="AUROC", spread=0.3, pool=2500, images=500, metric=AUROC, skill=1.0),
    World(name="AUROC, few images", spread=0.3, pool=1000, images=100, metric=AUROC, skill=1.5),
    World(
        name="AUROC, groups", spread=0.3, pool=1500, images=300, group=3, metric=AUROC, skill=1.0
    ),
)


class Truth:
    """One search's configurations and images; a training is drawn on request."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        total = world.pool or world.images
        self.skill = rng.normal(world.skill, world.spread, world.configurations)
        self.ease = rng.normal(0, EASE, total).astype(np.float32)
        self.taste = rng.standard_normal((world.configurations, total), np.float32)
        self.taste *= TASTE
        self.classes = rng.integers(0, CLASSES, total)
        self.groups: NDArray[np.int64] | None = None
        if world.group > 1:
            self.groups = self.divide(total)
            self.share()
        #: Seed -> the rows of the validation images; seed 0 is the search's own split.
        self.splits: dict[int, NDArray[np.int64]] = {}

    def divide(self, total: int) -> NDArray[np.int64]:
        """Return the group of each image; the sizes follow the exponential distribution."""
        sizes = 1 + self.rng.exponential(self.world.group - 1, total).astype(np.int64)
        return np.repeat(np.arange(total), sizes)[:total]

    def share(self) -> None:
        """Make the images of a group similar without a change of each image's own distribution."""
        if self.groups is None:
            return
        group_count = int(self.groups[-1]) + 1
        alone, together = np.float32(1 - TOGETHER) ** 0.5, np.float32(TOGETHER) ** 0.5
        ease = self.rng.normal(0, EASE, group_count).astype(np.float32)
        self.ease = alone * self.ease + together * ease[self.groups]
        taste = TASTE * self.rng.standard_normal((len(self.skill), group_count), np.float32)
        self.taste = alone * self.taste + together * taste[:, self.groups]
        # One class per group, as the images of one object have
        self.classes = self.rng.integers(0, CLASSES, group_count)[self.groups]

    def rows(self, seed: int) -> NDArray[np.int64]:
        """Return the validation images of a seed, the same for every configuration."""
        if seed not in self.splits:
            total = len(self.ease)
            if self.groups is None:
                self.splits[seed] = np.sort(self.rng.permutation(total)[: self.world.images])
            else:
                self.splits[seed] = self.whole_groups(self.groups)
        return self.splits[seed]

    def whole_groups(self, groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the images of random groups, as close to the wanted number as possible."""
        sizes = np.bincount(groups)
        order = self.rng.permutation(len(sizes))
        after = np.cumsum(sizes[order])
        selection = order[: int(np.argmin(abs(after - self.world.images))) + 1]
        return np.flatnonzero(np.isin(groups, selection))

    def train(
        self, configuration: int, rows: NDArray[np.int64], luck: float | None = None
    ) -> TrainingResult:
        """Return one training's result on ``rows``; without ``luck``, of a fresh seed."""
        margin = self.ease[rows] + self.taste[configuration, rows] + self.skill[configuration]
        margin = margin + (self.rng.normal(0, LUCK) if luck is None else luck)
        if self.world.metric == AUROC:
            return self.ranked(margin, rows, whole=True)
        right = self.rng.logistic(size=len(rows)) + margin > 0
        wrong = (self.classes[rows] + self.rng.integers(1, CLASSES, len(rows))) % CLASSES
        predictions = Predictions(
            rows=rows,
            predicted=np.where(right, self.classes[rows], wrong),
            truth=self.classes[rows],
            loss=np.logaddexp(0, -margin - self.rng.normal(0, 1, len(rows))),
            groups=None if self.groups is None else self.groups[rows],
        )
        return TrainingResult(
            value=float(contributions(self.world.metric, predictions).mean()),
            predictions=predictions,
        )

    def ranked(
        self, margin: NDArray[np.float64], rows: NDArray[np.int64], *, whole: bool
    ) -> TrainingResult:
        """Return a training's AUROC; if ``whole``, with the predictions and their contributions."""
        truth = self.classes[rows] % 2
        scores = margin + self.rng.logistic(size=len(rows))
        logit = np.where(truth == 1, scores, -scores)
        groups = None if self.groups is None else self.groups[rows]

        def measure(mask: NDArray[np.bool_]) -> float:
            return auroc(logit[mask], truth[mask])

        if not whole:
            return TrainingResult(value=measure(np.ones(len(rows), bool)), predictions=None)
        predictions = Predictions(
            rows=rows,
            predicted=(logit > 0).astype(np.int64),
            truth=truth,
            loss=np.logaddexp(0, -scores),
            groups=groups,
            scores=jackknife(measure, rows, groups),
        )
        return TrainingResult(
            value=float(contributions(AUROC, predictions).mean()), predictions=predictions
        )

    def search(self, rows: NDArray[np.int64]) -> list[float]:
        """Return the metric of each configuration's only training in the search."""
        if self.world.metric == AUROC:
            margin = self.ease[rows] + self.taste[:, rows]
            margin += (self.skill + self.rng.normal(0, LUCK, len(self.skill)))[:, None]
            return [
                self.ranked(configuration_margin, rows, whole=False).value or 0.0
                for configuration_margin in margin
            ]
        if self.world.metric != "val_accuracy":
            return [
                self.train(configuration, rows).value or 0.0
                for configuration in range(len(self.skill))
            ]
        margin = self.ease[rows] + self.taste[:, rows]
        margin += (self.skill + self.rng.normal(0, LUCK, len(self.skill)))[:, None]
        # As only the share matters, one draw for all is enough, and three times as fast
        chance = self.rng.random(margin.shape, np.float32)
        return [float(accuracy) for accuracy in (chance < expit(margin)).mean(axis=1)]

    def test(self, configuration: int) -> tuple[Predictions, float]:
        """Return one training's predictions for unseen test images, and its true metric."""
        unseen = Truth(replace(self.world, pool=None, configurations=1), self.rng)
        unseen.skill = self.skill[[configuration]]
        luck = self.rng.normal(0, LUCK)
        predictions = unseen.train(0, unseen.rows(0), luck).predictions
        assert predictions is not None
        return predictions, float(unseen.values(luck)[0])

    def values(self, luck: float | None = None) -> NDArray[np.float64]:
        """Return each configuration's true metric, over seeds or of a training with ``luck``.

        As the classes are equally hard and frequent, macro-F1 over all images is the accuracy.
        """
        nodes, weights = _QUADRATURE
        if self.world.metric == AUROC:
            return self.auroc_values(luck)
        noise = 1.0 if self.world.metric == "val_loss" else 0.0
        seeds = LUCK**2 if luck is None else 0.0
        spread = math.sqrt(EASE**2 + TASTE**2 + seeds + noise)
        at = self.skill[:, None] + (luck or 0.0) + spread * nodes
        figure = np.logaddexp(0, -at) if self.world.metric == "val_loss" else expit(at)
        true: NDArray[np.float64] = figure @ weights / weights.sum()
        # The integral of a share may exceed 1 by its last digits
        return true if self.world.metric == "val_loss" else np.clip(true, 0.0, 1.0)

    def auroc_values(self, luck: float | None) -> NDArray[np.float64]:
        """Return each configuration's true AUROC: the chance that the sum of two images is above 0.

        That is the sum of their eases and tastes, of two logistic numbers, and twice the luck.
        """
        nodes, weights = _QUADRATURE
        seeds = (2 * LUCK) ** 2 if luck is None else 0.0
        spread = math.sqrt(2 * (EASE**2 + TASTE**2) + seeds)
        at = 2 * self.skill[:, None] + 2 * (luck or 0.0) + spread * nodes
        # The distribution function of the sum of two logistic numbers
        grown = np.expm1(at)
        above = (1 + grown) * (grown - at) / np.square(grown)
        true: NDArray[np.float64] = above @ weights / weights.sum()
        return true


def auroc(logit: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return the share of pairs of both classes that are in order; no two logits are equal."""
    negative = np.sort(logit[truth == 0])
    below = np.searchsorted(negative, logit[truth == 1])
    return float(below.mean() / len(negative)) if len(below) and len(negative) else math.nan


@dataclass(kw_only=True)
class Record:
    """The result of each search of a world."""

    covered: list[bool] = field(default_factory=list)
    #: In a grouped world: whether the interval contains it if each image counts as independent.
    ungrouped: list[bool] = field(default_factory=list)
    #: Whether the interval of one training on unseen test images contains its true value.
    test: list[bool] = field(default_factory=list)
    naive_covered: list[bool] = field(default_factory=list)
    #: How much better than the true value the best seen and the confirmed value are.
    naive_bias: list[float] = field(default_factory=list)
    bias: list[float] = field(default_factory=list)
    half_width: list[float] = field(default_factory=list)
    #: How much better the confirmed winner truly is than the best seen.
    gain: list[float] = field(default_factory=list)
    changed: list[bool] = field(default_factory=list)
    #: Whether the interval of a difference contains the true one, over fresh seeds and for a
    #: finalist that was rejected early; and whether a lead that excludes zero is a true one.
    differences: list[bool] = field(default_factory=list)
    few_seeds: list[bool] = field(default_factory=list)
    claims: list[bool] = field(default_factory=list)
    next_training: list[bool] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)
    best: list[bool] = field(default_factory=list)
    #: Number of trainings of the confirmation, and of those without early rejection.
    trainings: list[int] = field(default_factory=list)
    all_trainings: list[int] = field(default_factory=list)


def search_once(world: World, rng: np.random.Generator, record: Record) -> None:
    truth = Truth(world, rng)
    true = truth.values()
    maximize = direction_of(world.metric) == "maximize"
    sign = 1.0 if maximize else -1.0
    split = truth.rows(0)
    search_values = truth.search(split)
    order = sorted(range(world.configurations), key=lambda trial: -sign * search_values[trial])
    selection = finalists(
        [
            Candidate(trial=trial, value=search_values[trial], params={"trial": trial})
            for trial in order
        ],
        metric=world.metric,
        images=world.images,
        top=world.top,
        baseline=0,
    )
    contest = _spec(world, selection)
    outcomes: dict[PlannedTraining, TrainingResult] = {}
    while todo := [entry for entry in entries(contest, outcomes) if entry not in outcomes]:
        for entry in todo:
            rows = truth.rows(0 if world.pool is None else entry.seed)
            outcomes[entry] = truth.train(entry.trial, rows)
    search = _search_facts(world, search_values, search_values[order[0]], selection.field)
    verdict = judge(contest, outcomes, search)
    assert verdict.winner is not None and verdict.over_seeds_and_images is not None
    assert verdict.confirmed is not None and verdict.next_training is not None
    winner, naive = verdict.winner, order[0]
    record.covered.append(not verdict.over_seeds_and_images.excludes(true[winner]))
    if truth.groups is not None:
        alone = judge(contest, _ungrouped(outcomes), search)
        assert alone.over_seeds_and_images is not None
        record.ungrouped.append(not alone.over_seeds_and_images.excludes(true[winner]))
    record.naive_covered.append(_naive_covers(world, search_values[naive], true[naive]))
    record.naive_bias.append(sign * (search_values[naive] - true[naive]))
    record.bias.append(sign * (verdict.confirmed - true[winner]))
    record.half_width.append(verdict.over_seeds_and_images.half_width)
    record.gain.append(sign * (true[winner] - true[naive]))
    record.changed.append(winner != naive)
    for compared in (verdict.runner_up, verdict.baseline):
        if compared is not None:
            _compare(record, compared, sign * (true[winner] - true[compared.trial]))
    once_more = truth.train(winner, truth.rows(0 if world.pool is None else -1)).value
    record.next_training.append(not verdict.next_training.excludes(once_more or 0.0))
    record.chance.append(verdict.chance_of_best or 0.0)
    record.best.append(max(sign * true[list(selection.trials)]) == sign * true[winner])
    record.test.append(_test_covers(world, truth, winner))
    record.trainings.append(len(outcomes))
    record.all_trainings.append((len(selection.trials) + 3) * world.seeds)


def _spec(world: World, selection: Finalists) -> ConfirmationSpec:
    def configuration(trial: int) -> Configuration:
        return Configuration(trial=trial, params={})

    return ConfirmationSpec(
        study=world.name,
        fingerprint="",
        metric=world.metric,
        maximize=direction_of(world.metric) == "maximize",
        seeds=world.seeds,
        seeds_before=0,
        requested=RequestedSettings(top=world.top, seeds=world.seeds, share=None, options=None),
        rule=selection.rule,
        finalists=tuple(map(configuration, selection.trials)),
        baseline=None if selection.baseline is None else configuration(selection.baseline),
        search=SearchSnapshot(trials=0, complete=0, epochs=0, best=0.0, field=selection.field),
    )


def _search_facts(
    world: World, search_values: Sequence[float], best: float, field: Field
) -> Search:
    return Search(
        metric=world.metric,
        values=dict(enumerate(search_values)),
        best_seen=best,
        complete=world.configurations,
        search_epochs=world.configurations * EPOCHS,
        confirmation_epochs=0,
        epochs_per_trial=EPOCHS,
        new_splits=world.pool is not None,
        class_names=[str(number) for number in range(CLASSES)],
        costs={},
        field=field,
    )


def _ungrouped(
    outcomes: Mapping[PlannedTraining, TrainingResult],
) -> dict[PlannedTraining, TrainingResult]:
    return {
        entry: replace(outcome, predictions=replace(outcome.predictions, groups=None))
        for entry, outcome in outcomes.items()
        if outcome.predictions is not None
    }


def _naive_covers(world: World, best_value: float, true: float) -> bool:
    """Whether a naive interval for the best seen (Wilson's) contains its true value."""
    if world.metric != "val_accuracy":
        return False
    interval = binomtest(round(best_value * world.images), world.images).proportion_ci(
        method="wilson"
    )
    return bool(interval.low <= true <= interval.high)


def _test_covers(world: World, truth: Truth, configuration: int) -> bool:
    """Whether the interval of a test metric, as ``evaluate`` prints it, contains its true value.

    It is that of a single training, so it doesn't include the variation of seeds.
    """
    predictions, true = truth.test(configuration)
    training = training_values(world.metric, predictions)
    interval = error_of(training).interval(training.mean, share=world.metric != "val_loss")
    return interval is not None and interval[0] <= true <= interval[1]


def _compare(record: Record, compared: Comparison, true: float) -> None:
    hits = record.differences if compared.fresh else record.few_seeds
    hits.append(not compared.ahead.excludes(true))
    if compared.ahead.low > 0:
        record.claims.append(true > 0)


def run(world: World, searches: int, seed: int = 0) -> Record:
    record = Record()
    for number in range(searches):
        search_once(world, np.random.default_rng([seed, number]), record)
    return record


def share(values: Sequence[bool]) -> str:
    return f"{np.mean(values):.1%}" if values else "-"


def mean(values: Sequence[float], unit: float = 100.0) -> str:
    error = ndtri(0.975) * np.std(values, ddof=1) / math.sqrt(len(values))
    return f"{unit * np.mean(values):+.2f} ±{unit * error:.2f}"


def rows(worlds: Mapping[str, Record]) -> list[tuple[str, ...]]:
    """Return the table: a head, then one row per world. Biases and gains in points (loss: 0.01)."""
    head = (
        "world", "confirmed interval holds the truth", "its half width", "its bias",
        "best seen: bias", "best seen: interval holds", "confirmed pick truly better by",
        "other pick", "differences held", "of rejected", "claims true", "next training held",
        "P(best) said", "was best", "trainings (of)", "held without groups",
        "test interval holds",
    )  # fmt: skip
    table = [head]
    for name, record in worlds.items():
        naive = share(record.naive_covered) if any(record.naive_covered) else "-"
        table.append(
            (
                name,
                share(record.covered),
                f"{100 * np.mean(record.half_width):.2f}",
                mean(record.bias),
                mean(record.naive_bias),
                naive,
                mean(record.gain),
                share(record.changed),
                share(record.differences),
                share(record.few_seeds),
                f"{share(record.claims)} of {len(record.claims)}",
                share(record.next_training),
                f"{np.mean(record.chance):.2f}",
                share(record.best),
                f"{np.mean(record.trainings):.1f} ({np.mean(record.all_trainings):.0f})",
                share(record.ungrouped),
                share(record.test),
            )
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=1000, help="of each world")
    parser.add_argument("--world", action="append", choices=[world.name for world in WORLDS])
    parser.add_argument("--seed", type=int, default=0, help="another one makes up other searches")
    options = parser.parse_args(arguments)
    records = {
        world.name: run(world, options.searches, options.seed)
        for world in WORLDS
        if not options.world or world.name in options.world
    }
    # One column per world, since fifteen numbers don't fit into a row
    table = Table(*["figure", *records])
    for figure, *values in list(zip(*rows(records), strict=True))[1:]:
        table.add_row(figure, *values)
    Console(width=40 + 26 * len(records)).print(table)


if __name__ == "__main__":
    main()
