"""Intervals for metrics that were measured over several seeds, each on a sample of the images.

Two things are random: the seed (weights, order, split) and the images. Seeds and images are
crossed: one image is predicted by several seeds' networks, and a hard image is hard for all of
them. So the mean over seeds doesn't average the images' luck out, and the spread between seeds
doesn't show it. The variance of the mean over k seeds is the sum of two parts:

- ``s**2 / k``, with s the standard deviation between the seeds' values: the variation with other
  seeds, including everything that differs between two seeds (also images, if the split is drawn);
- the mean covariance of two seeds' values through their common images: zero if splits share no
  image, the images' whole part if the validation images are fixed.

Both are unbiased for crossed random effects, however the splits overlap. (The two-way clustered
covariance of statsmodels isn't with so few seeds: it lacks 1/k of the images' part.) Seeds may
agree by luck, and the fewer there are, the more likely this is. So the first part is at least 2/k
of the part that follows from the spread of the images within each training: all of it with two
seeds. The result is a t interval with Satterthwaite's degrees of freedom.

If images come in groups (several pictures of one object), groups replace images in all of this:
covariances are summed over groups, and degrees of freedom count groups (see ``clusters``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpsearch.results.confirmation import clusters

#: Confidence of every interval.
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingValues:
    """One training's contributions, image by image (see ``contributions``)."""

    #: Rows of the images, ascending, int64 ``(n,)``.
    rows: NDArray[np.int64]
    #: float64 ``(n,)``; the mean is the training's value.
    values: NDArray[np.float64]
    #: The group of each image, int64 ``(n,)``; ``None`` if each image is independent of the others.
    groups: NDArray[np.int64] | None = None
    #: The value's bias on a sample of this size (``contributions.lean``).
    lean: float = 0.0

    @property
    def mean(self) -> float:
        """The training's value."""
        return float(self.values.mean())

    def minus(self, other: TrainingValues) -> TrainingValues:
        """Return the differences, image by image, on the common images."""
        rows, own_places, other_places = np.intersect1d(
            self.rows, other.rows, assume_unique=True, return_indices=True
        )
        groups = None if self.groups is None else self.groups[own_places]
        return TrainingValues(
            rows=rows,
            values=self.values[own_places] - other.values[other_places],
            groups=groups,
            lean=self.lean - other.lean,
        )


def of_value(value: float) -> TrainingValues:
    """Return a training of which only the value is known: its spread over images counts as 0.

    Then every interval is over seeds alone.
    """
    return TrainingValues(rows=np.arange(2), values=np.full(2, value))


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An interval around an estimate, of 95 % unless its source has another confidence."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the width. Users see both ends, since an interval may be asymmetric."""
        return (self.high - self.low) / 2

    def excludes(self, value: float) -> bool:
        """Whether ``value`` is outside."""
        return not self.low <= value <= self.high

    def reaching(self, lean: float, *, share: bool) -> Interval:
        """Return the interval of an estimate with bias ``lean``.

        The end on the side of the true value is extended by the bias; the other end stays, since
        ``lean`` is an estimate, too.

        Args:
            lean: The bias: above 0 if the estimate is too high on average.
            share: Whether the ends must stay within 0..1.
        """
        low, high = self.low - max(lean, 0.0), self.high - min(lean, 0.0)
        if share:
            low, high = min(self.low, max(0.0, low)), max(self.high, min(1.0, high))
        return replace(self, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds, with its uncertainty."""

    mean: float
    seeds: int
    #: Distinct images over all seeds.
    images: int
    #: Variance of the mean due to the seeds alone, and its degrees of freedom (0: unknown).
    seeds_variance: float
    seeds_freedom: int
    #: Variance of the mean due to the images; not below 0.
    images_variance: float
    #: Whether it is a share, so that intervals stay within 0..1.
    share: bool = False
    #: Number of distinct groups of the images; ``None`` if each image is independent.
    groups: int | None = None
    #: Degrees of freedom of ``images_variance``; ``None``: the number of images less one. 0: not
    #: known, since a training's images are all of one group.
    images_freedom: float | None = None
    #: The mean's bias (``TrainingValues.lean``).
    lean: float = 0.0
    #: Mean covariance of two seeds' values through images, as measured. It may be below 0, so that
    #: a mean of several has no bias.
    images_covariance: float = 0.0

    @property
    def standard_error(self) -> float:
        """Of the mean, over seeds and images."""
        return math.sqrt(self.seeds_variance + self.images_variance)

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom of ``standard_error``."""
        variance = self.seeds_variance + self.images_variance
        of_images = self.images_freedom
        if of_images is None:
            of_images = max(self.images - 1, 1)
        if of_images == 0:
            return 0.0
        if variance == 0 or self.seeds_freedom == 0:
            return float(of_images if self.seeds_freedom else 0)
        return variance**2 / (
            self.seeds_variance**2 / self.seeds_freedom + self.images_variance**2 / of_images
        )

    def over_seeds(self) -> Interval:
        """Return the interval over other seeds, for these images.

        Never wider than with other images too: with two or three seeds, their own spread is hardly
        known, and the images' spread is known better.
        """
        alone = self._interval(self.seeds_variance, self.seeds_freedom)
        return min(alone, self.over_seeds_and_images(), key=lambda interval: interval.half_width)

    def over_seeds_and_images(
        self, luck: float = 0.0, *, confidence: float = CONFIDENCE
    ) -> Interval:
        """Return the interval of the mean over all seeds and all such images.

        Args:
            luck: By how much the mean is too high because these images also chose the winner (see
                ``luck``); below 0 if less is better.
            confidence: Of the interval; more if several are corrected for their number.
        """
        interval = self._interval(self.standard_error**2, self.freedom, confidence)
        return interval.reaching(self.lean + luck, share=self.share)

    def next_training(self) -> Interval:
        """Return the prediction interval of a training with a fresh seed (and split, if drawn)."""
        # Seeds are exchangeable, so the spread between them is sufficient
        return self._interval(self.seeds_variance * (self.seeds + 1), self.seeds_freedom)

    def chance_above(self, value: float) -> float:
        """Return the probability (0..1) that the true mean is above ``value``."""
        from scipy.special import stdtr

        if self.standard_error == 0 or self.freedom == 0:
            return 0.5 + 0.5 * float(np.sign(self.mean - value)) * (self.freedom > 0)
        return float(stdtr(self.freedom, (self.mean - value) / self.standard_error))

    def _interval(
        self, variance: float, freedom: float, confidence: float = CONFIDENCE
    ) -> Interval:
        if freedom == 0:
            low, high = (0.0, 1.0) if self.share else (-math.inf, math.inf)
            return Interval(estimate=self.mean, low=low, high=high)
        # Not from scipy.stats: importing that takes a second
        from scipy.special import stdtrit

        quantile = float(stdtrit(freedom, (1 + confidence) / 2))
        if self.share and 0 <= self.mean <= 1:
            independent = self.images if self.groups is None else self.groups
            low, high = wilson(self.mean, variance, quantile, independent)
        else:
            reach = quantile * math.sqrt(variance)
            low, high = self.mean - reach, self.mean + reach
        return Interval(estimate=self.mean, low=low, high=high)


def estimate(trainings: Sequence[TrainingValues], *, share: bool = False) -> Estimate:
    """Return the mean over one configuration's trainings.

    Args:
        trainings: One per seed, each with two images or more.
        share: Whether the value is a share, 0..1.

    Raises:
        ValueError: If there is no training.
    """
    if not trainings:
        raise ValueError("an estimate needs at least one training")
    return _estimate(trainings, share=share, noise=None)


def difference(
    one: Mapping[int, TrainingValues],
    other: Mapping[int, TrainingValues],
    *,
    noise: tuple[float, int] | None = None,
) -> Estimate | None:
    """Return ``one`` minus ``other``, paired by seed and by image.

    Args:
        one: Seed -> training.
        other: Seed -> training.
        noise: Deviation between seeds and its degrees of freedom (``plan.seed_noise``), used
            instead of the spread of the differences, which too few seeds don't show; ``None`` uses
            the spread.

    Returns:
        The mean difference; ``None`` if they share no seed with common images.
    """
    pairs = [one[seed].minus(other[seed]) for seed in sorted(one.keys() & other.keys())]
    shared = [pair for pair in pairs if len(pair.rows) > 1]
    return _estimate(shared, share=False, noise=noise) if shared else None


def _estimate(
    trainings: Sequence[TrainingValues], *, share: bool, noise: tuple[float, int] | None
) -> Estimate:
    count = len(trainings)
    means = np.array([training.mean for training in trainings])
    luck = _luck_of_groups(trainings) if have_groups(trainings) else _luck_of_images(trainings)
    of_seeds, freedom, of_images = 0.0, count - 1, 0.0
    if count > 1:
        of_seeds = float(means.var(ddof=1)) / count
        of_images = max(0.0, luck.shared)
    if noise is not None:
        deviation, freedom = noise
        of_seeds = 2 * deviation**2 / count
    least = float(luck.scatter - of_images) / count * min(1.0, 2 / count)
    return Estimate(
        mean=float(means.mean()),
        seeds=count,
        images=luck.images,
        seeds_variance=of_seeds,
        seeds_freedom=freedom,
        images_variance=of_images + max(0.0, least - of_seeds),
        share=share,
        groups=luck.groups,
        images_freedom=luck.freedom,
        images_covariance=luck.shared,
        lean=float(np.mean([training.lean for training in trainings])),
    )


def have_groups(trainings: Sequence[TrainingValues]) -> bool:
    """Whether the images' groups are known."""
    return all(training.groups is not None for training in trainings)


def prob_best(rivals: Sequence[Estimate]) -> float:
    """Return the probability (0..1) that a configuration is truly the best.

    All differences share the configuration's own luck, so two of them correlate by one half
    (Dunnett).

    Args:
        rivals: Its paired difference to each other one, positive if it is ahead.
    """
    from scipy.special import ndtr, ndtri

    chances = np.array([rival.chance_above(0.0) for rival in rivals])
    bounds = ndtri(np.clip(chances, 1e-12, 1 - 1e-12))
    # Given the configuration's own luck x, the differences are independent: one integral over x
    luck, weights = np.polynomial.hermite_e.hermegauss(64)
    together = ndtr(math.sqrt(2) * bounds[:, None] + luck[None, :]).prod(axis=0)
    # The weights' sum differs from 1 in the last digits, which depend on the CPU's BLAS
    return min(1.0, max(0.0, float(weights @ together / weights.sum())))


@dataclass(frozen=True, kw_only=True)
class _Luck:
    """Variances of several trainings' values due to the images."""

    #: Mean covariance of two trainings' values through their common images.
    shared: float
    #: Mean variance of one training's value through its images.
    scatter: float
    images: int
    groups: int | None = None
    freedom: float | None = None


def _luck_of_images(trainings: Sequence[TrainingValues]) -> _Luck:
    values, is_measured = _table(trainings)
    scatter = np.mean(
        [
            training.values.var(ddof=len(training.rows) > 1) / len(training.rows)
            for training in trainings
        ]
    )
    shared = _shared_luck(values, is_measured) if len(trainings) > 1 else 0.0
    return _Luck(shared=shared, scatter=float(scatter), images=values.shape[1])


def _luck_of_groups(trainings: Sequence[TrainingValues]) -> _Luck:
    groups = [training.groups for training in trainings if training.groups is not None]
    values = [training.values for training in trainings]
    alike = clusters.likeness(*_of_image(trainings))
    sums, counts = clusters.table_of_groups(values, groups)
    variances: list[float | None] = []
    covariances: list[float | None] = []
    for first in range(len(trainings)):
        for second in range(first + 1):
            pair = (sums[first], sums[second]), (counts[first], counts[second])
            covariance = clusters.covariance(*pair, alike)
            # Splits with fewer than two common groups have no covariance (`None`)
            (variances if first == second else covariances).append(covariance)
    measured = [variance for variance in variances if variance is not None]
    # A group's size is its number of images in one training, not in all of them
    sizes = counts.max(axis=0)
    every = len(measured) == len(trainings)
    return _Luck(
        shared=float(np.mean([covariance or 0.0 for covariance in covariances]))
        if covariances
        else 0.0,
        scatter=float(np.mean(measured)) if measured else 0.0,
        images=len(np.unique(np.concatenate([training.rows for training in trainings]))),
        groups=len(sizes),
        freedom=clusters.freedom(sizes, alike) if every else 0.0,
    )


def _of_image(trainings: Sequence[TrainingValues]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return each image's mean residual over its trainings, and its group."""
    groups = [training.groups for training in trainings if training.groups is not None]
    residuals = np.concatenate([training.values - training.mean for training in trainings])
    rows = np.concatenate([training.rows for training in trainings])
    _, first, places = np.unique(rows, return_index=True, return_inverse=True)
    means = np.bincount(places, residuals) / np.bincount(places)
    return means, np.concatenate(groups)[first]


def _table(trainings: Sequence[TrainingValues]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (seeds, images) tables: the values (0 without one), and 1 for each value, else 0."""
    images = np.unique(np.concatenate([training.rows for training in trainings]))
    values = np.zeros((len(trainings), len(images)))
    is_measured = np.zeros_like(values)
    for row, training in enumerate(trainings):
        columns = np.searchsorted(images, training.rows)
        values[row, columns] = training.values
        is_measured[row, columns] = 1.0
    return values, is_measured


def _shared_luck(values: NDArray[np.float64], is_measured: NDArray[np.float64]) -> float:
    """Return the mean covariance of two seeds' values through their common images."""
    # Centered, so that differences of large sums keep their precision
    values = (values - values.sum() / is_measured.sum()) * is_measured
    shared = is_measured @ is_measured.T
    sums = values @ is_measured.T  # [s, t]: sum of s's values over the images shared with t
    pairs = (shared >= 2) & ~np.eye(len(values), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_image = (values @ values.T - sums * sums.T / shared) / (shared - 1)
        images = np.diag(shared)
        of_means = of_image * shared / np.outer(images, images)
    count = len(values) * (len(values) - 1)
    return float(of_means[pairs].sum() / count)


def wilson(share: float, variance: float, quantile: float, images: int) -> tuple[float, float]:
    """Return Wilson's interval of a share, with the sample size that ``variance`` corresponds to.

    (The effective sample size of survey statistics.) Unlike mean +- error, the interval stays
    within 0..1 and isn't empty if every image was right.

    Args:
        share: The estimate, 0..1.
        variance: Its variance.
        quantile: Of the t or normal distribution.
        images: Independent images (or groups of them): the sample size if ``variance`` is 0.
    """
    size = share * (1 - share) / variance if variance > 0 and 0 < share < 1 else float(images)
    square = quantile**2 / size
    centre = (share + square / 2) / (1 + square)
    reach = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    # Rounding must not exclude the share itself, nor put a bound beyond 0 or 1
    return min(share, max(0.0, centre - reach)), max(share, min(1.0, centre + reach))
