"""The interim answer: what a search would answer if it ended now, and what more of it may bring.

The pick of a search is the best of many noisy values, so its value is optimistic. The values of all
contenders show by how much: their *true* values (the mean over all seeds) are estimated as one
distribution that explains the observed values and their noise, over all distributions of a few
shapes (a hierarchical Bayesian model). From it follow the value that a confirmation of
the pick is expected to have, the probability that the pick is better than another trial, and by how
much the pick of a longer search would be better.

Everything is computed on a scale on which the noise of a finite number of images is the same at
every level (``_Scale``). The noise of the seed isn't known from one training each. It is about that
of the images, unless the curves are still steep at their end; then the last step of the curves is
added (``python -m benchmarks.search_efficiency interim`` shows how well that holds). The noise of a
loss isn't known, so there is no interim answer for a loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from hpsearch.formatting import count_noun, format_percent
from hpsearch.metrics import EpochMetrics, MetricFormat, is_share
from hpsearch.results import trial_attributes
from hpsearch.results.planned import parent_of
from hpsearch.results.ranking import contenders, leader
from hpsearch.results.records import StudyRecord, first_of_try_first
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries
from hpsearch.study_file.goals import Objective

Floats = NDArray[np.float64]

#: Fewest complete trials: with fewer, the growth after a rung isn't known.
LEAST_COMPLETE = 1

#: Contenders that are compared, the best ones. More change nothing but the time.
MOST_COMPARED = 300

#: Points of the grid of true values per standard deviation of the noise, and in all.
_STEPS, _MOST_POINTS = 4, 400

#: The distributions that are considered: widths in standard deviations of the noise, the most
#: places, and shares of failures.
_WIDTHS, _MOST_CENTERS = np.array([0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 16.0]), 60
_FAILURES = (0.02, 0.1, 0.3)

#: If a confirmation can't tell smaller differences apart, more images help more than more trials.
MUCH_NOISE = 0.01

#: Quantile of the normal distribution for an interval of 95 %.
_NORMAL = 1.96


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A trial that may be the winner. Its values are shares, 0..1."""

    #: Its number in the search.
    trial: int
    #: Epoch -> value, of all its epochs.
    curve: Mapping[int, float]

    @property
    def epochs_done(self) -> int:
        """Its last epoch."""
        return max(self.curve)

    @property
    def value(self) -> float:
        """Its value after its last epoch."""
        return self.curve[self.epochs_done]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a search is."""

    #: Trials that have begun, and those of the budget that haven't.
    trials: int
    left: int
    #: Seconds of training so far, of all workers.
    compute_seconds: float
    #: Trials that run now.
    running: int


@dataclass(frozen=True, kw_only=True)
class InterimAnswer:
    """What a search would answer if it ended now. Values are shares, differences of shares."""

    #: The pick, its value in the search, and the epoch of that value.
    trial: int
    value: float
    epochs_done: int
    #: The value that a confirmation with ``seeds`` fresh seeds is expected to have, and the
    #: interval that contains it with 95 %.
    expected: float
    interval: tuple[float, float]
    seeds: int
    #: The first trial of ``try_first``, and the probability that the pick is truly better than it;
    #: ``None`` if there is none, or if it is the pick.
    baseline: int | None
    better_than_baseline: float | None
    #: By how much the pick is expected to improve in one more hour of the workers that run now (of
    #: one, if none does), and until the budget is used; ``None`` if the time of a trial isn't known
    #: yet.
    gain_per_hour: float | None
    gain_left: float
    #: The same for as many trials again as have begun.
    gain_of_doubling: float
    #: Trials of the budget that haven't begun.
    trials_left: int
    #: The smallest difference of two configurations that such a confirmation can tell apart.
    resolution: float

    def sentences(self, metric: str, epochs: int) -> tuple[str, ...]:
        """Return the answer as text.

        Args:
            metric: The study's objective.
            epochs: Epochs of a complete trial.
        """
        form = MetricFormat(metric)
        after = (
            "" if self.epochs_done == epochs else f" after {self.epochs_done} of {epochs} epochs"
        )
        first = (
            f"If it ended now: trial {self.trial}, {form.value(self.value)}{after}; "
            f"{count_noun(self.seeds, 'fresh seed')} are expected to show "
            f"{form.value(self.expected)} (95 %: {form.interval(self.interval)})."
        )
        lines = [first]
        if self.better_than_baseline is not None:
            lines.append(
                f"It is truly better than the first of try_first (trial {self.baseline}) with a "
                f"probability of {format_percent(self.better_than_baseline)}."
            )
        gains = []
        if self.gain_per_hour is not None and self.trials_left:
            gains.append(f"one more hour is expected to bring {form.width(self.gain_per_hour)}")
        if self.trials_left:
            trials = count_noun(self.trials_left, "trial")
            gains.append(f"the {trials} left {form.width(self.gain_left)}")
        if gains:
            text = ", ".join(gains)
            lines.append(
                f"{text[:1].upper()}{text[1:]}; a confirmation can distinguish "
                f"{form.width(self.resolution)}."
            )
        return tuple(lines)

    def advice(self, metric: str) -> str:
        """Return what is worth doing next: a larger budget, more data, or neither."""
        form = MetricFormat(metric)
        gain, apart = form.width(self.gain_of_doubling), form.width(self.resolution)
        if self.gain_of_doubling >= self.resolution:
            return f"More budget: as many trials again are expected to bring {gain}."
        little = (
            f"as many trials again are expected to bring {gain}, less than the {apart} that a "
            "confirmation can distinguish"
        )
        if self.resolution > MUCH_NOISE:
            return f"More images: {little}, because there are few images to validate with."
        return f"Stop here: {little}."


def read_interim(
    database: Database,
    record: StudyRecord,
    curves: Mapping[int, Sequence[EpochMetrics]] | None = None,
) -> InterimAnswer | None:
    """Read the interim answer of a search.

    Args:
        database: The search's database.
        record: The search with its trials.
        curves: Ticket -> its epochs, if they were read before.

    Returns:
        The answer; ``None`` if there is none: too few complete trials, several objectives or
        constraints, an objective that isn't a share of images, or a confirmation.
    """
    if parent_of(record.study) is not None or not record.goals.is_single_unconstrained:
        return None
    metric, ahead = record.objective.metric, leader(record)
    if ahead is None or not is_share(metric) or record.objective.direction != "maximize":
        return None
    images = trial_attributes.read(database, ahead.trial_id or 0).get("val_images")
    if not images:
        return None
    first = first_of_try_first(database, record)
    baseline = None if first is None else first.number
    order = [ahead, *(trial for trial in contenders(record) if trial.number != ahead.number)]
    compared = order[:MOST_COMPARED]
    compared += [trial for trial in order[MOST_COMPARED:] if trial.number == baseline]
    if curves is None:
        tickets = [trial.ticket for trial in compared]
        curves = queries.curves(database, record.study.study_id, tickets)
    return interim_answer(
        [
            Contender(
                trial=trial.number or 0,
                curve=_curve(curves[trial.ticket], record.objective),
            )
            for trial in compared
            if trial.ticket in curves
        ],
        epochs=record.study.epochs_per_trial,
        images=int(images),
        progress=Progress(
            trials=record.counts.total,
            left=max(0, record.study.trial_budget - record.counts.total),
            compute_seconds=record.counts.compute_seconds,
            running=record.counts.running,
        ),
        seeds=record.confirm.seeds,
        baseline=baseline,
    )


def _curve(epochs: Sequence[EpochMetrics], objective: Objective) -> dict[int, float]:
    """Return epoch -> the value by the study's rule (of the last epoch, or of the best so far)."""
    values: dict[int, float] = {}
    for epoch in epochs:
        value = epoch.value(objective.metric)
        if objective.at == "best" and values:
            value = max(value, values[epoch.epoch - 1])
        values[epoch.epoch] = value
    return values


def interim_answer(
    contenders: Sequence[Contender],
    *,
    epochs: int,
    images: int,
    progress: Progress,
    seeds: int,
    baseline: int | None = None,
) -> InterimAnswer | None:
    """Compute the interim answer.

    Args:
        contenders: Complete trials, and those that wait at the highest rung; the pick first. The
            best few hundred are enough.
        epochs: Epochs of a complete trial.
        images: Validation images.
        progress: How far the search is.
        seeds: Fresh seeds of a confirmation.
        baseline: Number of the first trial of ``try_first``; ``None`` without one.

    Returns:
        The answer; ``None`` if fewer than ``LEAST_COMPLETE`` contenders are complete.
    """
    complete = [contender for contender in contenders if contender.epochs_done == epochs]
    if len(complete) < LEAST_COMPLETE:
        return None
    compared = list(contenders)
    scale = _Scale(images)
    noise = _noise(complete, epochs, scale)
    at_end, deviations = _ends(compared, complete, epochs, noise, scale)
    estimates = true_values(at_end, deviations)
    expected, variance = estimates.mean(0), estimates.variance(0)
    spread = _NORMAL * math.sqrt(variance + noise**2 / seeds)
    against = next(
        (
            place
            for place, contender in enumerate(compared)
            if contender.trial == baseline and place
        ),
        None,
    )
    begun = max(progress.trials, len(contenders))
    seconds = 3600.0 * max(1, progress.running)
    order = sorted(range(len(compared)), key=lambda place: -at_end[place])
    means = [estimates.mean(place) for place in order]

    def gain(more: float) -> float:
        return scale.share(expected + _gain(means, begun, more)) - scale.share(expected)

    return InterimAnswer(
        trial=compared[0].trial,
        value=compared[0].value,
        epochs_done=compared[0].epochs_done,
        expected=scale.share(expected),
        interval=(scale.share(expected - spread), scale.share(expected + spread)),
        seeds=seeds,
        baseline=None if against is None else baseline,
        better_than_baseline=None if against is None else estimates.is_better(0, against),
        gain_per_hour=gain(begun * seconds / progress.compute_seconds)
        if progress.compute_seconds > 0
        else None,
        gain_left=gain(progress.left),
        gain_of_doubling=gain(begun),
        trials_left=progress.left,
        resolution=scale.share(expected)
        - scale.share(expected - _NORMAL * noise * math.sqrt(2 / seeds)),
    )


@dataclass(frozen=True, kw_only=True)
class TrueValues:
    """The estimated true values of some trials, on the scale of their noise."""

    #: float64 (points,), ascending.
    grid: Floats
    #: float64 (trials, points): the probability of each point; each row adds up to 1.
    probability: Floats

    def mean(self, place: int) -> float:
        """Return the expected true value of a trial."""
        return float(self.probability[place] @ self.grid)

    def variance(self, place: int) -> float:
        """Return the variance of a trial's true value."""
        return float(self.probability[place] @ (self.grid - self.mean(place)) ** 2)

    def is_better(self, place: int, other: int) -> float:
        """Return the probability that a trial is truly better than another one."""
        below = np.cumsum(self.probability[other]) - self.probability[other] / 2
        return float(self.probability[place] @ below)


def true_values(values: Floats, noise: Floats) -> TrueValues:
    """Estimate the true values behind noisy ones.

    Args:
        values: float64 (trials,), higher is better.
        noise: float64 (trials,): the standard deviation of each value's noise, above 0.

    Returns:
        The estimates.
    """
    sigma = float(noise.min())
    low, high = float(values.min() - 2 * sigma), float(values.max() + 3 * sigma)
    grid = np.linspace(low, high, min(_MOST_POINTS, math.ceil((high - low) * _STEPS / sigma) + 1))
    likelihood = np.exp(-0.5 * ((values[:, None] - grid) / noise[:, None]) ** 2)
    # The nearest point of a coarse grid may be far from a value with little noise
    likelihood += 1e-12
    shapes = _shapes(grid, sigma)
    # float64 (trials, shapes): the probability of each value
    evidence = likelihood @ shapes.T
    logs = np.log(evidence).sum(axis=0)
    weights = np.exp(logs - logs.max())
    joint = ((weights / evidence) @ shapes) * likelihood
    return TrueValues(grid=grid, probability=joint / joint.sum(axis=1, keepdims=True))


def _shapes(grid: Floats, sigma: float) -> Floats:
    """Return the distributions that true values may have, float64 (shapes, points).

    A search has a bulk of good configurations, spread evenly around a middle or with an upper end
    that most of them reach, and some failures anywhere below.
    """
    centers = np.linspace(grid[0], grid[-1], min(_MOST_CENTERS, 2 * len(grid) // _STEPS))
    distance = (grid - centers[:, None])[None, :, :] / (_WIDTHS * sigma)[:, None, None]
    normal = np.exp(-0.5 * distance**2)
    below = np.where(distance <= 0, np.exp(np.minimum(distance, 0.0)), 0.0)
    bulk = np.concatenate([normal, below]).reshape(-1, len(grid)) + 1e-12
    bulk /= bulk.sum(axis=1, keepdims=True)
    anywhere = np.full(len(grid), 1 / len(grid))
    shapes: Floats = np.concatenate([(1 - share) * bulk + share * anywhere for share in _FAILURES])
    return shapes


def _noise(complete: Sequence[Contender], epochs: int, scale: _Scale) -> float:
    """Return the standard deviation of one training's value, as an angle."""
    better = sorted(complete, key=lambda contender: contender.value, reverse=True)
    steps = [
        abs(scale.angle(contender.curve[epochs]) - scale.angle(contender.curve[epochs - 1]))
        for contender in better[: max(LEAST_COMPLETE, len(better) // 2)]
        if epochs - 1 in contender.curve
    ]
    return math.hypot(scale.noise, median(steps) if steps else 0.0)


def _ends(
    compared: Sequence[Contender],
    complete: Sequence[Contender],
    epochs: int,
    noise: float,
    scale: _Scale,
) -> tuple[Floats, Floats]:
    """Return each contender's value at its end as an angle, and the deviation of that.

    An incomplete one is expected to grow as the complete ones did from its epoch on.
    """
    growth: dict[int, tuple[float, float]] = {epochs: (0.0, 0.0)}
    for epoch in {contender.epochs_done for contender in compared} - growth.keys():
        steps = [
            scale.angle(contender.value) - scale.angle(contender.curve[epoch])
            for contender in complete
            if epoch in contender.curve
        ]
        middle = median(steps) if steps else 0.0
        # Of a few trials' growth, the mean isn't known well either
        spread = sum((step - middle) ** 2 for step in steps) + middle**2
        growth[epoch] = middle, math.sqrt(spread / max(1, len(steps)))
    ends = [
        scale.angle(contender.value) + growth[contender.epochs_done][0] for contender in compared
    ]
    deviations = [math.hypot(noise, growth[contender.epochs_done][1]) for contender in compared]
    return np.array(ends), np.array(deviations)


def _gain(means: Sequence[float], begun: int, more: float) -> float:
    """Return by how much the pick of ``more`` further trials is expected to be better.

    It is extrapolated from the gain of the last ``more`` trials, which is usually less than that of
    the ``more`` trials before them. Both are averages over all orders in which the same trials
    could have come. If ``more`` is above ``begun``, each further doubling counts as the first.

    Args:
        means: The expected true values, in the order in which a search would pick them.
        begun: Number of trials so far, those that are no contenders included.
        more: Number of further trials.
    """
    if more <= 0:
        return 0.0
    doublings = max(1.0, math.log2(1 + more / begun))
    share = begun / (begun + min(more, begun))
    last = means[0] - _best_of_share(means, share)
    before = means[0] - last - _best_of_share(means, share**2)
    if last <= 0:
        return 0.0
    return last * min(1.0, last / before if before > 0 else 1.0) * doublings


def _best_of_share(means: Sequence[float], share: float) -> float:
    """Return the mean of the first of ``means`` that is in a random part of the trials.

    Args:
        means: As in ``_gain``.
        share: The probability that the part contains a trial.
    """
    chance, expected = 1.0, 0.0
    for mean in means:
        expected += chance * share * mean
        chance *= 1 - share
    return expected + chance * means[-1]


@dataclass(frozen=True)
class _Scale:
    """The angle of a share of images, whose noise is the same at every level (Anscombe 1948)."""

    images: int

    @property
    def noise(self) -> float:
        """The standard deviation of an angle."""
        return 0.5 / math.sqrt(self.images + 0.5)

    def angle(self, share: float) -> float:
        """Return the angle of a share."""
        shrunk = (share * self.images + 0.375) / (self.images + 0.75)
        return math.asin(math.sqrt(min(1.0, max(0.0, shrunk))))

    def share(self, angle: float) -> float:
        """Return the share of an angle, 0..1."""
        shrunk = math.sin(min(math.pi / 2, max(0.0, angle))) ** 2
        return min(1.0, max(0.0, (shrunk * (self.images + 0.75) - 0.375) / self.images))
