"""A shell whose processes are watched, and a password that any leak would show."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from hpsearch.component_registries import registries
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies
from hpsearch.study_file.loading import load_study
from support.commands import Ran
from support.watching import Watch

#: However it is encoded, or cut at one of its signs, this part of it stays readable.
MARK = "Zq7hush"
PASSWORD = MARK + "{0}%41@" + MARK + "/:?#&" + MARK

#: Two trials of a second.
STUDY = """\
study: secretive
budget: {trials: 2, epochs_per_trial: 1}
sampler: random
pruner: none
data: {source: digits, limit: 200}
model: {mlp: {hidden: [16]}}
optimizer: {sgd: {lr: {min: 0.01, max: 0.1}}}
"""


@dataclass
class WatchedShell:
    """Runs ``hpsearch ARGUMENTS`` in ``folder``; everything that was said is kept in ``told``."""

    folder: Path
    data: Path
    watch: Watch
    told: list[str] = field(default_factory=list)

    def environment(self, **extra: str) -> dict[str, str]:
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("HPSEARCH", "PG"))
        }
        data = {"HPSEARCH_DATA": str(self.data)}
        return {**clean, **data, **self.watch.environment, **extra}

    def run(self, *arguments: str, **environment: str) -> Ran:
        ran = subprocess.run(
            [sys.executable, "-m", "hpsearch", *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        self.told.append(ran.stdout + ran.stderr)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def store(self, storage: str) -> None:
        """Store the study, as ``hpsearch launch --workers 0`` does, in this process."""
        with closing(Database(storage)) as database:
            ensure_tables(database)
            studies.attach(database, load_study(self.folder / "secretive.yaml", registries))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hpsearch", *arguments],
            cwd=self.folder,
            env=self.environment(PYTHONUNBUFFERED="1", **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
