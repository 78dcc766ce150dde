"""One worker of stock Optuna: ``study.optimize`` with all that Optuna offers against faults.

Heartbeats, retries of stale trials (as often as needed), ``MaxTrialsCallback`` for the budget, and
a checkpoint after every epoch that a retried trial goes on from, as Optuna's documentation shows.
It trains with hpsearch's engine, so that both libraries do the same work per epoch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import optuna
import torch
from optuna.exceptions import StorageInternalError
from optuna.samplers import RandomSampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from hpsearch import component_registries
from hpsearch.errors import CheckpointError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training import checkpoint
from hpsearch.training.engine import train

#: Exit code if the database can't be reached at the start.
NO_DATABASE = 2


def config_of(trial: Trial, epochs: int, seed: int) -> TrialConfig:
    """Draw a configuration from the space of the storm's study file."""
    lr = trial.suggest_float("lr", 1e-3, 0.1, log=True)
    return TrialConfig(
        data=DataConfig(source=Component("digits"), input_size=16),
        model=Component("simple_cnn"),
        optimizer=Component("sgd", {"lr": lr, "momentum": 0.9}),
        lr_schedule=Component("constant"),
        batch_size=trial.suggest_categorical("batch_size", [16, 32]),
        epochs=epochs,
        split_seed=11,
        seed=seed,
    )


def run(trial: Trial, epochs: int, runs: Path) -> float:
    """Train one trial, from its checkpoint if it is a retried one."""
    row = trial.study.get_trials(deepcopy=False)[trial.number]
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(row)
    original = trial.number if first is None else first
    path = runs / f"trial-{original}.pt"
    try:
        state = checkpoint.load(path)
    except CheckpointError:
        state = None
    accuracy = 0.0
    for result in train(config_of(trial, epochs, original), resume_from=state):
        # One line per trained epoch, from which the repeated ones are counted.
        with (runs / "epochs.log").open("a") as log:
            log.write(f"{original} {result.epoch}\n")
        checkpoint.save(path, result.state())
        trial.report(result.metrics.val_accuracy, result.epoch)
        accuracy = result.metrics.val_accuracy
    return accuracy


def main() -> None:
    """Work until ``--trials`` are complete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--grace", type=int, required=True, help="seconds: what a lease is to us")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    component_registries.registries()  # registers models and other components
    options.runs.mkdir(parents=True, exist_ok=True)
    try:
        storage = RDBStorage(
            options.storage,
            engine_kwargs={"pool_pre_ping": True},
            heartbeat_interval=1,
            grace_period=options.grace,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(
                inherit_intermediate_values=True
            ),
        )
        study = optuna.create_study(
            storage=storage,
            study_name="storm",
            direction="maximize",
            sampler=RandomSampler(),
            load_if_exists=True,
        )
    except (SQLAlchemyError, StorageInternalError) as error:
        print(f"no database: {error}", file=sys.stderr)
        sys.exit(NO_DATABASE)
    study.optimize(
        lambda trial: run(trial, options.epochs, options.runs),
        callbacks=[MaxTrialsCallback(options.trials, states=(TrialState.COMPLETE,))],
    )


if __name__ == "__main__":
    main()
