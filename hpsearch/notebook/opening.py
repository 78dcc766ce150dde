"""Opening a study in Python: one that is stored, or a file that is yet to be launched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hpsearch.notebook.study import Study
from hpsearch.search.storage_environment import storage_of_the_environment


def open_study(
    study: str,
    storage: str | None = None,
    *,
    name: str | None = None,
    overrides: Sequence[str] = (),
    runs: str | Path | None = None,
    data: str | Path | None = None,
) -> Study:
    """Open a study: one that was launched, or a study file that ``Study.launch`` will launch.

    Args:
        study: A stored study's name, a name under ``studies/``, or the path of a study file.
        storage: The database's URL; by default what the environment names (``HPSEARCH_STORAGE``),
            or ``sqlite:///hpsearch.db``.
        name: Call the study so: a variant of its own, as ``--name`` does.
        overrides: Changes of the file, as ``--set`` takes them: ``["data.limit=4000"]``.
        runs: Where checkpoints go (``HPSEARCH_RUNS``, or ``runs``).
        data: Where images lie (``HPSEARCH_DATA``).

    Raises:
        UnknownName: no stored study and no study file is called so.
        UserError: the database can't be reached, or isn't hpsearch's.
    """
    opened = Study(
        study,
        storage or storage_of_the_environment(),
        name=name,
        overrides=overrides,
        runs=Path(runs or os.environ.get("HPSEARCH_RUNS") or "runs").expanduser(),
        data=Path(given) if (given := data or os.environ.get("HPSEARCH_DATA")) else None,
    )
    if not opened.is_stored:
        from hpsearch.study_file.loading import find_study

        find_study(study)
    return opened
