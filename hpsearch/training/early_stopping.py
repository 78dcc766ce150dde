"""Early stopping: a pure function of the validation losses so far.

So there is no state to keep: a checkpoint's history tells it to whoever goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.study_file.trial_config import EarlyStopping


def is_over(val_losses: Sequence[float], rule: EarlyStopping | None) -> bool:
    """Whether training ends after these epochs.

    It does where ``patience`` epochs in a row were not below the lowest loss before them by more
    than ``min_delta``. The lowest loss is the last one that was.
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
