"""The artifacts of a trial, made from the database on request.

An artifact's id consists of the study's id, the trial's id and a letter, so it can't name a file,
and workers write nothing for it.
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
from hpsearch.results.opening import study_of
from hpsearch.results.overfitting import overfits_from
from hpsearch.results.planned import parent_of
from hpsearch.results.records import StudyRecord, TrialRecord, read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies

#: An artifact's id: hexadecimal numbers and a letter, which the dashboard's routes accept.
_ID = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,16})-([abc])")

#: Most rendered artifacts of ended trials in the cache.
_CACHE_SIZE = 64


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
    """Return the kinds of artifacts that a trial has.

    Args:
        view: The trial's study.
        trial: The trial.
        large: The names of the trial's large attributes (``trials.LARGE``).
    """
    if trial._trial_id not in view.by_trial or not trial.intermediate_values:
        return []
    kinds = [CURVES]
    if "val_confusion" in large:
        kinds.append(CONFUSION)
    # A frozen config would run the study's plug-ins here, in the process that answers requests.
    study = view.record.study
    if not study.document.get("plugins") and parent_of(study) is None:
        kinds.append(CONFIG)
    return kinds


def artifact_id(study_id: int, trial_id: int, kind: Kind) -> str:
    """Return the id of a trial's artifact.

    Args:
        study_id: Optuna's id of the study.
        trial_id: Optuna's id of the trial.
        kind: The kind of artifact.
    """
    return f"{study_id:x}-{trial_id:x}-{kind.letter}"


def address(study_id: int, trial_id: int, kind: Kind) -> str:
    """Return the path under which the dashboard serves an artifact.

    Args:
        study_id: Optuna's id of the study.
        trial_id: Optuna's id of the trial.
        kind: The kind of artifact.
    """
    return f"/artifacts/{study_id}/{trial_id}/{artifact_id(study_id, trial_id, kind)}"


def descriptions(study_id: int, trial_id: int, kinds: Sequence[Kind]) -> list[dict[str, Any]]:
    """Return a description of each artifact for optuna-dashboard.

    Args:
        study_id: Optuna's id of the study.
        trial_id: Optuna's id of the trial.
        kinds: The kinds of artifacts that the trial has.
    """
    return [
        {
            "artifact_id": artifact_id(study_id, trial_id, kind),
            "filename": kind.filename,
            "mimetype": kind.mimetype,
            "encoding": None,
        }
        for kind in kinds
    ]


def as_system_attrs(artifacts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return descriptions as the system attributes in which optuna-dashboard looks for them."""
    return {f"artifacts:{artifact['artifact_id']}": json.dumps(artifact) for artifact in artifacts}


class Artifacts:
    """An artifact store (``optuna.artifacts``) that only reads."""

    def __init__(self, database: Database, views: StudyViews) -> None:
        self._database = database
        self._views = views
        self._loading = Lock()
        # Only for ended trials: their artifacts don't change unless a larger budget continues
        # them, so their epochs are part of the key.
        self._render_once = lru_cache(maxsize=_CACHE_SIZE)(self._render)

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Return the artifact's bytes.

        Raises:
            ArtifactNotFound: The id is malformed, or there is no such trial or artifact.
        """
        match = _ID.fullmatch(artifact_id)
        if match is None:
            raise ArtifactNotFound("an artifact's name must be STUDY-TRIAL-KIND")
        study_id, trial_id = int(match[1], 16), int(match[2], 16)
        record, trial = self._find(study_id, trial_id)
        kind = _KINDS[match[3]]
        if kind is CONFIG:
            return io.BytesIO(self._config(record, trial))
        render = self._render_once if trial.state.is_finished else self._render
        study = record.study
        return io.BytesIO(render(study.name, study.run_key, trial.ticket, trial.epochs_done, kind))

    def write(self, artifact_id: str, content_body: BinaryIO) -> NoReturn:
        """Refuse to write.

        Raises:
            PermissionError: Always; the dashboard is read-only.
        """
        raise PermissionError("the dashboard is read-only")

    def remove(self, artifact_id: str) -> NoReturn:
        """Refuse to remove.

        Raises:
            PermissionError: Always; the dashboard is read-only.
        """
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
        from hpsearch.reporting import trial_pictures as pictures

        record = read_study(self._database, study)
        trial = next(trial for trial in record.trials if trial.ticket == ticket)
        title = f"{study}, trial {trial.number}"
        if kind is CURVES:
            curve = queries.curve(self._database, record.study.study_id, ticket)
            if not curve:
                raise ArtifactNotFound("no epoch yet")
            metric = record.objective.metric
            return pictures.learning_curves(
                curve, metric, title=title, overfits_from=overfits_from(curve)
            )
        attributes = trial_attributes.read(self._database, trial.trial_id or -1)
        if "val_confusion" not in attributes:
            raise ArtifactNotFound("no confusion matrix was recorded")
        return pictures.confusion_matrix(
            attributes["val_confusion"],
            attributes.get("class_names", []),
            title=f"{title}: validation images of epoch {trial.epochs_done}",
        )

    def _config(self, record: StudyRecord, trial: TrialRecord) -> bytes:
        from hpsearch.results.export.choice import choose

        view = self._views.of(record.study.name)
        is_confirmed_winner = view.is_confirmed and trial.number in view.best
        number = None if is_confirmed_winner else trial.number
        try:
            with self._loading:
                choice = choose(self._database, record, study_of, number=number)
                return choice.frozen.text(Path.cwd()).encode()
        except UserError:
            # The error's message may contain paths of this host, which readers must not see.
            return (
                "# The dashboard can't write it. On the host of the search, run:\n# hpsearch "
                f"export --study {record.study.name} --trial {trial.number}\n"
            ).encode()
