"""Settings and results of confirmations and ablations that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpsearch.results.ablation.spec import AblationSpec, Contrast, RequestedChanges, Variant
from hpsearch.results.confirmation.spec import (
    Configuration,
    ConfirmationSpec,
    RequestedSettings,
    SearchSnapshot,
)
from hpsearch.results.confirmation.statistics import Interval
from hpsearch.results.confirmation.verdict import ConfirmationResult


def made_up_spec(
    trials: Sequence[int], *, baseline: int | None = None, seeds: int = 2, maximize: bool = True
) -> ConfirmationSpec:
    """Return settings with these finalists; what the plan and the verdict don't read is empty."""
    return ConfirmationSpec(
        study="made_up",
        fingerprint="",
        metric="val_accuracy" if maximize else "val_loss",
        maximize=maximize,
        seeds=seeds,
        seeds_before=0,
        requested=RequestedSettings(top=len(trials), seeds=seeds, share=None, options=None),
        rule="",
        finalists=tuple(Configuration(trial=trial, params={}) for trial in trials),
        baseline=None if baseline is None else Configuration(trial=baseline, params={}),
        search=SearchSnapshot(trials=0, complete=0, epochs=0, best=0.0, field=None),
    )


def made_up_ablation(variants: int, **changes: Any) -> AblationSpec:
    """Return settings with so many variants, all compared with the first one."""
    settings: dict[str, Any] = {
        "study": "made_up", "fingerprint": "", "trial": 7, "metric": "val_accuracy",
        "maximize": True, "seeds": 10, "seeds_before": 0,
        "asked": RequestedChanges(parameters=("size",), crossed=(), most_cells=24),
        "variants": tuple(Variant(params={"size": each}, changed={"size": each} if each else {})
                          for each in range(variants)),
        "contrasts": tuple(Contrast(parameter="size", one=each, other=0, level=each, base=0, at={})
                           for each in range(1, variants)),
        "left_out": (),
    }  # fmt: skip
    return AblationSpec(**{**settings, **changes})


def made_up_result(confirmed: Interval, **changes: Any) -> ConfirmationResult:
    """Return the result of a finished confirmation: trial 4 won, with two seeds of its own."""
    result = {
        "metric": "val_accuracy", "maximize": True, "finished": True, "winner": 4,
        "best_seen": 0.8, "complete": 3, "winner_seen": 0.8, "over_seeds": confirmed,
        "over_seeds_and_images": confirmed, "next_training": None,
        "reported": {6: 0.78, 7: 0.782}, "images": 100, "new_splits": True, "folds": None,
        "optimism": 0.02, "runner_up": None, "baseline": None, "winner_is_baseline": False,
        "chance_of_best": 0.7, "search_epochs": 12, "confirmation_epochs": 6,
        "epochs_per_trial": 3, "finalists": [], "confusion": None, "per_class": [],
    }  # fmt: skip
    return ConfirmationResult(**{**result, **changes})
