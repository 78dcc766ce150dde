"""Study files that are known by name. It imports next to nothing: a shell asks at every Tab."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import hpsearch


def shipped_studies() -> dict[str, Path]:
    """Return the study files that are known by name: ``./studies`` and, behind it, the packaged."""
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
    # A checkout keeps them beside the package
    return Path(hpsearch.__file__).resolve().parent.parent / "studies"
