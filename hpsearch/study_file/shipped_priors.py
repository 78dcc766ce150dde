"""Priors that come with hpsearch as files, and which file each of them is."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

#: Newest last. A new one gets a new name: studies go on with what they began with.
SHIPPED = ("v1",)


def file_of(prior: str) -> Path | None:
    """Return the file of a prior, ``None`` if it has none."""
    if prior not in SHIPPED:
        return None
    return Path(__file__).parent.parent / "priors" / f"{prior}.npz"


@cache
def sha256_of(prior: str) -> str | None:
    """Return the SHA-256 (hex) of a prior's file, ``None`` if it has none."""
    file = file_of(prior)
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
