"""What is told of a confirmation: one honest number, what it rests on, and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpsearch.formatting import count_noun
from hpsearch.metrics import MetricFormat
from hpsearch.results.confirmation.luck import Field
from hpsearch.results.confirmation.plan import FinalistRank
from hpsearch.results.confirmation.statistics import Interval


def optimism_in_words(optimism: float, metric: str) -> str:
    """Return how much the search flattered; an optimism below 0 is none."""
    written = MetricFormat(metric)
    if optimism >= 0:
        return f"{written.difference(optimism)} (the best seen less the confirmed value)"
    better = written.width(-optimism)
    return f"none: the confirmed value is {better} better than the best seen"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a configuration costs to train and to use; ``None`` where it isn't known."""

    #: Median wall time of an epoch, validation included.
    epoch_seconds: float | None = None
    parameters: int | None = None
    #: Of one forward pass of one image.
    multiply_adds: int | None = None
    #: Of one image, measured side by side with the other finalists.
    latency_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """What the verdict must know of the search."""

    #: One of ``metrics.OBJECTIVES``.
    metric: str
    #: Trial -> value in the search, of every finalist and the baseline.
    values: Mapping[int, float]
    #: The best value of all complete trials, and how many they are.
    best_seen: float
    complete: int
    #: Epochs run by the search, and by the confirmation so far.
    search_epochs: int
    confirmation_epochs: int
    epochs_per_trial: int
    #: Whether each seed draws a split of its own; otherwise the validation images are fixed.
    new_splits: bool
    class_names: Sequence[str]
    #: Trial -> what it costs.
    costs: Mapping[int, Cost]
    #: Folds of each training, ``None`` where it has one validation part.
    folds: int | None = None
    #: The values among which the finalists were chosen; ``None`` if an earlier version began it.
    field: Field | None = None
    #: Whether the data source was asked to keep groups of images together.
    names_groups: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The winner against another finalist, paired by seed and image."""

    trial: int
    #: Winner minus other where more is better, other minus winner where less is: positive means
    #: that the winner is ahead.
    ahead: Interval
    seeds: int
    #: Whether it rests on seeds that had no say in the choice. Otherwise the other one was rejected
    #: early, and the few seeds that both were trained with flatter the winner.
    fresh: bool
    #: How often cheaper the other one is: winner's cost over other's, above 1 where the other is
    #: cheaper. By the names of ``Cost``'s fields, where both are known.
    cheaper: Mapping[str, float]

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes that both are equally good."""
        return self.ahead.excludes(0.0)


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One line of the finalists' table."""

    standing: FinalistRank
    #: 1-based place: the winner's is 1.
    place: int
    #: Its value in the search.
    seen: float
    #: Mean over its report seeds, ``None`` where it got none.
    reported: float | None
    #: Trainings that ended, failed ones among them.
    trainings: int
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class PerClass:
    """One class, over all images of all report seeds. Shares are 0..1; ``None``: no image."""

    name: str
    images: int
    #: Of the images said to be of this class, those that are.
    precision: float | None
    #: Of this class's images, those that were recognised.
    recall: float | None
    f1: float | None
    #: The recall's 95 % interval over seeds and images, or groups of images; ``None`` if it isn't
    #: known.
    recall_interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class ConfirmationResult:
    """The verdict. Values and differences are in the objective's unit."""

    metric: str
    maximize: bool
    #: Whether nothing is left to train; before that, figures are of what has ended so far.
    finished: bool
    #: ``None`` until the selection is over, or where every finalist failed.
    winner: int | None
    #: The best value of the search, of this many complete trials: one seed, so optimistic.
    best_seen: float
    complete: int
    #: The winner's own value in the search.
    winner_seen: float | None
    #: Mean over the report seeds, and its 95 % interval over seeds, and over seeds and images.
    #: ``None`` before a report seed of the winner has ended.
    over_seeds: Interval | None
    over_seeds_and_images: Interval | None
    #: Where one more training with a fresh seed lands, 95 %.
    next_training: Interval | None
    #: Seed -> value of the winner's report seeds, and the distinct images that they were judged on.
    reported: Mapping[int, float]
    images: int
    new_splits: bool
    #: Folds of each training; its value is over all of them.
    folds: int | None
    #: How much better the best seen looks than what was confirmed; positive: the search flattered.
    optimism: float | None
    #: The next best finalist, and the first of ``try_first``; ``None`` where there is none, or
    #: nothing yet to compare.
    runner_up: Comparison | None
    baseline: Comparison | None
    #: Whether the winner is itself the first of ``try_first``.
    winner_is_baseline: bool
    #: How sure the data make it that the winner is truly the best of the finalists, 0..1.
    chance_of_best: float | None
    search_epochs: int
    confirmation_epochs: int
    epochs_per_trial: int
    finalists: Sequence[Finalist]
    #: Over the winner's report seeds together: images by true class (rows) and predicted class,
    #: each image once for every seed that judged it.
    confusion: Sequence[Sequence[int]] | None
    per_class: Sequence[PerClass]
    #: Finalist -> why its number in the search was declared invalid, of those that were.
    invalid: Mapping[int, str] = field(default_factory=dict)
    #: The groups that ``images`` came in, which the intervals are over; ``None``: each image counts
    #: as independent.
    groups: int | None = None
    #: Whether the images came in groups, but the trainings didn't store them: hpsearch didn't at
    #: that time. Then intervals are over single images, and too narrow.
    lacks_groups: bool = False

    @property
    def winner_is_invalid(self) -> bool:
        """Whether the winner became a finalist by a number that can't be trusted."""
        return self.winner in self.invalid

    @property
    def sample(self) -> str:
        """The images that it rests on, in words: ``211 validation images in 71 groups``."""
        images = count_noun(self.images, "validation image")
        return images if self.groups is None else f"{images} in {count_noun(self.groups, 'group')}"

    @property
    def other_images(self) -> str:
        """What else the second interval is over, besides seeds: ``validation images``."""
        return "validation images" if self.groups is None else "groups of validation images"

    @property
    def split_of_a_seed(self) -> str:
        """What each seed was judged on, in words: ``a newly drawn split``."""
        if self.folds is not None:
            return f"{self.folds} newly drawn folds" if self.new_splits else f"{self.folds} folds"
        return "a newly drawn split" if self.new_splits else "the same validation images"

    @property
    def judged_on(self) -> str:
        """The images that the figure rests on, in words; splits of several seeds overlap."""
        each = f"each seed with {self.split_of_a_seed}"
        seeds = len(self.reported)
        judged = sum(map(sum, self.confusion)) if self.confusion is not None else 0
        if not (judged and seeds) or judged // seeds == self.images:
            return f"{self.sample}, {each}"
        return f"{judged // seeds:,} images a seed, {each}; {self.sample} in all"

    @property
    def confirmed(self) -> float | None:
        """The honest number: the winner's mean over its report seeds."""
        return None if self.over_seeds is None else self.over_seeds.estimate

    @property
    def spent_epochs(self) -> int:
        """Epochs of the search and of the confirmation."""
        return self.search_epochs + self.confirmation_epochs

    @property
    def full_trainings(self) -> float:
        """``spent_epochs`` in trainings from the first to the last epoch."""
        return self.spent_epochs / self.epochs_per_trial

    @property
    def confirmation_share(self) -> float:
        """Share of the epochs that was spent on the confirmation, 0..1."""
        return self.confirmation_epochs / max(self.spent_epochs, 1)
