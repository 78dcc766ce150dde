"""Intervals for figures that were measured over several seeds, each on a sample of the images.

Two things might have come out otherwise: the seed (weights, order, split) and the images. Seeds and
images are crossed: one image is judged by several seeds' networks, and one that is hard is hard for
all of them. So the mean over seeds doesn't average the images' luck out, and the spread between
seeds doesn't show it. The variance of the mean over k seeds is the sum of two parts:

- ``s**2 / k``, s the standard deviation between the seeds' figures: what other seeds would give,
  with all that differs between two seeds (newly drawn images too, where the split is drawn);
- the mean covariance of two seeds' figures through the images that both were judged on: zero where
  splits share no image, the images' whole part where the validation images are fixed.

Both are unbiased for crossed random effects, however the splits overlap. (The two-way clustered
covariance of statsmodels isn't with so few seeds: it lacks 1/k of the images' part.) Seeds may
agree by luck, the fewer they are the likelier. So the first part is never taken to be less than 2/k
of what the scatter of the images within each training makes certain: all of that with two seeds. A
t interval with Satterthwaite's degrees of freedom follows.

If images come in groups (several pictures of one object), the groups take the images' place in all
of this: covariances are summed over groups and degrees of freedom count groups (see ``clusters``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpsearch.results.confirmation import clusters

#: Of every interval that is printed.
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One training's contributions, image by image (see ``contributions``)."""

    #: Rows of the images, ascending, int64 ``(n,)``.
    rows: NDArray[np.int64]
    #: float64 ``(n,)``; the mean is the training's figure.
    values: NDArray[np.float64]
    #: The group of each image, int64 ``(n,)``; ``None`` if each image is independent of the others.
    groups: NDArray[np.int64] | None = None
    #: How much too high the figure reads on a part of this size (``contributions.lean``).
    lean: float = 0.0

    @property
    def mean(self) -> float:
        """The training's figure."""
        return float(self.values.mean())

    def minus(self, other: Judged) -> Judged:
        """Return the differences, image by image, on the images that both were judged on."""
        rows, mine, others = np.intersect1d(
            self.rows, other.rows, assume_unique=True, return_indices=True
        )
        groups = None if self.groups is None else self.groups[mine]
        return Judged(
            rows=rows,
            values=self.values[mine] - other.values[others],
            groups=groups,
            lean=self.lean - other.lean,
        )


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval around an estimate."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width. People are shown both ends, since these may be uneven."""
        return (self.high - self.low) / 2

    def excludes(self, value: float) -> bool:
        """Whether ``value`` lies outside."""
        return not self.low <= value <= self.high

    def reaching(self, lean: float, *, share: bool) -> Interval:
        """Return it for an estimate that is too high by ``lean`` on average (below 0: too low).

        The end on the side of the truth reaches farther by that, but a ``share``'s not beyond 0 or
        1. The other end stays: ``lean`` is an estimate, too.
        """
        low, high = self.low - max(lean, 0.0), self.high - min(lean, 0.0)
        if share:
            low, high = min(self.low, max(0.0, low)), max(self.high, min(1.0, high))
        return replace(self, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds, and how sure it is."""

    mean: float
    seeds: int
    #: Distinct images over all seeds.
    images: int
    #: Variance of the mean by the seeds alone, and its degrees of freedom (0: unknown).
    seeds_variance: float
    seeds_freedom: int
    #: What the images add to the variance of the mean; not below 0.
    images_variance: float
    #: Whether it is a share, 0..1: then intervals stay inside.
    share: bool = False
    #: Distinct groups that the images came in; ``None`` if each image is independent.
    groups: int | None = None
    #: Degrees of freedom of ``images_variance``; ``None``: one less than there are images. 0: it
    #: isn't known, since a training's images are all of one group.
    images_freedom: float | None = None
    #: How much too high the mean reads (``Judged.lean``).
    lean: float = 0.0
    #: Mean covariance of two seeds' figures through images, as measured: it may be below 0, and so
    #: the mean of several is right on average.
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
        """What other seeds would give, for these images.

        Never wider than with other images too, which is the harder question: two or three seeds
        hardly know their own spread, and what the images' scatter adds to it is better known.
        """
        alone = self._interval(self.seeds_variance, self.seeds_freedom)
        return min(alone, self.over_seeds_and_images(), key=lambda each: each.half_width)

    def over_seeds_and_images(self, luck: float = 0.0) -> Interval:
        """Where the mean over all seeds and all such images lies.

        ``luck``: by how much the mean is too high since these images chose what they judge (see
        ``luck``); below 0 if less is better.
        """
        found = self._interval(self.standard_error**2, self.freedom)
        return found.reaching(self.lean + luck, share=self.share)

    def next_training(self) -> Interval:
        """Where the figure of one more training lies, with a fresh seed (and split, if drawn)."""
        # Seeds are exchangeable, so the spread between them says it all
        return self._interval(self.seeds_variance * (self.seeds + 1), self.seeds_freedom)

    def chance_above(self, value: float) -> float:
        """How sure the data make it (0..1) that the true mean is above ``value``."""
        from scipy.special import stdtr

        if self.standard_error == 0 or self.freedom == 0:
            return 0.5 + 0.5 * float(np.sign(self.mean - value)) * (self.freedom > 0)
        return float(stdtr(self.freedom, (self.mean - value) / self.standard_error))

    def _interval(self, variance: float, freedom: float) -> Interval:
        if freedom == 0:
            low, high = (0.0, 1.0) if self.share else (-math.inf, math.inf)
            return Interval(estimate=self.mean, low=low, high=high)
        # Not from scipy.stats: importing that takes a second
        from scipy.special import stdtrit

        quantile = float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
        if self.share and 0 <= self.mean <= 1:
            independent = self.images if self.groups is None else self.groups
            low, high = wilson(self.mean, variance, quantile, independent)
        else:
            reach = quantile * math.sqrt(variance)
            low, high = self.mean - reach, self.mean + reach
        return Interval(estimate=self.mean, low=low, high=high)


def estimate(trainings: Sequence[Judged], *, share: bool = False) -> Estimate:
    """Return the mean over one configuration's trainings, one per seed.

    Each needs two images or more. Raises ``ValueError`` without a training.
    """
    if not trainings:
        raise ValueError("an estimate needs at least one training")
    return _estimate(trainings, share=share, noise=None)


def difference(
    one: Mapping[int, Judged],
    other: Mapping[int, Judged],
    *,
    noise: tuple[float, int] | None = None,
) -> Estimate | None:
    """Return ``one`` minus ``other`` (seed -> training), paired by seed and by image.

    ``noise`` (``plan.seed_noise``: deviation, degrees of freedom) stands in for the spread of the
    differences where there are too few seeds to see it. ``None`` where they share no seed with
    images in common.
    """
    pairs = [one[seed].minus(other[seed]) for seed in sorted(one.keys() & other.keys())]
    shared = [pair for pair in pairs if len(pair.rows) > 1]
    return _estimate(shared, share=False, noise=noise) if shared else None


def _estimate(
    trainings: Sequence[Judged], *, share: bool, noise: tuple[float, int] | None
) -> Estimate:
    count = len(trainings)
    means = np.array([training.mean for training in trainings])
    luck = _luck_of_groups(trainings) if grouped(trainings) else _luck_of_images(trainings)
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


def grouped(trainings: Sequence[Judged]) -> bool:
    """Whether the images' groups are known."""
    return all(each.groups is not None for each in trainings)


def prob_best(rivals: Sequence[Estimate]) -> float:
    """Return how sure the data make it (0..1) that a configuration is truly the best.

    ``rivals``: its paired difference to each other one, positive where it is ahead. All of them
    share its own luck, so two differences correlate by one half (Dunnett).
    """
    from scipy.special import ndtr, ndtri

    chances = np.array([rival.chance_above(0.0) for rival in rivals])
    bounds = ndtri(np.clip(chances, 1e-12, 1 - 1e-12))
    # Given its own luck x the differences are independent: one integral over x
    luck, weights = np.polynomial.hermite_e.hermegauss(64)
    together = ndtr(math.sqrt(2) * bounds[:, None] + luck[None, :]).prod(axis=0)
    # The weights add up to 1 but for their last digits, which depend on the CPU's BLAS
    return min(1.0, max(0.0, float(weights @ together / weights.sum())))


@dataclass(frozen=True, kw_only=True)
class _Luck:
    """How far the images move the figures of several trainings."""

    #: Mean covariance of two trainings' figures through the images that both judged.
    shared: float
    #: Mean variance of one training's figure through its images.
    scatter: float
    images: int
    groups: int | None = None
    freedom: float | None = None


def _luck_of_images(trainings: Sequence[Judged]) -> _Luck:
    values, judged = _table(trainings)
    scatter = np.mean(
        [each.values.var(ddof=len(each.rows) > 1) / len(each.rows) for each in trainings]
    )
    shared = _shared_luck(values, judged) if len(trainings) > 1 else 0.0
    return _Luck(shared=shared, scatter=float(scatter), images=values.shape[1])


def _luck_of_groups(trainings: Sequence[Judged]) -> _Luck:
    known = [each.groups for each in trainings if each.groups is not None]
    values = [each.values for each in trainings]
    alike = clusters.likeness(*_of_image(trainings))
    sums, counts = clusters.table_of_groups(values, known)
    variances: list[float | None] = []
    covariances: list[float | None] = []
    for one in range(len(trainings)):
        for other in range(one + 1):
            both = (sums[one], sums[other]), (counts[one], counts[other])
            found = clusters.covariance(*both, alike)
            # Of splits that share a group or none there is nothing that moves both
            (variances if one == other else covariances).append(found)
    measured = [each for each in variances if each is not None]
    # A group has as many images as one training judges of it, however many judged it
    sizes = counts.max(axis=0)
    every = len(measured) == len(trainings)
    return _Luck(
        shared=float(np.mean([each or 0.0 for each in covariances])) if covariances else 0.0,
        scatter=float(np.mean(measured)) if measured else 0.0,
        images=len(np.unique(np.concatenate([each.rows for each in trainings]))),
        groups=len(sizes),
        freedom=clusters.freedom(sizes, alike) if every else 0.0,
    )


def _of_image(trainings: Sequence[Judged]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return each image's mean over the trainings that judged it, less theirs, and its group."""
    known = [each.groups for each in trainings if each.groups is not None]
    residuals = np.concatenate([each.values - each.mean for each in trainings])
    rows = np.concatenate([each.rows for each in trainings])
    _, first, places = np.unique(rows, return_index=True, return_inverse=True)
    means = np.bincount(places, residuals) / np.bincount(places)
    return means, np.concatenate(known)[first]


def _table(trainings: Sequence[Judged]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (seeds, images) tables: the values (0 where not judged), and 1 where judged."""
    images = np.unique(np.concatenate([training.rows for training in trainings]))
    values = np.zeros((len(trainings), len(images)))
    judged = np.zeros_like(values)
    for row, training in enumerate(trainings):
        columns = np.searchsorted(images, training.rows)
        values[row, columns] = training.values
        judged[row, columns] = 1.0
    return values, judged


def _shared_luck(values: NDArray[np.float64], judged: NDArray[np.float64]) -> float:
    """Return the mean covariance of two seeds' figures through the images they share."""
    # Around the mean, so that the differences of large sums keep their digits
    values = (values - values.sum() / judged.sum()) * judged
    shared = judged @ judged.T
    sums = values @ judged.T  # [s, t]: sum of s's values over the images shared with t
    pairs = (shared >= 2) & ~np.eye(len(values), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_image = (values @ values.T - sums * sums.T / shared) / (shared - 1)
        images = np.diag(shared)
        of_means = of_image * shared / np.outer(images, images)
    count = len(values) * (len(values) - 1)
    return float(of_means[pairs].sum() / count)


def wilson(share: float, variance: float, quantile: float, images: int) -> tuple[float, float]:
    """Return Wilson's interval of a share for the images that ``variance`` amounts to.

    (The effective sample size of survey statistics.) Unlike mean +- error it stays within 0..1 and
    isn't empty where every image was right.

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
    # Rounding must not leave the share itself outside, nor a bound beyond 0 or 1
    return min(share, max(0.0, centre - reach)), max(share, min(1.0, centre + reach))
