"""Opens a study in Python: a stored one, or a study file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hpsearch.notebook.study import Study
from hpsearch.search.database.environment import storage_of_the_environment
from hpsearch.workers.runs_place.place import DEFAULT_FOLDER, parse_runs


def open_study(
    study: str,
    storage: str | None = None,
    *,
    name: str | None = None,
    overrides: Sequence[str] = (),
    runs: str | Path | None = None,
    data: str | Path | None = None,
) -> Study:
    """Open a study: one that was launched, or a study file for ``Study.launch``.

    Args:
        study: A stored study's name, a name under ``studies/``, or the path of a study file.
        storage: The database's URL; ``None`` takes that of the environment (``HPSEARCH_STORAGE``),
            or ``sqlite:///hpsearch.db``.
        name: Replaces the study's name, which makes a separate study, as ``--name`` does.
        overrides: Changes of the file, as ``--set`` takes them: ``["data.limit=4000"]``.
        runs: The folder, or the URL, of the checkpoints; ``None`` takes ``HPSEARCH_RUNS``, or
            ``runs``.
        data: The folder of the images; ``None`` takes ``HPSEARCH_DATA``.

    Raises:
        UnknownName: There is no stored study and no study file of this name.
        UserError: The database can't be reached, or isn't hpsearch's.
    """
    opened = Study(
        study,
        storage or storage_of_the_environment(),
        name=name,
        overrides=overrides,
        runs=parse_runs(str(runs or os.environ.get("HPSEARCH_RUNS") or DEFAULT_FOLDER)),
        data=Path(given) if (given := data or os.environ.get("HPSEARCH_DATA")) else None,
    )
    if not opened.is_stored:
        from hpsearch.study_file.loading import find_study

        find_study(study)
    return opened
