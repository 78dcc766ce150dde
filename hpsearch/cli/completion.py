"""Completion in shells: names of studies and trackers. It is fast and prints no errors.

Text from a database or a folder is offered only if it has the form of a name, since shells
evaluate it.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import typer

#: ``study_file.sections.STUDY_NAME``, whose import takes a third of a second.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: Timeout of a database.
_SECONDS = 2

TRACKERS = {
    "mlflow": "a run of MLflow per trial",
    "tensorboard": "event files below the runs folder",
    "wandb": "a run of Weights & Biases per trial",
}


def study_files(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names that can be launched: study files and stored studies, without paths."""
    from hpsearch.study_file.shipped import shipped_studies

    files = _beginning(incomplete, shipped_studies())
    return sorted({*files, *stored_studies(ctx, incomplete)})


def stored_studies(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the studies in the database that the command line so far names."""
    try:
        return _beginning(incomplete, _names_in(str(ctx.params.get("storage") or "")))
    except Exception:  # noqa: BLE001 - completion prints no errors
        return []


def trackers(incomplete: str) -> list[tuple[str, str]]:
    """Return the built-in trackers, each with a description."""
    return [
        (name, description) for name, description in TRACKERS.items() if name.startswith(incomplete)
    ]


def devices(incomplete: str) -> list[str]:
    """Return the kinds of devices, without a list of the GPUs, which would need torch."""
    return [name for name in ("auto", "cpu", "cuda:0", "mps") if name.startswith(incomplete)]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete) and _NAME.fullmatch(name))


def _names_in(storage: str) -> list[str]:
    from hpsearch.cli.storage_option import storage_of_the_environment
    from hpsearch.search.database.environment import sqlite_file

    url = storage if storage and not os.environ.get("HPSEARCH_STORAGE_FILE") else ""
    url = url or storage_of_the_environment()
    query = "SELECT name FROM hpsearch_studies"
    file = sqlite_file(url)
    if file is not None:
        # Read-only: completion must not create a database
        with closing(
            sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=_SECONDS)
        ) as database:
            return [str(row[0]) for row in database.execute(query)]
    from sqlalchemy import create_engine, text

    from hpsearch.search.database.storage_url import parse_url

    arguments: dict[str, Any] = {
        "connect_timeout": _SECONDS,
        "options": f"-c statement_timeout={_SECONDS * 1000}",
    }
    engine = create_engine(parse_url(url), connect_args=arguments)
    try:
        with engine.connect() as connection:
            return [str(row[0]) for row in connection.execute(text(query))]
    finally:
        engine.dispose()
