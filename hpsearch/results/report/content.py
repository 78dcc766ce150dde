"""All that a report tells of one study. Charts, tables and files only lay it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hpsearch.metrics import EpochResult
from hpsearch.results.analysis.costs import Costs
from hpsearch.results.analysis.failures import Failures
from hpsearch.results.analysis.findings import Effects
from hpsearch.results.analysis.importances import Importances
from hpsearch.results.analysis.matrices import Matrices, Matrix
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.confirmation_gap import TestGap
from hpsearch.results.final_evaluations import FinalEvaluation
from hpsearch.results.report.hard_pictures import Shown
from hpsearch.results.report.labels import Unit, short_names


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
    #: What it was asked by options, where the study file says something else: ``--seeds 2``.
    options: Sequence[str]
    verdict: ConfirmationResult


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
    #: What must be known wherever the trials are ranked.
    warnings: Sequence[str]
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
    test: Sequence[FinalEvaluation]
    #: Whether the first test figure contradicts the confirmed one; ``None``: it doesn't.
    test_gap: TestGap | None
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
        """The confirmed winner, else the best seen; of several objectives the front's knee."""
        if self.knee is not None:
            return self.knee
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
