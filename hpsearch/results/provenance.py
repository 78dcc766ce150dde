"""The provenance in a frozen config: versions, the user's repository, metrics."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hpsearch.metrics import OBJECTIVES, EpochMetrics

_PACKAGES = ("hpsearch", "torch", "torchvision", "optuna")


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that affect a training's result."""
    extra = {} if find_spec("timm") is None else {"timm": metadata.version("timm")}
    return {
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in _PACKAGES},
        **extra,
    }


def repository(folder: Path) -> dict[str, Any] | None:
    """Return the commit of ``folder`` and whether tracked files differ from it.

    ``None`` outside a git repository, before its first commit, or without git.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changes)}


def epoch_metrics(curve: Sequence[EpochMetrics], *, best_epoch: int) -> dict[str, dict[str, Any]]:
    """Return the validation and training metrics of the last epoch and of ``best_epoch``."""
    by_epoch = {result.epoch: result for result in curve}
    return {"last": _metrics(curve[-1]), "best": _metrics(by_epoch[best_epoch])}


def _metrics(result: EpochMetrics) -> dict[str, Any]:
    names = ("epoch", *OBJECTIVES, "train_accuracy", "train_loss")
    return {name: getattr(result, name) for name in names} | dict(result.others)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
