"""One claimed trial, from its configuration to its end: the way of a trial in one file."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hpsearch.errors import (
    CheckpointError,
    InfeasibleConfig,
    LeaseLost,
    TrainingDiverged,
    TrainingInterrupted,
    UserError,
)
from hpsearch.measurement import EpochResult
from hpsearch.registry import Component
from hpsearch.results.ranking import best
from hpsearch.results.records import read_study
from hpsearch.search import ledger_reads
from hpsearch.search.history import TrialHistory
from hpsearch.search.ledger import Ledger
from hpsearch.search.ledger_types import CheckpointRef, Claim, TrialRow
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.storage import GaveUpWaiting
from hpsearch.search.suggest import DrawnTrial, Sampler, draw_trial
from hpsearch.study_file.study import StudyFile
from hpsearch.training.engine import train
from hpsearch.workers.blueprint import Blueprint, draw_up
from hpsearch.workers.lease_keeper import LeaseKeeper
from hpsearch.workers.run_folder import KEPT_CHECKPOINTS, RunFolder

logger = logging.getLogger(__name__)

#: Infeasible draws of one ticket, one after the other, before the space is called hopeless.
MAX_INFEASIBLE = 200

#: Draws where a study's own sampler keeps proposing what can't be built.
_CHANCE = SAMPLERS.build(Component("random"))


@dataclass(frozen=True, kw_only=True)
class Bench:
    """All that a worker needs to run one trial after another."""

    study: StudyFile
    sampler: Sampler
    ledger: Ledger
    history: TrialHistory
    folder: RunFolder
    device: str
    threads: int
    data: Path | None
    lease_seconds: float
    #: Least time between two checkpoints of one trial.
    checkpoint_seconds: float
    #: The study's ``stops`` when the worker began.
    seen_stops: int
    #: Whether the worker has been told to leave; asked before every draw and every batch.
    leave: Callable[[], bool]


def run_trial(bench: Bench, claim: Claim) -> None:
    """Run a claimed trial until it ends, is paused, or belongs to another worker.

    Whatever the trial itself does wrong ends in the ledger. A ``UserError`` (data gone, a plug-in
    missing) would hit every trial: it gives the ticket back and is raised.
    """
    keeper = LeaseKeeper(
        bench.ledger,
        claim,
        lease_seconds=bench.lease_seconds,
        leave=bench.leave,
        seen_stops=bench.seen_stops,
    )
    with keeper:
        try:
            _run(bench, claim, keeper)
        except LeaseLost as error:
            logger.warning("dropped: %s", error)


def tidy(bench: Bench) -> None:
    """Remove the files of all trials that have ended, except the best weights of the best one."""
    record = read_study(bench.ledger.database, bench.study.name)
    winner = best(record)
    ended = [
        each.number for each in record.trials if each.state.is_finished and each.number is not None
    ]
    bench.folder.tidy(set(ended), winner=None if winner is None else winner.number)


def _run(bench: Bench, claim: Claim, keeper: LeaseKeeper) -> None:
    """Configure and train; what the trial does wrong is written to the ledger (``LeaseLost``)."""
    try:
        configured = _configure(bench, claim)
        if configured is not None:
            _TrialRun(bench, claim, keeper, *configured).run()
    except (LeaseLost, GaveUpWaiting):
        raise
    except UserError as error:
        bench.ledger.release(claim, f"{type(error).__name__}: {error}")
        raise
    except TrainingDiverged as error:
        # The same seed diverges again; trying once more would only cost.
        _fail(bench, claim, str(error), retry=False)
    except Exception as error:
        logger.warning("attempt failed", exc_info=error)
        _fail(bench, claim, _account(error), retry=True)


def _fail(bench: Bench, claim: Claim, error: str, *, retry: bool) -> None:
    if not bench.ledger.fail(claim, error, retry=retry):
        tidy(bench)


def _configure(bench: Bench, claim: Claim) -> tuple[int, Blueprint] | None:
    """Return the trial's number and blueprint, drawing its configuration where it has none."""
    ledger = bench.ledger
    if claim.params is not None and claim.number is not None:
        return claim.number, _blueprint(bench, claim, claim.params)
    point, infeasible = claim.point, claim.infeasible
    while infeasible < MAX_INFEASIBLE:
        if bench.leave():
            # Two hundred draws may take longer than a worker has to leave.
            ledger.release(claim, "the worker was told to leave")
            return None
        try:
            drawn = draw_trial(
                bench.sampler,
                bench.study.space,
                bench.history,
                study_seed=bench.study.seed,
                ticket=claim.ticket,
                infeasible=infeasible,
                point=point,
                try_first=bench.study.try_first,
                chance=_CHANCE,
            )
        except InfeasibleConfig as error:
            _fail(bench, claim, str(error), retry=False)
            return None
        if drawn is None:
            ledger.withdraw(claim)
            return None
        try:
            blueprint = _blueprint(bench, claim, drawn.params)
        except InfeasibleConfig as error:
            point = ledger.infeasible(claim, _row(drawn, {}), str(error), nth=infeasible)
            infeasible += 1
            continue
        _, number = ledger.start(claim, _row(drawn, blueprint.attributes()))
        return number, blueprint
    reason = f"{MAX_INFEASIBLE} configurations in a row can't be built; narrow the study's space"
    _fail(bench, claim, reason, retry=False)
    return None


def _blueprint(bench: Bench, claim: Claim, params: Mapping[str, Any]) -> Blueprint:
    config = bench.study.trial_config(params, claim.ticket)
    return draw_up(config, device=bench.device, threads=bench.threads, data=bench.data)


def _row(drawn: DrawnTrial, attributes: Mapping[str, Any]) -> TrialRow:
    given = {"try_first": True} if drawn.given else {}
    return TrialRow(
        params=drawn.params,
        distributions=drawn.distributions,
        user_attrs={**attributes, **given},
        system_attrs={},
    )


class _TrialRun:
    """The training of one configured trial, its reports and its checkpoints."""

    def __init__(
        self, bench: Bench, claim: Claim, keeper: LeaseKeeper, number: int, blueprint: Blueprint
    ) -> None:
        self.bench = bench
        self.claim = claim
        self.keeper = keeper
        self.number = number
        self.blueprint = blueprint
        #: Objective, epoch and weights of the best epoch so far.
        self.best: dict[str, Any] | None = None
        self.epochs_done = 0
        self.kept: list[CheckpointRef] = []
        self.saved_at = time.monotonic()

    def run(self) -> None:
        """Train to the end, reporting every epoch, or pause where the keeper says so."""
        state = self._resume()
        try:
            self._train(state)
        except CheckpointError as error:
            # Whole, but of other images or of another version: every worker would stumble over it.
            detail = {"reason": str(error), "goes_on_from_epoch": 0}
            self.bench.ledger.note(self.claim, "checkpoint_unusable", detail)
            self.best, self.epochs_done, self.kept = None, 0, []
            self._train(None)

    def _train(self, state: dict[str, Any] | None) -> None:
        results = train(
            self.blueprint.config,
            device=self.bench.device,
            resume_from=state,
            data_root=self.bench.data,
            should_stop=self.keeper.should_stop,
        )
        try:
            for result in results:
                if self._report(result) != "continue":
                    return
        except TrainingInterrupted as interrupted:
            self._pause(interrupted)

    def _resume(self) -> dict[str, Any] | None:
        """Return the engine's state of the newest usable checkpoint, ``None`` for a fresh start."""
        if self.claim.checkpoint is None:
            return None
        known = ledger_reads.checkpoints(
            self.bench.ledger.database, self.claim.study_id, self.claim.ticket
        )
        found = self.bench.folder.newest_usable(known)
        if found is None or found[0] != known[0]:
            epoch = 0 if found is None else found[0].epoch
            detail = {"newest": known[0].key, "goes_on_from_epoch": epoch}
            self.bench.ledger.note(self.claim, "checkpoint_unusable", detail)
        if found is None:
            return None
        reference, state = found
        self.kept = [reference]
        self.best = state["best"]
        self.epochs_done = reference.epoch
        engine: dict[str, Any] = state["engine"]
        return engine

    def _report(self, result: EpochResult) -> str:
        self.epochs_done = result.epoch
        # One copy of weights and optimizer serves the best weights and the checkpoint.
        state = cache(_state_of(result))
        self._note_best(result, state)
        reference = None
        if result.last:
            # Before the report: a complete trial in the ledger has its weights on disk.
            self._save_best()
        elif time.monotonic() - self.saved_at >= self.bench.checkpoint_seconds:
            reference = self._save(result, state)
        decision = self.bench.ledger.report(self.claim, result, reference)
        if decision == "continue":
            if reference is not None:
                self._retain(reference)
            return decision
        if decision == "complete":
            tidy(self.bench)
        else:
            self.bench.folder.tidy({self.number}, winner=None)
        return decision

    def _save(self, result: EpochResult, state: Callable[[], dict[str, Any]]) -> CheckpointRef:
        content = {"engine": state(), "best": self.best}
        reference = self.bench.folder.save(self.number, self.claim.attempt, result.epoch, content)
        self.saved_at = time.monotonic()
        return reference

    def _retain(self, reference: CheckpointRef) -> None:
        self.kept = [reference, *self.kept][:KEPT_CHECKPOINTS]
        self.bench.folder.prune_checkpoints(self.number, self.kept)

    def _pause(self, interrupted: TrainingInterrupted) -> None:
        if self.keeper.lost:
            raise LeaseLost(f"ticket {self.claim.ticket}: attempt {self.claim.attempt} is over")
        reference = self.bench.folder.save(
            self.number,
            self.claim.attempt,
            self.epochs_done,
            {"engine": interrupted.state(), "best": self.best},
            part="-part",
        )
        self.bench.ledger.release(self.claim, "the worker was told to leave", reference)
        self._retain(reference)

    def _note_best(self, result: EpochResult, state: Callable[[], dict[str, Any]]) -> None:
        objective = self.bench.study.objective
        value = getattr(result, objective.metric)
        sign = 1 if objective.direction == "maximize" else -1
        if self.best is not None and sign * value <= sign * self.best["value"]:
            return
        self.best = {"value": value, "epoch": result.epoch, "weights": state()["model"]}

    def _save_best(self) -> None:
        if self.best is not None:
            self.bench.folder.save_best(self.number, self.best)


def _state_of(result: EpochResult) -> Callable[[], dict[str, Any]]:
    if result.state is None:
        raise RuntimeError("the engine yields every epoch with its state")
    return result.state


def _account(error: BaseException) -> str:
    """Return the error's type and message, and the end of its traceback, for `show`."""
    lines = traceback.format_exception(error)
    return "".join(lines)[-4000:]
