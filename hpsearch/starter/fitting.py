"""Trials, epochs, networks and input sizes that fit a time: arithmetic alone.

The cost of an epoch of each network in each input size was measured. A search by successive halving
(the default pruner) costs the first epochs of every trial and later epochs of the best; then the
confirmation trains the finalists to the end, again and again. The best are often the dearest, so
everything after the first rung is counted at the dearest network's price.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hpsearch.search.pruning.forecast import expected_at_rungs
from hpsearch.search.pruning.promotion import Promotion
from hpsearch.workers.launch.timing import EPOCH_OVERHEAD, LAUNCH_END, TRIAL_OVERHEAD, WORKER_START

#: The pruner of the study file: the default one.
PRUNER = Promotion()

#: A network learns for about so many steps, but for so many epochs at least, and at most.
_STEPS, _LEAST_EPOCHS, _MOST_EPOCHS = 2500, 15, 40
_USUAL_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class _Demand:
    """What a space must leave time for."""

    trials: int
    epochs: int
    networks: int


#: The first that a space fits decides: a few networks that are trained for long enough are worth
#: more than large pictures, and those are worth more than nothing.
_DEMANDS = (
    _Demand(trials=40, epochs=20, networks=2),
    _Demand(trials=20, epochs=15, networks=2),
    _Demand(trials=20, epochs=10, networks=1),
)
_LEAST = _DEMANDS[-1]
#: More trials than these add little.
_MOST_TRIALS = 100
#: Finalists and seeds of a confirmation, the first that costs at most the share of the time.
_CONFIRMATIONS = ((6, 5), (5, 4), (4, 3), (3, 3), (3, 2))
_CONFIRMATION_SHARE = 0.5
#: Trials that are tied with the last finalist are finalists, too: time for so many of them.
_TIED = 1
#: The share of the time that is planned; machines are slower at times.
_PLANNED = 0.85
#: A part of a large data set has at least this many images, and this many of each class.
_FEWEST_IMAGES, _FEWEST_OF_CLASS = 500, 10


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a network in an input size, in seconds of one worker."""

    #: Each time that a trial begins or continues.
    setup: float
    #: One epoch of all training images, and of all folds.
    epoch: float


@dataclass(frozen=True, kw_only=True)
class Task:
    """What limits the search."""

    #: Seconds of the search and its confirmation.
    seconds: float
    workers: int
    #: Images that a model trains on.
    images: int
    classes: int


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A budget and what it costs."""

    models: tuple[str, ...]
    sizes: tuple[int | None, ...]
    trials: int
    epochs: int
    #: Finalists and seeds of the confirmation.
    top: int
    seeds: int
    #: The share of the training images that is used.
    share: float
    #: Epochs of the search up to the first rung, and of promoted trials after it.
    first_epochs: int
    later_epochs: int
    #: The most trainings of the confirmation.
    confirm_trainings: int
    #: Seconds of an epoch: the mean over networks and sizes, and the dearest.
    mean_epoch: float
    dearest_epoch: float
    search_seconds: float
    confirm_seconds: float
    #: Whether search and confirmation fit the time.
    fits: bool

    @property
    def seconds(self) -> float:
        """Of both, with the workers of the task."""
        return self.search_seconds + self.confirm_seconds

    @property
    def confirm_share(self) -> float:
        """The most epochs of the confirmation, as a share of the search's, rounded up."""
        epochs = self.confirm_trainings * self.epochs
        return math.ceil(11 * epochs / (self.first_epochs + self.later_epochs)) / 10


def fit(costs: Mapping[tuple[int | None, str], Cost], task: Task) -> Fit:
    """Return the largest space and budget that fit the time.

    Of the spaces that leave time for enough epochs and trials, large pictures come first, then many
    networks. If not even the cheapest space fits, fewer images are used, and ``fits`` is false if
    that isn't enough.

    Args:
        costs: (input size, network) -> its cost; at least one.
        task: The time, the machine and the images.
    """
    spaces = list(_spaces(_rising(costs)))
    for demand in _DEMANDS:
        for space in spaces:
            if len({name for _, name in space}) < demand.networks:
                continue
            plan = _best(space, task, demand, 1.0)
            if plan is not None:
                return plan
    cheapest = min(spaces, key=lambda space: max(cost.epoch for cost in space.values()))
    least = min(1.0, max(_FEWEST_IMAGES, _FEWEST_OF_CLASS * task.classes) / task.images)
    share = 0.8
    while share > least:
        plan = _best(cheapest, task, _LEAST, share)
        if plan is not None:
            return plan
        share *= 0.8
    return _plan(cheapest, task, _LEAST.trials, _LEAST.epochs, _CONFIRMATIONS[-1], least)


Space = dict[tuple[int | None, str], Cost]


def _rising(costs: Mapping[tuple[int | None, str], Cost]) -> Space:
    """Return costs that don't fall with the size: smaller pictures can't take longer.

    On a busy machine a measurement is at times too long, and never too short.
    """
    lowest: dict[str, float] = {}
    rising: Space = {}
    for (size, name), cost in sorted(costs.items(), key=lambda pair: -(pair[0][0] or 0)):
        lowest[name] = min(cost.epoch, lowest.get(name, cost.epoch))
        rising[size, name] = replace(cost, epoch=lowest[name])
    # In the given order, since that of the networks is from the cheapest to the dearest
    return {key: rising[key] for key in costs}


def _spaces(costs: Mapping[tuple[int | None, str], Cost]) -> Iterator[Space]:
    """Yield spaces, the most wanted first: two neighbouring sizes with all networks, .."""
    sizes = sorted({size for size, _ in costs}, key=lambda size: size or 0)
    names = list(dict.fromkeys(name for _, name in costs))
    for top in range(len(sizes), 0, -1):
        top_sizes = sizes[max(0, top - 2) : top]
        for count in range(len(names), 0, -1):
            space = {
                (size, name): costs[size, name]
                for size in top_sizes
                for name in names[:count]
                if (size, name) in costs
            }
            if space and {name for _, name in space} == set(names[:count]):
                yield space


def _best(space: Space, task: Task, demand: _Demand, share: float) -> Fit | None:
    """Return the plan with the most epochs, then seeds, then trials; ``None`` if none fits."""
    steps = max(1.0, task.images * share / _USUAL_BATCH)
    enough = min(_MOST_EPOCHS, max(_LEAST_EPOCHS, round(_STEPS / steps)))
    for epochs in _descending(max(enough, demand.epochs), demand.epochs):
        for level in _CONFIRMATIONS:
            plan = _plan(space, task, demand.trials, epochs, level, share)
            if not plan.fits or plan.confirm_seconds > _CONFIRMATION_SHARE * task.seconds:
                continue
            while plan.trials < _MOST_TRIALS:
                larger = _plan(space, task, plan.trials + 10, epochs, level, share)
                if not larger.fits:
                    break
                plan = larger
            return plan
    return None


def _descending(first: int, last: int) -> list[int]:
    numbers = [first]
    while numbers[-1] > last:
        numbers.append(max(last, round(numbers[-1] * 0.8)))
    return numbers


def _plan(
    space: Space,
    task: Task,
    trials: int,
    epochs: int,
    confirmation: tuple[int, int],
    share: float,
) -> Fit:
    costs: Sequence[Cost] = list(space.values())
    mean = sum(cost.epoch for cost in costs) / len(costs) * share + EPOCH_OVERHEAD
    dearest = max(cost.epoch for cost in costs) * share + EPOCH_OVERHEAD
    setup = max(cost.setup for cost in costs) + TRIAL_OVERHEAD
    reached = expected_at_rungs(PRUNER, trials, epochs)
    (first, _), *later = reached
    ends = [epoch for epoch, _ in reached]
    first_epochs = trials * first
    later_epochs = sum(
        count * (epoch - before) for before, (epoch, count) in zip(ends, later, strict=False)
    )
    pieces = sum(count for _, count in reached)
    top, seeds = confirmation
    trainings = (top + _TIED) * seeds + 2 * seeds
    search = first_epochs * mean + later_epochs * dearest + pieces * setup
    confirm = trainings * (setup + epochs * dearest)
    ends_of_launches = WORKER_START + LAUNCH_END
    search_seconds = search / task.workers + ends_of_launches
    confirm_seconds = confirm / task.workers + ends_of_launches
    return Fit(
        models=tuple(dict.fromkeys(name for _, name in space)),
        sizes=tuple(dict.fromkeys(size for size, _ in space)),
        trials=trials,
        epochs=epochs,
        top=top,
        seeds=seeds,
        share=share,
        first_epochs=first_epochs,
        later_epochs=later_epochs,
        confirm_trainings=trainings,
        mean_epoch=mean,
        dearest_epoch=dearest,
        search_seconds=search_seconds,
        confirm_seconds=confirm_seconds,
        fits=search_seconds + confirm_seconds <= _PLANNED * task.seconds,
    )
