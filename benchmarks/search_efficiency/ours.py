"""hpsearch on a table: the product's sampler, draw, pruner and audit, as its workers call them.

``LedgerSearch`` uses the whole ledger in a database. ``FastSearch`` uses the same draw and the same
rules, but stores the data of the ledger in memory; a test checks that both take the same steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from benchmarks.search_efficiency.prior import fair_prior
from benchmarks.search_efficiency.simulation import Answer, Job
from benchmarks.search_efficiency.table import Table
from hpsearch.errors import TrainingDiverged
from hpsearch.metrics import EpochEnd, EpochMetrics
from hpsearch.priors.rule import RulePrior
from hpsearch.results.ranking import leader
from hpsearch.results.records import read_study
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.history import TrialHistory, distribution_of, optuna_directions
from hpsearch.search.history_rows import EpochValues, epoch_values
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.claims import Claims
from hpsearch.search.ledger.decision import MOST_UNAUDITED, AuditSample
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.types import Claim, TrialRow
from hpsearch.search.pruning.promotion import LEAST_COMPLETE, Promotion, Rung, most_paused
from hpsearch.search.pruning.pruners import PRUNERS, EpochScore, StoppingRule
from hpsearch.search.samplers import SAMPLERS
from hpsearch.search.starts import Starts
from hpsearch.search.suggest import DrawnTrial, draw_trial
from hpsearch.search.trust import GUESSED, RANDOM, START, TICKETS_COMPARED, Start
from hpsearch.study_file.space import Space
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.worker import search_rules


@dataclass
class Standing:
    """One trial of a replay, as the ledger would store it."""

    ticket: int
    row: int
    epochs_done: int = 0
    #: The newest value.
    value: float | None = None
    #: "running", "paused" (at ``rung``), "complete", "pruned" or "failed".
    state: str = "running"
    #: The rung at which it waits or has ended.
    rung: int | None = None
    #: The rung at which it would wait without the pruning audit.
    audited_from: int | None = None


class _Snapping:
    """Draws as a worker does, and chooses the nearest configuration of the table."""

    def __init__(self, table: Table, study: StudyFile, *, reverse_prior: bool = False) -> None:
        self.table = table
        # A row is one trial, so there can't be more trials than rows
        self.study = replace(study, budget=replace(study.budget, trials=len(table)))
        self.sampler = SAMPLERS.build(study.sampler)
        self.used: NDArray[np.bool_] = np.zeros(len(table), dtype=bool)
        self.starts = _starts(table, self.study, reverse_prior)

    def draw(self, history: TrialHistory, ticket: int) -> tuple[int, dict[str, Any]]:
        """Return the row for the ticket's draw, and the attributes that show how it was drawn."""
        trial = draw_trial(
            self.sampler,
            self.study.space,
            history,
            study_seed=self.study.seed,
            ticket=ticket,
            infeasible=0,
            point=None,
            starts=self.starts,
        )
        if trial is None:
            raise RuntimeError("a sampler of a replay has no end")
        row = self.table.nearest_unused(trial.params, self.used)
        self.used[row] = True
        origin = {START: trial.start, GUESSED: trial.guessed}
        return row, {key: value for key, value in origin.items() if value is not None}


def _starts(table: Table, study: StudyFile, reverse: bool) -> Starts | None:
    """Return a worker's context, with the table's images instead of files."""
    if study.prior == "none":
        return None
    images = table.recorded.images
    prior = (
        RulePrior(study, lambda config: images)
        if study.prior_sha256 is None
        else fair_prior(table, study, reverse=reverse)
    )
    return Starts(prior, maximize=study.objective.direction == "maximize")


class LedgerSearch(_Snapping):
    """A search whose claims, draws and reports are those of the ledger."""

    def __init__(self, table: Table, study: StudyFile, url: str) -> None:
        super().__init__(table, study)
        self.database = Database(url)
        ensure_tables(self.database)
        stored = studies.attach(self.database, self.study)
        self.study_id, self.stops = stored.study_id, stored.stops
        self.rules = search_rules(self.study, self.sampler)
        #: By ticket.
        self.rows: dict[int, int] = {}
        self._workers: dict[int, tuple[Claims, Ledger, TrialHistory]] = {}
        self._claims: dict[int, Claim] = {}

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def begin(self, worker: int) -> Job | None:
        """Claim a ticket; draw and start a trial if the ticket is new."""
        claims, ledger, history = self._hands(worker)
        claim = claims.claim()
        if not isinstance(claim, Claim):
            return None
        self._claims[claim.ticket] = claim
        if claim.ticket in self.rows:
            row = self.rows[claim.ticket]
            return Job(key=claim.ticket, row=row, epochs_done=claim.epochs_done)
        row, origin = self.draw(history, claim.ticket)
        trial = _drawn_trial(self.table.params[row], self.study.space)
        trial_id, number = ledger.start(
            claim,
            TrialRow(
                params=trial.params, distributions=trial.distributions,
                user_attrs=origin, system_attrs={},
            ),
        )  # fmt: skip
        self._claims[claim.ticket] = replace(claim, trial_id=trial_id, number=number)
        self.rows[claim.ticket] = row
        return Job(key=claim.ticket, row=row)

    def report(self, worker: int, job: Job, epoch: int, value: float) -> Answer:
        """Report an epoch."""
        _, ledger, _ = self._hands(worker)
        last = epoch == self.study.budget.epochs_per_trial
        decision = ledger.report(self._claims[job.key], _epoch_end(epoch, value, last))
        if decision == "paused":
            ledger.end_excess()
        if decision == "continue":
            return "continue"
        return "paused" if decision == "paused" else "ended"

    def diverged(self, worker: int, job: Job) -> None:
        """Fail the trial as a worker does if training diverges."""
        _, ledger, _ = self._hands(worker)
        ledger.fail(self._claims[job.key], str(TrainingDiverged("recorded")), retry=False)

    def pick(self) -> int | None:
        """Return the row of the trial that is ahead."""
        ahead = leader(read_study(self.database, self.study.name))
        return None if ahead is None else self.rows[ahead.ticket]

    def _hands(self, worker: int) -> tuple[Claims, Ledger, TrialHistory]:
        if worker not in self._workers:
            owner = f"worker-{worker}"
            claims = Claims(
                self.database, self.study_id, owner, lease_seconds=3600.0, seen_stops=self.stops,
                needs_point=lambda ticket: False, rules=self.rules,
            )  # fmt: skip
            ledger = Ledger(self.database, self.study_id, owner, self.rules)
            history = TrialHistory(
                self.database,
                self.study_id,
                *optuna_directions(self.study.goals),
                partial=self.rules.promotion is not None,
            )
            self._workers[worker] = (claims, ledger, history)
        return self._workers[worker]


class FastSearch(_Snapping):
    """The same search in memory."""

    def __init__(self, table: Table, study: StudyFile, *, reverse_prior: bool = False) -> None:
        super().__init__(table, study, reverse_prior=reverse_prior)
        self.pruner = PRUNERS.build(study.pruner)
        self.audit = AuditSample(study.pruner_audit, study.seed)
        self.history = MemoryHistory()
        self.peers = _Peers()
        self.best: dict[int, float] = {}
        #: By ticket.
        self.trials: dict[int, Standing] = {}
        self.rungs: tuple[int, ...] = ()
        if isinstance(self.pruner, Promotion):
            self.rungs = self.pruner.rungs(study.budget.epochs_per_trial)

    def begin(self, worker: int) -> Job | None:
        """Promote a trial, or take the next ticket, draw and start a trial."""
        promoted = self._next_promoted()
        if promoted is not None:
            promoted.state, promoted.rung = "running", None
            return Job(key=promoted.ticket, row=promoted.row, epochs_done=promoted.epochs_done)
        ticket = len(self.trials) + 1
        if ticket > self.study.budget.trials:
            self._end_waiting()
            return None
        row, origin = self.draw(self.history, ticket)
        trial = _drawn_trial(self.table.params[row], self.study.space)
        self.history.trials.append(_running(ticket, trial))
        self.trials[ticket] = Standing(ticket, row)
        if ticket <= TICKETS_COMPARED:
            for attribute, drawn_by in origin.items():
                by_prior = drawn_by not in (RANDOM, False)
                self.history.drawn[attribute, ticket] = Start(by_prior=by_prior, scores={})
        return Job(key=ticket, row=row)

    def report(self, worker: int, job: Job, epoch: int, value: float) -> Answer:
        """Decide as the ledger does."""
        trial = self.trials[job.key]
        trial.epochs_done, trial.value = epoch, value
        self.history.note(job.key, epoch, value)
        if isinstance(self.pruner, Promotion):
            # Samplers learn from paused trials, too
            self.history.finish(job.key, TrialState.PRUNED, epoch, value)
        best = self.best[job.key] = max(value, self.best.get(job.key, value))
        if epoch == self.study.budget.epochs_per_trial:
            answer: Answer = "ended"
        elif isinstance(self.pruner, Promotion):
            answer = self._stand_at_rung(trial) if epoch in self.rungs else "continue"
            if answer == "paused":
                running = sum(standing.state == "running" for standing in self.trials.values())
                self._keep_waiting(most_paused(running))
            return answer
        else:
            report = EpochScore(
                ticket=job.key,
                epoch=epoch,
                epochs=self.study.budget.epochs_per_trial,
                score=value,
                best_score=best,
            )
            answer = "continue" if self._goes_on(self.pruner, report) else "ended"
        # Only now, as a pruner receives only the others' scores
        self.peers.add(job.key, epoch, value)
        if answer == "ended":
            self._end(trial)
        return answer

    def diverged(self, worker: int, job: Job) -> None:
        """End the trial as the ledger does, as FAILED."""
        self.trials[job.key].state = "failed"
        self.history.finish(job.key, TrialState.FAIL, job.epochs_done, None)

    def pick(self) -> int | None:
        """Return the row of the trial that is ahead, as ``ranking.leader`` does."""
        compared = self.contenders()
        return compared[0].row if compared else None

    def contenders(self) -> list[Standing]:
        """Return complete trials, and the waiting ones of the highest rung, best first."""
        compared = [trial for trial in self.trials.values() if trial.state == "complete"]
        if not self._is_finished():
            waiting = [trial for trial in self.trials.values() if trial.rung is not None]
            furthest = max((trial.rung or 0 for trial in waiting), default=0)
            compared += [trial for trial in waiting if trial.rung == furthest]
        return sorted(compared, key=lambda trial: (-(trial.value or 0.0), trial.ticket))

    def _is_finished(self) -> bool:
        under_way = any(trial.state in ("running", "paused") for trial in self.trials.values())
        return len(self.trials) == self.study.budget.trials and not under_way

    def _end_waiting(self) -> None:
        """End the waiting trials if no worker trains any more, as the budget is used."""
        if not any(trial.state == "running" for trial in self.trials.values()):
            self._keep_waiting(0)

    def _keep_waiting(self, count: int) -> None:
        """End the waiting trials except the best ``count`` of the highest rungs."""
        waiting = [trial for trial in self.trials.values() if trial.state == "paused"]
        waiting.sort(key=_best_first)
        for trial in waiting[count:]:
            self._end(trial)

    def _end(self, trial: Standing) -> None:
        complete = trial.epochs_done == self.study.budget.epochs_per_trial
        trial.state = "complete" if complete else "pruned"
        if complete:
            self.peers.complete.add(trial.ticket)
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        self.history.finish(trial.ticket, state, trial.epochs_done, trial.value)

    def _stand_at_rung(self, trial: Standing) -> Answer:
        """Pause the trial, unless it is promoted at once, or kept by the pruning audit."""
        if trial.audited_from is not None:
            return "continue"
        trial.state, trial.rung = "paused", trial.epochs_done
        if self._next_promoted() is trial:
            trial.state, trial.rung = "running", None
            return "continue"
        if self.audit.keeps(trial.ticket) or (self.audit.share and self._lacks_audit()):
            trial.state, trial.rung, trial.audited_from = "running", None, trial.epochs_done
            return "continue"
        return "paused"

    def _lacks_audit(self) -> bool:
        trials = self.trials.values()
        kept_back = sum(trial.rung is not None or trial.state == "pruned" for trial in trials)
        audited = self.peers.spared or any(trial.audited_from is not None for trial in trials)
        return kept_back > MOST_UNAUDITED and not audited

    def _next_promoted(self) -> Standing | None:
        if not isinstance(self.pruner, Promotion):
            return None
        rung = self.pruner.next_rung([self._rung(epoch) for epoch in self.rungs])
        waiting = [trial for trial in self.trials.values() if trial.state == "paused"]
        if rung is not None:
            waiting = [trial for trial in waiting if _waits(trial, rung.epoch)]
        elif not self._owes_complete_ones():
            return None
        return min(waiting, key=_best_first, default=None)

    def _owes_complete_ones(self) -> bool:
        ending = sum(trial.state in ("complete", "running") for trial in self.trials.values())
        return len(self.trials) >= self.study.budget.trials and ending < LEAST_COMPLETE

    def _rung(self, epoch: int) -> Rung:
        trials = [trial for trial in self.trials.values() if trial.epochs_done >= epoch]
        return Rung(
            epoch=epoch,
            reached=sum(_beyond(trial.audited_from, epoch - 1) for trial in trials),
            promoted=sum(
                _beyond(trial.audited_from, epoch) and _beyond(trial.rung, epoch)
                for trial in trials
            ),
            waiting=sum(_waits(trial, epoch) for trial in trials),
        )

    def _goes_on(self, rule: StoppingRule, report: EpochScore) -> bool:
        if report.ticket in self.peers.spared:
            return True
        if not rule(report, self.peers):
            return True
        if not (self.audit.keeps(report.ticket) or (self.audit.share and self._lacks_audit())):
            return False
        self.peers.spared[report.ticket] = report.epoch
        return True


def _best_first(trial: Standing) -> tuple[int, float, int]:
    return -(trial.rung or 0), -(trial.value or 0.0), trial.ticket


def _beyond(rung: int | None, epoch: int) -> bool:
    return rung is None or rung > epoch


def _waits(trial: Standing, epoch: int) -> bool:
    return trial.state == "paused" and trial.rung == epoch


class MemoryHistory(TrialHistory):
    """The data that ``refresh`` would read."""

    def __init__(self) -> None:
        self.trials: list[FrozenTrial] = []
        self.directions = (StudyDirection.MAXIMIZE,)
        self.study_id = 1
        #: (``START`` or ``GUESSED``, ticket) -> the trial, and whether that prior chose it.
        self.drawn: dict[tuple[str, int], Start] = {}
        #: Number -> epoch -> score.
        self.scores: dict[int, dict[int, float]] = {}

    def starts(self, *, maximize: bool) -> list[Start]:
        return [start for (kind, _), start in self.drawn.items() if kind == START]

    def guessed(self, *, maximize: bool) -> list[Start]:
        return [start for (kind, _), start in self.drawn.items() if kind == GUESSED]

    @property
    def invalid(self) -> set[int]:
        return set()

    def curves(self) -> EpochValues:
        marks = {max(curve) for curve in self.scores.values()}
        return epoch_values(
            (number, epoch, score)
            for number, curve in self.scores.items()
            for epoch, score in curve.items()
            if epoch in marks
        )

    def note(self, ticket: int, epoch: int, score: float) -> None:
        """Add an epoch to a start's curve."""
        self.scores.setdefault(ticket - 1, {})[epoch] = score
        for kind in (START, GUESSED):
            if (kind, ticket) in self.drawn:
                self.drawn[kind, ticket].scores[epoch] = score

    def refresh(self) -> list[FrozenTrial]:
        return list(self.trials)

    def prior_trials(self, space: Space) -> list[FrozenTrial]:
        return []

    def finish(self, ticket: int, state: TrialState, epoch: int, value: float | None) -> None:
        """End a trial as its rows would show."""
        trial = self.trials[ticket - 1]
        if value is not None:
            trial.value = value
            trial.intermediate_values = {epoch: value}
        trial.state = state
        for kind in (START, GUESSED):
            if state == TrialState.FAIL and (kind, ticket) in self.drawn:
                self.drawn[kind, ticket] = replace(self.drawn[kind, ticket], failed=True)


class _Peers:
    """The ledger's scores, by epoch; those of an audited trial only until the audit kept it."""

    def __init__(self) -> None:
        self.scores: dict[int, dict[int, float]] = {}
        self.complete: set[int] = set()
        #: Ticket -> the epoch at which the pruner would have stopped it.
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


def _drawn_trial(params: Mapping[str, Any], space: Space) -> DrawnTrial:
    parameters = space.parameters()
    return DrawnTrial(
        params=params,
        distributions={path: distribution_of(parameters[path]) for path in params},
        config={},
        from_try_first=False,
    )


def _running(ticket: int, trial: DrawnTrial) -> FrozenTrial:
    return FrozenTrial(
        number=ticket - 1,
        trial_id=ticket,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params=dict(trial.params),
        distributions=dict(trial.distributions),
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def _epoch_end(epoch: int, value: float, last: bool) -> EpochEnd:
    metrics = EpochMetrics(
        epoch=epoch, train_loss=0.0, train_accuracy=0.0, val_loss=0.0, val_accuracy=value,
        val_macro_f1=value, val_balanced_accuracy=value, lr=0.0, seconds=0.0, val_seconds=0.0,
    )  # fmt: skip
    return EpochEnd(metrics=metrics, last=last, state=dict)
