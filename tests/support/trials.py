"""Whole trials in this process: small studies of digits, run by the workers' own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from hpsearch import component_registries
from hpsearch.priors.making import starts_of
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.history import TrialHistory, optuna_directions
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.claims import Claims
from hpsearch.search.ledger.events import Event, event_log
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.queries import Ticket
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.search.ledger.types import Claim, Idle
from hpsearch.search.samplers import SAMPLERS
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.run_config import RunConfig
from hpsearch.workers.threads import ThreadShare
from hpsearch.workers.trial.context import WorkerContext, clean_up
from hpsearch.workers.trial.run_folder import RunFolder
from hpsearch.workers.trial.trial_run import run_trial
from hpsearch.workers.worker import search_rules
from support.ledger import optuna_study

#: Milliseconds an epoch: 160 training images in five batches. Random draws, so that a trial's
#: configuration and figures follow from its ticket alone.
STUDY = """
study: small
seed: 5
budget: {trials: 3, epochs_per_trial: 3}
sampler: random
pruner: none
data: {source: digits, limit: 200, augmentation: {random_crop: {padding: 1}}}
model: {mlp: {hidden: [16], dropout: 0.2}}
optimizer: {sgd: {lr: {min: 1e-2, max: 0.5, log: true}, momentum: 0.9}}
lr_schedule: {exponential: {gamma: 0.9}}
batch_size: 32
"""

#: Batches of one epoch of ``STUDY``, and times that training asks whether to stop in one epoch:
#: before each batch, and before the one batch of validation.
BATCHES, ASKED_PER_EPOCH = 5, 6

#: Asked in epoch 3, after two batches of it. (The first time is before the configuration is drawn.)
IN_EPOCH_3 = 1 + 2 * ASKED_PER_EPOCH + 2

#: An override of ``STUDY``, which has all that a resume must put back: dropout, a moving crop,
#: momentum and a schedule.
ONE_TRIAL = "budget.trials=1"

#: Never in these tests.
NO_CHECKPOINTS = 1e9


def never() -> bool:
    """Nobody tells the worker to leave."""
    return False


def leave_after(asked: int) -> Callable[[], bool]:
    """Tell the worker to leave once training has asked so many times."""
    left = asked

    def leave() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return leave


@dataclass
class SmallSearch:
    """One study in a database, its files, and workers in this process to run it."""

    database: Database
    study: StudyFile
    stored: StoredStudy
    runs: Path
    data: Path

    def bench(self, owner: str = "one", **changes: Any) -> WorkerContext:
        """Return a worker's bench as ``workers.worker`` sets it up; a checkpoint every epoch."""
        sampler = SAMPLERS.build(self.study.sampler)
        rules = search_rules(self.study, sampler)
        own = {
            field.name: changes.pop(field.name)
            for field in fields(RunConfig)
            if field.name in changes
        }
        bench = WorkerContext(
            study=self.study,
            sampler=sampler,
            ledger=Ledger(self.database, self.stored.study_id, owner, rules),
            history=TrialHistory(
                self.database,
                self.stored.study_id,
                *optuna_directions(self.study.goals),
                partial=rules.promotion is not None,
            ),
            folder=RunFolder(self.runs, self.stored.name, self.stored.run_key),
            device="cpu",
            threads=ThreadShare(database=self.database, owner=owner, most=1, exact=True),
            run=RunConfig(**{"storage": "", "data": self.data, "checkpoint_seconds": 0.0, **own}),
            seen_stops=self.stored.stops,
            leave=never,
            starts=starts_of(self.study, data=self.data),
        )
        return replace(bench, **changes)

    def claims(self, owner: str = "one") -> Claims:
        """Return a worker's hand on the tickets."""
        sampler = SAMPLERS.build(self.study.sampler)
        return Claims(
            self.database,
            self.stored.study_id,
            owner,
            lease_seconds=30.0,
            seen_stops=self.stored.stops,
            needs_point=lambda ticket: sampler.is_enumerated and ticket > len(self.study.try_first),
            rules=search_rules(self.study, sampler),
        )

    def claim(self, owner: str = "one") -> Claim:
        """Claim a ticket that must be there."""
        claim = self.claims(owner).claim()
        assert isinstance(claim, Claim), claim
        return claim

    def run_one(self, owner: str = "one", **changes: Any) -> Ticket:
        """Claim one ticket, run it as far as it goes, and return it as it is then."""
        claim = self.claim(owner)
        run_trial(self.bench(owner, **changes), claim)
        return self.ticket(claim.ticket)

    def run_all(self, owner: str = "one", **changes: Any) -> Idle:
        """Work until there is nothing left to claim, and clean up as a worker does then."""
        bench, claims = self.bench(owner, **changes), self.claims(owner)
        while isinstance(claimed := claims.claim(), Claim):
            run_trial(bench, claimed)
        if claimed is Idle.FINISHED:
            clean_up(bench)
        return claimed

    def record(self) -> StudyRecord:
        """Return the study as reports read it."""
        return read_study(self.database, self.stored.name)

    def tickets(self) -> list[Ticket]:
        """Return every ticket."""
        return queries.all_tickets(self.database, self.stored.study_id)

    def ticket(self, number: int = 1) -> Ticket:
        """Return one ticket."""
        return next(each for each in self.tickets() if each.ticket == number)

    def events(self, kind: str | None = None, ticket: int | None = None) -> list[Event]:
        """Return the event log, oldest first."""
        log = event_log(self.database, self.stored.study_id, ticket)
        return [event for event in log if kind is None or event.kind == kind]

    def figures(self) -> dict[int, list[tuple[float, ...]]]:
        """Return ticket -> its curve without the times: the same, bit for bit, in any rerun."""
        return {
            ticket: [
                (each.epoch, each.train_loss, each.train_accuracy, each.val_loss, each.val_accuracy)
                for each in curve
            ]
            for ticket, curve in queries.curves(self.database, self.stored.study_id).items()
        }

    def trials(self) -> list[FrozenTrial]:
        """Return the trials as Optuna's own storage reads them."""
        return optuna_study(self.database, self.stored.name).get_trials(deepcopy=False)

    def files(self) -> set[str]:
        """Return every file below the study's folder: ``trial-0001/best.pt``."""
        root = self.runs / self.stored.name / self.stored.run_key
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def open_small(
    database: Database, folder: Path, data: Path, *overrides: str, text: str = STUDY
) -> SmallSearch:
    """Launch ``text`` with ``overrides`` (``path=value``) into a database that has tables."""
    file = folder / "study.yaml"
    file.write_text(text)
    study = load_study(file, component_registries.registries, overrides=overrides)
    return SmallSearch(
        database=database,
        study=study,
        stored=studies.attach(database, study),
        runs=folder / "runs",
        data=data,
    )
