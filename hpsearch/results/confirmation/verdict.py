"""The verdict of a confirmation: the confirmed value, its basis, and its meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpsearch.formatting import count_noun
from hpsearch.metrics import MetricFormat
from hpsearch.results.confirmation.plan import FinalistRank
from hpsearch.results.confirmation.spec import Field
from hpsearch.results.confirmation.statistics import Interval


def optimism_in_words(optimism: float, metric: str) -> str:
    """Return the search's optimism as text. Files of earlier versions may have one below 0."""
    if optimism <= 0:
        return "the search was not optimistic here: the confirmed value is as good or better"
    return f"{MetricFormat(metric).difference(optimism)} (the best seen less the confirmed value)"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a configuration in training and use; ``None`` if it isn't known."""

    #: Median wall time of an epoch, including validation.
    epoch_seconds: float | None = None
    parameters: int | None = None
    #: Of one forward pass of one image.
    multiply_adds: int | None = None
    #: Of one image, measured side by side with the other finalists.
    latency_seconds: float | None = None

    @property
    def latency_ms(self) -> float | None:
        """``latency_seconds`` in milliseconds."""
        return None if self.latency_seconds is None else 1000 * self.latency_seconds


@dataclass(frozen=True, kw_only=True)
class Search:
    """Facts about the search that the verdict needs."""

    #: One of ``metrics.OBJECTIVES``.
    metric: str
    #: Trial -> value in the search, of every finalist and the baseline.
    values: Mapping[int, float]
    #: The best value of all complete trials, and their number.
    best_seen: float
    complete: int
    #: Epochs run by the search, and by the confirmation so far.
    search_epochs: int
    confirmation_epochs: int
    epochs_per_trial: int
    #: Whether each seed draws a split of its own; otherwise the validation images are fixed.
    new_splits: bool
    class_names: Sequence[str]
    #: Trial -> its cost.
    costs: Mapping[int, Cost]
    #: Folds of each training; ``None`` without cross-validation.
    folds: int | None = None
    #: The values from which the finalists were chosen; ``None`` if an earlier version began it.
    field: Field | None = None
    #: Whether the data source keeps groups of images together.
    names_groups: bool = False
    #: Whether trainings store predictions of images; the user's own training loop doesn't.
    has_images: bool = True


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The winner against another finalist, paired by seed and image."""

    trial: int
    #: Winner minus other if more is better, other minus winner if less is better: positive if the
    #: winner is ahead.
    ahead: Interval
    seeds: int
    #: Whether its seeds didn't contribute to the choice. Otherwise the other one was rejected
    #: early, and the few common seeds are optimistic for the winner.
    fresh: bool
    #: Field of ``Cost`` -> winner's cost over the other's, above 1 if the other is cheaper; only
    #: fields that are known of both.
    cheaper: Mapping[str, float]

    def describe(self, metric: str) -> str:
        """Return the difference with its interval, and what it means, as text."""
        form, ahead = MetricFormat(metric), self.ahead
        meaning = "the winner is better" if ahead.estimate > 0 else "the winner is worse"
        if not self.distinguishable:
            meaning = "not distinguishable"
        reused = "" if self.fresh else "; on seeds that were used for the choice: optimistic"
        return (
            f"{form.difference(ahead.estimate)} (95 %: {form.differences(ahead.low, ahead.high)}): "
            f"{meaning}{reused}"
        )

    def sentence(self, metric: str, name: str) -> str:
        """Return the comparison in one sentence.

        Args:
            metric: The objective.
            name: What the winner is compared with: ``the best mlp (trial 9)``.
        """
        form, ahead = MetricFormat(metric), self.ahead
        interval = f"(95 %: {form.differences(ahead.low, ahead.high)})"
        reused = "" if self.fresh else ", on the seeds that chose the winner, which favours it"
        way = "ahead" if ahead.estimate > 0 else "behind"
        by = f"{form.width(abs(ahead.estimate))} {way}"
        if not self.distinguishable:
            return f"Against {name} it is undecided: the winner is {by} {interval}{reused}."
        return f"Against {name} the winner is {by} {interval}{reused}."

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes that both are equally good."""
        return self.ahead.excludes(0.0)


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One row of the finalists' table."""

    standing: FinalistRank
    #: 1-based rank: the winner's is 1.
    place: int
    #: Its value in the search.
    seen: float
    #: Mean over its report seeds; ``None`` if it has none.
    reported: float | None
    #: Trainings that ended, including failed ones.
    trainings: int
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class PerClass:
    """One class, over all images of all report seeds. Shares are 0..1; ``None`` without images."""

    name: str
    images: int
    #: Of the images predicted to be of this class, the share that is.
    precision: float | None
    #: Of this class's images, the share that was recognised.
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
    #: Whether all trainings have ended; before that, metrics are of those that have.
    finished: bool
    #: ``None`` until the selection is over, or if every finalist failed.
    winner: int | None
    #: The best value of the search, with one seed and so optimistic; the number of complete trials.
    best_seen: float
    complete: int
    #: The winner's own value in the search.
    winner_seen: float | None
    #: Mean over the report seeds, and its 95 % interval over seeds, and over seeds and images.
    #: ``None`` before a report seed of the winner has ended.
    over_seeds: Interval | None
    over_seeds_and_images: Interval | None
    #: 95 % prediction interval of one more training with a fresh seed.
    next_training: Interval | None
    #: Seed -> value of the winner's report seeds, and the number of distinct validation images.
    reported: Mapping[int, float]
    images: int
    new_splits: bool
    #: Folds of each training; its value is over all of them.
    folds: int | None
    #: By how much the best value seen is better than the confirmed one; 0 if it isn't better, as
    #: the search was not optimistic then.
    optimism: float | None
    #: The next best finalist, and the first of ``try_first``; ``None`` if there is none, or nothing
    #: to compare yet.
    runner_up: Comparison | None
    baseline: Comparison | None
    #: Whether the winner is the first of ``try_first``.
    winner_is_baseline: bool
    #: Probability that the winner is truly the best of the finalists, 0..1.
    chance_of_best: float | None
    search_epochs: int
    confirmation_epochs: int
    epochs_per_trial: int
    finalists: Sequence[Finalist]
    #: Over all of the winner's report seeds: images by true class (rows) and predicted class, each
    #: image once for every seed that predicted it.
    confusion: Sequence[Sequence[int]] | None
    per_class: Sequence[PerClass]
    #: Other finalist -> its comparison with the winner, of those that can be compared.
    leads: Mapping[int, Comparison] = field(default_factory=dict)
    #: Finalist -> why its value in the search was declared invalid, of those that were.
    invalid: Mapping[int, str] = field(default_factory=dict)
    #: Number of groups of ``images``, which the intervals are over; ``None`` if each image counts
    #: as independent.
    groups: int | None = None
    #: Whether the images came in groups that the trainings didn't store (earlier versions). Then
    #: intervals are over single images, and too narrow.
    lacks_groups: bool = False

    @property
    def winner_is_invalid(self) -> bool:
        """Whether the winner's value in the search was declared invalid."""
        return self.winner in self.invalid

    @property
    def has_valid_winner(self) -> bool:
        """Whether the confirmation is finished and its winner is still a valid trial."""
        return self.finished and self.winner is not None and not self.winner_is_invalid

    @property
    def sample(self) -> str:
        """The validation images as text: ``211 validation images in 71 groups``."""
        if not self.images:
            return "the data of the study's own training loop"
        images = count_noun(self.images, "validation image")
        return images if self.groups is None else f"{images} in {count_noun(self.groups, 'group')}"

    @property
    def other_images(self) -> str:
        """What the second interval is over in addition to seeds: ``validation images``."""
        return "validation images" if self.groups is None else "groups of validation images"

    @property
    def split_of_a_seed(self) -> str:
        """The validation images of each seed as text: ``a newly drawn split``."""
        if self.folds is not None:
            return f"{self.folds} newly drawn folds" if self.new_splits else f"{self.folds} folds"
        return "a newly drawn split" if self.new_splits else "the same validation images"

    @property
    def judged_on(self) -> str:
        """The validation images of all seeds as text; splits of several seeds overlap."""
        if not self.images:
            return self.sample
        split = f"each seed with {self.split_of_a_seed}"
        seeds = len(self.reported)
        predictions = sum(map(sum, self.confusion)) if self.confusion is not None else 0
        if not (predictions and seeds) or predictions // seeds == self.images:
            return f"{self.sample}, {split}"
        return f"{predictions // seeds:,} images a seed, {split}; {self.sample} in all"

    @property
    def images_in_words(self) -> str:
        """What the numbers of images mean, in one or two sentences; empty before there are any."""
        seeds = len(self.reported)
        if not seeds or not self.images:
            return ""
        trainings = count_noun(seeds, "training")
        if self.folds is not None:
            anew = " anew" if self.new_splits else ""
            return (
                f"Each of {trainings} divided the images{anew} into {self.folds} folds and was "
                f"validated on all of them: {self.sample}."
            )
        if not self.new_splits or seeds == 1:
            return f"Validated on {self.sample}, the same in {trainings}, and never trained on."
        predictions = sum(map(sum, self.confusion)) if self.confusion is not None else 0
        images = f"{predictions // seeds:,} images" if predictions else "images"
        return (
            f"Each of {trainings} kept {images} out of its training to validate on, drawn anew. "
            f"Some were drawn more than once, so together they are {self.sample}."
        )

    @property
    def confirmed(self) -> float | None:
        """The confirmed value: the winner's mean over its report seeds."""
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
