"""The progress of a training in a folder, so that the next call continues there.

A checkpoint is safe on the disk before ``progress.json`` names it with its checksum, and the old
one is removed last: if the process is killed at any moment, an intact checkpoint is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hpsearch.durable_files import remove_unfinished, write_file
from hpsearch.errors import CheckpointError, UserError
from hpsearch.results.export import bundle
from hpsearch.training import checkpoint
from hpsearch.training.state import fingerprint
from hpsearch.workers.retraining.assignment import Assignment

_PLACE, _FILE, _CHECKPOINTS = ".training", "progress.json", "epoch-*.pt"


def open_folder(folder: Path, assignment: Assignment) -> ProgressFolder:
    """Open the folder that the model of ``assignment`` is trained into.

    Raises:
        UserError: Several models would be trained, the folder contains a model that wasn't trained
            in it or another training, or another process trains into it.
        CheckpointError: The progress file can't be read.
    """
    data = assignment.build_plan.config.data
    if data.rounds > 1:
        raise UserError(
            f"--out keeps one model, but this config trains {data.rounds}, one for each of its "
            f"{'folds' if data.folds else 'splits'}, to measure its metrics; add --on all to train "
            "one model on every image, or leave --out out to see the metrics"
        )
    place = folder / _PLACE
    if not place.is_dir() and any(path.exists() for path in bundle.files_of(folder)):
        raise UserError(
            f"a training must not replace a model by accident, but {folder} contains one that "
            "wasn't trained there; choose another --out"
        )
    plan = assignment.build_plan.plan
    parts = (
        fingerprint(assignment.build_plan.config),
        plan.data_hash,
        plan.split_hash,
        assignment.epochs,
    )
    identity = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return ProgressFolder(place, identity)


@dataclass
class ProgressFolder:
    """The checkpoints of one training. ``identity`` is a hash of what is trained."""

    path: Path
    identity: str
    #: The error of a damaged checkpoint, after which training begins again.
    damaged: str | None = None
    _lock: FileLock = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(
                f"one process at a time may train into a folder, but another one trains into "
                f"{self.path.parent}; wait for it, or choose another --out"
            ) from error
        self._content = self._read()

    def close(self) -> None:
        """Release the folder for other processes."""
        self._lock.release()

    @property
    def history(self) -> list[dict[str, float]] | None:
        """The metrics of every epoch of a training that has ended here.

        ``None`` before its end, and if its model was removed: then it is trained again.
        """
        if not (self.path.parent / bundle.WEIGHTS).is_file():
            return None
        history: list[dict[str, float]] | None = self._content.get("history")
        return history

    def load(self) -> dict[str, Any] | None:
        """Return the last checkpoint; ``None`` if there is none that can be resumed."""
        if "checkpoint" not in self._content:
            return None
        path = self.path / Path(self._content["checkpoint"]).name
        try:
            return checkpoint.load(path, self._content["sha256"])
        except CheckpointError as error:
            self.damaged = str(error)
            return None

    def save(self, epoch: int, content: Mapping[str, Any], part: str = "") -> None:
        """Write a checkpoint durably, and remove the earlier ones.

        Args:
            epoch: The number of finished epochs.
            content: What the checkpoint contains.
            part: A suffix of the file name if the checkpoint was taken within an epoch.
        """
        path = self.path / f"epoch-{epoch:04d}{part}.pt"
        sha256 = checkpoint.save(path, content)
        self._write({"checkpoint": path.name, "sha256": sha256, "epoch": epoch})
        self._remove(keep=path.name)

    def finish(self, history: list[dict[str, float]]) -> None:
        """Record the end of the training and its metrics, and remove the checkpoints."""
        self._write({"history": history})
        self._remove(keep=None)

    def _read(self) -> dict[str, Any]:
        remove_unfinished(self.path)
        try:
            content = json.loads((self.path / _FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path / _FILE} can't be read: {error}") from error
        if content.get("identity") != self.identity:
            raise UserError(
                "a training continues only with the config, images and seed that it started with, "
                f"but {self.path.parent} contains another training; choose another --out, or "
                "remove it"
            )
        return dict(content)

    def _write(self, progress: dict[str, Any]) -> None:
        self._content = {"identity": self.identity, **progress}
        write_file(self.path / _FILE, json.dumps(self._content))

    def _remove(self, keep: str | None) -> None:
        for path in self.path.glob(_CHECKPOINTS):
            if path.name != keep:
                path.unlink(missing_ok=True)
