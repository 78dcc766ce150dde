"""Checkpoints of one study on disk: ``<runs>/<study>/<run key>/trial-0007/``.

A name contains epoch and attempt, so a stopped worker that wakes up can't overwrite its successor's
file. The file is safe on disk before the ledger names it. Files that can't be resumed any more are
removed, except the best trial's weights.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hpsearch.durable_files import remove_unfinished
from hpsearch.errors import CheckpointError
from hpsearch.search.ledger.types import CheckpointRef
from hpsearch.training import checkpoint

#: Checkpoints of an unfinished trial that are kept: the newest, and one more if that is damaged.
KEPT_CHECKPOINTS = 2

BEST_WEIGHTS = "best.pt"
CHECKPOINTS = "epoch-*.pt"

#: The part of a key after the study's folder; no character in it leads to another folder.
_FILE = r"/trial-\d+/epoch-[\w.-]+\.pt"


class RunFolder:
    """The files of one stored study below the runs root."""

    def __init__(self, runs: Path, study: str, run_key: str) -> None:
        self._runs = runs
        self.path = runs / study / run_key

    def trial(self, number: int) -> Path:
        """Return a trial's folder (by Optuna's number)."""
        return self.path / f"trial-{number:04d}"

    def save(
        self, number: int, attempt: int, epoch: int, state: Mapping[str, Any], *, part: str = ""
    ) -> CheckpointRef:
        """Write a checkpoint durably.

        Args:
            number: Optuna's number of the trial.
            attempt: The number of the attempt.
            epoch: The number of finished epochs.
            state: What the checkpoint contains.
            part: A suffix of the name if the checkpoint was taken within an epoch.

        Returns:
            The reference that the ledger stores.
        """
        name = f"epoch-{epoch:04d}{part}.attempt-{attempt}.pt"
        path = self.trial(number) / name
        sha256 = checkpoint.save(path, state)
        key = path.relative_to(self._runs).as_posix()
        return CheckpointRef(key=key, sha256=sha256, epoch=epoch)

    def newest_usable(
        self, references: Sequence[CheckpointRef]
    ) -> tuple[CheckpointRef, dict[str, Any]] | None:
        """Load the first of ``references`` (newest first) that is here and undamaged."""
        for reference in references:
            try:
                state = checkpoint.load(self.file_of(reference), reference.sha256)
            except CheckpointError:
                continue
            return reference, state
        return None

    def file_of(self, reference: CheckpointRef) -> Path:
        """Return the file that a key names.

        A key comes from the database, and the database must not decide which file is opened.

        Raises:
            CheckpointError: The key names no checkpoint of this study, or a symbolic link.
        """
        path = self._runs / reference.key
        own = re.escape(self.path.relative_to(self._runs).as_posix()) + _FILE
        if re.fullmatch(own, reference.key) is None or path.is_symlink():
            raise CheckpointError(
                f"a checkpoint must be a file of its trial below {self.path}, but the database "
                f"names {reference.key!r}"
            )
        return path

    def prune_checkpoints(self, number: int, keep: Sequence[CheckpointRef]) -> None:
        """Remove a trial's checkpoints, all but those in ``keep``."""
        names = {Path(reference.key).name for reference in keep}
        for path in _files(self.trial(number)):
            if fnmatch(path.name, CHECKPOINTS) and path.name not in names:
                _remove(path)

    def save_best(self, number: int, weights: Mapping[str, Any]) -> Path:
        """Write a finished trial's best weights."""
        path = self.trial(number) / BEST_WEIGHTS
        checkpoint.save(path, weights)
        return path

    def load_best(self, number: int) -> dict[str, Any]:
        """Return what ``save_best`` wrote.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        return checkpoint.load(self.trial(number) / BEST_WEIGHTS)

    def clean_up(self, ended: Collection[int], *, winners: Collection[int]) -> None:
        """Remove every file of the trials in ``ended``, except the winners' best weights.

        A trial that isn't in ``ended`` keeps all files: it may have written its best weights and
        not reported its end yet.
        """
        for folder in _files(self.path):
            number = folder.name.removeprefix("trial-")
            if number.isdecimal() and int(number) in ended:
                self._clear(int(number), keep_best=int(number) in winners)

    def _clear(self, number: int, *, keep_best: bool) -> None:
        folder = self.trial(number)
        self.prune_checkpoints(number, [])
        remove_unfinished(folder)
        if not keep_best:
            _remove(folder / BEST_WEIGHTS)
        # Fails if the folder isn't empty, or if another worker has removed it.
        with suppress(OSError):
            folder.rmdir()


def _files(folder: Path) -> list[Path]:
    """Return what is in ``folder``; nothing if it was just removed or can't be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _remove(path: Path) -> None:
    """Remove a file that isn't needed. If that fails, it stays, and no work is lost."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
