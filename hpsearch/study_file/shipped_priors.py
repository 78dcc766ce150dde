"""Priors that are files: those that come with hpsearch, by name, and the user's own, by path."""

from __future__ import annotations

from pathlib import Path

from hpsearch.regular_file import sha256_of_file

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
    return None if file is None else sha256_of_file(file)
