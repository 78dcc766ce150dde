"""Training states in files, each written whole or not at all.

``save`` replaces the file completely or not at all (``durable_files``). The SHA-256 that it returns
is stored in the ledger. ``load`` compares it before it reads the contents, so that it detects a
damaged or replaced file. It refuses a file that would run code (see ``training.torch_file``).

``training.state`` describes a state.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hpsearch.durable_files import WritePoints, write_file
from hpsearch.errors import CheckpointError
from hpsearch.failpoints import FailPoint
from hpsearch.training.torch_file import read_tensors

#: Increased when the contents of a state change, so that older files are refused with a message.
FORMAT = 1

_WRITE_POINTS = WritePoints(
    FailPoint.CHECKPOINT_WRITTEN, FailPoint.CHECKPOINT_SYNCED, FailPoint.CHECKPOINT_RENAMED
)


def save(path: Path, state: Mapping[str, Any]) -> str:
    """Write ``state`` to ``path``, replacing what is there; return the file's SHA-256 in hex.

    The folder is created if it doesn't exist.

    Raises:
        OSError: If the disk is full or can't be written; ``path`` is then unchanged, and no
            unfinished file is left.
    """
    content = encode(state)
    write_file(path, content, _WRITE_POINTS)
    return hashlib.sha256(content).hexdigest()


def encode(state: Mapping[str, Any]) -> bytes:
    """Return the contents of a checkpoint."""
    buffer = io.BytesIO()
    torch.save({"hpsearch_checkpoint": FORMAT, "state": dict(state)}, buffer)
    return buffer.getvalue()  # shares the memory


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
    return decode(content, str(path), sha256)


def decode(content: bytes, path: str, sha256: str | None = None) -> dict[str, Any]:
    """Return the state in the contents of a checkpoint, its tensors on the CPU.

    Args:
        content: The contents.
        path: The checkpoint's path or URL, for messages.
        sha256: Its SHA-256 in hex; ``None`` compares nothing.

    Raises:
        CheckpointError: As for ``load``.
    """
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256:
        raise CheckpointError(
            f"checkpoint {path} isn't the file that was written: its SHA-256 must be {sha256}, but "
            f"is {digest}; it is damaged or was replaced"
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


def _read(path: str, content: bytes) -> Any:
    try:
        return read_tensors(io.BytesIO(content), compare_checksums=True)
    except Exception as error:  # a damaged file can raise almost any exception
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"checkpoint {path} is damaged or unsafe: {reason}") from error
