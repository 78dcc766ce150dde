"""The storage of the dashboard: Optuna's rows, read in bulk, with hpsearch's additions.

Notes, artifacts and a line about the winner are added to the rows that are read, and not stored: so
workers write nothing for them, and optuna-dashboard can open the same database without hpsearch.
Studies that hpsearch didn't create are shown unchanged.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from threading import Lock
from typing import Any

import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from hpsearch.dashboard.artifacts import as_system_attrs, descriptions, kinds_of
from hpsearch.dashboard.notes import state_line, study_note, winner_line
from hpsearch.dashboard.study_view import StudyView, StudyViews
from hpsearch.dashboard.trials import Snapshot, StudyTrials
from hpsearch.errors import DamagedStudy
from hpsearch.foreign_text import clean, clean_value
from hpsearch.search.database import optuna_rows as rows
from hpsearch.search.database.read_only_storage import ReadOnlyStorage
from hpsearch.search.database.storage import Database
from hpsearch.search.database.stored_json import decode_or, warn
from hpsearch.search.database.tables import studies as our_studies
from hpsearch.search.ledger.study_identity import is_ours


class DashboardStorage(ReadOnlyStorage):
    """A read-only, thread-safe storage over ``database``."""

    def __init__(self, database: Database, views: StudyViews) -> None:
        self.database = database
        self._views = views
        self._lock = Lock()
        self._trials: dict[int, StudyTrials] = {}
        #: Study id -> why a study of hpsearch is shown without additions.
        self._damaged: dict[int, str] = {}

    def snapshot(self, study_id: int) -> Snapshot:
        """Return the study's current trials, without artifacts in their system attributes."""
        with self._lock:
            trials = self._trials.setdefault(study_id, StudyTrials(self.database, study_id))
        return trials.refresh()

    def view(self, study_id: int) -> StudyView | None:
        """Return the state of a study of hpsearch.

        ``None`` if hpsearch didn't create it (even if it has the id of a deleted study of
        hpsearch), or if its rows are damaged.
        """
        query = sa.select(our_studies.c.name).where(our_studies.c.study_id == study_id)

        def work(connection: Connection) -> str | None:
            ours = is_ours(connection, study_id)
            return connection.execute(query).scalar_one_or_none() if ours else None

        name = self.database.read(work)
        try:
            return None if name is None else self._views.of(name)
        except DamagedStudy as error:
            warn(str(error))
            self._damaged[study_id] = str(error)  # Optuna's rows are shown anyway
            return None

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return every study, by id; those of hpsearch have a note and a line about the winner."""
        return [self._with_additions(study) for study in self.database.read(_read_studies)]

    def study(self, study_id: int) -> FrozenStudy | None:
        """Return one study as ``get_all_studies`` does, or ``None`` if there is none."""
        studies = self.database.read(lambda connection: _read_studies(connection, study_id))
        return self._with_additions(studies[0]) if studies else None

    def _with_additions(self, study: FrozenStudy) -> FrozenStudy:
        view = self.view(study._study_id)
        if view is None and study._study_id in self._damaged:
            study.user_attrs = {"damaged": self._damaged[study._study_id], **study.user_attrs}
        if view is not None:
            name = view.record.study.name
            study.user_attrs = {
                "winner": winner_line(view),
                "state": state_line(view),
                "report": f"/report/{name}",
                **study.user_attrs,
            }
            user_note = _note_in(study.system_attrs)
            note = study_note(view)
            note = f"{note}\n\n---\n\n{user_note}" if user_note else note
            study.system_attrs = {
                key: value
                for key, value in study.system_attrs.items()
                if not key.startswith("dashboard:note_")
            } | {"dashboard:note_ver": 1, "dashboard:note_str:0": note}
        return study

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the study's id.

        Raises:
            KeyError: There is no such study.
        """
        query = sa.select(rows.STUDIES.c.study_id).where(rows.STUDIES.c.study_name == study_name)
        return self._study_id(query, study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the study's name.

        Raises:
            KeyError: There is no such study.
        """
        return self._find_study(study_id).study_name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return each objective's direction.

        Raises:
            KeyError: There is no such study.
        """
        return self._find_study(study_id).directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the study's user attributes.

        Raises:
            KeyError: There is no such study.
        """
        return self._find_study(study_id).user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the study's system attributes.

        Raises:
            KeyError: There is no such study.
        """
        return self._find_study(study_id).system_attrs

    def _find_study(self, study_id: int) -> FrozenStudy:
        studies = self.database.read(lambda connection: _read_studies(connection, study_id))
        if not studies:
            raise KeyError(study_id)
        return studies[0]

    def _study_of(self, trial_id: int) -> int:
        query = sa.select(rows.TRIALS.c.study_id).where(rows.TRIALS.c.trial_id == trial_id)
        return self._study_id(query, trial_id)

    def _study_id(self, query: sa.Select[Any], key: str | int) -> int:
        study_id = self.database.read(
            lambda connection: connection.execute(query).scalar_one_or_none()
        )
        if study_id is None:
            raise KeyError(key)
        return int(study_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return a study's trials, by number.

        Args:
            study_id: The study's id.
            deepcopy: Ignored: the trials are never copied, as the dashboard doesn't modify them.
            states: The states of the trials to return; ``None`` returns all.
        """
        trials = self.snapshot(study_id).trials
        return [trial for trial in trials if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial.

        Raises:
            KeyError: There is no such trial.
        """
        return _trial_in(self.snapshot(self._study_of(trial_id)), trial_id)

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Return a trial's system attributes, with those that name its artifacts.

        Raises:
            KeyError: There is no such trial.
        """
        study_id = self._study_of(trial_id)
        snapshot, view = self.snapshot(study_id), self.view(study_id)
        trial = _trial_in(snapshot, trial_id)
        if view is None:
            return trial.system_attrs
        kinds = kinds_of(view, trial, snapshot.large.get(trial_id, frozenset()))
        return {**trial.system_attrs, **as_system_attrs(descriptions(study_id, trial_id, kinds))}


def _trial_in(snapshot: Snapshot, trial_id: int) -> FrozenTrial:
    return next(trial for trial in snapshot.trials if trial._trial_id == trial_id)


def _note_in(system_attrs: Mapping[str, Any]) -> str:
    """Return the note that a user wrote with optuna-dashboard itself."""
    from optuna_dashboard._note import get_note_from_system_attrs

    return str(get_note_from_system_attrs(dict(system_attrs), None)["body"])


def _read_studies(connection: Connection, only: int | None = None) -> list[FrozenStudy]:
    def of_study(table: sa.Table, *columns: str) -> list[Any]:
        query = sa.select(table.c.study_id, *(table.c[name] for name in columns))
        if only is not None:
            query = query.where(table.c.study_id == only)
        return list(connection.execute(query))

    names = of_study(rows.STUDIES, "study_name")
    directions: dict[int, dict[int, StudyDirection]] = {}
    for study_id, objective, direction in of_study(rows.DIRECTIONS, "objective", "direction"):
        directions.setdefault(study_id, {})[objective] = direction
    attrs: dict[tuple[int, bool], dict[str, Any]] = {}
    for table in (rows.STUDY_USER_ATTRS, rows.STUDY_SYSTEM_ATTRS):
        for study_id, key, value in of_study(table, "key", "value_json"):
            place = (study_id, table is rows.STUDY_USER_ATTRS)
            attribute = decode_or(None, value, table.name, f"{key!r} of study {study_id}", object)
            if attribute is not None:
                attrs.setdefault(place, {})[key] = clean_value(attribute)
    return [
        FrozenStudy(
            study_name=clean(name),
            direction=None,
            directions=[direction for _, direction in sorted(directions.get(study_id, {}).items())],
            user_attrs=attrs.get((study_id, True), {}),
            system_attrs=attrs.get((study_id, False), {}),
            study_id=study_id,
        )
        for study_id, name in sorted(names)
    ]
