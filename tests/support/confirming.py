"""Confirmations in this process, run by the workers' own code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.results import trial_attributes
from hpsearch.results.confirmation.outcomes import PREDICTIONS
from hpsearch.results.confirmation.plan import PlannedTraining, Progress
from hpsearch.results.confirmation.stored import progress_of, trainings
from hpsearch.results.records import TrialRecord
from hpsearch.search.ledger import studies
from hpsearch.workers.ablation import AblationRun
from hpsearch.workers.confirmation import ConfirmationRun, ConfirmRequest, prepare_confirmation
from hpsearch.workers.trial.planned import extend_budget_from_plan
from support.trials import SmallSearch


class Confirming(SmallSearch):
    """A confirmation of one small search, and workers in this process to run it."""

    def run_to_end(self, owner: str = "one", **changes: Any) -> None:
        """Work as a worker does: when nothing is left to claim, ask whether there is more."""
        while self.run_all(owner, **changes) and extend_budget_from_plan(
            self.database, self.stored.name
        ):
            pass

    def standing(self) -> Progress:
        """Return how far it has come."""
        return progress_of(self.record())

    def trainings(self) -> Mapping[PlannedTraining, TrialRecord]:
        """Return each training that was begun."""
        return trainings(self.record())

    def noted(self, name: str) -> dict[PlannedTraining, Any]:
        """Return one attribute of each training's row; ``None`` where it has none."""
        return {
            entry: trial_attributes.read(self.database, trial.trial_id or -1).get(name)
            for entry, trial in self.trainings().items()
        }

    def predictions(self) -> dict[PlannedTraining, str]:
        """Return the predictions of each training, as they are stored."""
        return self.noted(PREDICTIONS)


def confirming(search: SmallSearch, **wish: Any) -> Confirming:
    """Ask for a confirmation of ``search``: of two finalists with two seeds, unless told."""
    record = search.record()
    asked = prepare_confirmation(
        search.database, record, search.study, ConfirmRequest(**{"top": 2, "seeds": 2, **wish})
    )
    return planned(search, asked)


def planned(search: SmallSearch, asked: ConfirmationRun | AblationRun) -> Confirming:
    """Return a stored confirmation or ablation of ``search``, to be run here."""
    return Confirming(
        database=search.database,
        study=asked.study,
        stored=studies.find(search.database, asked.name),
        runs=search.runs,
        data=search.data,
    )
