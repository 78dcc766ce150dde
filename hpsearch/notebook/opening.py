"""Opens a study in Python: a stored one, a study file, or a dict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hpsearch.errors import UserError
from hpsearch.formatting import first_few
from hpsearch.notebook.study import Study
from hpsearch.search.database.environment import storage_of_the_environment
from hpsearch.study_file.loading import StudyDict
from hpsearch.workers.runs_place.place import DEFAULT_FOLDER, parse_runs


def open_study(
    study: str | Mapping[str, Any],
    storage: str | None = None,
    *,
    name: str | None = None,
    overrides: Sequence[str] = (),
    runs: str | Path | None = None,
    data: str | Path | None = None,
) -> Study:
    """Open a study: one that was launched, or a study file or a dict for ``Study.launch``.

    Args:
        study: A stored study's name, a name under ``studies/``, the path of a study file, or a dict
            with the keys of a study file. A dict's relative paths start from the current folder.
        storage: The database's URL; ``None`` takes that of the environment (``HPSEARCH_STORAGE``),
            or ``sqlite:///hpsearch.db``.
        name: Replaces the study's name, which makes a separate study, as ``--name`` does.
        overrides: Changes of the file, as ``--set`` takes them: ``["data.limit=4000"]``.
        runs: The folder, or the URL, of the checkpoints; ``None`` takes ``HPSEARCH_RUNS``, or
            ``runs``.
        data: The folder of the images; ``None`` takes ``HPSEARCH_DATA``.

    Raises:
        UnknownName: There is no stored study and no study file of this name.
        UserError: The database can't be reached, or isn't hpsearch's, or a dict has no name.
    """
    definition = study if isinstance(study, str) else _read_dict(study, name)
    opened = Study(
        definition,
        storage or storage_of_the_environment(),
        name=name,
        overrides=overrides,
        runs=parse_runs(str(runs or os.environ.get("HPSEARCH_RUNS") or DEFAULT_FOLDER)),
        data=Path(folder) if (folder := data or os.environ.get("HPSEARCH_DATA")) else None,
    )
    if isinstance(definition, str) and not opened.is_stored:
        from hpsearch.study_file.loading import find_study

        find_study(definition)
    return opened


def _read_dict(content: Mapping[str, Any], name: str | None) -> StudyDict:
    if not isinstance(content.get("study", name), str):
        raise UserError(
            "a study's dict must contain its name under the key 'study', but its keys are: "
            f"{first_few(list(content)) or 'none'}; add it, or give name="
        )
    # A copy, as the caller may change the dict before a launch
    return StudyDict(content=deepcopy(dict(content)), folder=Path.cwd())
