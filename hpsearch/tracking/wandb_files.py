"""Offline runs of one trial: a folder per attempt, and a JSON file with those that were closed.

wandb buffers what it writes, some ten kilobytes at a time, so the folder of a killed worker may
contain any part of its epochs. The ledger has all of them: such a folder is removed, and the epochs
are written again.
"""

from __future__ import annotations

import json
import shutil
import time
from datetime import datetime
from pathlib import Path

from hpsearch.durable_files import write_file


class OfflineRun:
    """The offline folders of the run ``run_id`` below ``folder``."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self._folder = folder / "wandb"
        self._run_id = run_id
        self._note = self._folder / f"{run_id}.json"
        #: The last epoch in the closed folders.
        self.epoch = 0
        self._closed: list[str] = []

    def prepare(self) -> None:
        """Remove folders that weren't closed, and wait until wandb uses a new folder name."""
        try:
            noted = json.loads(self._note.read_text())
            self.epoch, self._closed = int(noted["epoch"]), list(noted["folders"])
        except (OSError, ValueError, KeyError, TypeError):
            self.epoch, self._closed = 0, []
        for path in self._folder.glob(f"offline-run-*-{self._run_id}"):
            if path.name not in self._closed:
                shutil.rmtree(path, ignore_errors=True)
        # The name contains the second; of two attempts in one second the later would be lost
        while (self._folder / _name_now(self._run_id)).exists():
            time.sleep(0.1)

    def note(self, name: str, epoch: int) -> None:
        """Record that the folder ``name`` was closed after ``epoch``."""
        self.epoch, self._closed = max(self.epoch, epoch), [*self._closed, name]
        write_file(self._note, json.dumps({"epoch": self.epoch, "folders": self._closed}))


def _name_now(run_id: str) -> str:
    return f"offline-run-{datetime.now():%Y%m%d_%H%M%S}-{run_id}"
