"""The verdict on a search, from the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from hpsearch.results import trial_attributes
from hpsearch.results.confirmation.judging import judge
from hpsearch.results.confirmation.over_groups import names_groups
from hpsearch.results.confirmation.plan import PlannedTraining
from hpsearch.results.confirmation.spec import spec_of
from hpsearch.results.confirmation.stored import (
    invalid_finalists,
    latencies,
    newest,
    outcomes_of,
    trainings,
)
from hpsearch.results.confirmation.verdict import ConfirmationResult, Cost, Search
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries

_ATTRIBUTES = ("split_hash", "class_names", "parameters", "multiply_adds")


def read_confirmation(database: Database, search: StudyRecord) -> ConfirmationResult | None:
    """Return the verdict of the search's newest confirmation; ``None`` if there is none.

    The confirmation may not be finished.

    Raises:
        StorageError: If stored predictions are damaged.
    """
    confirmation = newest(database, search.study.name)
    return None if confirmation is None else read_verdict(database, search, confirmation)


def read_verdict(
    database: Database, search: StudyRecord, confirmation: StudyRecord
) -> ConfirmationResult:
    """Return the verdict of one confirmation of ``search``.

    Args:
        database: The database of both.
        search: The search.
        confirmation: The confirmation, which may not be finished.

    Raises:
        StorageError: If stored predictions are damaged.
    """
    begun = trainings(confirmation)
    attributes = trial_attributes.read_many(database, confirmation.study.study_id, _ATTRIBUTES)
    spec = spec_of(confirmation.study)
    values = {trial.number: trial.value for trial in search.trials}
    splits: dict[int, set[str]] = {}
    for entry, trial in begun.items():
        split = attributes.get(trial.trial_id or -1, {}).get("split_hash")
        if split is not None:
            splits.setdefault(entry.seed, set()).add(split)
    facts = Search(
        metric=confirmation.objective.metric,
        values={trial: value for trial in spec.params if (value := values.get(trial)) is not None},
        best_seen=spec.search.best,
        complete=spec.search.complete,
        search_epochs=spec.search.epochs,
        confirmation_epochs=confirmation.counts.epochs_run,
        epochs_per_trial=confirmation.study.epochs_per_trial,
        new_splits=len(set().union(*splits.values())) > 1,
        class_names=next((of_trial["class_names"] for of_trial in attributes.values()), []),
        costs=_costs(database, confirmation, begun, attributes),
        folds=confirmation.study.document.get("data", {}).get("folds"),
        field=spec.search.field,
        has_images="data" in confirmation.study.document,
        names_groups=names_groups(confirmation.study.document.get("data")),
    )
    verdict = judge(spec, outcomes_of(database, confirmation), facts)
    return replace(verdict, invalid=invalid_finalists(search, confirmation))


def _costs(
    database: Database,
    confirmation: StudyRecord,
    begun: Mapping[PlannedTraining, TrialRecord],
    attributes: Mapping[int, Mapping[str, Any]],
) -> dict[int, Cost]:
    """Return trial -> cost of its configuration, from its trainings in the confirmation."""
    curves = queries.curves(database, confirmation.study.study_id)
    seconds_per_image = latencies(database, confirmation)
    costs = {}
    for number in spec_of(confirmation.study).params:
        trials = [trial for entry, trial in begun.items() if entry.trial == number]
        seconds = [epoch.seconds for trial in trials for epoch in curves.get(trial.ticket, [])]
        facts = next(filter(None, (attributes.get(trial.trial_id or -1) for trial in trials)), {})
        costs[number] = Cost(
            epoch_seconds=median(seconds) if seconds else None,
            parameters=facts.get("parameters"),
            multiply_adds=facts.get("multiply_adds"),
            latency_seconds=seconds_per_image.get(number),
        )
    return costs
