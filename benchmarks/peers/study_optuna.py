"""One worker of plain Optuna that searches the space of a study file with hpsearch's engine.

``TPESampler`` and ``MedianPruner`` with Optuna's own defaults. Epochs cost the same as ours, so
that a comparison shows only what is chosen to be trained.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import optuna
import torch
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState

from benchmarks.search_efficiency.peers import suggest
from hpsearch import component_registries
from hpsearch.errors import InfeasibleConfig, TrainingDiverged
from hpsearch.study_file.loading import load_study
from hpsearch.training.engine import train


def main() -> None:
    """Search until the study has its trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, type=Path)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--log", required=True, type=Path)
    parser.add_argument("--seed", required=True, type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = load_study(options.study, component_registries.registries)
    budget = study.budget

    def objective(trial: optuna.Trial) -> float:
        draw = study.space.draw(lambda path, what: suggest(trial, path, what))
        config = study.trial_config(draw.params, ticket=trial.number + 1)
        value = 0.0
        for result in train(config, data_root=options.data):
            value = result.metrics.val_accuracy
            line = {
                "at": time.time(),
                "trial": trial.number,
                "epoch": result.epoch,
                "value": value,
                "params": dict(draw.params),
            }
            with options.log.open("a") as file:
                file.write(json.dumps(line) + "\n")
            trial.report(value, result.epoch)
            if result.epoch < budget.epochs_per_trial and trial.should_prune():
                raise optuna.TrialPruned
        return value

    optuna.create_study(
        study_name="plain",
        storage=options.storage,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=options.seed),
        pruner=optuna.pruners.MedianPruner(),
        load_if_exists=True,
    ).optimize(
        objective,
        catch=(InfeasibleConfig, TrainingDiverged),
        callbacks=[
            MaxTrialsCallback(budget.trials, states=(TrialState.COMPLETE, TrialState.PRUNED))
        ],
    )


if __name__ == "__main__":
    main()
