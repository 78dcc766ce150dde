"""Creating Optuna's tables and ours, and refusing databases of another schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from hpsearch.errors import NothingStored, StorageError
from hpsearch.search.database.storage import Database, exclusive_setup
from hpsearch.search.database.storage_url import storage_option

VERSION_TABLE = "hpsearch_alembic_version"


def ensure_tables(database: Database) -> None:
    """Create missing tables or upgrade older ones; several processes may call this at once.

    Raises:
        StorageError: The schema, Optuna's or ours, is newer or unknown, or the database can't be
            used.
    """
    if database.read(revision_of) == head_revision():
        _refuse_other_optuna(database)
        return
    try:
        with exclusive_setup(database):
            revision = database.read(revision_of)
            if revision is not None:
                _refuse_unknown(database, revision)
            _create_optuna_tables(database)
            database.write(_upgrade)
    except DBAPIError as error:  # From Optuna's engine, or from waiting for the others.
        raise StorageError(
            f"hpsearch must create its tables, but {database.explain(error)}"
        ) from error


def require_tables(database: Database) -> None:
    """Check that hpsearch has used this database before, creating nothing.

    Raises:
        NothingStored: No study was launched into it yet.
        StorageError: It can't be reached, or its schema isn't this version's.
    """
    revision = _used_revision(database)
    if revision != head_revision():
        raise StorageError(
            f"{database.display_url} has the older schema {revision}, but this version of hpsearch "
            f"reads {head_revision()}; no data is lost: stop the workers of the older version, and "
            f"run `hpsearch studies --upgrade{storage_option(database.url)}` once"
        )
    _refuse_other_optuna(database)


def upgrade_tables(database: Database) -> str | None:
    """Upgrade the tables of an older hpsearch to this version's, as ``ensure_tables`` does.

    Returns:
        The revision that they had; ``None`` if there was nothing to do.

    Raises:
        NothingStored: hpsearch hasn't used this database yet: nothing is created.
        StorageError: As ``ensure_tables``.
    """
    revision = _used_revision(database)
    ensure_tables(database)
    return None if revision == head_revision() else revision


def _used_revision(database: Database) -> str:
    if database.is_sqlite and not Path(str(database.url.database)).exists():
        raise NothingStored(
            f"no study has been launched into {database.display_url} yet: the file doesn't exist; "
            "run `hpsearch launch` first, or name another --storage"
        )
    revision = database.read(revision_of)
    if revision is None:
        raise NothingStored(
            f"no study has been launched into {database.display_url} yet: it has no hpsearch "
            "tables; run `hpsearch launch` first, or name another --storage"
        )
    _refuse_unknown(database, revision)
    return revision


def revision_of(connection: Connection) -> str | None:
    """Return the revision of our tables; ``None`` if there are none."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return _migrations(connection).get_current_revision()


@cache
def head_revision() -> str:
    """Return the revision that this version of hpsearch works with.

    Raises:
        RuntimeError: The migrations are missing from the installation.
    """
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("hpsearch was installed without its migrations")
    return head


def _refuse_unknown(database: Database, revision: str) -> None:
    revisions = {
        script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()
    }
    if revision not in revisions:
        raise StorageError(
            f"{database.display_url} must have a schema that this version can read, but it has "
            f"{revision!r} from a newer version; run `pip install -U hpsearch`, or use another "
            "--storage. Nothing was changed"
        )


def _refuse_other_optuna(database: Database) -> None:
    """Refuse Optuna's tables of another schema: our own statements write them."""
    revision = database.read(
        lambda connection: MigrationContext.configure(connection).get_current_revision()
    )
    if revision != optuna_head():
        raise StorageError(
            f"{database.display_url} must have Optuna's tables of schema {optuna_head()!r}, but "
            f"they have schema {revision!r}, from another version of Optuna; use the version of "
            "hpsearch that belongs to it, or another --storage. Nothing was changed"
        )


@cache
def optuna_head() -> str | None:
    """Return the revision of Optuna's tables that the installed Optuna works with."""
    return ScriptDirectory(str(Path(models.__file__).parent / "alembic")).get_current_head()


def _create_optuna_tables(database: Database) -> None:
    try:
        # Without a pool no connection stays open, even if Optuna refuses.
        RDBStorage(optuna_url(database), engine_kwargs={"poolclass": sa.NullPool})
    except RuntimeError as error:
        raise StorageError(f"{database.display_url} can't be used: {error}") from error


def optuna_url(database: Database) -> str:
    """Return the URL, password included, in the form that Optuna's ``RDBStorage`` takes."""
    # Optuna sends the URL through str.format, so a brace (in a folder's name) must be doubled.
    url = database.url.render_as_string(hide_password=False)
    return url.replace("{", "{{").replace("}", "}}")


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _migrations(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
