"""All that a report tells of one study, read once. Charts, tables and files only lay it out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import UserError
from hpsearch.measurement import CONFUSION_CLASSES, EpochResult
from hpsearch.results import optuna_side
from hpsearch.results.analysis.answer import answer
from hpsearch.results.analysis.costs import Costs, read_costs
from hpsearch.results.analysis.effects import effects
from hpsearch.results.analysis.evidence import read_evidence
from hpsearch.results.analysis.failures import Failures, read_failures
from hpsearch.results.analysis.findings import Effects
from hpsearch.results.analysis.importances import Importances, importances
from hpsearch.results.analysis.matrices import (
    Matrices,
    Matrix,
    read_matrices,
    read_trial_matrices,
)
from hpsearch.results.analysis.table import columns, trial_table
from hpsearch.results.confirmation.reading import read_verdict
from hpsearch.results.confirmation.stored import (
    confirmations,
    is_confirmation,
    newer_trials,
    newest,
)
from hpsearch.results.confirmation.verdict import Confirmation
from hpsearch.results.provenance import versions
from hpsearch.results.ranking import front, knee, ranked, violators
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.results.report.hard_pictures import Shown, hard_pictures
from hpsearch.results.report.labels import Unit, short_names
from hpsearch.results.summary import counts_of
from hpsearch.results.test_openings import Opening, openings
from hpsearch.search import ledger_reads
from hpsearch.search.storage import Database
from hpsearch.study_file.freezing import to_yaml

#: Pairs of parameters that are told: those that depend on each other most.
PAIRS = 4

#: What each trial's row notes that a study has in common.
_COMMON = (
    "data_hash",
    "split_hash",
    "device",
    "threads",
    "precision",
    "train_images",
    "val_images",
    "trainings",
    "class_names",
    "input_shape",
)


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """The newest confirmation of a study."""

    #: Its name as a study.
    study: str
    #: How many there have been, this one included.
    nth: int
    #: Trials of the search that ended after the finalists were chosen.
    newer_trials: int
    rule: str
    verdict: Confirmation


@dataclass(frozen=True, kw_only=True)
class StudyContent:
    """One study. Shares are 0..1, times seconds."""

    name: str
    description: str
    fingerprint: str
    created_at: str
    seed: int | None
    #: The study as it was launched, as YAML: defaults and changes of the command line included.
    text: str
    metric: str
    #: Which epoch's value counts.
    at: str
    maximize: bool
    #: Objective -> maximize or minimize; more than one where the study has several.
    objectives: Mapping[str, str]
    constraints: Sequence[str]
    counts: Mapping[str, int]
    budget_trials: int
    epochs_per_trial: int
    finished: bool
    #: Rows of ``analysis.table.trial_table``: ranked trials first, best first.
    trials: Sequence[dict[str, Any]]
    columns: Sequence[str]
    #: Paths of what was searched.
    parameters: Sequence[str]
    #: Trial number -> its epochs.
    curves: Mapping[int, Sequence[EpochResult]] = field(repr=False)
    #: Numbers of the trials that may win, best first.
    ranked: Sequence[int]
    #: The Pareto front of several objectives, and its knee; one trial with one objective.
    front: Sequence[int]
    knee: int | None
    #: Complete trials that break a constraint.
    violators: Sequence[int]
    #: Trial number -> first epoch of overfitting.
    overfits: Mapping[int, int]
    confirmed: Confirmed | None
    test: Sequence[Opening]
    #: What came out, in sentences.
    answer: Sequence[str]
    effects: Effects
    importances: Importances
    matrices: Matrices | None
    #: The confusion matrix that the best trial kept; where nothing is confirmed.
    own_matrix: Matrix | None
    hardest: Shown
    costs: Costs
    failures: Failures
    #: What trials noted: one value where all agree, else each that occurs.
    noted: Mapping[str, Sequence[Any]]
    #: Of the software that made the report.
    versions: Mapping[str, str]

    @property
    def unit(self) -> Unit:
        """How values of the objective are written."""
        return Unit(self.metric)

    @property
    def winner(self) -> int | None:
        """The confirmed winner; where there is none, the best seen."""
        if self.confirmed is not None and self.confirmed.verdict.winner is not None:
            return self.confirmed.verdict.winner
        return next(iter(self.ranked), None)

    @property
    def short_names(self) -> dict[str, str]:
        """Path -> the end of it that people say."""
        return short_names(self.parameters)

    @property
    def class_names(self) -> Sequence[str]:
        """The classes; empty before the first trial began."""
        if self.matrices is not None and self.matrices.class_names:
            return self.matrices.class_names
        found = self.noted.get("class_names", ())
        return found[0] if found else ()

    @cached_property
    def _by_number(self) -> dict[int | None, dict[str, Any]]:
        return {row["number"]: row for row in self.trials}

    def row(self, number: int | None) -> Mapping[str, Any]:
        """Return a trial's row; empty where there is none."""
        return self._by_number.get(number, {})

    def state_of(self, number: int) -> str:
        """Return a trial's state: ``complete``, ``pruned`` and so on."""
        return str(self.row(number).get("state", ""))

    def params(self, number: int | None) -> dict[str, Any]:
        """Return the settings of a trial that apply to it."""
        row = self.row(number)
        return {path: row[path] for path in self.parameters if row.get(path) is not None}

    def objective_of(self, epoch: EpochResult) -> float:
        """Return the objective's figure of one epoch."""
        value: float = getattr(epoch, self.metric)
        return value

    def scaled(self, epoch: EpochResult) -> float | None:
        """Return the objective of one epoch as charts show it."""
        return self.unit.scaled(self.objective_of(epoch))


def read_content(
    database: Database, name: str, *, data: Path | None = None, pictures: bool = True
) -> StudyContent:
    """Read everything about the study called ``name``.

    ``data`` is where images lie; with ``pictures`` the hardest ones are looked up there. Raises
    ``UnknownName``, and ``UserError`` where the study is a confirmation.
    """
    record = read_study(database, name)
    if is_confirmation(record.study):
        search = record.study.document["confirms"]["study"]
        raise UserError(
            f"a report is made of a search, but {name!r} is the confirmation of {search!r}; run "
            f"`hpsearch report --study {search}`, which tells of its confirmation too"
        )
    by_ticket = ledger_reads.curves(database, record.study.study_id)
    numbers = {trial.ticket: trial.number for trial in record.trials}
    order = [trial.number for trial in ranked(record) if trial.number is not None]
    trials = _in_order(trial_table(database, record, by_ticket), order)
    evidence = read_evidence(database, record)
    confirmed = _confirmed(database, record)
    matrices = read_matrices(database, record)
    nearest = knee(record) if record.goals.several else None
    found = effects(evidence, most_pairs=PAIRS)
    document, noted = record.study.document, _noted(database, record)
    names = columns(database, record)
    return StudyContent(
        name=name,
        description=str(document.get("description") or ""),
        fingerprint=record.study.fingerprint,
        created_at=record.study.created_at,
        seed=document.get("seed"),
        text=to_yaml(document),
        metric=record.objective.metric,
        at=record.objective.at,
        maximize=record.objective.direction == "maximize",
        objectives=dict(record.goals.directions),
        constraints=[str(each) for each in record.goals.constraints],
        counts=counts_of(record.counts),
        budget_trials=record.study.trials,
        epochs_per_trial=record.study.epochs_per_trial,
        finished=record.is_finished,
        trials=trials,
        columns=names,
        parameters=list(evidence.parameters),
        curves={
            number: curve
            for ticket, curve in by_ticket.items()
            if (number := numbers.get(ticket)) is not None
        },
        ranked=order,
        front=[trial.number for trial in front(record) if trial.number is not None],
        knee=None if nearest is None else nearest.number,
        violators=[trial.number for trial in violators(record) if trial.number is not None],
        overfits={
            row["number"]: row["overfits_from"]
            for row in trials
            if row["overfits_from"] is not None
        },
        confirmed=confirmed,
        test=openings(database, record.study.study_id),
        answer=answer(record, None if confirmed is None else confirmed.verdict, found),
        effects=found,
        importances=importances(evidence),
        matrices=matrices,
        own_matrix=_own_matrix(database, record, order),
        hardest=hard_pictures(
            record, matrices, noted.get("data_hash", []), data=data, wanted=pictures
        ),
        costs=read_costs(database, record),
        failures=read_failures(database, record),
        noted=noted,
        versions=versions(),
    )


def as_json(value: Any) -> Any:
    """Return ``value`` as JSON takes it: dataclasses as objects, what isn't finite as null."""
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case np.ndarray():
            return as_json(value.tolist())
        case Mapping():
            return {str(key): as_json(each) for key, each in value.items()}
        case _ if is_dataclass(value):
            return {each.name: as_json(getattr(value, each.name)) for each in _told(value)}
        case Sequence() | set() | frozenset():
            return [as_json(each) for each in value]
        case np.generic():
            return as_json(value.item())
        case _:
            return str(value)


def _told(value: Any) -> list[Any]:
    # What an epoch keeps besides its figures is for resuming
    return [
        each for each in fields(value) if not (isinstance(value, EpochResult) and not each.compare)
    ]


def _in_order(rows: list[dict[str, Any]], order: Sequence[int]) -> list[dict[str, Any]]:
    places = {number: place for place, number in enumerate(order)}
    return sorted(rows, key=lambda row: (places.get(row["number"], len(places)), row["number"]))


def _confirmed(database: Database, record: StudyRecord) -> Confirmed | None:
    found = newest(database, record.study.name)
    if found is None:
        return None
    return Confirmed(
        study=found.study.name,
        nth=len(confirmations(database, record.study.name)),
        newer_trials=newer_trials(record, found),
        rule=found.study.document["confirms"]["rule"],
        verdict=read_verdict(database, record, found),
    )


def _own_matrix(database: Database, record: StudyRecord, order: Sequence[int]) -> Matrix | None:
    found = read_trial_matrices(database, record, order[:1])
    matrix = next(iter(found.values()), None)
    return None if matrix is None or len(matrix.counts) > CONFUSION_CLASSES else matrix


def _noted(database: Database, record: StudyRecord) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for each in optuna_side.noted(database, record.study.study_id, _COMMON).values():
        for name, value in each.items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return found
