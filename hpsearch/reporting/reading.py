"""Reading the data of a report about one study from the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch.errors import UserError
from hpsearch.metrics import CONFUSION_CLASSES
from hpsearch.reporting.analysis.answer import answer
from hpsearch.reporting.analysis.branches import branching
from hpsearch.reporting.analysis.costs import read_costs
from hpsearch.reporting.analysis.effects import effects
from hpsearch.reporting.analysis.failures import read_failures
from hpsearch.reporting.analysis.importances import importances
from hpsearch.reporting.analysis.matrices import Matrix, read_matrices, read_trial_matrices
from hpsearch.reporting.analysis.observations import read_analysis_data
from hpsearch.reporting.analysis.table import columns, trial_table
from hpsearch.reporting.content import StudyAblation, StudyConfirmation, StudyContent, winner_number
from hpsearch.reporting.hard_pictures import hard_pictures
from hpsearch.reporting.winner_layers import winner_layers
from hpsearch.results import trial_attributes
from hpsearch.results.ablation.sentences import answers
from hpsearch.results.ablation.stored import read_results
from hpsearch.results.confirmation.reading import read_verdict
from hpsearch.results.confirmation.spec import spec_of
from hpsearch.results.confirmation.stored import (
    confirmations,
    newer_trials,
    newest,
)
from hpsearch.results.confirmation_gap import read_test_gap
from hpsearch.results.deadline.sentence import deadline_state
from hpsearch.results.final_evaluations import evaluations
from hpsearch.results.interim import read_interim
from hpsearch.results.planned import parent_of
from hpsearch.results.provenance import versions
from hpsearch.results.question import introduction, model_of
from hpsearch.results.ranking import front, knee, ranked, violators
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.results.summary import counts_of
from hpsearch.results.winner import best_seen
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries
from hpsearch.study_file.freezing import to_yaml
from hpsearch.study_file.portable import portable
from hpsearch.study_file.sections import LOOP, SEARCHED
from hpsearch.study_file.space import point_of

#: Number of pairs of parameters: those that depend on each other most.
_PAIRS = 4

#: Attributes of trials that usually have one value per study.
_COMMON = (
    "data_hash",
    "split_hash",
    "device",
    "threads",
    "precision",
    "train_images",
    "val_images",
    "val_groups",
    "trainings",
    "class_names",
    "input_shape",
)


def read_content(
    database: Database, name: str, *, data: Path | None = None, pictures: bool = True
) -> StudyContent:
    """Read the data of a report about one study.

    Args:
        database: The study's database.
        name: The study's name.
        data: Folder of the images; ``None`` for the default.
        pictures: Whether to read the hardest images; otherwise they are only listed.

    Raises:
        UnknownName: If there is no such study.
        UserError: If the study is a confirmation or an ablation.
    """
    record = read_study(database, name)
    if (parent := parent_of(record.study)) is not None:
        raise UserError(
            f"a report is made of a search, but {name!r} is the {parent.kind} of "
            f"{parent.search!r}; run `hpsearch report --study {parent.search}`, which includes its "
            f"{parent.kind}"
        )
    by_ticket = queries.curves(database, record.study.study_id)
    numbers = {trial.ticket: trial.number for trial in record.trials}
    order = [trial.number for trial in ranked(record) if trial.number is not None]
    trials = _in_order(trial_table(database, record, by_ticket), order)
    analysis_data = read_analysis_data(database, record)
    confirmation = _confirmation(database, record)
    matrices = read_matrices(database, record)
    nearest = knee(record) if record.goals.is_multi_objective else None
    best_of_search = best_seen(record)
    parameter_effects = effects(analysis_data, most_pairs=_PAIRS)
    document, attributes = record.study.document, _common_attributes(database, record)
    names = columns(database, record)
    winner = winner_number(None if nearest is None else nearest.number, confirmation, order)
    best = None if winner is None else record.trial(winner)
    forecast = read_interim(database, record, by_ticket)
    content = StudyContent(
        name=name,
        description=introduction(document),
        has_loop="loop" in document,
        fingerprint=record.study.fingerprint,
        created_at=record.study.created_at,
        seed=document.get("seed"),
        text=to_yaml(portable(document, Path.cwd())),
        metric=record.objective.metric,
        at=record.objective.at,
        maximize=record.objective.direction == "maximize",
        objectives=dict(record.goals.directions),
        constraints=[str(constraint) for constraint in record.goals.constraints],
        counts=counts_of(record.counts),
        budget_trials=record.study.trial_budget,
        epochs_per_trial=record.study.epochs_per_trial,
        finished=record.is_finished,
        warnings=record.warnings,
        trials=trials,
        columns=names,
        parameters=list(analysis_data.parameters),
        branching=branching(analysis_data.parameters, document),
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
        confirmed=confirmation,
        deadline="" if (under := deadline_state(database, record)) is None else under.sentence,
        advice="" if forecast is None else forecast.advice(record.objective.metric),
        test=evaluations(database, record.study.study_id),
        test_gap=None
        if confirmation is None
        else read_test_gap(database, record, confirmation.verdict),
        answer=answer(
            record, None if confirmation is None else confirmation.verdict, parameter_effects
        ),
        winner_model="" if best is None else model_of(document, best.params),
        winner_yaml="" if best is None else to_yaml(_settings(document, best.params)),
        best_seen="" if best_of_search is None else best_of_search.sentence,
        effects=parameter_effects,
        importances=importances(analysis_data),
        matrices=matrices,
        own_matrix=_own_matrix(database, record, order),
        pictures=hard_pictures(
            record, matrices, attributes.get("data_hash", []), data=data, show_images=pictures
        ),
        costs=read_costs(database, record),
        failures=read_failures(database, record),
        noted=attributes,
        versions=versions(),
        ablations=[
            StudyAblation(study=study, result=result, answers=answers(result))
            for study, result in read_results(database, name)
        ],
    )
    return replace(content, layers=winner_layers(database, record, content.winner))


def _in_order(rows: list[dict[str, Any]], order: Sequence[int]) -> list[dict[str, Any]]:
    places = {number: place for place, number in enumerate(order)}
    return sorted(rows, key=lambda row: (places.get(row["number"], len(places)), row["number"]))


def _settings(document: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's settings as a part of a study file; of ``data`` only what was searched."""
    point = point_of(document, params, [key for key in (LOOP, *SEARCHED) if key in document])
    data = {
        key: value
        for key, value in point.pop("data", {}).items()
        if any(f"{path}.".startswith(f"data.{key}.") for path in params)
    }
    return {**({"data": data} if data else {}), **{k: v for k, v in point.items() if v != {}}}


def _confirmation(database: Database, record: StudyRecord) -> StudyConfirmation | None:
    confirmation = newest(database, record.study.name)
    if confirmation is None:
        return None
    spec = spec_of(confirmation.study)
    usual = record.confirm
    options = {"top": spec.requested.top, "seeds": spec.requested.seeds}
    explicit = spec.requested.options or ()
    return StudyConfirmation(
        study=confirmation.study.name,
        nth=len(confirmations(database, record.study.name)),
        newer_trials=newer_trials(record, confirmation),
        rule=spec.rule,
        options=[
            f"--{key} {value}"
            for key, value in options.items()
            if key in explicit or value != getattr(usual, key)
        ],
        verdict=read_verdict(database, record, confirmation),
    )


def _own_matrix(database: Database, record: StudyRecord, order: Sequence[int]) -> Matrix | None:
    by_number = read_trial_matrices(database, record, order[:1])
    matrix = next(iter(by_number.values()), None)
    return None if matrix is None or len(matrix.counts) > CONFUSION_CLASSES else matrix


def _common_attributes(database: Database, record: StudyRecord) -> dict[str, list[Any]]:
    distinct_values: dict[str, list[Any]] = {}
    for attributes in trial_attributes.read_many(database, record.study.study_id, _COMMON).values():
        for name, value in attributes.items():
            if value not in distinct_values.setdefault(name, []):
                distinct_values[name].append(value)
    return distinct_values
