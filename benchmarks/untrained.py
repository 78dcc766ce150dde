"""Trials without training, to measure the cost of their coordination.

A trial has a configuration of 8 parameters and 20 epochs, each reported to the pruner (successive
halving; the curves never get a trial pruned, so that both sides report the same epochs). ``ours``
does what ``workers.worker`` does, ``stock`` is ``study.optimize`` of Optuna with its own
``RDBStorage``.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal

import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from hpsearch.metrics import OBJECTIVES, EpochEnd, EpochMetrics
from hpsearch.registry import Component
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database, Patience
from hpsearch.search.history import TrialHistory
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.claims import Claims
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.types import Claim, SearchRules, TrialRow
from hpsearch.search.pruning.pruners import PRUNERS
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.suggest import DrawnTrial, draw_trial
from hpsearch.study_file.goals import Objective
from hpsearch.study_file.space import Choice, Group, Range, Space
from hpsearch.study_file.study import Budget, StudyFile
from hpsearch.workers.trial.lease_keeper import LeaseKeeper

EPOCHS = 20
STARTUP_TRIALS = 10
NAME = "bench"

Side = Literal["ours", "stock"]
Sampler = Literal["random", "tpe", "forest"]

SPACE = Space(
    Group(
        {
            "optimizer": Choice(("sgd", "adam", "adamw")),
            "lr": Range(low=1e-4, high=0.5, log=True),
            "weight_decay": Range(low=1e-6, high=1e-2, log=True),
            "momentum": Range(low=0.6, high=0.95),
            "dropout": Range(low=0.0, high=0.5, step=0.1),
            "batch_size": Range(low=16, high=128, step=16, integer=True),
            "hidden": Range(low=16, high=512, log=True, integer=True),
            "activation": Choice(("relu", "gelu")),
        }
    )
)


def value_of(params: Any, epoch: int) -> float:
    """Return the objective's value: trials differ only in the last epoch."""
    if epoch < EPOCHS:
        return epoch / EPOCHS / 2
    miss = abs(math.log10(params["lr"]) + 2) + abs(params["dropout"] - 0.2)
    return 1.0 / (1.0 + miss + (0.1 if params["optimizer"] == "sgd" else 0.0))


def study_file(trials: int) -> StudyFile:
    """Return the benchmark's study as if it were loaded from a file."""
    return StudyFile(
        name=NAME,
        description="",
        seed=7,
        objective=Objective(metric="val_accuracy", at="last"),
        budget=Budget(trials=trials, epochs_per_trial=EPOCHS),
        sampler=Component("random"),
        pruner=Component("asha"),
        space=SPACE,
        try_first=(),
        plugins=(),
        text=f"study: {NAME}\n",
        document={
            "study": NAME,
            "objective": {"metric": "val_accuracy", "at": "last"},
            "budget": {"trials": trials, "epochs_per_trial": EPOCHS},
        },
    )


def stopping_rules() -> SearchRules:
    """Return the ledger's rules of ``study_file``."""
    return SearchRules(
        metric="val_accuracy",
        maximize=True,
        best_epoch_counts=False,
        epochs_per_trial=EPOCHS,
        pruner=PRUNERS["asha"].build(stop=True),
    )


class OurWorker:
    """One worker as ``workers.worker`` sets it up, without images."""

    def __init__(
        self, url: str, owner: str, sampler: Sampler, rules: SearchRules | None = None
    ) -> None:
        rules = rules or stopping_rules()
        self.database = Database(url, Patience(seconds=math.inf))
        stored = studies.find(self.database, NAME)
        self.study_id = stored.study_id
        settings = {} if sampler == "random" else {"startup_trials": STARTUP_TRIALS}
        self.sampler = SAMPLERS[sampler].build(**settings)
        self.claims = Claims(
            self.database,
            self.study_id,
            owner,
            lease_seconds=30.0,
            seen_stops=stored.stops,
            needs_point=lambda ticket: False,
            rules=rules,
        )
        self.ledger = Ledger(self.database, self.study_id, owner, rules)
        self.history = TrialHistory(
            self.database,
            self.study_id,
            StudyDirection.MAXIMIZE,
            partial=rules.promotion is not None,
        )

    def work(self) -> int:
        """Work until the study is finished; return the number of this worker's trials."""
        done = 0
        while isinstance(claim := self.claims.claim(), Claim):
            with LeaseKeeper(
                self.ledger, claim, lease_seconds=30.0, leave=lambda: False, seen_stops=0
            ):
                self.run(claim)
            done += 1
        return done

    def run(self, claim: Claim) -> None:
        """Draw the claimed ticket's configuration, create its trial and report every epoch."""
        trial = self.draw(claim)
        self.ledger.start(claim, trial_row(trial))
        for epoch in range(1, EPOCHS + 1):
            self.ledger.report(claim, epoch_end(epoch, value_of(trial.params, epoch)), None)

    def draw(self, claim: Claim) -> DrawnTrial:
        """Draw the claimed ticket's configuration."""
        trial = draw_trial(
            self.sampler,
            SPACE,
            self.history,
            study_seed=7,
            ticket=claim.ticket,
            infeasible=0,
            point=None,
        )
        if trial is None:
            raise RuntimeError("a space without an end ended")
        return trial


def trial_row(trial: DrawnTrial) -> TrialRow:
    """Return the data of Optuna's row."""
    return TrialRow(
        params=trial.params, distributions=trial.distributions, user_attrs={}, system_attrs={}
    )


def epoch_end(epoch: int, value: float) -> EpochEnd:
    """Return an epoch with all its metrics."""
    metrics = EpochMetrics(
        epoch=epoch,
        train_loss=1.0 / epoch,
        train_accuracy=value,
        **dict.fromkeys(OBJECTIVES, value),
        lr=0.1,
        seconds=1.0,
        val_seconds=0.1,
    )
    return EpochEnd(metrics=metrics, last=epoch == EPOCHS, state=dict)


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Suggest the parameters of ``SPACE``."""
    return {
        "optimizer": trial.suggest_categorical("optimizer", ("sgd", "adam", "adamw")),
        "lr": trial.suggest_float("lr", 1e-4, 0.5, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        "momentum": trial.suggest_float("momentum", 0.6, 0.95),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
        "batch_size": trial.suggest_int("batch_size", 16, 128, step=16),
        "hidden": trial.suggest_int("hidden", 16, 512, log=True),
        "activation": trial.suggest_categorical("activation", ("relu", "gelu")),
    }


def stock_objective(trial: optuna.Trial) -> float:
    """Report and prune as in Optuna's own pruning examples."""
    params = suggest(trial)
    value = 0.0
    for epoch in range(1, EPOCHS + 1):
        value = value_of(params, epoch)
        trial.report(value, epoch)
        if epoch < EPOCHS and trial.should_prune():
            raise optuna.TrialPruned
    return value


def stock_study(url: str, sampler: Sampler, seed: int) -> optuna.Study:
    """Load the study with a sampler and a pruner of the same kind and settings as hpsearch's."""
    return optuna.load_study(
        study_name=NAME,
        storage=RDBStorage(url),
        sampler=stock_sampler(sampler, seed),
        pruner=SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    )


def stock_sampler(sampler: Sampler, seed: int) -> BaseSampler:
    """Return Optuna's sampler with the settings that hpsearch uses."""
    if sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(
        seed=seed,
        multivariate=True,
        group=True,
        constant_liar=True,
        n_startup_trials=STARTUP_TRIALS,
        n_ei_candidates=24,
    )


def prepare(side: Side, url: str, trials: int) -> None:
    """Create the tables and the study."""
    if side == "stock":
        storage = RDBStorage(url)
        optuna.create_study(study_name=NAME, storage=storage, direction="maximize")
        storage.engine.dispose()
        return
    with closing(Database(url)) as database:
        ensure_tables(database)
        studies.attach(database, study_file(trials))


def trials_per_second(side: Side, url: str, workers: int, trials: int, sampler: Sampler) -> float:
    """Run ``trials`` in ``workers`` processes; the time starts when all are ready to work."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    prepare(side, url, trials)
    # Spawned, so that no process inherits connections.
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers + 1)
    run: Callable[..., None] = _our_process if side == "ours" else _stock_process
    processes = [
        context.Process(
            target=run, args=(url, sampler, number, _share(trials, workers, number), barrier)
        )
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    barrier.wait(timeout=120)
    began = time.perf_counter()
    barrier.wait(timeout=600)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
        if process.exitcode:
            raise RuntimeError(f"a {side} worker ended with {process.exitcode}")
    _require(url, trials)
    return trials / seconds


def _share(trials: int, workers: int, number: int) -> int:
    # Stock Optuna counts trials per process; hpsearch's workers share one budget.
    return trials // workers + (number < trials % workers)


def _our_process(url: str, sampler: Sampler, number: int, _share: int, barrier: Any) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    worker = OurWorker(url, f"worker-{number}", sampler)
    worker.draw(Claim(**_NO_CLAIM))  # First imports and allocations aren't the ledger's cost.
    barrier.wait(timeout=120)
    worker.work()
    barrier.wait(timeout=600)
    worker.database.close()


def _stock_process(url: str, sampler: Sampler, number: int, share: int, barrier: Any) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = stock_study(url, sampler, seed=number)
    study.trials  # noqa: B018 - opens the connection, as ours has by now
    barrier.wait(timeout=120)
    study.optimize(stock_objective, n_trials=share)
    barrier.wait(timeout=600)


_NO_CLAIM: dict[str, Any] = {
    "study_id": 0, "ticket": 1, "attempt": 0, "trial_id": None, "number": None, "params": None,
    "point": None, "infeasible": 0, "epochs_done": 0, "checkpoint": None,
}  # fmt: skip


def _require(url: str, trials: int) -> None:
    """Check, with Optuna's own reader, that every trial completed and reported every epoch."""
    storage = RDBStorage(url)
    all_trials = optuna.load_study(study_name=NAME, storage=storage).get_trials(deepcopy=False)
    storage.engine.dispose()
    whole = [
        trial
        for trial in all_trials
        if trial.state.is_finished() and len(trial.intermediate_values) == EPOCHS
    ]
    if len(whole) != trials or len(all_trials) != trials:
        raise RuntimeError(f"{trials} trials were asked for, {len(whole)} are whole")
