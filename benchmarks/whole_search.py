"""A whole search in equal wall time: hpsearch, a plain Optuna script, Ray Tune.

First one fixed list of configurations without pruning, epochs counted: cheap configurations can't
inflate them. Then the searches as they are: the best accuracy over time. Same space, network,
pictures (Fashion-MNIST, 4,000 + 1,000), workers and seconds; the clock of each starts with its
first process. Ray Tune takes part where it is installed (the extra ``bench``).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import Reached, Task, ours, plain_optuna, ray_tune
from benchmarks.peers.common import DATA
from hpsearch.training.data.prepare import prepare

STUDY = """\
study: whole_search
seed: {seed}
objective: val_accuracy
budget: {{trials: 100000, epochs_per_trial: {epochs}}}
sampler: {{tpe: {{startup_trials: 10}}}}
pruner: {pruner}
data: {{source: fashion_mnist, limit: 5000, validation: 0.2}}
model:
  dilated_cnn:
    conv1:
      channels: {{values: [16, 32, 64]}}
      kernel_size: {{min: 2, max: 5}}
      dilation: {{min: 1, max: 2}}
    conv2:
      channels: {{values: [32, 64]}}
      kernel_size: {{min: 2, max: 5}}
optimizer:
  sgd: {{lr: {{min: 1e-3, max: 0.2, log: true}}, momentum: {{min: 0.6, max: 0.95}}}}
batch_size: {{values: [16, 32, 64, 128]}}
"""

#: Seconds from which on the curves of the best accuracy are compared.
WARM = 60


def fixed_list(count: int, seed: int) -> list[dict[str, Any]]:
    """Return configurations drawn uniformly from the space."""
    rng = np.random.default_rng(seed)
    return [
        {
            "conv1_channels": int(rng.choice([16, 32, 64])),
            "conv1_kernel_size": int(rng.integers(2, 6)),
            "conv1_dilation": int(rng.integers(1, 3)),
            "conv2_channels": int(rng.choice([32, 64])),
            "conv2_kernel_size": int(rng.integers(2, 6)),
            "lr": float(np.exp(rng.uniform(np.log(1e-3), np.log(0.2)))),
            "momentum": float(rng.uniform(0.6, 0.95)),
            "batch_size": int(rng.choice([16, 32, 64, 128])),
        }
        for _ in range(count)
    ]


def study_of(task: Task) -> str:
    """Return the study file; a fixed list becomes ``try_first``."""
    pruner = "{asha: {reduction_factor: 3, min_epochs: 1}}" if task.configs is None else "none"
    text = STUDY.format(seed=task.seed, epochs=task.epochs, pruner=pruner)
    if task.configs is None:
        return text
    entries = [
        {
            "model": {
                "dilated_cnn": {
                    "conv1": {
                        "channels": config["conv1_channels"],
                        "kernel_size": config["conv1_kernel_size"],
                        "dilation": config["conv1_dilation"],
                    },
                    "conv2": {
                        "channels": config["conv2_channels"],
                        "kernel_size": config["conv2_kernel_size"],
                    },
                }
            },
            "optimizer": {"sgd": {"lr": config["lr"], "momentum": config["momentum"]}},
            "batch_size": config["batch_size"],
        }
        for config in task.configs
    ]
    return text + f"try_first: {json.dumps(entries)}\n"


def contestants(task: Task) -> Iterator[Callable[[Path], Reached]]:
    """Yield every contestant; each gets an empty folder."""

    def in_folder(run: Callable[[Task], Reached], folder: Path) -> Reached:
        folder.mkdir()
        return run(Task(**{**vars(task), "folder": folder}))

    yield partial(in_folder, lambda task_in_folder: ours(task_in_folder, study_of(task_in_folder)))
    yield partial(in_folder, partial(plain_optuna, threads=None))
    yield partial(in_folder, partial(plain_optuna, threads=1))
    if importlib.util.find_spec("ray") is not None:
        yield partial(in_folder, ray_tune)


def round_of(task: Task, title: str) -> list[Reached]:
    """Run every contestant once, and print the table."""
    results = [
        run(task.folder / f"{title.split()[0]}-{number}")
        for number, run in enumerate(contestants(task))
    ]
    table = Table(title=f"{title}; {task.seconds:g} s, {task.workers} workers")
    for column in ("", "epochs", "ours / theirs", "trials", "best accuracy"):
        table.add_column(column, justify="right" if column else "left")
    for result in results:
        ratio = results[0].epochs / result.epochs
        best = f"{result.best_at(task.seconds + 1):.4f}"
        table.add_row(result.name, str(result.epochs), f"{ratio:.1f}", str(result.trials), best)
    Console(width=100).print(table)
    return results


def compare_over_time(results: list[Reached], seconds: float) -> None:
    """Print the best accuracy over time, and when hpsearch was behind after the first minute."""
    marks = [seconds * part / 8 for part in range(1, 9)]
    table = Table(title="best accuracy so far, by seconds")
    for column in ("", *(f"{mark:.0f}" for mark in marks)):
        table.add_column(column, justify="right" if column else "left")
    for result in results:
        table.add_row(result.name, *(f"{result.best_at(mark):.4f}" for mark in marks))
    console = Console(width=100)
    console.print(table)
    behind = [
        second
        for second in range(min(WARM, int(seconds)), int(seconds) + 1)
        if any(other.best_at(second) > results[0].best_at(second) for other in results[1:])
    ]
    console.print(
        f"hpsearch was behind somebody in {len(behind)} of the seconds after the first {WARM}"
    )


def save_plot(results: list[Reached], seconds: float, path: Path) -> None:
    """Draw the best accuracy over time."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for result in results:
        points = [*result.best, (seconds, result.best_at(seconds + 1))]
        label = f"{result.name} ({result.epochs} epochs)"
        axes.step([at for at, _ in points], [best for _, best in points], where="post", label=label)
    axes.set(xlabel="seconds", ylabel="best validation accuracy so far", xlim=(0, seconds))
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path)


def main() -> None:
    """Run both rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10, help="of a trial that isn't pruned")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", choices=("fixed", "search", "both"), default="both")
    parser.add_argument("--plot", type=Path, help="an SVG file for the best accuracy over time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Prepared before, so that no contestant's time includes it.
        prepare(DATA, split_seed=options.seed, root=folder / "data")
        task = Task(
            folder=folder,
            data=folder / "data",
            seconds=options.seconds,
            workers=options.workers,
            epochs=options.epochs,
            seed=options.seed,
            configs=fixed_list(200, options.seed),
        )
        if options.rounds != "search":
            round_of(task, "fixed list, no pruning")
        if options.rounds != "fixed":
            search = Task(**{**vars(task), "configs": None})
            results = round_of(search, "search as it is")
            compare_over_time(results, task.seconds)
            if options.plot is not None:
                save_plot(results, task.seconds, options.plot)


if __name__ == "__main__":
    main()
