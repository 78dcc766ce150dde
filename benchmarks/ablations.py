"""Do ablations tell the truth? Comparisons whose truth is known, judged as `hpsearch ablate` does.

    python -m benchmarks.ablations [--repeats 2000] [--seeds 8]... [--images 200]

Each row makes up many ablations. In the first table a training is a number: the configuration's
true value, what its seed does to all configurations, and noise of its own, by default 1.05 points:
the noise between seeds of the good configurations of the recorded table ``fashion14``
(docs/search-efficiency.md), the largest but for the two tables with 200 validation images. False
"yes" are counted where nothing differs, power where one configuration is truly 2 points off. In
the second table, trainings are predictions of images with newly drawn splits, from
``benchmarks.honesty``'s kind of images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hpsearch.results.ablation.judging import ALPHA, corrected, estimated
from hpsearch.results.ablation.spec import SEEDS
from hpsearch.results.confirmation.statistics import Judged, of_value

#: Noise of one training, in shares.
NOISE = 0.0105

#: Name -> noise of the trial itself, of half of the alternatives, and of the last one, as multiples
#: of ``NOISE``.
WORLDS = {
    "equal noise": (1.0, 1.0, 1.0),
    "one alternative 3 times as noisy": (1.0, 1.0, 3.0),
    "half of them twice as noisy": (1.0, 2.0, 1.0),
    "the trial itself twice as noisy": (2.0, 1.0, 1.0),
    "the trial itself calm": (0.4, 1.0, 1.0),
}

Values = NDArray[np.float64]


@dataclass
class Record:
    """The results of many ablations."""

    false_yes: list[bool] = field(default_factory=list)
    #: Whether every interval of an ablation contains the truth.
    all_held: list[bool] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    reach: list[float] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        """Return the cells of a table."""
        return (
            share(self.false_yes),
            share(self.all_held),
            share(self.found),
            f"{100 * np.median(self.reach):.1f}",
        )


def add(record: Record, trained: Sequence[dict[int, Judged]], truth: Sequence[float]) -> None:
    """Judge one ablation, and compare with the truth.

    Args:
        record: Gets the result.
        trained: Seed -> training of each configuration; the first one is the trial itself.
        truth: The true difference of each other one to the trial itself.
    """
    estimates = estimated([(each, trained[0]) for each in trained[1:]])
    known = [each for each in estimates if each is not None]
    tests = corrected(known)
    held, false_yes = True, False
    for each, (p_value, confidence), true in zip(known, tests, truth, strict=True):
        interval = each.over_seeds_and_images(confidence=confidence)
        held &= not interval.excludes(true)
        record.reach.append(interval.half_width)
        if true == 0:
            false_yes |= p_value <= ALPHA
        else:
            record.found.append(p_value <= ALPHA)
    record.all_held.append(held)
    record.false_yes.append(false_yes)


def numbers(world: str, comparisons: int, seeds: int, repeats: int, noise: float = NOISE) -> Record:
    """Make up ablations whose trainings are numbers, half of them with one effect of 2 points.

    They are judged all at once, by the rule of ``estimated`` and ``corrected`` in arrays; the first
    ones are judged by those too, and must agree.
    """
    own, half, last = WORLDS[world]
    spread = np.ones(comparisons + 1)
    spread[1::2] = half
    spread[-1] = max(last, spread[-1])
    spread[0] = own
    rng = np.random.default_rng([comparisons, seeds, len(world)])
    values = rng.normal(0.8, 0.03, (repeats, seeds, 1))
    values = values + noise * spread * rng.standard_normal((repeats, seeds, comparisons + 1))
    truth = np.zeros((repeats, comparisons))
    truth[1::2, 0] = 0.02
    values[:, :, 1:] += truth[:, None, :]
    p_values, low, high = _all_at_once(values)
    for each in range(min(repeats, 3)):
        _require_equal(values[each], p_values[each])
    record = Record()
    yes, null = p_values <= ALPHA, truth == 0
    record.false_yes = (yes & null).any(axis=1).tolist()
    record.all_held = ((low <= truth) & (truth <= high)).all(axis=1).tolist()
    record.found = yes[~null].tolist()
    record.reach = ((high - low) / 2).ravel().tolist()
    return record


def _all_at_once(values: Values) -> tuple[Values, Values, Values]:
    """Return corrected p values, and the ends of the intervals, float64 (repeats, comparisons).

    Args:
        values: The trainings' values, float64 (repeats, seeds, configurations).
    """
    from scipy.special import stdtr, stdtrit

    ahead = values[:, :, 1:] - values[:, :, :1]
    _, seeds, many = ahead.shape
    mean, own = ahead.mean(axis=1), ahead.var(axis=1, ddof=1)
    error = np.sqrt(np.maximum(own, own.mean(axis=1, keepdims=True)) / seeds)
    freedom = (seeds - 1) * min(many, 4)
    alone = 2 * stdtr(freedom, -np.abs(mean) / error)
    order = np.argsort(alone, axis=1)
    left = many - np.arange(many)
    ranked = np.minimum(1.0, np.take_along_axis(alone, order, axis=1) * left)
    ranked = np.maximum.accumulate(ranked, axis=1)
    rejected = (ranked <= ALPHA).sum(axis=1, keepdims=True)
    # The rejected ones at their own level, the others at that of the first that isn't
    levels = np.maximum(left[None, :], many - rejected)
    p_values, level = np.empty_like(ranked), np.empty_like(ranked)
    np.put_along_axis(p_values, order, ranked, axis=1)
    np.put_along_axis(level, order, levels.astype(float), axis=1)
    reach = error * stdtrit(freedom, 1 - ALPHA / np.maximum(level, 1) / 2)
    return p_values, mean - reach, mean + reach


def _require_equal(values: Values, p_values: Values) -> None:
    trained = [
        {seed: of_value(float(values[seed, one])) for seed in range(len(values))}
        for one in range(values.shape[1])
    ]
    estimates = estimated([(each, trained[0]) for each in trained[1:]])
    tests = corrected([each for each in estimates if each is not None])
    np.testing.assert_allclose([p_value for p_value, _ in tests], p_values, rtol=1e-6)


def images(
    comparisons: int, seeds: int, repeats: int, *, pool: int, validation: int, fixed: bool
) -> Record:
    """Make up ablations whose trainings are predictions of images.

    An image is right if its ease, what the configuration makes of it, and what the seed does to the
    network and to this image are above a threshold that gives about 80 % accuracy.
    """
    rng = np.random.default_rng([comparisons, seeds, pool, fixed])
    record = Record()
    for repeat in range(repeats):
        truth = np.zeros(comparisons)
        truth[0] = 0.02 if repeat % 2 else 0.0
        ease = rng.normal(0, 1.0, pool)
        likes = 0.25 * rng.standard_normal((comparisons + 1, pool))
        # The mean over images that aren't in the pool is what is true: 80 %, and 82 %
        bound = _bound(0.8 + np.concatenate([[0.0], truth]))
        rows = np.sort(rng.choice(pool, validation, replace=False))
        trained: list[dict[int, Judged]] = [{} for _ in range(comparisons + 1)]
        for seed in range(seeds):
            if not fixed:
                rows = np.sort(rng.choice(pool, validation, replace=False))
            whole = _NETWORK * rng.standard_normal(comparisons + 1)
            single = 0.5 * rng.standard_normal((comparisons + 1, validation))
            score = ease[rows] + likes[:, rows] + single + whole[:, None] + bound[:, None]
            for one in range(comparisons + 1):
                right = (score[one] > 0).astype(np.float64)
                trained[one][seed] = Judged(rows=rows, values=right)
        add(record, trained, truth.tolist())
    return record


#: By how much a seed moves a whole network's score: about 0.6 points of accuracy.
_NETWORK = 0.025
#: Variance of a score over images, configurations' likes, images' luck and networks' luck.
_VARIANCE = 1.0 + 0.25**2 + 0.5**2 + _NETWORK**2


def _bound(accuracy: Values) -> Values:
    from scipy.special import ndtri

    found: Values = np.sqrt(_VARIANCE) * ndtri(accuracy)
    return found


def share(values: Sequence[bool]) -> str:
    return f"{np.mean(values):.1%} of {len(values)}" if values else "-"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--images", type=int, default=200, help="repeats with images")
    parser.add_argument("--seeds", type=int, action="append")
    given = parser.parse_args(arguments)
    heads = ("false yes", "all intervals hold", "2 points are found", "median ±")
    table = Table("seeds", "comparisons", "trainings", *heads)
    for seeds in given.seeds or (5, SEEDS, 12):
        for comparisons in (1, 3, 8, 20):
            found = numbers("equal noise", comparisons, seeds, given.repeats)
            table.add_row(str(seeds), str(comparisons), "equal noise, 1.05 points", *found.row())
        for comparisons in (3, 8):
            found = numbers("equal noise", comparisons, seeds, given.repeats, noise=0.007)
            table.add_row(str(seeds), str(comparisons), "equal noise, 0.70 points", *found.row())
    for world in list(WORLDS)[1:]:
        for comparisons in (3, 8):
            found = numbers(world, comparisons, SEEDS, given.repeats)
            table.add_row(str(SEEDS), str(comparisons), world, *found.row())
    for pool, validation, fixed in ((5000, 1000, False), (2000, 400, False), (1000, 1000, True)):
        for comparisons in (3, 8):
            found = images(
                comparisons, SEEDS, given.images, pool=pool, validation=validation, fixed=fixed
            )
            what = "fixed images" if fixed else f"new splits of {pool:,}"
            table.add_row(str(SEEDS), str(comparisons), f"{validation:,} {what}", *found.row())
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
