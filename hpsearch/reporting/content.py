"""The data of a report about one study. Charts, tables and files only present it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hpsearch.metrics import EpochMetrics
from hpsearch.reporting.analysis.branches import Branching
from hpsearch.reporting.analysis.costs import Costs
from hpsearch.reporting.analysis.failures import Failures
from hpsearch.reporting.analysis.findings import Effects
from hpsearch.reporting.analysis.importances import Importances
from hpsearch.reporting.analysis.matrices import Matrices, Matrix
from hpsearch.reporting.hard_pictures import HardPictures
from hpsearch.reporting.labels import Unit, short_names
from hpsearch.reporting.winner_layers import WinnerLayers
from hpsearch.results.ablation.judging import AblationResult
from hpsearch.results.confirmation.verdict import ConfirmationResult
from hpsearch.results.confirmation_gap import TestGap
from hpsearch.results.final_evaluations import FinalEvaluation


@dataclass(frozen=True, kw_only=True)
class StudyConfirmation:
    """The newest confirmation of a study."""

    #: Its name as a study.
    study: str
    #: Number of the study's confirmations, including this one.
    nth: int
    #: Trials of the search that ended after the finalists were chosen.
    newer_trials: int
    rule: str
    #: Its options that differ from the study file: ``--seeds 2``.
    options: Sequence[str]
    verdict: ConfirmationResult


@dataclass(frozen=True, kw_only=True)
class StudyAblation:
    """An ablation of a study."""

    #: Its name as a study.
    study: str
    result: AblationResult
    #: The comparisons that are decided, as sentences.
    answers: Sequence[str]


def winner_number(
    knee: int | None, confirmed: StudyConfirmation | None, ranked: Sequence[int]
) -> int | None:
    """Return the number of the trial that a report presents as the winner.

    Args:
        knee: The front's knee; ``None`` with one objective.
        confirmed: The newest confirmation; ``None`` without one.
        ranked: Numbers of the trials that have a rank, best first.

    Returns:
        The knee, else the confirmed winner, else the best seen; ``None`` if no trial has a rank.
    """
    if knee is not None:
        return knee
    if confirmed is not None and confirmed.verdict.winner is not None:
        return confirmed.verdict.winner
    return next(iter(ranked), None)


@dataclass(frozen=True, kw_only=True)
class StudyContent:
    """One study. Shares are 0..1, times are in seconds."""

    name: str
    description: str
    #: Whether a training loop of the user's own trains: then there is no image and no model here.
    has_loop: bool
    fingerprint: str
    created_at: str
    seed: int | None
    #: The study file of the launch, as YAML, with defaults and changes of the command line.
    text: str
    metric: str
    #: Which epoch's value counts.
    at: str
    maximize: bool
    #: Objective -> maximize or minimize.
    objectives: Mapping[str, str]
    constraints: Sequence[str]
    counts: Mapping[str, int]
    budget_trials: int
    epochs_per_trial: int
    finished: bool
    #: Warnings to show with every ranking.
    warnings: Sequence[str]
    #: Rows of ``analysis.table.trial_table``: ranked trials first, best first.
    trials: Sequence[dict[str, Any]]
    columns: Sequence[str]
    #: Paths of the searched parameters.
    parameters: Sequence[str]
    #: The choice by which trials are grouped: usually the model.
    branching: Branching
    #: Trial number -> its epochs.
    curves: Mapping[int, Sequence[EpochMetrics]] = field(repr=False)
    #: Numbers of the trials that have a rank, best first.
    ranked: Sequence[int]
    #: The Pareto front and its knee; with one objective, the winner and ``None``.
    front: Sequence[int]
    knee: int | None
    #: Complete trials that break a constraint.
    violators: Sequence[int]
    #: Trial number -> first epoch of overfitting.
    overfits: Mapping[int, int]
    confirmed: StudyConfirmation | None
    test: Sequence[FinalEvaluation]
    #: Set if the first test value contradicts the confirmed one; otherwise ``None``.
    test_gap: TestGap | None
    #: The study's answer, in sentences.
    answer: Sequence[str]
    #: The name of the winner's model, and the winner's settings as a part of a study file (YAML);
    #: empty without a winner.
    winner_model: str
    winner_yaml: str
    #: The best trial of the search itself, as a sentence; empty without one.
    best_seen: str
    effects: Effects
    importances: Importances
    matrices: Matrices | None
    #: The confusion matrix of the best trial, for a study without a confirmation.
    own_matrix: Matrix | None
    pictures: HardPictures
    costs: Costs
    failures: Failures
    #: Attribute of the trials -> its distinct values.
    noted: Mapping[str, Sequence[Any]]
    #: Package -> version, of the software that made the report.
    versions: Mapping[str, str]
    #: The study's deadline and what was done for it, as a sentence; empty without one.
    deadline: str = ""
    #: What is worth doing next (more budget, more data, or neither), as a sentence; empty if it
    #: isn't known.
    advice: str = ""
    #: The layers of the winner's model.
    layers: WinnerLayers = field(default_factory=WinnerLayers)
    #: The study's ablations, oldest first.
    ablations: Sequence[StudyAblation] = ()

    @property
    def unit(self) -> Unit:
        """Format of the objective's values."""
        return Unit(self.metric)

    @property
    def winner(self) -> int | None:
        """The confirmed winner, else the best seen; with several objectives the front's knee."""
        return winner_number(self.knee, self.confirmed, self.ranked)

    @property
    def short_names(self) -> dict[str, str]:
        """Path -> its short form."""
        return short_names(self.parameters)

    @property
    def class_names(self) -> Sequence[str]:
        """The class names; empty before the first trial began."""
        if self.matrices is not None and self.matrices.class_names:
            return self.matrices.class_names
        name_lists = self.noted.get("class_names", ())
        return name_lists[0] if name_lists else ()

    @cached_property
    def _by_number(self) -> dict[int | None, dict[str, Any]]:
        return {row["number"]: row for row in self.trials}

    def row(self, number: int | None) -> Mapping[str, Any]:
        """Return a trial's row; empty if there is none."""
        return self._by_number.get(number, {})

    def state_of(self, number: int) -> str:
        """Return a trial's state: ``complete``, ``pruned`` and so on."""
        return str(self.row(number).get("state", ""))

    def params(self, number: int | None) -> dict[str, Any]:
        """Return the settings of a trial that apply to it."""
        row = self.row(number)
        return {path: row[path] for path in self.parameters if row.get(path) is not None}

    def objective_of(self, epoch: EpochMetrics) -> float:
        """Return the objective's value of one epoch."""
        return epoch.value(self.metric)

    def scaled(self, epoch: EpochMetrics) -> float | None:
        """Return the objective of one epoch for charts."""
        return self.unit.scaled(self.objective_of(epoch))
