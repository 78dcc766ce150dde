"""The artifacts of a trial: made when they are asked for, from what the database holds.

An artifact's id is made of the study's id, the trial's and a letter, so nothing else can be named:
no file is ever opened, and no worker writes anything for it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NoReturn

from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import FrozenTrial

from hpsearch.dashboard.study_view import StudyView, StudyViews
from hpsearch.errors import UserError
from hpsearch.results import trial_attributes
from hpsearch.results.confirmation.stored import is_confirmation
from hpsearch.results.opening import study_of
from hpsearch.results.overfitting import overfits_from
from hpsearch.results.records import StudyRecord, TrialRecord, read_study
from hpsearch.search import queries, studies
from hpsearch.search.storage import Database

#: What the dashboard's routes let pass: hexadecimal numbers, no sign that leads elsewhere.
_ID = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,16})-([abc])")

#: Rendered artifacts of ended trials that are kept.
_KEPT = 64


@dataclass(frozen=True)
class Kind:
    """A kind of artifact."""

    letter: str
    title: str
    filename: str
    mimetype: str


CURVES = Kind("a", "Learning curves", "learning-curves.svg", "image/svg+xml")
CONFUSION = Kind("b", "Confusion matrix", "confusion-matrix.svg", "image/svg+xml")
CONFIG = Kind("c", "Frozen config", "config.yaml", "text/plain")
_KINDS = {kind.letter: kind for kind in (CURVES, CONFUSION, CONFIG)}


def kinds_of(view: StudyView, trial: FrozenTrial, large: frozenset[str]) -> list[Kind]:
    """Return what there is of a trial; ``large`` names its large attributes."""
    if trial._trial_id not in view.by_trial or not trial.intermediate_values:
        return []
    kinds = [CURVES]
    if "val_confusion" in large:
        kinds.append(CONFUSION)
    # A plug-in would be run here, in the process that others talk to.
    study = view.record.study
    if not study.document.get("plugins") and not is_confirmation(study):
        kinds.append(CONFIG)
    return kinds


def artifact_id(study_id: int, trial_id: int, kind: Kind) -> str:
    """Return the id of a trial's artifact."""
    return f"{study_id:x}-{trial_id:x}-{kind.letter}"


def address(study_id: int, trial_id: int, kind: Kind) -> str:
    """Return the path under which the dashboard serves it."""
    return f"/artifacts/{study_id}/{trial_id}/{artifact_id(study_id, trial_id, kind)}"


def described(study_id: int, trial_id: int, kinds: Sequence[Kind]) -> list[dict[str, Any]]:
    """Return what optuna-dashboard must know of each."""
    return [
        {
            "artifact_id": artifact_id(study_id, trial_id, kind),
            "filename": kind.filename,
            "mimetype": kind.mimetype,
            "encoding": None,
        }
        for kind in kinds
    ]


def as_system_attrs(described: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return them in the form in which optuna-dashboard looks for them."""
    return {f"artifacts:{each['artifact_id']}": json.dumps(each) for each in described}


class Artifacts:
    """An artifact store (``optuna.artifacts``) that only reads."""

    def __init__(self, database: Database, views: StudyViews) -> None:
        self._database = database
        self._views = views
        self._loading = Lock()
        # Of a trial that has ended nothing changes any more, apart from whether it is confirmed,
        # unless more budget lets it go on: so its epochs are part of what is asked for.
        self._kept = lru_cache(maxsize=_KEPT)(self._render)

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Return the artifact's bytes. Raises ``ArtifactNotFound`` where there is no such one."""
        found = _ID.fullmatch(artifact_id)
        if found is None:
            raise ArtifactNotFound("an artifact is named by its study, its trial and its kind")
        study_id, trial_id = int(found[1], 16), int(found[2], 16)
        record, trial = self._find(study_id, trial_id)
        kind = _KINDS[found[3]]
        if kind is CONFIG:
            return io.BytesIO(self._config(record, trial))
        drawn = self._kept if trial.state.is_finished else self._render
        study = record.study
        return io.BytesIO(drawn(study.name, study.run_key, trial.ticket, trial.epochs_done, kind))

    def write(self, artifact_id: str, content_body: BinaryIO) -> NoReturn:
        """Refuse: the dashboard only reads."""
        raise PermissionError("the dashboard is read-only")

    def remove(self, artifact_id: str) -> NoReturn:
        """Refuse: the dashboard only reads."""
        raise PermissionError("the dashboard is read-only")

    def _find(self, study_id: int, trial_id: int) -> tuple[StudyRecord, TrialRecord]:
        for stored in studies.everything(self._database):
            if stored.study_id == study_id:
                record = read_study(self._database, stored.name)
                for trial in record.trials:
                    if trial.trial_id == trial_id:
                        return record, trial
        raise ArtifactNotFound("no such trial")

    def _render(
        self, study: str, _run_key: str, ticket: int, _epochs_done: int, kind: Kind
    ) -> bytes:
        from hpsearch.results import trial_pictures as pictures

        record = read_study(self._database, study)
        trial = next(each for each in record.trials if each.ticket == ticket)
        title = f"{study}, trial {trial.number}"
        if kind is CURVES:
            curve = queries.curve(self._database, record.study.study_id, ticket)
            if not curve:
                raise ArtifactNotFound("no epoch yet")
            metric = record.objective.metric
            return pictures.learning_curves(
                curve, metric, title=title, overfits_from=overfits_from(curve)
            )
        noted = trial_attributes.read(self._database, trial.trial_id or -1)
        if "val_confusion" not in noted:
            raise ArtifactNotFound("no confusion matrix was recorded")
        return pictures.confusion_matrix(
            noted["val_confusion"],
            noted.get("class_names", []),
            title=f"{title}: validation images of epoch {trial.epochs_done}",
        )

    def _config(self, record: StudyRecord, trial: TrialRecord) -> bytes:
        from hpsearch.results.export.choice import choose

        view = self._views.of(record.study.name)
        confirmed = view.is_confirmed and trial.number in view.best
        number = None if confirmed else trial.number
        try:
            with self._loading:
                chosen = choose(self._database, record, study_of, number=number)
                return chosen.frozen.text(Path.cwd()).encode()
        except UserError:
            # Why may name folders of this host, which are no reader's business.
            return (
                "# It can't be written by the dashboard. Where the study was searched, run:\n"
                f"# hpsearch export --study {record.study.name} --trial {trial.number}\n"
            ).encode()
