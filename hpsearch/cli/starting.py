"""The changes of a launch to its study file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpsearch.results.opening import head_of_definition


def changes_of(
    study: str,
    *,
    storage: str,
    overrides: Sequence[str] | None,
    trials: int | None,
    epochs: int | None,
    trackers: Sequence[str] | None,
) -> list[str]:
    """Return a launch's options as overrides.

    Args:
        study: A study file, or the name of a stored study; it must exist.
        storage: The URL of the database with the stored study.
        overrides: The values of ``--set``; ``None``: none.
        trials: The value of ``--trials``; ``None``: no override.
        epochs: The value of ``--epochs``; ``None``: no override.
        trackers: The values of ``--track``; ``None``: none.

    Returns:
        ``path=value`` texts.

    Raises:
        UserError: There is no such study.
    """
    changes = [*(overrides or ())]
    changes += [] if trials is None else [f"budget.trials={trials}"]
    changes += [] if epochs is None else [f"budget.epochs_per_trial={epochs}"]
    if trackers:
        named = _trackers_in(head_of_definition(study, storage).get("trackers"))
        named = _with_overrides(named, overrides or ())
        changes += [
            f"trackers.{name}=true" for name in dict.fromkeys(trackers) if name not in named
        ]
    return changes


def _with_overrides(named: set[str], overrides: Sequence[str]) -> set[str]:
    """Return the trackers that are named after ``--set``: their settings must not be replaced."""
    from hpsearch.study_file.diagnostics import Diagnostics
    from hpsearch.study_file.overrides import read_overrides
    from hpsearch.study_file.syntax import to_plain

    for change in read_overrides(overrides, Diagnostics()):
        section, _, inside = change.path.partition(".")
        if section != "trackers":
            continue
        if not inside:  # it replaces the whole section
            named = _trackers_in(to_plain(change.value))
        elif to_plain(change.value) is not False:
            named = {*named, inside.partition(".")[0]}
    return named


def _trackers_in(written: object) -> set[str]:
    """Return the trackers that a section names."""
    named: set[str] = set()
    for each in written if isinstance(written, list) else [written]:
        if isinstance(each, Mapping):
            named |= {str(key) for key, value in each.items() if value is not False}
        elif isinstance(each, str):
            named.add(each)
    return named
