"""A study's page data, ``GET /api/studies/N``: the only answer whose size grows with the study.

optuna-dashboard builds it at every request, from every trial. Here the text of an ended trial is
cached, the head is optuna-dashboard's own, and the whole answer is cached until something changes.
The best trial is the confirmed winner, if there is one, and notes and artifacts are included.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import sqlalchemy as sa
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from hpsearch.dashboard.artifacts import CONFIG, address, descriptions, kinds_of
from hpsearch.dashboard.gc_pause import gc_paused
from hpsearch.dashboard.notes import trial_note
from hpsearch.dashboard.storage import DashboardStorage
from hpsearch.dashboard.study_view import StudyView
from hpsearch.dashboard.thresholds import Thresholds
from hpsearch.dashboard.trial_json import TrialWriter, with_note
from hpsearch.dashboard.trials import Snapshot
from hpsearch.results.overfitting import overfits_from
from hpsearch.search.database.tables import epochs

#: Most trials whose curves are selected by ticket; for more, those of the whole study are read.
_FEW = 500


@dataclass(frozen=True)
class StudyPayload:
    """The answer in parts, as JSON text."""

    #: The JSON object without trials and without its closing brace.
    head: str
    #: By number.
    trials: Sequence[str]
    best: Sequence[str]
    #: Changes if the study changes.
    tag: str

    def body(self, after: int) -> bytes:
        """Return the answer, without the first ``after`` trials."""
        trials, best = ", ".join(self.trials[after:]), ", ".join(self.best)
        return f'{self.head}, "trials": [{trials}], "best_trials": [{best}]}}'.encode()


class StudyPayloads:
    """Answers for one study of hpsearch. It is thread-safe."""

    def __init__(self, storage: DashboardStorage, study_id: int) -> None:
        self._storage = storage
        self._study_id = study_id
        self._lock = Lock()
        self._writer = TrialWriter(study_id)
        #: Trial id -> an ended trial and its text.
        self._texts: dict[int, tuple[FrozenTrial, str]] = {}
        #: Ticket -> first epoch of overfitting, for ended trials; ``None`` if there is none.
        self._overfits: dict[int, int | None] = {}
        self._identity = ""
        self._answer: StudyPayload | None = None

    def payload(self, view: StudyView) -> StudyPayload | None:
        """Return the study's current data, or ``None`` if the study was deleted."""
        with self._lock, gc_paused():
            identity = view.record.study.run_key
            if identity != self._identity:  # a new study with the id of a deleted one
                self._identity, self._answer = identity, None
                self._texts, self._overfits = {}, {}
            snapshot = self._storage.snapshot(self._study_id)
            tag = f"{identity}-{snapshot.version}-{view.revision}"
            if self._answer is None or self._answer.tag != tag:
                study = self._storage.study(self._study_id)
                if study is None:
                    return None
                self._answer = self._build(study, snapshot, view, tag)
            return self._answer

    def _build(
        self, study: FrozenStudy, snapshot: Snapshot, view: StudyView, tag: str
    ) -> StudyPayload:
        self._look_for_overfitting(view)
        thresholds = Thresholds(view.record, snapshot.trials)
        texts = {
            trial.number: self._text(trial, snapshot, view, thresholds) for trial in snapshot.trials
        }
        return StudyPayload(
            head=_head(study, snapshot.trials),
            trials=list(texts.values()),
            best=[texts[number] for number in view.best if number in texts],
            tag=tag,
        )

    def _text(
        self,
        trial: FrozenTrial,
        snapshot: Snapshot,
        view: StudyView,
        thresholds: Thresholds,
    ) -> str:
        trial_id = trial._trial_id
        kinds = kinds_of(view, trial, snapshot.large.get(trial_id, frozenset()))
        previous = self._texts.get(trial_id)
        if previous is not None and previous[0] is trial:
            text = previous[1]
        else:
            text = self._writer.write(trial, descriptions(self._study_id, trial_id, kinds))
            if trial.state.is_finished() and trial_id in view.by_trial:
                self._texts[trial_id] = trial, text
        pictures = [
            (kind.title, address(self._study_id, trial_id, kind))
            for kind in kinds
            if kind is not CONFIG
        ]
        record = view.by_trial.get(trial_id)
        overfits = None if record is None else self._overfits.get(record.ticket)
        return with_note(text, trial_note(view, trial, thresholds, pictures, overfits))

    def _look_for_overfitting(self, view: StudyView) -> None:
        tickets = {trial.ticket for trial in view.record.trials if trial.state.is_finished}
        new = tickets - self._overfits.keys()
        if not new:
            return
        query = sa.select(
            epochs.c.ticket, epochs.c.epoch, epochs.c.train_loss, epochs.c.val_loss
        ).where(epochs.c.study_id == self._study_id)
        if len(new) <= _FEW:
            query = query.where(epochs.c.ticket.in_(new))
        query = query.order_by(epochs.c.ticket, epochs.c.epoch)
        curves: dict[int, list[_Losses]] = {}
        for ticket, epoch, *losses in self._storage.database.read(
            lambda connection: connection.execute(query).all()
        ):
            numbers = (math.nan if loss is None else loss for loss in losses)
            curves.setdefault(ticket, []).append(_Losses(epoch, *numbers))
        self._overfits.update((ticket, overfits_from(curves.get(ticket, []))) for ticket in new)


class _Losses(NamedTuple):
    epoch: int
    train_loss: float
    val_loss: float


def _head(study: FrozenStudy, trials: Sequence[FrozenTrial]) -> str:
    """Return optuna-dashboard's own data of the study, without its trials."""
    from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
    from optuna_dashboard._inmemory_cache import InMemoryCache, get_cached_extra_study_property
    from optuna_dashboard._serializer import serialize_study_detail

    like = list(_representatives(trials))
    common = get_cached_extra_study_property(InMemoryCache(), study._study_id, like)
    plots = get_plotly_graph_objects(study.system_attrs)
    payload = serialize_study_detail(study, [], [], *common, plots, [])
    return json.dumps(
        {key: payload[key] for key in payload if key not in ("trials", "best_trials")}
    )[:-1]


def _representatives(trials: Iterable[FrozenTrial]) -> Iterable[FrozenTrial]:
    """Yield one trial of each kind, from which optuna-dashboard derives common keys and values."""
    kinds = set()
    for trial in trials:
        kind = (
            trial.state is TrialState.FAIL,
            bool(trial.intermediate_values),
            tuple((name, id(distribution)) for name, distribution in trial.distributions.items()),
            tuple((key, type(value)) for key, value in trial.user_attrs.items()),
        )
        if kind not in kinds:
            kinds.add(kind)
            yield trial
