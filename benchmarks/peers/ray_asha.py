"""Ray Tune with ASHA, as in PyTorch's tutorial "Hyperparameter tuning with Ray Tune".

Needs the extra ``bench``. With ``--configs`` it runs a fixed list without a scheduler.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler

from benchmarks.peers.common import epochs, pictures, tell

SPACE = {
    "conv1_channels": tune.choice([16, 32, 64]),
    "conv1_kernel_size": tune.randint(2, 6),
    "conv1_dilation": tune.randint(1, 3),
    "conv2_channels": tune.choice([32, 64]),
    "conv2_kernel_size": tune.randint(2, 6),
    "lr": tune.loguniform(1e-3, 0.2),
    "momentum": tune.uniform(0.6, 0.95),
    "batch_size": tune.choice([16, 32, 64, 128]),
}


def trainable(config: dict[str, Any], *, data: str, log: str, count: int) -> None:
    """Train one trial; Ray gives its process as many threads as CPUs, here one."""
    train_set, val_set = pictures(data)
    trial = int(tune.get_context().get_trial_id().rsplit("_", 1)[1])
    results = epochs(config.get("fixed", config), train_set, val_set, count)
    for epoch, accuracy in enumerate(results, start=1):
        tell(Path(log), trial, epoch, accuracy)
        tune.report({"val_accuracy": accuracy})


def main() -> None:
    """Search until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--epochs", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--configs", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    fixed = None if options.configs is None else json.loads(options.configs.read_text())
    scheduler = ASHAScheduler(max_t=options.epochs, grace_period=1, reduction_factor=2)
    run = tune.with_parameters(trainable, data=options.data, log=options.log, count=options.epochs)
    tune.Tuner(
        tune.with_resources(run, {"cpu": 1}),
        param_space=SPACE if fixed is None else {"fixed": tune.grid_search(fixed)},
        tune_config=tune.TuneConfig(
            metric="val_accuracy",
            mode="max",
            scheduler=scheduler if fixed is None else None,
            num_samples=1000 if fixed is None else 1,
            max_concurrent_trials=options.workers,
        ),
        run_config=tune.RunConfig(storage_path=options.folder, verbose=0),
    ).fit()


if __name__ == "__main__":
    main()
