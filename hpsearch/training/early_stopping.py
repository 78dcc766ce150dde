"""Early stopping: a pure function of the validation losses so far.

It has no state of its own: a resumed training reads the losses from the checkpoint's history.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.study_file.trial_config import EarlyStopping


def is_over(val_losses: Sequence[float], rule: EarlyStopping | None) -> bool:
    """Whether training ends after these epochs; never without a rule.

    It ends after ``patience`` epochs in a row without a new lowest loss. A new lowest loss is below
    the last one by more than ``min_delta``.
    """
    if rule is None:
        return False
    lowest, waited = float("inf"), 0
    for loss in val_losses:
        if loss < lowest - rule.min_delta:
            lowest, waited = loss, 0
        else:
            waited += 1
    return waited >= rule.patience
