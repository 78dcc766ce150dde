"""Priors that are files: those that come with hpsearch, by name, and the user's own, by path."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hpsearch.regular_file import open_regular

#: Newest last. A new one gets a new name, since a study continues with the prior it began with.
SHIPPED = ("v1",)

#: The suffix of a prior's path.
SUFFIX = ".npz"


def file_of(prior: str) -> Path | None:
    """Return the file of a prior, or ``None`` if it has none."""
    if prior in SHIPPED:
        return Path(__file__).parent.parent / "priors" / f"{prior}{SUFFIX}"
    return Path(prior) if prior.endswith(SUFFIX) else None


def sha256_of(prior: str) -> str | None:
    """Return the SHA-256 (hex) of a prior's file, or ``None`` if it has none.

    Raises:
        OSError: The file can't be read.
    """
    file = file_of(prior)
    if file is None:
        return None
    with open_regular(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
