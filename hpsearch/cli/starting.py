"""What a launch needs before it starts: the study with its changes, and whether it can run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.cli.opening import head_of, study_file

if TYPE_CHECKING:
    from hpsearch.workers.launch.launching import LaunchOptions
    from hpsearch.workers.launch.preview import Outlook


def changes_of(
    study: str,
    *,
    overrides: Sequence[str] | None,
    trials: int | None,
    epochs: int | None,
    trackers: Sequence[str] | None,
) -> list[str]:
    """Return the overrides that a launch's options come to; the study's file must be there."""
    changes = [*(overrides or ())]
    changes += [] if trials is None else [f"budget.trials={trials}"]
    changes += [] if epochs is None else [f"budget.epochs_per_trial={epochs}"]
    if trackers:
        named = _trackers_in(study)
        changes += [
            f"trackers.{name}=true" for name in dict.fromkeys(trackers) if name not in named
        ]
    return changes


def look_ahead(
    study: str, changes: Sequence[str], name: str | None, *, storage: str, **settings: Any
) -> tuple[LaunchOptions, Outlook]:
    """Read and check the study; the part of a launch that needs torch."""
    from hpsearch.results.space_report import inspect_space, require_feasible
    from hpsearch.tracking.tracking import require_usable
    from hpsearch.workers.launch import preview
    from hpsearch.workers.launch.launching import LaunchOptions

    loaded = study_file(study, storage=storage, overrides=changes, name=name)
    options = LaunchOptions(study=loaded, storage=storage, **settings)
    outlook = preview.look_ahead(options)  # First what is quickly told: options, devices, database.
    require_usable(loaded.trackers)
    require_feasible(loaded, inspect_space(loaded, data=options.data))
    return options, outlook


def _trackers_in(study: str) -> set[str]:
    """Return the trackers that the file names itself, whose settings stand."""
    from hpsearch.study_file.loading import find_study

    written = head_of(find_study(study)).get("trackers")
    named: set[str] = set()
    for each in written if isinstance(written, list) else [written]:
        if isinstance(each, Mapping):
            named |= {str(key) for key, value in each.items() if value is not False}
        elif isinstance(each, str):
            named.add(each)
    return named
