"""Every error that hpsearch raises on purpose.

HpsearchError
├── UserError                the user's input is wrong or can't be reached: exit code 2
│   ├── StudyFileError       a study file, an override or a frozen config (has every Problem)
│   ├── UnknownName          a name that isn't in a registry, folder or database
│   ├── DataError            a data source that is missing, damaged or unsuitable
│   ├── StorageError         a database that can't be reached, or isn't hpsearch's
│   │   ├── StorageUnreachable  it doesn't answer now
│   │   ├── NothingStored    no study was ever launched into this database
│   │   └── DamagedStudy     the stored rows of a study can't be read
│   ├── StudyMismatch        the stored study and the file differ
│   │   └── LeftOverStudy    another program deleted the study from Optuna's tables
│   ├── CheckpointError      a checkpoint that is missing, damaged or of another trial
│   ├── RunsUnreachable      a runs place by URL that can't be used now (also an OSError)
│   └── DeviceUnusable       a device that is missing, doesn't compute, or stopped computing
├── ExportFailed             a trained model can't be written in a format, or differs in it
├── InfeasibleConfig         a configuration can't be built (the sampler learns from it)
│   ├── WeightsUnavailable   its pretrained weights can't be downloaded (also a DataError)
│   └── ConstraintBroken     it can be built, but breaks a constraint of the study
├── TrainingDiverged         the loss stopped being a finite number
├── TrainingInterrupted      training was asked to stop between two batches (has its state)
├── LeaseLost                another worker owns the trial now; drop it
└── DatabaseReplaced         the database isn't the one that was opened; stop

A message states the rule, then the value, then what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hpsearch.exit_codes import FAILED, WRONG

#: The most problems of a study file that a message lists.
MOST_PROBLEMS = 50

#: The most valid names that a message lists, and the most characters of the unknown one.
_NAMES_LISTED, _LONGEST_NAME = 60, 80


class HpsearchError(Exception):
    """The root: catching it catches everything that hpsearch raises on purpose."""

    #: The exit code of a command that ends with this error.
    exit_code: int = FAILED


class UserError(HpsearchError):
    """The user's input is wrong or can't be reached; the message says what to do."""

    exit_code = WRONG


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake in a study file."""

    #: ``studies/x.yaml:12``, ``--set data.limit=0``, or the study's name.
    where: str
    #: The dotted key, as in ``optimizer.sgd.lr``; empty for the file as a whole.
    key: str
    #: The rule that was broken, the value found, and what to do, in one sentence.
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class StudyFileError(UserError):
    """A study file breaks rules; the message lists them, one per line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems[:MOST_PROBLEMS]]
        if len(self.problems) > MOST_PROBLEMS:
            lines.append(f"and {len(self.problems) - MOST_PROBLEMS:,} more; correct these first")
        super().__init__("\n".join(lines))


class UnknownName(UserError):
    """A name that doesn't exist; the message lists the valid ones."""

    def __init__(
        self,
        kind: str,
        name: str,
        names: Iterable[str],
        hint: str = "",
        *,
        guess: str | None = None,
    ) -> None:
        """Make the message.

        Args:
            kind: What the name names, such as ``model``.
            name: The name as it was written.
            names: The valid names.
            hint: A sentence at the end; may be empty.
            guess: The suggestion, as the message shows it; ``None``: the nearest valid name.
        """
        self.kind, self.name, self.names = kind, name, tuple(sorted(names))
        if guess is None:
            near = nearest_name(name, self.names)
            guess = None if near is None else repr(near)
        suggestion = "" if guess is None else f" Did you mean {guess}?"
        valid_names = ", ".join(self.names[:_NAMES_LISTED]) or "none"
        if len(self.names) > _NAMES_LISTED:
            valid_names += f", and {len(self.names) - _NAMES_LISTED:,} more"
        short_name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
        super().__init__(
            f"unknown {kind} {short_name!r}.{suggestion} Known: {valid_names}."
            f"{' ' + hint if hint else ''}"
        )


def nearest_name(name: str, names: Sequence[str]) -> str | None:
    """Return the most similar valid name, ignoring case and punctuation; ``None`` without one."""
    if len(name) > _LONGEST_NAME:
        return None
    bare = {bare_name(valid_name): valid_name for valid_name in names}
    matches = [bare_name(name)] if bare_name(name) in bare else []
    matches = matches or get_close_matches(bare_name(name), bare, n=1)
    return bare[matches[0]] if matches else None


def bare_name(name: str) -> str:
    """Return the letters and digits of a name in lower case: ``learningrate``."""
    return "".join(char for char in name.casefold() if char.isalnum())


class DataError(UserError):
    """A data source is missing, damaged or unsuitable."""


class StorageError(UserError):
    """The database can't be reached at the start, or its contents aren't hpsearch's."""


class StorageUnreachable(StorageError):
    """The database doesn't answer now; a worker may be started again later."""


class NothingStored(StorageError):
    """No study was ever launched into this database."""


class DamagedStudy(StorageError):
    """The stored rows of a study can't be read; other studies of the database can."""


class StudyMismatch(UserError):
    """The database contains a study of this name with another fingerprint."""


class LeftOverStudy(StudyMismatch):
    """Another program deleted the study from Optuna's tables; only the ledger's rows are left."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or belongs to another configuration."""


class RunsUnreachable(UserError, OSError):
    """Objects in the runs place can't be read or written now; a worker tries again."""

    #: Whether the store has answered: a person must change credentials, rights or the bucket.
    refused = False


class DeviceUnusable(UserError):
    """A device is missing, doesn't compute for this process, or stopped computing."""


class ExportFailed(HpsearchError):
    """A trained model can't be written in a format, or predicts something else in it."""


class InfeasibleConfig(HpsearchError):
    """A configuration can't be built; the message contains the arithmetic that shows why."""


class WeightsUnavailable(DataError, InfeasibleConfig):
    """A model's pretrained weights can't be downloaded: a search tries other configurations."""


class ConstraintBroken(InfeasibleConfig):
    """A configuration breaks constraints of the study; ``violations`` contains by how much."""

    def __init__(self, message: str, violations: Mapping[str, float]) -> None:
        super().__init__(message)
        self.violations = violations


class TrainingDiverged(HpsearchError):
    """The training loss stopped being a finite number."""


class TrainingInterrupted(HpsearchError):
    """Training was asked to stop; ``state()`` returns what a resumed run needs."""

    def __init__(self, message: str, state: Callable[[], dict[str, Any]]) -> None:
        super().__init__(message)
        #: A copy of the state after the last finished batch (see ``training.checkpoint``).
        self.state = state


class LeaseLost(HpsearchError):
    """The attempt number has changed: another worker owns this trial, and nothing was written."""


class DatabaseReplaced(HpsearchError):
    """The database was deleted, replaced or restored to an earlier state during a command.

    It isn't a mistake of the command line, so not a ``UserError``: the exit code is 1.
    """
