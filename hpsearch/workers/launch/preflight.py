"""Reading and checking the study of a launch: the part of it that needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpsearch.results.opening import study_file
from hpsearch.study_file.loading import StudyDict
from hpsearch.study_file.study import StudyFile
from hpsearch.workers.launch.preview import PendingPreview, preview_launch
from hpsearch.workers.run_config import RunConfig


def check_launch(
    study: str | StudyDict, changes: Sequence[str], name: str | None, run: RunConfig
) -> tuple[StudyFile, PendingPreview]:
    """Return what to launch and what that will cost; call it through ``run_isolated``.

    Args:
        study: A study file, its content as a dict, or the name of a stored study.
        changes: The values of ``--set``, such as ``budget.trials=10``.
        name: The value of ``--name``; ``None``: the study's own name.
        run: How trials are run.

    Raises:
        UserError: The study, its data, its trackers, the options or the database don't allow this
            launch.
    """
    from hpsearch.results.space_report import inspect_space, require_feasible
    from hpsearch.tracking.tracking import require_usable

    loaded = study_file(study, storage=run.storage, overrides=changes, name=name)
    pending = preview_launch(loaded, run)  # First the quick checks: options, devices, database.
    require_usable(loaded.trackers)
    report = inspect_space(loaded, data=run.data)
    require_feasible(loaded, report)
    preview = replace(pending.preview, warnings=(*pending.preview.warnings, *report.warnings))
    return loaded, replace(pending, preview=preview)
