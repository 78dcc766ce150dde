"""One study in Python: its trials, curves, best and figures, and launching it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hpsearch.errors import HpsearchError, NothingStored, UnknownName, UserError
from hpsearch.notebook import frames, html
from hpsearch.notebook.best import Best, best_of
from hpsearch.notebook.overview import overview
from hpsearch.results.opening import database_for_reading, name_in_file, stored_name
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.results.status import status_of
from hpsearch.search.storage import Database

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from hpsearch.workers.launch.supervisor import LaunchResult

T = TypeVar("T")


class Study:
    """A study as a notebook uses it. Every property reads the database anew.

    Made by ``open_study``. Errors are hpsearch's own (``hpsearch.errors``): their message says what
    to do.
    """

    def __init__(
        self,
        study: str,
        storage: str,
        *,
        name: str | None,
        overrides: Sequence[str],
        runs: Path,
        data: Path | None,
    ) -> None:
        self._study = study
        self._storage = storage
        self._given_name = name
        self._overrides = tuple(overrides)
        self._runs = runs
        self._data = data

    def __repr__(self) -> str:
        """Say which study it is, and how far."""
        try:
            record = self._read(lambda _, record: record)
        except HpsearchError:
            return f"<Study {self._study}: not launched yet>"
        done, of = record.counts.finished, record.study.trial_budget
        return f"<Study {record.study.name}: {done} of {of} trials finished>"

    @property
    def name(self) -> str:
        """What the study is called in its database, or will be."""
        return self._given_name or self._stored_name() or name_in_file(self._study) or self._study

    @property
    def is_stored(self) -> bool:
        """Whether it was launched into the database."""
        return self._stored_name() is not None

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial, by its number.

        State, value (the objective by the study's rule), epochs, every searched parameter under
        its path, seconds, and what was noted. A trial that was declared invalid is among them, its
        state says so.
        """
        return self._read(frames.trials)

    @property
    def curves(self) -> pd.DataFrame:
        """One row per trial and epoch: losses (means over images), shares 0 to 1, seconds."""
        return self._read(frames.curves)

    @property
    def best(self) -> Best | None:
        """The confirmed winner, or the best seen so far: it says which. ``None`` before either."""
        return self._read(best_of)

    @property
    def status(self) -> dict[str, Any]:
        """What ``hpsearch status --json`` prints: counts, budget, epochs, the best."""
        return self._read(status_of)

    @property
    def warnings(self) -> Sequence[str]:
        """What must be known wherever trials are compared: changed images, damaged rows."""
        return self._read(lambda _, record: record.warnings)

    @property
    def figures(self) -> Mapping[str, go.Figure]:
        """The charts of ``hpsearch report`` as plotly figures, by name; each is drawn when asked.

        ``study.figures["history-epochs"]``; ``list(study.figures)`` names those that there are.
        """
        from hpsearch.notebook.figures import Figures

        return self._read(lambda database, record: Figures.of(database, record, self._data))

    def launch(
        self,
        workers: int | None = 1,
        *,
        trials: int | None = None,
        epochs: int | None = None,
        timeout: float | None = None,
        devices: str = "auto",
        workers_per_gpu: int | None = None,
        lease_seconds: float = 30.0,
        checkpoint_seconds: float = 30.0,
        progress: bool = True,
    ) -> LaunchResult:
        """Search with local worker processes until the budget is met; returns how it ended.

        An interrupt (the notebook's stop button, Ctrl-C) checkpoints and pauses: calling it again
        goes on at the same epochs. A finished study gets no further trial unless ``trials`` asks.

        Args:
            workers: Worker processes; ``None``: one per core, on a GPU as many as get most done.
            trials: So many trials in all, instead of the file's.
            epochs: Epochs of an unpruned trial, instead of the file's.
            timeout: Seconds; trials under way are paused then.
            devices: ``auto``, ``cpu``, ``mps``, or a list: ``cuda:0,cuda:1``.
            workers_per_gpu: At most so many on one GPU.
            lease_seconds: A worker silent for so long is taken for dead.
            checkpoint_seconds: Least time between two checkpoints of a trial.
            progress: Show what happens.

        Raises:
            UserError: the file, an option, the data or the database isn't right; the message
                says what is wrong. Also where this isn't the main thread.
        """
        from hpsearch.notebook import launching
        from hpsearch.workers.launch.launching import RunSettings

        changes = [*self._overrides]
        changes += [] if trials is None else [f"budget.trials={trials}"]
        changes += [] if epochs is None else [f"budget.epochs_per_trial={epochs}"]
        settings = RunSettings(
            storage=self._storage,
            runs=self._runs,
            data=self._data,
            workers=workers,
            devices=devices,
            workers_per_gpu=workers_per_gpu,
            timeout=timeout,
            lease_seconds=lease_seconds,
            checkpoint_seconds=checkpoint_seconds,
        )
        return launching.launch(self._study, changes, self._given_name, settings, progress=progress)

    def confirm(
        self,
        workers: int | None = 1,
        *,
        top: int | None = None,
        seeds: int | None = None,
        again: bool = False,
        timeout: float | None = None,
        devices: str = "auto",
        progress: bool = True,
    ) -> Best | None:
        """Train the best trials again with fresh seeds; returns ``best``.

        ``top``, ``seeds`` and ``again`` are those of ``hpsearch confirm``. Raises ``UserError`` as
        that command.
        """
        from hpsearch.notebook import launching
        from hpsearch.workers.confirming.confirmation import ConfirmRequest
        from hpsearch.workers.launch.launching import RunSettings

        settings = RunSettings(
            storage=self._storage,
            runs=self._runs,
            data=self._data,
            workers=workers,
            devices=devices,
            timeout=timeout,
        )
        request = ConfirmRequest(top=top, seeds=seeds, again=again)
        launching.confirm(self._require_name(), request, settings, progress=progress)
        return self.best

    def invalidate(self, trial: int, reason: str, *, again: bool = False) -> None:
        """Declare an ended trial invalid: it counts for nothing any more, and its row stays.

        With ``again`` the budget gets one more trial. Raises ``UserError`` where the trial has no
        number, or ``UnknownName`` where there is none of that number.
        """
        from hpsearch.results.confirmation.stored import is_confirmation
        from hpsearch.search import validity

        def declare(database: Database, record: StudyRecord) -> None:
            if is_confirmation(record.study):
                raise UserError("a confirmation's trainings can't be taken out one by one")
            ticket = record.trial(trial).ticket
            validity.invalidate(database, record.study.study_id, ticket, reason, again=again)

        self._read(declare)

    def report(self, path: str | Path, *, figures: bool = True) -> Path:
        """Write the report of ``hpsearch report`` into the folder ``path``; returns its page."""
        from hpsearch.results.report.assemble import read_report
        from hpsearch.results.report.writing import write_report

        content = self._read(
            lambda database, record: read_report(database, [record.study.name], data=self._data)
        )
        return write_report(content, Path(path), figures=figures).page

    def _repr_html_(self) -> str:
        try:
            return self._read(overview)
        except (NothingStored, UnknownName):
            return html.page(
                html.title(self.name), html.line("not launched yet: .launch() begins", "soft")
            )
        except HpsearchError as error:
            return html.page(html.title(self._study), html.line(str(error), "bad"))

    def _read(self, look: Callable[[Database, StudyRecord], T]) -> T:
        with database_for_reading(self._storage) as database:
            return look(database, read_study(database, self._name_in(database)))

    def _name_in(self, database: Database) -> str:
        return self._given_name or stored_name(database, self._study)

    def _stored_name(self) -> str | None:
        from hpsearch.search import studies

        try:
            with database_for_reading(self._storage) as database:
                name = self._name_in(database)
                return None if studies.find_or_none(database, name) is None else name
        except NothingStored:
            return None

    def _require_name(self) -> str:
        return self._read(lambda _, record: record.study.name)
