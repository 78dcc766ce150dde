"""The files of a search's winner in their default places, written without a question."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from hpsearch.errors import HpsearchError
from hpsearch.results.export.choice import choose
from hpsearch.results.opening import study_of
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.workers.runs_place.place import Runs
from hpsearch.workers.winner.exporting import Targets, write_export


class Written(NamedTuple):
    """What was written."""

    #: ``bundle`` or ``config``.
    name: str
    #: ``None`` if nothing could be written.
    path: Path | None
    #: Why there is no bundle, or nothing at all; ``None`` with a bundle.
    problem: str | None


def write_bundle_or_config(
    study: str, storage: str, runs: Runs, data: Path | None, folder: Path
) -> Written:
    """Write the winner as the folder ``STUDY-best``, or as ``STUDY-best.yaml`` if that fails.

    The winner is the confirmed one, or the best seen. Earlier files are replaced.

    Args:
        study: The name of the search.
        storage: The database's URL.
        runs: The runs place, with the kept weights.
        data: The data root; ``None``: the default one.
        folder: The folder to write into.
    """
    with closing(Database(storage)) as database:
        record = read_study(database, study)
        try:
            export = choose(database, record, study_of)
        except HpsearchError as error:
            return Written("config", None, str(error))
    problem = "a study with a training loop of its own keeps no weights"
    if "loop" not in record.study.document:
        bundle = folder / f"{study}-best"
        try:
            write_export(export, Targets(bundle=bundle), runs=runs, data=data, overwrite=True)
        except HpsearchError as error:
            problem = str(error)
        else:
            return Written("bundle", bundle, None)
    config = folder / f"{study}-best.yaml"
    try:
        write_export(export, Targets(config=config), runs=runs, data=data, overwrite=True)
    except HpsearchError as error:
        return Written("config", None, str(error))
    return Written("config", config, problem)
