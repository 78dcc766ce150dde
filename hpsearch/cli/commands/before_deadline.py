"""What a launch under a deadline does beside its workers: it prepares and measures what follows."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hpsearch.errors import HpsearchError
from hpsearch.results.opening import database_for_reading

if TYPE_CHECKING:
    from hpsearch.study_file.study import StudyFile
    from hpsearch.workers.launch.progress import Progress
    from hpsearch.workers.run_config import RunConfig

logger = logging.getLogger(__name__)

#: Seconds between two readings of the deadline, and the pause after one as a multiple of its
#: length.
_LOOK_SECONDS, _PAUSE = 3.0, 9.0


def _import() -> None:
    for module in ("hpsearch.workers.confirmation", "hpsearch.reporting.writing"):
        importlib.import_module(module)  # they import torch and matplotlib


class BeforeDeadline:
    """Looks at a study's deadline while its search runs.

    After the first epoch it writes the report into a temporary folder, and after the first complete
    trial the bundle, too. That shows how long they take here.

    Args:
        study: The study file.
        config: How its trials are run.
        workers: The workers of this launch.
    """

    def __init__(self, study: StudyFile, config: RunConfig, workers: int) -> None:
        self._study, self._config, self._workers = study, config, workers
        self._look_at = 0.0
        self._sentence: str | None = None
        #: How often report and bundle were written.
        self._measured = 0
        #: Imports what the stages after the search need; ``None`` before it starts.
        self._importing: threading.Thread | None = None

    def look(self, progress: Progress) -> str | None:
        """Return the deadline in a sentence; ``None`` if the study has none."""
        began = time.monotonic()
        if began < self._look_at:
            return self._sentence
        from hpsearch.results.deadline.sentence import deadline_state
        from hpsearch.results.records import read_study

        with database_for_reading(self._config.storage) as database:
            record = read_study(database, self._study.name)
            state = deadline_state(database, record, workers=self._workers)
        self._sentence = None if state is None else state.sentence
        now = time.monotonic()
        self._look_at = now + max(_LOOK_SECONDS, _PAUSE * (now - began))
        if state is not None and state.closed_at is None:
            self._prepare(progress)
        return self._sentence

    def _prepare(self, progress: Progress) -> None:
        """Do now what would cost time when the search has ended."""
        if self._importing is None:
            self._importing = threading.Thread(target=_import, name="imports", daemon=True)
            self._importing.start()
        elif self._importing.is_alive():
            return
        elif progress.counts.epochs_run and not self._measured:
            self._measured = 1
            self._measure(again=False)
        elif progress.counts.complete and self._measured == 1 and not self._study.has_loop:
            self._measured = 2  # only now there is a model for the bundle
            self._measure(again=True)

    def _measure(self, *, again: bool) -> None:
        from hpsearch.cli.commands.after_search import write_results
        from hpsearch.results.deadline.stored import record_stage, stage_seconds
        from hpsearch.search.ledger import studies

        with database_for_reading(self._config.storage) as database:
            study_id = studies.find(database, self._study.name).study_id
            if stage_seconds(database, study_id, "report") is not None and not again:
                return
            began = time.monotonic()
            try:
                with TemporaryDirectory(prefix="hpsearch-") as folder:
                    write_results(self._study, self._config, Path(folder), quiet=True)
            except HpsearchError as error:
                logger.warning("the report couldn't be measured: %s", error)
                return
            record_stage(database, study_id, "report", time.monotonic() - began)
