"""Points in the code at which tests can end or stop a process.

A power cut or a SIGKILL may come between any two writes. Tests can't time a signal that precisely,
so each such point is named here and calls ``hit(FailPoint.X)``. That does nothing unless the
environment variable ``HPSEARCH_EXIT_AT`` names the step; then the process ends at once, as if it
were killed.

The variable contains one or more of ``step[:visit[:file]]``, separated by commas: the process ends
at its ``visit``-th call (default 1). With a ``file`` it ends only if it can create that file, so
that one process ends, once.

``HPSEARCH_WAIT_AT`` contains ``step:visit:file`` in the same form: there the process waits as long
as the file exists, so that a test can act at this step, independent of the machine's speed.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

VARIABLE, WAIT_VARIABLE = "HPSEARCH_EXIT_AT", "HPSEARCH_WAIT_AT"

#: The exit code; the process ends without clean-up or output.
EXIT_CODE = 86


class FailPoint(Enum):
    """The state of the study at each point, in a sentence."""

    TABLES_CREATED = "The launch has created the tables; the study isn't stored yet."
    STUDY_STORED = "The launch has stored the study; no worker has been started."
    WORKERS_STARTED = "The launch has started its workers."
    DEATH_SEEN = "The launch has seen a worker die; its trial isn't free yet."
    TICKETS_FREED = "The trial of a dead worker is free; the worker hasn't been replaced."
    WORKERS_TOLD = "The launch has asked its workers to stop."

    CLAIMED = "A ticket is the worker's own; nothing was drawn for it."
    DRAWN = "A configuration that can be built was drawn; no row contains it."
    INFEASIBLE_DRAWN = "A configuration that can't be built was drawn; no row contains it."
    INFEASIBLE_RECORDED = "An infeasible draw is recorded; the next one hasn't been made."
    ROW_CREATED = "The trial has its row; training hasn't begun."
    RESUMED = "A checkpoint was read; training hasn't continued."

    CHECKPOINT_WRITTEN = "A checkpoint's bytes are written, not yet safe on the disk."
    CHECKPOINT_SYNCED = "A checkpoint is safe on the disk under a temporary name."
    CHECKPOINT_RENAMED = "A checkpoint has its name; a power cut may still undo the rename."
    CHECKPOINT_SAVED = "A checkpoint is safe; it isn't in the ledger."
    EPOCH_REPORTED = "An epoch and its checkpoint are in the ledger; older files still exist."
    CHECKPOINTS_CLEARED = "Checkpoints that are no longer needed have been removed."
    BEST_SAVED = "The best weights are on the disk; the last epoch isn't reported."
    TRIAL_COMPLETE = "The trial is complete in the ledger; its files still exist."
    TRIAL_PRUNED = "The trial is pruned in the ledger; its files still exist."
    TRIAL_PAUSED = "The trial is paused at a rung in the ledger; its older files still exist."
    TRIAL_TIDIED = "A trial that has ended has left no more files than it should."

    ATTEMPT_FAILING = "An attempt went wrong; that isn't in the ledger."
    ATTEMPT_FAILED = "A failed attempt is in the ledger; its files still exist."

    LEAVING_SAVED = "A worker that leaves has saved its checkpoint; it still has the ticket."
    RELEASED = "A worker that leaves has given its ticket back; older files still exist."
    ROUND_PLANNED = "A confirmation has tickets for its next round; no worker has claimed one."
    STUDY_FINISHED = "A worker has no trial left to train; late files still exist."


_visits: Counter[FailPoint] = Counter()


def hit(step: FailPoint) -> None:
    """End the process here, or wait, if the environment requests it; otherwise do nothing."""
    if VARIABLE not in os.environ and WAIT_VARIABLE not in os.environ:
        return
    _visits[step] += 1
    for file in _files(WAIT_VARIABLE, step):
        while Path(file).is_file():
            time.sleep(0.02)
    for file in _files(VARIABLE, step):
        if _first(file):
            os._exit(EXIT_CODE)


def _files(variable: str, step: FailPoint) -> Iterator[str]:
    """Yield the file of each entry of a variable for this visit of the step."""
    for text in os.environ.get(variable, "").split(","):
        name, _, rest = text.partition(":")
        visit, _, file = rest.partition(":")
        if name == step.name.lower() and _visits[step] == int(visit or 1):
            yield file


def _first(file: str) -> bool:
    if not file:
        return True
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
