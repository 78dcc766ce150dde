"""Do ablations tell the truth? Comparisons whose truth is known, judged as `hpsearch ablate` does.

    python -m benchmarks.ablations [--repeats 2000] [--seeds 8]... [--images 200] [--fixed]

Each row makes up many ablations. In the first table a training is a number: the configuration's
true value, what its seed does to all configurations, and noise of its own, by default 1.05 points:
the noise between seeds of the good configurations of the recorded table ``fashion14``
(docs/search-efficiency.md), the largest but for the two tables with 200 validation images. False
"yes" are counted where nothing differs, power where one configuration is truly 2 points off. In
the second table, trainings are predictions of images with newly drawn splits, from
``benchmarks.honesty``'s kind of images. "Saved" is the share of the trainings that the looks before
the last seed save, in the ablations with an effect; ``--fixed`` leaves these looks out.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hpsearch.results.ablation.judging import (
    INTERIM,
    Effect,
    effects_of,
    final_level,
    settled_by,
)
from hpsearch.results.ablation.plan import AblationProgress
from hpsearch.results.ablation.spec import (
    LOOKS,
    SEEDS,
    AblationSpec,
    Contrast,
    Look,
    RequestedChanges,
    Variant,
)
from hpsearch.results.confirmation.statistics import TrainingValues, of_value
from hpsearch.results.verdicts import POINT, Verdict

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

#: Effects of three alternatives that an ablation should drop early.
LARGE = (-0.10, -0.05, -0.03)

Values = NDArray[np.float64]


@dataclass
class Record:
    """The results of many ablations."""

    false_yes: list[bool] = field(default_factory=list)
    #: Whether every interval of an ablation contains the truth.
    all_held: list[bool] = field(default_factory=list)
    power: list[bool] = field(default_factory=list)
    reach: list[float] = field(default_factory=list)
    #: The share of the trainings that was saved, of the ablations with an effect.
    saved: list[float] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        """Return the cells of a table."""
        return (
            share(self.false_yes),
            share(self.all_held),
            share(self.power),
            f"{100 * np.median(self.reach):.1f}",
            f"{np.mean(self.saved):.1%}" if self.saved else "-",
        )


def spec_for(comparisons: int, seeds: int, looks: Sequence[int]) -> AblationSpec:
    """Return the settings of an ablation of one parameter.

    Args:
        comparisons: The number of configurations that are compared with the trial itself.
        seeds: The number of seeds.
        looks: Seeds after which differences may be settled.
    """
    return AblationSpec(
        study="made-up",
        fingerprint="",
        trial=0,
        metric="val_accuracy",
        maximize=True,
        seeds=seeds,
        seeds_before=0,
        asked=RequestedChanges(parameters=("x",), crossed=(), most_cells=0),
        variants=tuple(Variant(params={"x": x}, changed={"x": x}) for x in range(comparisons + 1)),
        contrasts=tuple(
            Contrast(parameter="x", one=x, other=0, level=x, base=0, at={})
            for x in range(1, comparisons + 1)
        ),
        left_out=(),
        looks=tuple(looks),
    )


def look_and_judge(
    spec: AblationSpec, trained: Mapping[int, Mapping[int, TrainingValues]]
) -> list[Effect]:
    """Return the effects after all looks, as `hpsearch ablate` judges them.

    Args:
        spec: The settings, no look taken.
        trained: Variant -> seed (from 1) -> training, also those that a look saves.
    """
    for due in spec.early_looks:
        look = Look(seeds=due, settled=settled_by(spec, trained, due))
        spec = replace(spec, taken=(*spec.taken, look))
    now = AblationProgress(planned=(), failed={}, finished=True)
    return effects_of(spec, trained, now, margin=POINT)


def add(record: Record, effects: Sequence[Effect], truth: Sequence[float], seeds: int) -> None:
    """Compare one ablation with the truth.

    Args:
        record: Gets the result.
        effects: What was judged.
        truth: The true difference of each configuration to the trial itself.
        seeds: The number of seeds.
    """
    covers_all, false_yes = True, False
    for effect, true in zip(effects, truth, strict=True):
        if effect.ahead is None:
            continue
        covers_all &= not effect.ahead.excludes(true)
        record.reach.append(effect.ahead.half_width)
        if true == 0:
            false_yes |= effect.answer is Verdict.YES
        else:
            record.power.append(effect.answer is Verdict.YES)
    record.all_held.append(covers_all)
    record.false_yes.append(false_yes)
    if any(truth):
        used = [effect.seeds for effect in effects]
        record.saved.append(1 - (sum(used) + max(used)) / (seeds * (len(used) + 1)))


def numbers(
    world: str,
    comparisons: int,
    seeds: int,
    repeats: int,
    noise: float = NOISE,
    *,
    looks: Sequence[int] = LOOKS,
    effects: Sequence[float] = (0.02,),
) -> Record:
    """Make up ablations whose trainings are numbers; every second one has effects.

    They are judged all at once, by the rules of ``hpsearch.results.ablation.judging`` in arrays;
    the first ones are judged by those too, and must agree.

    Args:
        world: A key of ``WORLDS``.
        comparisons: The number of comparisons.
        seeds: The number of seeds.
        repeats: The number of ablations.
        noise: Noise of one training, in shares.
        looks: Seeds after which differences may be settled.
        effects: The true effects of the first comparisons, in shares.
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
    truth[1::2, : len(effects)] = effects[:comparisons]
    values[:, :, 1:] += truth[:, None, :]
    spec = spec_for(comparisons, seeds, looks)
    answer = _all_at_once(values, spec)
    for index in range(min(repeats, 3)):
        _require_equal(spec, values[index], answer, index)
    record = Record()
    null = truth == 0
    record.false_yes = (answer.yes & null).any(axis=1).tolist()
    record.all_held = ((answer.low <= truth) & (truth <= answer.high)).all(axis=1).tolist()
    record.power = answer.yes[~null].tolist()
    record.reach = ((answer.high - answer.low) / 2).ravel().tolist()
    used = answer.seeds.sum(axis=1) + answer.seeds.max(axis=1)
    record.saved = (1 - used[1::2] / (seeds * (comparisons + 1))).tolist()
    return record


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The results of many ablations, arrays of shape (repeats, comparisons)."""

    yes: NDArray[np.bool_]
    low: Values
    high: Values
    seeds: Values


def _all_at_once(values: Values, spec: AblationSpec) -> Answers:
    """Judge many ablations.

    Args:
        values: The trainings' values, float64 (repeats, seeds, configurations).
        spec: The settings of each.
    """
    from scipy.special import stdtr, stdtrit

    ahead = values[:, :, 1:] - values[:, :, :1]
    repeats, seeds, many = ahead.shape
    shape = (repeats, many)
    going, yes = np.ones(shape, bool), np.zeros(shape, bool)
    own, low, high, used = (np.zeros(shape) for _ in range(4))
    for until in (*spec.early_looks, seeds):
        level = INTERIM if until < seeds else final_level(spec)
        mean, now = ahead[:, :until].mean(axis=1), ahead[:, :until].var(axis=1, ddof=1)
        own = np.where(going, now, own)  # what is settled keeps its variance
        error = np.sqrt(np.maximum(own, own.mean(axis=1, keepdims=True)) / until)
        freedom = (until - 1) * min(many, 4)
        alone = np.where(going, 2 * stdtr(freedom, -np.abs(mean) / error), 2.0)
        order = np.argsort(alone, axis=1)
        number = going.sum(axis=1, keepdims=True)
        left = np.maximum(number - np.arange(many), 1)
        ranked = np.take_along_axis(alone, order, axis=1) * left <= level
        ranked = np.minimum.accumulate(ranked, axis=1) & (np.arange(many) < number)
        rejected = np.zeros(shape, bool)
        np.put_along_axis(rejected, order, ranked, axis=1)
        # The rejected ones at their own level, the others at that of the first that isn't
        levels = np.ones(shape)
        rest = np.maximum(number - ranked.sum(axis=1, keepdims=True), 1)
        np.put_along_axis(levels, order, np.where(ranked, left, rest).astype(float), axis=1)
        reach = error * stdtrit(freedom, 1 - level / levels / 2)
        ended = rejected if until < seeds else going
        low, high = np.where(ended, mean - reach, low), np.where(ended, mean + reach, high)
        used = np.where(ended, until, used)
        yes, going = yes | rejected, going & ~rejected
    return Answers(yes=yes, low=low, high=high, seeds=used)


def _require_equal(spec: AblationSpec, values: Values, answer: Answers, place: int) -> None:
    """Raise if the product's own code judges an ablation in another way."""
    trained = {
        one: {seed + 1: of_value(float(values[seed, one])) for seed in range(len(values))}
        for one in range(values.shape[1])
    }
    effects = look_and_judge(spec, trained)
    ends = [(effect.ahead.low, effect.ahead.high) for effect in effects if effect.ahead is not None]
    np.testing.assert_allclose(
        ends, np.stack([answer.low[place], answer.high[place]], axis=1), rtol=1e-6
    )
    assert [effect.answer is Verdict.YES for effect in effects] == answer.yes[place].tolist()
    assert [effect.seeds for effect in effects] == answer.seeds[place].tolist()


def images(
    comparisons: int,
    seeds: int,
    repeats: int,
    *,
    pool: int,
    validation: int,
    fixed: bool,
    looks: Sequence[int] = LOOKS,
) -> Record:
    """Make up ablations whose trainings are predictions of images.

    An image is right if its ease, what the configuration makes of it, and what the seed does to the
    network and to this image are above a threshold that gives about 80 % accuracy.

    Args:
        comparisons: The number of comparisons.
        seeds: The number of seeds.
        repeats: The number of ablations.
        pool: The number of images.
        validation: How many of them validate.
        fixed: Whether these are the same for all seeds.
        looks: Seeds after which differences may be settled.
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
        trained: dict[int, dict[int, TrainingValues]] = {one: {} for one in range(comparisons + 1)}
        for seed in range(1, seeds + 1):
            if not fixed:
                rows = np.sort(rng.choice(pool, validation, replace=False))
            whole = _NETWORK * rng.standard_normal(comparisons + 1)
            single = 0.5 * rng.standard_normal((comparisons + 1, validation))
            score = ease[rows] + likes[:, rows] + single + whole[:, None] + bound[:, None]
            for one in range(comparisons + 1):
                right = (score[one] > 0).astype(np.float64)
                trained[one][seed] = TrainingValues(rows=rows, values=right)
        effects = look_and_judge(spec_for(comparisons, seeds, looks), trained)
        add(record, effects, truth.tolist(), seeds)
    return record


#: By how much a seed moves a whole network's score: about 0.6 points of accuracy.
_NETWORK = 0.025
#: Variance of a score over images, configurations' likes, images' luck and networks' luck.
_VARIANCE = 1.0 + 0.25**2 + 0.5**2 + _NETWORK**2


def _bound(accuracy: Values) -> Values:
    from scipy.special import ndtri

    bound: Values = np.sqrt(_VARIANCE) * ndtri(accuracy)
    return bound


def share(values: Sequence[bool]) -> str:
    return f"{np.mean(values):.1%} of {len(values)}" if values else "-"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--images", type=int, default=200, help="repeats with images")
    parser.add_argument("--seeds", type=int, action="append")
    parser.add_argument("--fixed", action="store_true", help="no looks before the last seed")
    options = parser.parse_args(arguments)
    looks = () if options.fixed else LOOKS
    heads = ("false yes", "all intervals hold", "effects are found", "median ±", "saved")
    table = Table("seeds", "comparisons", "trainings", *heads)
    for seeds in options.seeds or (5, SEEDS, 12):
        for comparisons in (1, 3, 8, 20):
            record = numbers("equal noise", comparisons, seeds, options.repeats, looks=looks)
            table.add_row(str(seeds), str(comparisons), "equal noise, 1.05 points", *record.row())
        for comparisons in (3, 8):
            record = numbers(
                "equal noise", comparisons, seeds, options.repeats, noise=0.007, looks=looks
            )
            table.add_row(str(seeds), str(comparisons), "equal noise, 0.70 points", *record.row())
    for world in list(WORLDS)[1:]:
        for comparisons in (3, 8):
            record = numbers(world, comparisons, SEEDS, options.repeats, looks=looks)
            table.add_row(str(SEEDS), str(comparisons), world, *record.row())
    for world in WORLDS:
        for comparisons in (3, 8):
            record = numbers(world, comparisons, SEEDS, options.repeats, looks=looks, effects=LARGE)
            what = f"{world}; 10, 5 and 3 points worse"
            table.add_row(str(SEEDS), str(comparisons), what, *record.row())
    for pool, validation, fixed in ((5000, 1000, False), (2000, 400, False), (1000, 1000, True)):
        for comparisons in (3, 8):
            record = images(
                comparisons,
                SEEDS,
                options.images,
                pool=pool,
                validation=validation,
                fixed=fixed,
                looks=looks,
            )
            what = "fixed images" if fixed else f"new splits of {pool:,}"
            table.add_row(str(SEEDS), str(comparisons), f"{validation:,} {what}", *record.row())
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
