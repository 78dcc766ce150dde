"""Settings of confirmations that are made up."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.results.confirmation.spec import (
    Configuration,
    ConfirmationSpec,
    RequestedSettings,
    SearchSnapshot,
)


def made_up_spec(
    trials: Sequence[int], *, baseline: int | None = None, seeds: int = 2, maximize: bool = True
) -> ConfirmationSpec:
    """Return settings with these finalists; what the plan and the verdict don't read is empty."""
    return ConfirmationSpec(
        study="made_up",
        fingerprint="",
        metric="val_accuracy" if maximize else "val_loss",
        seeds=seeds,
        seeds_before=0,
        requested=RequestedSettings(top=len(trials), seeds=seeds, share=None, given=None),
        rule="",
        finalists=tuple(Configuration(trial=trial, params={}) for trial in trials),
        baseline=None if baseline is None else Configuration(trial=baseline, params={}),
        search=SearchSnapshot(trials=0, complete=0, epochs=0, best=0.0, field=None),
    )
