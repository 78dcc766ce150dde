"""Study files that are known by name. It imports little, as shell completion runs it."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import hpsearch


def shipped_studies() -> dict[str, Path]:
    """Return name -> study file: those of ``./studies``, and of the packaged ones the others."""
    found: dict[str, Path] = {}
    for folder in (packaged(), Path("studies")):
        for path in sorted(folder.glob("*.yaml")):
            found[path.stem] = path
    return dict(sorted(found.items()))


def packaged() -> Path:
    """Return the folder of the study files that come with hpsearch."""
    installed = Path(str(importlib.resources.files(hpsearch))) / "packaged_studies"
    if installed.is_dir():
        return installed
    # In a checkout they are beside the package
    return Path(hpsearch.__file__).resolve().parent.parent / "studies"
