"""Launches of small studies on one device, in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.configs import gray
from benchmarks.gpu.settings import Settings
from hpsearch import component_registries
from hpsearch.results.records import StudyRecord, read_study
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.studies import StoredStudy
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.launch.autoscale import Autoscaler
from hpsearch.workers.launch.progress import Progress
from hpsearch.workers.launch.supervisor import LaunchResult, Supervisor
from hpsearch.workers.run_config import RunConfig, WorkerOptions


@dataclass(frozen=True)
class Launched:
    """A stored study, and the workers on one device that run it."""

    database: Database
    study: StudyFile
    stored: StoredStudy
    folder: Path

    def run(
        self,
        device: str,
        workers: int,
        look: Callable[[Progress], None],
        *,
        seconds: float,
        packing: Autoscaler | None = None,
    ) -> LaunchResult:
        """Run so many workers, or as many as ``packing`` chooses, until ``seconds`` are over."""
        options = WorkerOptions(
            run=RunConfig(
                storage=self.database.url.render_as_string(hide_password=False),
                runs=self.folder / "runs",
                checkpoint_seconds=1e6,
            ),
            study_name=self.stored.name,
            device=device,
            threads=1,
        )
        supervisor = Supervisor(
            self.database,
            self.stored,
            self.study,
            devices=[device] * (1 if packing else workers),
            options=options,
            autoscaler=packing,
        )
        return supervisor.run(look, timeout=seconds)

    def record(self) -> StudyRecord:
        """Return the study as reports read it."""
        return read_study(self.database, self.stored.name)


@contextmanager
def stored(text: str, files: Mapping[str, str] | None = None) -> Iterator[Launched]:
    """Store a study in a new SQLite file, with ``files`` beside it, and remove all at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        file = folder / "study.yaml"
        file.write_text(text)
        for name, content in (files or {}).items():
            (folder / name).write_text(content)
        with closing(Database(f"sqlite:///{folder / 'hpsearch.db'}")) as database:
            ensure_tables(database)
            study = load_study(file, component_registries.registries)
            yield Launched(database, study, studies.attach(database, study), folder)


def source(settings: Settings) -> str:
    """Return the data section of a study file."""
    config = gray(settings)
    size = "" if config.input_size is None else f", input_size: {config.input_size}"
    limit = "" if config.limit is None else f", limit: {config.limit}"
    return f"{{source: {config.source.name}{size}{limit}}}"
