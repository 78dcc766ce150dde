"""Our search on a table: the product's sampler, draw, pruner and audit, as its workers call them.

``LedgerSearch`` goes through the whole ledger in a database. ``FastSearch`` asks the same draw and
the same rules, and keeps in memory what the ledger would hold; a test sees that both take the same
steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from benchmarks.search_efficiency.simulation import Job
from benchmarks.search_efficiency.table import Table
from hpsearch.errors import TrainingDiverged
from hpsearch.measurement import EpochResult
from hpsearch.search import studies
from hpsearch.search.claims import Claims
from hpsearch.search.decision import Audit
from hpsearch.search.distributions import distribution_of
from hpsearch.search.history import TrialHistory, optuna_directions
from hpsearch.search.ledger import Ledger
from hpsearch.search.ledger_types import Claim, TrialRow
from hpsearch.search.pruners import PRUNERS, Report
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.schema_version import ensure_tables
from hpsearch.search.storage import Database
from hpsearch.search.suggest import DrawnTrial, draw_trial
from hpsearch.study_file.space import Space
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.worker import search_rules


class _Snapping:
    """Draws as a worker does, and takes the nearest configuration of the table."""

    def __init__(self, table: Table, study: StudyFile) -> None:
        self.table, self.study = table, study
        self.sampler = SAMPLERS.build(study.sampler)
        self.used: NDArray[np.bool_] = np.zeros(len(table), dtype=bool)
        #: Row -> last value of those that were trained to their end, in the order of their numbers.
        self.complete: dict[int, tuple[float, int]] = {}

    def draw(self, history: TrialHistory, ticket: int) -> int | None:
        """Return a row, ``None`` where none is left."""
        if self.used.all():
            return None
        drawn = draw_trial(
            self.sampler,
            self.study.space,
            history,
            study_seed=self.study.seed,
            ticket=ticket,
            infeasible=0,
            point=None,
        )
        if drawn is None:
            return None
        row = self.table.nearest_unused(drawn.params, self.used)
        self.used[row] = True
        return row

    def pick(self) -> int | None:
        """Return the best complete trial's row; of equal ones the lower number's."""
        if not self.complete:
            return None
        return min(self.complete, key=lambda row: (-self.complete[row][0], self.complete[row][1]))


class LedgerSearch(_Snapping):
    """Every claim, draw and report is one of the ledger's."""

    def __init__(self, table: Table, study: StudyFile, url: str) -> None:
        super().__init__(table, study)
        self.database = Database(url)
        ensure_tables(self.database)
        stored = studies.attach(self.database, study)
        self.study_id, self.stops = stored.study_id, stored.stops
        self.rules = search_rules(study, self.sampler)
        self._workers: dict[int, tuple[Claims, Ledger, TrialHistory]] = {}
        self._claims: dict[int, Claim] = {}

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def begin(self, worker: int) -> Job | None:
        """Claim a ticket, draw, start."""
        claims, ledger, history = self._hands(worker)
        if self.used.all():
            return None
        claim = claims.claim()
        if not isinstance(claim, Claim):
            return None
        row = self.draw(history, claim.ticket)
        if row is None:
            raise RuntimeError("a table with an unused row gave none")
        params = self.table.params[row]
        drawn = _drawn(params, self.study.space)
        ledger.start(
            claim,
            TrialRow(
                params=drawn.params, distributions=drawn.distributions, user_attrs={},
                system_attrs={},
            ),
        )  # fmt: skip
        self._claims[claim.ticket] = claim
        return Job(key=claim.ticket, row=row)

    def report(self, worker: int, job: Job, epoch: int, value: float) -> bool:
        """Report an epoch."""
        _, ledger, _ = self._hands(worker)
        last = epoch == self.study.budget.epochs_per_trial
        decision = ledger.report(self._claims[job.key], _result(epoch, value, last))
        if decision == "complete":
            self.complete[job.row] = (value, job.key)
        return decision == "continue"

    def diverged(self, worker: int, job: Job) -> None:
        """Fail as a worker does where training diverges."""
        _, ledger, _ = self._hands(worker)
        ledger.fail(self._claims[job.key], str(TrainingDiverged("recorded")), retry=False)

    def _hands(self, worker: int) -> tuple[Claims, Ledger, TrialHistory]:
        if worker not in self._workers:
            owner = f"worker-{worker}"
            claims = Claims(
                self.database, self.study_id, owner, lease_seconds=3600.0, seen_stops=self.stops,
                needs_point=lambda ticket: False, rules=self.rules,
            )  # fmt: skip
            ledger = Ledger(self.database, self.study_id, owner, self.rules)
            history = TrialHistory(
                self.database, self.study_id, *optuna_directions(self.study.goals)
            )
            self._workers[worker] = (claims, ledger, history)
        return self._workers[worker]


class FastSearch(_Snapping):
    """The same in memory."""

    def __init__(self, table: Table, study: StudyFile) -> None:
        super().__init__(table, study)
        self.pruner = PRUNERS.build(study.pruner)
        self.audit = Audit(study.pruner_audit, study.seed)
        self.history = MemoryHistory()
        self.peers = _Peers()
        self.best: dict[int, float] = {}

    def begin(self, worker: int) -> Job | None:
        """Take the next ticket, draw, start."""
        ticket = len(self.history.trials) + 1
        row = self.draw(self.history, ticket)
        if row is None:
            return None
        drawn = _drawn(self.table.params[row], self.study.space)
        self.history.trials.append(_running(ticket, drawn))
        return Job(key=ticket, row=row)

    def report(self, worker: int, job: Job, epoch: int, value: float) -> bool:
        """Decide what the ledger would decide."""
        epochs = self.study.budget.epochs_per_trial
        best = self.best[job.key] = max(value, self.best.get(job.key, value))
        goes_on = epoch < epochs
        if goes_on:
            report = Report(
                ticket=job.key, epoch=epoch, epochs=epochs, score=value, best_score=best
            )
            goes_on = self._goes_on(report)
        # Only now: a rule is told of the others' scores
        self.peers.add(job.key, epoch, value)
        if not goes_on:
            complete = epoch == epochs
            if complete:
                self.complete[job.row] = (value, job.key)
                self.peers.complete.add(job.key)
            state = TrialState.COMPLETE if complete else TrialState.PRUNED
            self.history.finish(job.key, state, epoch, value)
        return goes_on

    def diverged(self, worker: int, job: Job) -> None:
        """End it as the ledger does: FAILED."""
        self.history.finish(job.key, TrialState.FAIL, job.epochs_done, None)

    def _goes_on(self, report: Report) -> bool:
        if report.ticket in self.peers.spared:
            return True
        if not self.pruner(report, self.peers):
            return True
        if not self.audit.spares(report.ticket):
            return False
        self.peers.spared[report.ticket] = report.epoch
        return True


class MemoryHistory(TrialHistory):
    """What ``refresh`` would have read."""

    def __init__(self) -> None:
        self.trials: list[FrozenTrial] = []
        self.directions = (StudyDirection.MAXIMIZE,)
        self.study_id = 1

    def refresh(self) -> list[FrozenTrial]:
        return list(self.trials)

    def known(self, space: Space) -> list[FrozenTrial]:
        return []

    def finish(self, ticket: int, state: TrialState, epoch: int, value: float | None) -> None:
        """End a trial as its rows would say."""
        trial = self.trials[ticket - 1]
        if value is not None:
            trial.value = value
            trial.intermediate_values = {epoch: value}
        trial.state = state


class _Peers:
    """The ledger's scores, by epoch; those of an audited trial only until it was spared."""

    def __init__(self) -> None:
        self.scores: dict[int, dict[int, float]] = {}
        self.complete: set[int] = set()
        #: Ticket -> the epoch at which the rule would have stopped it.
        self.spared: dict[int, int] = {}

    def add(self, ticket: int, epoch: int, score: float) -> None:
        self.scores.setdefault(epoch, {})[ticket] = score

    def scores_at(self, epoch: int, *, completed_only: bool = False) -> Mapping[int, float]:
        return {
            ticket: score
            for ticket, score in self.scores.get(epoch, {}).items()
            if (not completed_only or ticket in self.complete)
            and not (ticket in self.spared and (completed_only or self.spared[ticket] < epoch))
        }


def _drawn(params: Mapping[str, Any], space: Space) -> DrawnTrial:
    parameters = space.parameters()
    return DrawnTrial(
        params=params,
        distributions={path: distribution_of(parameters[path]) for path in params},
        config={},
        given=False,
    )


def _running(ticket: int, drawn: DrawnTrial) -> FrozenTrial:
    return FrozenTrial(
        number=ticket - 1,
        trial_id=ticket,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params=dict(drawn.params),
        distributions=dict(drawn.distributions),
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def _result(epoch: int, value: float, last: bool) -> EpochResult:
    return EpochResult(
        epoch=epoch, train_loss=0.0, train_accuracy=0.0, val_loss=0.0, val_accuracy=value,
        val_macro_f1=value, val_balanced_accuracy=value, lr=0.0, seconds=0.0, val_seconds=0.0,
        last=last,
    )  # fmt: skip
