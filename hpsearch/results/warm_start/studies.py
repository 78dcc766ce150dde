"""Another study as a source: one of hpsearch's own, or any that Optuna has stored."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpsearch.errors import StorageError, UnknownName, UserError
from hpsearch.metrics import COSTS, OBJECTIVES
from hpsearch.results.planned import parent_of
from hpsearch.results.records import StudyRecord, TrialRecord
from hpsearch.results.warm_start.source import Row, Source
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import TicketState
from hpsearch.search.ledger import queries
from hpsearch.study_file.goals import Goals
from hpsearch.study_file.study import StudyFile


def from_hpsearch(
    database: Database,
    other: StudyRecord,
    file: StudyFile,
    goals: Goals,
    document: Mapping[str, Any],
) -> Source:
    """Return the complete trials of another study, with values for this study's goals.

    Any goal can be read, since every epoch has every metric.

    Args:
        database: The other study's database.
        other: The other study.
        file: The study file of ``other``.
        goals: Objectives and constraints of this study.
        document: The document of this study.

    Raises:
        UserError: If ``other`` is a confirmation or an ablation.
    """
    name = other.study.name
    if (parent := parent_of(other.study)) is not None:
        raise UserError(
            f"results come from a search, but {name!r} is the {parent.kind} of {parent.search!r}; "
            "name the search"
        )
    curves = queries.curves(database, other.study.study_id)
    rows = []
    for trial in other.trials:
        if trial.number is None or not trial.state.is_finished:
            continue
        place = f"trial {trial.number}"
        if trial.state is not TicketState.COMPLETE:
            rows.append(Row(place=place, cells={}, refused=f"is {trial.state.value}"))
            continue
        config = file.space.freeze(trial.params).config
        cells = dict(_leaves(config, ""))
        cells |= _names_of_branches(file, trial)
        metrics = _metrics(curves.get(trial.ticket, []), trial, goals)
        rows.append(Row(place=place, cells=cells, metrics=metrics))
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    caveats = _differences(other, document)
    return Source(
        name=f"{name} @ {database.display_url}"[:255], rows=rows, columns=columns, caveats=caveats
    )


def _metrics(curve: Any, trial: TrialRecord, goals: Goals) -> dict[str, float]:
    if not curve:
        return {}
    objective = goals.objective
    last = curve[-1]
    epoch = last
    if objective.at == "best":
        for candidate in curve:
            if objective.is_better(
                candidate.value(objective.metric), epoch.value(objective.metric)
            ):
                epoch = candidate
    metrics = {name: float(getattr(epoch, name)) for name in OBJECTIVES} | dict(epoch.others)
    metrics |= {name: value for name, value in trial.metrics.items() if name in COSTS}
    return {name: metrics[name] for name in goals.metrics if name in metrics}


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, child in node.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def _names_of_branches(file: StudyFile, trial: TrialRecord) -> dict[str, Any]:
    """Return the component of each section: ``optimizer`` is ``sgd``, even if it is fixed."""
    names: dict[str, Any] = {}
    config = file.space.freeze(trial.params).config
    for section in ("model", "optimizer", "lr_schedule"):
        branch = config.get(section)
        if isinstance(branch, Mapping) and len(branch) == 1:
            names[section] = next(iter(branch))
    return names


def _differences(other: StudyRecord, document: Mapping[str, Any]) -> list[str]:
    other_document = other.study.document
    lines = []
    if other_document.get("data") != document.get("data"):
        lines.append("its data or their preparation differ from this study's")
    epochs = document["budget"]["epochs_per_trial"]
    if other.study.epochs_per_trial != epochs:
        lines.append(
            f"its trials were trained for up to {other.study.epochs_per_trial} epochs, this "
            f"study's for up to {epochs}: values are used without correction"
        )
    return lines


def from_optuna(url: str, name: str, goals: Goals) -> Source:
    """Return the complete trials of a study that Optuna has stored.

    Args:
        url: URL of its database.
        name: Name of the study.
        goals: Objectives and constraints of the study that uses the results.

    Raises:
        StorageError: If the database doesn't exist, or this version of Optuna can't read it.
        UnknownName: If there is no such study.
        UserError: If its objectives differ.
    """
    import optuna
    from optuna.storages import RDBStorage

    database = Database(url)
    try:
        if database.is_sqlite and not Path(str(database.url.database)).is_file():
            raise StorageError(
                f"{database.display_url} doesn't exist; name the database with --from-storage"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                storage = RDBStorage(
                    database.url.render_as_string(hide_password=False), skip_table_creation=True
                )
                names = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
                if name not in names:
                    raise UnknownName(
                        "study", name, names, hint=f"(Those in {database.display_url}.)"
                    )
                study = optuna.load_study(study_name=name, storage=storage)
                return _of_optuna(study, name, database.display_url, goals)
            except UserError:
                raise
            except Exception as error:
                raise StorageError(
                    f"{database.display_url} must be a database that Optuna {optuna.__version__} "
                    f"can read, but it can't: {type(error).__name__}; run `optuna storage upgrade` "
                    "if it is older"
                ) from error
    finally:
        database.close()


def _of_optuna(study: Any, name: str, url: str, goals: Goals) -> Source:
    from optuna.trial import TrialState

    directions = [direction.name.lower() for direction in study.directions]
    if directions != list(goals.directions.values()):
        raise UserError(
            f"study {name!r} must have the directions of this study "
            f"({', '.join(goals.directions.values())}), but has {', '.join(directions)}"
        )
    metric_names = study.metric_names
    if metric_names is not None and list(metric_names) != list(goals.objectives):
        raise UserError(
            f"study {name!r} must measure {', '.join(goals.objectives)}, but it measures "
            f"{', '.join(metric_names)}"
        )
    titles = list(goals.objectives)
    rows = []
    for trial in study.get_trials(deepcopy=False):
        place = f"trial {trial.number}"
        if trial.state is not TrialState.COMPLETE:
            if trial.state.is_finished():
                reason = f"is {trial.state.name.lower()}"
                rows.append(Row(place=place, cells={}, refused=reason))
            continue
        cells = {**trial.params, **dict(zip(titles, trial.values, strict=True))}
        rows.append(Row(place=place, cells=cells))
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    caveats = []
    if metric_names is None:
        caveats.append(f"the study doesn't name its metric; its values are read as {titles[0]}")
    caveats.append("its data and its number of epochs aren't recorded")
    return Source(name=f"{name} @ {url}"[:255], rows=rows, columns=columns, caveats=caveats)
