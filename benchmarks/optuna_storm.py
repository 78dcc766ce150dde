"""Stock Optuna in the storms that hpsearch's tests use: same seeds, same work, same machine."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import NullPool
from support.crews import Crew, Member
from support.storms import Storm
from support.stormy_study import Setting, Tally
from support.weather import Weather, storm

from hpsearch.workers.threads import share_of_cores

#: As many processes as the storm over hpsearch has workers.
WORKERS = 4


def weather_the_storm(
    folder: Path, url: str, weather: Weather, seed: int, setting: Setting
) -> Tally:
    """Run ``WORKERS`` workers of stock Optuna in the storm of ``seed``."""
    runs = folder / "runs"
    runs.mkdir()
    study = _create(url)
    command = [sys.executable, "-m", "benchmarks.peers.stormy_optuna"]
    command += ["--storage", url, "--trials", str(setting.trials), "--epochs", str(setting.epochs)]
    command += ["--runs", str(runs), "--grace", str(round(setting.lease))]
    command += ["--threads", str(share_of_cores(2))]
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    crew = Crew([Member(command, env, folder, supervises=False) for _ in range(WORKERS)])
    began = time.monotonic()
    try:
        blows = islice(storm(seed, lease=setting.lease, gap=setting.gap), setting.blows)
        raging = Storm(crew, weather, blows)
        try:
            raging.rage(
                (runs / "epochs.log").exists,
                lambda: _complete(study) >= setting.trials,
                seconds=setting.longest,
            )
        finally:
            raging.calm()
        ended = raging.wait_for_crew(setting.longest)
        return _tally(study, runs, raging, setting, ended=ended, seconds=time.monotonic() - began)
    finally:
        crew.end()


def _create(url: str) -> optuna.Study:
    """Create the study, in a storage that keeps no connection open."""
    storage = RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    return optuna.create_study(storage=storage, study_name="storm", direction="maximize")


def _complete(study: optuna.Study) -> int:
    try:
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    except StorageInternalError:  # locked or disconnected; the caller tries again
        return 0
    return len(trials)


def _tally(
    study: optuna.Study,
    runs: Path,
    raging: Storm,
    setting: Setting,
    *,
    ended: bool,
    seconds: float,
) -> Tally:
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    by_configuration = Counter(_original(trial) for trial in complete)
    configurations = {_original(trial) for trial in trials}
    trained = Counter((runs / "epochs.log").read_text().splitlines())
    holes = [trial for trial in complete if _curve_has_a_hole(trial, setting.epochs)]
    return Tally(
        kills=raging.kills,
        stops=raging.stops,
        outages=raging.outages,
        seconds=seconds,
        ended=ended,
        gave_up=raging.crew.gave_up(),
        asked=setting.trials,
        finished=len(complete),
        # Configurations that were drawn and never completed, whatever was drawn instead.
        lost=len(configurations - by_configuration.keys()),
        # Complete rows beyond the budget, and configurations that are complete twice.
        doubled=max(0, len(complete) - setting.trials)
        + sum(times - 1 for times in by_configuration.values()),
        failed=sum(trial.state is TrialState.FAIL for trial in trials),
        epochs=len(trained),
        redone=trained.total() - len(trained),
        lost_attempts=sum(trial.state is TrialState.RUNNING for trial in trials),
        refused=0,
        worst_loss=0.0,
        different=len(holes),
        problems=(),
    )


def _original(trial: FrozenTrial) -> int:
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if first is None else first


def _curve_has_a_hole(trial: FrozenTrial, epochs: int) -> bool:
    return sorted(trial.intermediate_values) != list(range(1, epochs + 1))
