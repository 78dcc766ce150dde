"""Folders that are prepared once for all processes of pytest-xdist."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def shared_folder(
    factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object] = lambda _: None
) -> Path:
    """Return a folder of this test run, filled by the process that asks for it first.

    Args:
        factory: The fixture ``tmp_path_factory``.
        name: The folder's name.
        fill: Called once with the new, empty folder. If it fails, the next process tries again.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each process has a folder of its own below it
    folder, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            done.touch()
    return folder
