"""Reading and checking the study of a launch: the part of it that needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpsearch.results.opening import study_file
from hpsearch.workers.launch.launching import LaunchOptions, RunSettings
from hpsearch.workers.launch.preview import PendingPreview, preview_launch


def check_launch(
    study: str, changes: Sequence[str], name: str | None, settings: RunSettings
) -> tuple[LaunchOptions, PendingPreview]:
    """Return what to launch and what that will cost; call it through ``run_isolated``.

    Args:
        study: A study file or the name of a stored study.
        changes: The values of ``--set``, such as ``budget.trials=10``.
        name: The value of ``--name``; ``None``: the study's own name.
        settings: How trials are run.

    Raises:
        UserError: The study, its data, its trackers, the settings or the database don't allow this
            launch.
    """
    from hpsearch.results.space_report import inspect_space, require_feasible
    from hpsearch.tracking.tracking import require_usable

    loaded = study_file(study, storage=settings.storage, overrides=changes, name=name)
    options = settings.on(loaded)
    pending = preview_launch(options)  # First the quick checks: options, devices, database.
    require_usable(loaded.trackers)
    report = inspect_space(loaded, data=options.data)
    require_feasible(loaded, report)
    preview = replace(pending.preview, warnings=(*pending.preview.warnings, *report.warnings))
    return options, replace(pending, preview=preview)
