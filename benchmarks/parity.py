"""Is the fast loop as accurate as the plain one? The same configurations, several seeds each.

hpsearch's engine (bf16 where its rule says so, channels last, fused optimizer) against the reports'
loop (fp32): first weights, data, split and settings are the same, the order of the pictures isn't.
The difference of the mean validation accuracies is shown with its standard error over the seeds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import pictures
from benchmarks.epoch_speed import DILATED, PLAIN_SGD, SGD, Case, trial
from benchmarks.loops import our_epochs, reports_epochs
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import TrialConfig
from hpsearch.training.plan import plan

Loop = Callable[[TrialConfig], Iterator[float]]


@dataclass(frozen=True)
class Spread:
    """One loop's validation accuracies over the seeds, 0..1."""

    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.mean(self.accuracies)

    @property
    def deviation(self) -> float:
        return statistics.stdev(self.accuracies)

    def __str__(self) -> str:
        return f"{100 * self.mean:.2f} +- {100 * self.deviation:.2f}"


def spread(loop: Loop, config: TrialConfig, seeds: int) -> Spread:
    """Train with each seed, and take the accuracy after the last epoch."""
    last = []
    for seed in range(seeds):
        *_, accuracy = islice(loop(replace(config, seed=seed)), config.epochs)
        last.append(accuracy)
    return Spread(tuple(last))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one row per configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=0, help="else 4 (gray) and 16 (colour)")
    parser.add_argument("--limit", type=int, default=5000, help="gray pictures, a fifth validates")
    parser.add_argument("--colour", type=Path, help="a pickled dictionary of 32x32 pictures")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = Table(title=f"validation accuracy in %, mean and deviation of {options.seeds} seeds")
    for column in ("model", "batch", "epochs", "precision", "reports' loop", "hpsearch"):
        table.add_column(column)
    table.add_column("difference, its standard error")
    with tempfile.TemporaryDirectory() as folder:
        gray = pictures.gray(options.limit)
        colour = pictures.colour(Path(folder), options.colour)
        for case, data, epochs in (
            (Case("D", DILATED, SGD, 32, 0), gray, 4),
            (Case("E", Component("emoji_net"), PLAIN_SGD, 10, None), colour, 16),
        ):
            config = replace(trial(case, data), epochs=options.epochs or epochs)
            plain = spread(reports_epochs, config, options.seeds)
            ours = spread(our_epochs, config, options.seeds)
            error = ((plain.deviation**2 + ours.deviation**2) / options.seeds) ** 0.5
            table.add_row(
                case.model.name,
                str(case.batch_size),
                str(config.epochs),
                plan(config).precision,
                str(plain),
                str(ours),
                f"{100 * (ours.mean - plain.mean):+.2f}, {100 * error:.2f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
