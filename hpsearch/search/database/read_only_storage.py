"""The base of Optuna storages that only read."""

from __future__ import annotations

from typing import Any

from optuna.storages import BaseStorage


class ReadOnlyStorage(BaseStorage):
    """A storage whose methods that would change the database raise: only the ledger writes.

    A subclass may override those that it supports.
    """

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise PermissionError("this storage is read-only: only hpsearch changes studies")

    create_new_study = _refuse
    delete_study = _refuse
    set_study_user_attr = _refuse
    set_study_system_attr = _refuse
    create_new_trial = _refuse
    set_trial_param = _refuse
    set_trial_state_values = _refuse
    set_trial_intermediate_value = _refuse
    set_trial_user_attr = _refuse
    set_trial_system_attr = _refuse
