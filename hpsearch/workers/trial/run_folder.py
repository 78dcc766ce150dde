"""Checkpoints of one study: ``<runs>/<study>/<run key>/trial-0007/``, in a folder or in a bucket.

A name contains epoch and attempt, so a stopped worker that wakes up can't overwrite its successor's
file. The file is safe on disk, or uploaded, before the ledger names it, and it is removed after the
ledger names another. So what the ledger names is never missing. Files that can't be resumed any
more are removed, except the best trial's weights.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hpsearch.errors import CheckpointError, RunsUnreachable
from hpsearch.search.ledger.types import CheckpointRef
from hpsearch.workers.runs_place.place import Runs, is_shared, local_folder
from hpsearch.workers.runs_place.study_files import files_of

#: Checkpoints of an unfinished trial that are kept: the newest, and one more if that is damaged.
KEPT_CHECKPOINTS = 2

BEST_WEIGHTS = "best.pt"
CHECKPOINTS = "epoch-*.pt"

#: The part of a key after the study's folder; no character in it leads to another folder.
_FILE = re.compile(r"trial-\d+/epoch-[\w.-]+\.pt")


class RunFolder:
    """The files of one stored study in the runs place.

    Args:
        runs: The runs place.
        study: The study's name.
        run_key: The study's key, which tells apart studies of one name.
    """

    def __init__(self, runs: Runs, study: str, run_key: str) -> None:
        self._prefix = f"{study}/{run_key}/"
        #: On this host: all files if the place is a folder, otherwise only those of trackers.
        self.path = local_folder(runs) / study / run_key
        self.files = files_of(runs, study, run_key)
        #: Whether all hosts see the same files; of a folder it isn't known.
        self.is_shared = is_shared(runs)
        #: Checkpoints in a row that this worker couldn't upload.
        self.failed_uploads = 0

    def trial(self, number: int) -> Path:
        """Return a trial's folder on this host (by Optuna's number)."""
        return self.path / trial_folder(number)

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

        Raises:
            OSError: It can't be written now.
        """
        name = f"{trial_folder(number)}/epoch-{epoch:04d}{part}.attempt-{attempt}.pt"
        try:
            sha256 = self.files.save(name, state)
        except RunsUnreachable:
            self.failed_uploads += 1
            raise
        self.failed_uploads = 0
        return CheckpointRef(key=self._prefix + name, sha256=sha256, epoch=epoch)

    def newest_usable(
        self, references: Sequence[CheckpointRef]
    ) -> tuple[CheckpointRef, dict[str, Any]] | None:
        """Load the first of ``references`` (newest first) that is here and undamaged.

        Raises:
            RunsUnreachable: The object store can't be reached, so that nothing is known of them.
        """
        for reference in references:
            try:
                state = self.files.load(self.name_of(reference), reference.sha256)
            except CheckpointError:
                continue
            return reference, state
        return None

    def name_of(self, reference: CheckpointRef) -> str:
        """Return the name of the file that a key names.

        A key comes from the database, and the database must not decide which file is opened.

        Raises:
            CheckpointError: The key names no checkpoint of this study, or a symbolic link.
        """
        name = reference.key.removeprefix(self._prefix)
        is_ours = reference.key.startswith(self._prefix) and _FILE.fullmatch(name) is not None
        if not is_ours or (not self.is_shared and (self.path / name).is_symlink()):
            raise CheckpointError(
                f"a checkpoint must be a file of its trial below {self.files.where()}, but the "
                f"database names {reference.key!r}"
            )
        return name

    def prune_checkpoints(self, number: int, keep: Sequence[CheckpointRef]) -> None:
        """Remove a trial's checkpoints, all but those in ``keep``.

        If the object store can't be reached, they stay until the next call.
        """
        names = {Path(reference.key).name for reference in keep}
        with suppress(RunsUnreachable):
            for name in self.files.names(trial_folder(number)):
                if fnmatch(name, CHECKPOINTS) and name not in names:
                    self._remove(f"{trial_folder(number)}/{name}")

    def save_best(self, number: int, weights: Mapping[str, Any]) -> Path:
        """Write a finished trial's best weights."""
        self.files.save(best_weights(number), weights)
        return self.trial(number) / BEST_WEIGHTS

    def load_best(self, number: int) -> dict[str, Any]:
        """Return what ``save_best`` wrote.

        Raises:
            CheckpointError: The file is missing or damaged.
            RunsUnreachable: The object store can't be reached.
        """
        return self.files.load(best_weights(number))

    def numbers(self) -> set[int]:
        """Return the numbers of the trials that have a folder; none if the store is unreachable."""
        with suppress(RunsUnreachable):
            names = [folder.removeprefix("trial-") for folder in self.files.folders()]
            return {int(name) for name in names if name.isdecimal()}
        return set()

    def clean_up(self, ended: Collection[int], *, winners: Collection[int]) -> None:
        """Remove every file of the trials in ``ended``, except the winners' best weights.

        A trial that isn't in ``ended`` keeps all files: it may have written its best weights and
        not reported its end yet. If the object store can't be reached, the files stay until the
        next call.
        """
        with suppress(RunsUnreachable):
            for number in self.numbers() & set(ended):
                self._clear(number, keep_best=number in winners)

    def _clear(self, number: int, *, keep_best: bool) -> None:
        self.prune_checkpoints(number, [])
        if not keep_best:
            self._remove(best_weights(number))
        self.files.close_trial(trial_folder(number))

    def _remove(self, name: str) -> None:
        """Remove a file that isn't needed. If that fails, it stays, and no work is lost."""
        with suppress(OSError):
            self.files.remove(name)


def trial_folder(number: int) -> str:
    """Return the name of the folder of a trial, by Optuna's number."""
    return f"trial-{number:04d}"


def best_weights(number: int) -> str:
    """Return the name of the file of a trial's best weights, below the study's folder."""
    return f"{trial_folder(number)}/{BEST_WEIGHTS}"
