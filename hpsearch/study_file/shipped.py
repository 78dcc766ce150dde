"""Study files and priors that come with hpsearch, by name, and the user's own, by path.

It imports little, as shell completion runs it.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import hpsearch
from hpsearch.regular_file import sha256_of_file


def shipped_studies() -> dict[str, Path]:
    """Return name -> study file: those of ``./studies``, and of the packaged ones the others."""
    studies: dict[str, Path] = {}
    for folder in (packaged(), Path("studies")):
        for path in sorted(folder.glob("*.yaml")):
            studies[path.stem] = path
    return dict(sorted(studies.items()))


def packaged() -> Path:
    """Return the folder of the study files that come with hpsearch."""
    installed = Path(str(importlib.resources.files(hpsearch))) / "packaged_studies"
    if installed.is_dir():
        return installed
    # In a checkout they are beside the package
    return Path(hpsearch.__file__).resolve().parent.parent / "studies"


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
