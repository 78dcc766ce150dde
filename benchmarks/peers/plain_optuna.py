"""A plain Optuna script, one process: several of them share one study in SQLite.

With ``--configs`` it runs a fixed list without pruning; else TPE with the default MedianPruner.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import optuna
import torch

from benchmarks.peers.common import epochs, pictures, tell


def suggested(trial: optuna.Trial) -> dict[str, Any]:
    """The space ``whole_search.SPACE``, as written for Optuna."""
    return {
        "conv1_channels": trial.suggest_categorical("conv1_channels", [16, 32, 64]),
        "conv1_kernel_size": trial.suggest_int("conv1_kernel_size", 2, 5),
        "conv1_dilation": trial.suggest_int("conv1_dilation", 1, 2),
        "conv2_channels": trial.suggest_categorical("conv2_channels", [32, 64]),
        "conv2_kernel_size": trial.suggest_int("conv2_kernel_size", 2, 5),
        "lr": trial.suggest_float("lr", 1e-3, 0.2, log=True),
        "momentum": trial.suggest_float("momentum", 0.6, 0.95),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128]),
    }


def main() -> None:
    """Search until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--log", required=True, type=Path)
    parser.add_argument("--epochs", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--configs", type=Path)
    parser.add_argument("--threads", type=int, help="otherwise PyTorch's default")
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    fixed = None if options.configs is None else json.loads(options.configs.read_text())
    train_set, val_set = pictures(options.data)
    study = optuna.create_study(
        study_name="plain",
        storage=options.storage,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=options.seed),
        pruner=optuna.pruners.MedianPruner() if fixed is None else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )

    def objective(trial: optuna.Trial) -> float:
        config = suggested(trial) if fixed is None else fixed[trial.number % len(fixed)]
        accuracy = 0.0
        results = epochs(config, train_set, val_set, options.epochs)
        for epoch, accuracy in enumerate(results, start=1):
            tell(options.log, trial.number, epoch, accuracy)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    study.optimize(objective, catch=(RuntimeError, ValueError))


if __name__ == "__main__":
    main()
