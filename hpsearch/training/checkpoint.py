"""Training states in files, each written whole or not at all.

``save`` writes a file beside the path, syncs it to the disk, renames it to the path and syncs the
folder: if the process or the machine is killed, ``path`` contains the old checkpoint or the new
one. The SHA-256 that ``save`` returns is stored in the ledger. ``load`` compares it before it reads
the contents, so that it detects a damaged or replaced file. It refuses a file that would run code
(see ``training.torch_file``).

``training.state`` describes a state.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from hpsearch.errors import CheckpointError
from hpsearch.failpoints import FailPoint, hit
from hpsearch.metrics import OBJECTIVES
from hpsearch.training.durable import UNFINISHED as _ENDING
from hpsearch.training.durable import sync_folder
from hpsearch.training.torch_file import read_tensors

#: Increased when the contents of a state change, so that older files are refused with a message.
FORMAT = 1

#: The pattern of the names of unfinished files.
UNFINISHED = f".*{_ENDING}"


def save(path: Path, state: Mapping[str, Any]) -> str:
    """Write ``state`` to ``path``, replacing what is there; return the file's SHA-256 in hex.

    The folder is created if it doesn't exist.

    Raises:
        OSError: If the disk is full or can't be written; ``path`` is then unchanged, and no
            unfinished file is left.
    """
    buffer = io.BytesIO()
    torch.save({"hpsearch_checkpoint": FORMAT, "state": dict(state)}, buffer)
    content = buffer.getbuffer()
    path.parent.mkdir(parents=True, exist_ok=True)
    # A unique name, since a worker that lost its lease may still write to the same path
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex[:8]}{_ENDING}")
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            hit(FailPoint.CHECKPOINT_WRITTEN)
            os.fsync(file.fileno())
        hit(FailPoint.CHECKPOINT_SYNCED)
        os.replace(unfinished, path)  # noqa: PTH105 - the name that the kill tests patch
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    hit(FailPoint.CHECKPOINT_RENAMED)
    sync_folder(path.parent)
    return hashlib.sha256(content).hexdigest()


def load(path: Path, sha256: str | None = None) -> dict[str, Any]:
    """Return the state in ``path``, its tensors on the CPU.

    Args:
        path: The checkpoint.
        sha256: Its SHA-256 in hex; ``None`` compares nothing.

    Raises:
        CheckpointError: If the file is missing, damaged, unsafe, not a checkpoint, of another
            format, or has another SHA-256; the message names it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} can't be read: {error.strerror or error}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise CheckpointError(
            f"checkpoint {path} isn't the file that was written: its SHA-256 must be {sha256}, "
            f"but is {found}; it is damaged or was replaced"
        )
    stored = _read(path, content)
    if not isinstance(stored, dict) or "hpsearch_checkpoint" not in stored:
        raise CheckpointError(f"{path} isn't a checkpoint of hpsearch")
    if stored["hpsearch_checkpoint"] != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} has format {stored['hpsearch_checkpoint']!r}, but this version of "
            f"hpsearch reads format {FORMAT}; use the version that wrote it"
        )
    state: dict[str, Any] = stored["state"]
    return state


def remove_unfinished(folder: Path) -> None:
    """Delete the unfinished files of killed saves. Call it only if nothing writes in ``folder``."""
    for left in folder.glob(UNFINISHED):
        with suppress(OSError):  # the next call tries again
            left.unlink(missing_ok=True)


def weights_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a state that is needed to use the model, but not to continue training."""
    kept = ("config", "data", "split", "precision", "epoch", "history", "model")
    return {key: state[key] for key in kept}


def best_epoch(state: Mapping[str, Any], metric: str) -> tuple[int, float] | None:
    """Return the (first) best finished epoch and its value; ``None`` before the first epoch.

    ``metric`` is one of ``metrics.OBJECTIVES``.
    """
    metrics = [(int(row["epoch"]), float(row[metric])) for row in state["history"]]
    sign = 1 if OBJECTIVES[metric] == "maximize" else -1
    return max(metrics, key=lambda metric: (sign * metric[1], -metric[0]), default=None)


def _read(path: Path, content: bytes) -> Any:
    try:
        return read_tensors(io.BytesIO(content), compare_checksums=True)
    except Exception as error:  # a damaged file can raise almost any exception
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"checkpoint {path} is damaged or unsafe: {reason}") from error
