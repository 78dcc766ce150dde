"""Seconds per epoch of the reports' networks: hpsearch against two other loops.

- *reports*: what the experiment reports' scripts did: pictures one by one through PIL and
  torchvision's transforms, a DataLoader, fp32, ``.item()`` at every step;
- *bare*: nothing but the steps, on batches that lie normalised in memory, with hpsearch's
  precision, memory format, optimizer and memory setting: what is left to gain around a step.

All train the same model on the same pictures with the same number of threads. They take turns, each
in a process of its own; ratios are medians of pairs. ``benchmarks.loops`` is their code.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import pictures
from benchmarks.loops import bare_epochs, our_epochs, reports_epochs
from benchmarks.turns import Contender, Turn, rounds
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training.plan import plan

CONV = {"channels": 32, "kernel_size": 2, "dilation": 2}
DILATED = Component("dilated_cnn", {"conv1": CONV, "conv2": {**CONV, "dilation": 1}})
SGD = Component("sgd", {"lr": 0.02, "momentum": 0.9})
PLAIN_SGD = Component("sgd", {"lr": 0.07})
ADAM = Component("adam", {"lr": 0.001})


@dataclass(frozen=True)
class Case:
    """One model at one batch size, with the optimizer of its report."""

    report: str
    model: Component
    optimizer: Component
    batch_size: int
    #: Number of colour images, training and validation together; ``None`` for all, 0 for gray.
    colour: int | None


CASES = (
    Case("A", Component("simple_cnn"), SGD, 32, 0),
    Case("B", Component("mlp", {"hidden": [120]}), SGD, 64, 0),
    Case("B", Component("resnet18"), SGD, 32, 160),
    Case("C", Component("cnn_small"), ADAM, 32, 500),
    Case("D", DILATED, SGD, 32, 0),
    Case("D", DILATED, SGD, 128, 0),
    Case("E", Component("emoji_net"), PLAIN_SGD, 10, None),
    Case("E", Component("emoji_net"), PLAIN_SGD, 64, None),
    Case("E", Component("emoji_net"), PLAIN_SGD, 256, None),
)


def trial(case: Case, data: DataConfig) -> TrialConfig:
    """Return the case as a configuration without a last epoch."""
    return TrialConfig(
        data=data,
        model=case.model,
        optimizer=case.optimizer,
        lr_schedule=Component("constant"),
        batch_size=case.batch_size,
        epochs=10**6,
        split_seed=0,
        seed=0,
    )


def trials(options: argparse.Namespace) -> Iterator[tuple[Case, TrialConfig]]:
    """Yield the cases whose model's name contains ``only``, each with its images.

    The images are ``limit`` gray ones, those of the file ``colour``, or made up.
    """
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            if options.only in case.model.name:
                data = (
                    pictures.gray(options.limit)
                    if case.colour == 0
                    else pictures.colour(Path(folder), options.colour, case.colour)
                )
                yield case, trial(case, data)


def seconds(all_turns: Sequence[tuple[Turn, ...]], contender: int, clock: str) -> list[float]:
    """Return one contender's seconds in each round."""
    return [getattr(turns[contender], clock) for turns in all_turns]


def ratio(all_turns: Sequence[tuple[Turn, ...]], over: int, under: int, clock: str) -> float:
    """Return the median of pairs: how many times longer ``over`` took than ``under``."""
    pairs = zip(seconds(all_turns, over, clock), seconds(all_turns, under, clock), strict=True)
    return statistics.median(one / other for one, other in pairs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5, help="counted epochs of each loop")
    parser.add_argument("--limit", type=int, default=2000, help="gray pictures")
    parser.add_argument("--colour", type=Path, help="a pickled dictionary of 32x32 pictures")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="cpu", help="cpu: where others use the machine"
    )
    options = parser.parse_args(arguments)
    columns = ["report", "model", "batch", "precision", "reports", "bare", "hpsearch"]
    table = Table(
        title=f"{options.clock} seconds per epoch, {options.threads} thread(s), "
        f"median of {options.epochs}; load {os.getloadavg()[0]:.1f}"
    )
    for column in (*columns, "x faster than reports", "x bare"):
        table.add_column(column, justify="left" if column == "model" else "right")
    over_reports, over_bare = [], []
    for case, config in trials(options):
        all_turns = rounds(
            [
                Contender(start, (config,), options.threads)
                for start in (reports_epochs, bare_epochs, our_epochs)
            ],
            options.epochs,
            warm_up=1,
        )
        medians = [
            statistics.median(seconds(all_turns, contender, options.clock))
            for contender in range(3)
        ]
        over_reports.append(ratio(all_turns, 0, 2, options.clock))
        over_bare.append(ratio(all_turns, 2, 1, options.clock))
        table.add_row(
            case.report,
            case.model.name,
            str(case.batch_size),
            plan(config).precision,
            *(f"{middle:.3f}" for middle in medians),
            f"{over_reports[-1]:.1f}",
            f"{over_bare[-1]:.2f}",
        )
    console = Console(width=120)
    console.print(table)
    console.print(
        f"geometric means: {statistics.geometric_mean(over_reports):.2f} times faster than the "
        f"reports' loop (least {min(over_reports):.2f}), "
        f"{statistics.geometric_mean(over_bare):.3f} of the bare steps' time "
        f"(most {max(over_bare):.3f}); load at the end {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
