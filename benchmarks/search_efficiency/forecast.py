"""How well signals at an early rung predict the end, within samples of tables.

A sample is 60 configurations, one training of each. The better half at a rung (by the sum of the
ranks of three signals) reaches the next one, as in a study. A signal is evaluated by the share of
the true best tenth at a rung that is in the best third by the signal, and by how far the best of
that third is below the best of all. All values are replaced by ranks within the sample, so that
weights learned from one table apply to another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.search_efficiency.table import Curve, Table
from hpsearch.priors.learned import unit_ranks
from hpsearch.search.pruning.promotion import Promotion

Floats: TypeAlias = NDArray[np.float64]

#: Number of configurations of a sample, and of samples of a table.
SAMPLED, SAMPLES = 60, 60

#: Shares of a training's epochs between which a rung counts as early, middle or late.
STAGES = (0.07, 0.21)

#: Columns of a sample's signals: ranks 0..1, higher is better.
ACCURACY, LOWEST_LOSS, TRAINING_LOSS = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The trials of one sample at one rung."""

    data_set: str
    #: 0 for early, 2 for late.
    stage: int
    #: (trials, signals).
    signals: Floats
    #: Test accuracy at the end, 0..1.
    truth: Floats
    #: Validation accuracy at the end.
    ends: Floats


def samples(table: Table) -> dict[int, list[Sample]]:
    """Return epoch of a rung -> samples of the trials there."""
    samples_by_rung: dict[int, list[Sample]] = {
        rung: [] for rung in Promotion().rungs(table.epochs)
    }
    rng = np.random.default_rng(5)
    for _ in range(SAMPLES):
        rows = rng.choice(len(table), min(SAMPLED, len(table)), replace=False)
        curves = [table.curves[row][int(rng.integers(len(table.curves[row])))] for row in rows]
        alive = np.arange(len(rows))
        for rung, judged in samples_by_rung.items():
            alive = np.array([i for i in alive if len(curves[i].val_accuracy) >= rung])
            signals = np.array([_figures(curves[i], rung) for i in alive])
            signals = np.column_stack([unit_ranks(column) for column in signals.T])
            judged.append(
                Sample(
                    data_set=table.recorded.data_set,
                    stage=int(np.searchsorted(STAGES, rung / table.epochs)),
                    signals=signals,
                    truth=table.truth[rows[alive]],
                    ends=np.array([curves[i].val_accuracy[-1] for i in alive]),
                )
            )
            order = np.argsort(-signals[:, :3].sum(axis=1), kind="stable")
            alive = alive[order[: max(8, len(alive) // 2)]]
    return samples_by_rung


def _figures(curve: Curve, rung: int) -> list[float]:
    """Return a trial's signals at a rung, higher is better; gains are from the rung below."""
    place, below = rung - 1, max(1, rung // 3) - 1
    accuracy, loss, training = curve.val_accuracy, curve.val_loss, curve.train_loss
    figures = [accuracy[place], -min(loss[:rung]), -training[place]]
    if place == below:  # the lowest rung: there are no gains yet
        return [*figures, *figures]
    gains = [accuracy[place] - accuracy[below], loss[below] - loss[place]]
    return [*figures, *gains, training[below] - training[place]]


def learned(samples_of_sets: Iterable[Sample], columns: int) -> Floats:
    """Return weights of the first ``columns`` signals by least squares on ranks of the truth.

    All data sets have the same weight, and the best trials more than the others.
    """
    samples_of = list(samples_of_sets)
    tables = Counter(sample.data_set for sample in samples_of)
    normal, aim = np.zeros((columns, columns)), np.zeros(columns)
    for sample in samples_of:
        ranks = unit_ranks(sample.truth)
        weights = ranks**2 + 0.05
        weights /= weights.sum() * tables[sample.data_set]
        inputs = sample.signals[:, :columns] - 0.5
        normal += (inputs * weights[:, None]).T @ inputs
        aim += (inputs * weights[:, None]).T @ (ranks - 0.5)
    ridge = 1e-3 * np.trace(normal) / columns * np.eye(columns)
    solution: Floats = np.linalg.solve(normal + ridge, aim)
    return solution


def by_own_ends(sample: Sample) -> Floats:
    """Score by weights learned from the sample's best third by accuracy, taken as complete."""
    signals = sample.signals[:, :3]
    best = np.argsort(-signals[:, ACCURACY], kind="stable")[: max(4, len(signals) // 3)]
    inputs = signals[best] - signals[best].mean(axis=0)
    even = np.full(3, 1 / 3)
    left = unit_ranks(sample.ends[best]) - 0.5 - inputs @ even
    weights = even + np.linalg.solve(
        inputs.T @ inputs + 0.03 * len(best) * np.eye(3), inputs.T @ left
    )
    scores: Floats = signals @ weights
    return scores


def judge(sample: Sample, scores: Floats) -> tuple[float, float]:
    """Return the share of the true best tenth in the best third, and the regret of its best.

    Args:
        sample: The trials.
        scores: One for each, higher is better.

    Returns:
        A share, 0..1, and points of test accuracy.
    """
    count, truth = len(scores), sample.truth
    best_third = np.argsort(-scores, kind="stable")[: max(1, count // 3)]
    top = np.argsort(-truth, kind="stable")[: max(1, count // 10)]
    return float(np.isin(top, best_third).mean()), 100 * float(
        truth.max() - truth[best_third].max()
    )


def show(tables: Sequence[Table]) -> None:
    """Print the results of each signal at each rung, and the mean of each data set."""
    groups = {(table.recorded.name, rung): group
              for table in tables for rung, group in samples(table).items()}  # fmt: skip
    everything = [sample for group in groups.values() for sample in group]
    means: dict[str, list[list[tuple[float, float]]]] = {}
    print("share of the best tenth in the best third; points below the best\n" + " " * 14
          + "".join(f"{name:>14}" for name in SIGNALS))  # fmt: skip
    for (name, rung), group in groups.items():
        data_set, stage = group[0].data_set, group[0].stage
        others = [
            sample for sample in everything if sample.data_set != data_set and sample.stage == stage
        ]
        weights = {columns: learned(others, columns) for columns in (3, 6)} if others else {}
        scores = [
            [judge(sample, _score(signal, sample, weights)) for sample in group]
            for signal in SIGNALS.values()
        ]
        line = [tuple(np.mean(pairs, axis=0)) for pairs in scores]
        means.setdefault(data_set, []).append(line)
        print(f"{name:11}{rung:3}" + "".join(f"{share:9.2f}{lack:5.2f}" for share, lack in line))
    for data_set, lines in means.items():
        print(f"{data_set:14}" + "".join(
            f"{share:9.2f}{lack:5.2f}" for share, lack in np.mean(lines, axis=0)))  # fmt: skip


def _score(signal: int | str, sample: Sample, weights: Mapping[int, Floats]) -> Floats:
    if signal == "own":
        return by_own_ends(sample)
    if isinstance(signal, str):
        columns = int(signal)
        even = np.full(columns, 1.0)
        return sample.signals[:, :columns] @ weights.get(columns, even)
    return sample.signals[:, signal]


#: Name -> a column, the number of columns with weights from other data sets, or the own ends.
SIGNALS: Mapping[str, int | str] = {
    "accuracy": ACCURACY,
    "lowest loss": LOWEST_LOSS,
    "train loss": TRAINING_LOSS,
    "learned": "3",
    "with gains": "6",
    "own ends": "own",
}
