"""A database of another schema: each command that opens one says so and what to do, code 2."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import sqlalchemy as sa
import typer
from support.old_schema import go_back_to_0001
from support.watched_shell import STUDY

from hpsearch.cli.app import app
from hpsearch.search.database.schema_version import ensure_tables, head_revision
from hpsearch.search.database.storage import Database

#: What each command needs beside the database, to come as far as opening it.
ARGUMENTS = {
    "launch": ("--study", "secretive.yaml", "--workers", "0"),
    "worker": ("--study", "secretive"),
    "ablate": ("--study", "secretive"),
    "confirm": ("--study", "secretive"),
    "learn": ("--study", "secretive", "--from", "runs.csv"),
    "prior add": ("secretive",),
    "storage copy": ("--from-storage", "sqlite:///hpsearch.db"),
    "stop": ("--study", "secretive"),
    "scale": ("--study", "secretive", "--workers", "2"),
    "logs": ("--study", "secretive"),
    "studies": (),
    "check": ("--study", "builds_on.yaml"),
    "schema": ("--study", "builds_on.yaml"),
    "status": ("--study", "secretive"),
    "show": ("--study", "secretive"),
    "invalidate": ("--study", "secretive", "0", "--reason", "why"),
    "dashboard": ("--no-browser", "--port", "0"),
    "evaluate": ("--study", "secretive"),
    "report": ("--study", "secretive"),
    "export": ("--study", "secretive"),
    "doctor": ("--study", "secretive"),
    "data prepare": ("--study", "builds_on.yaml"),
}


def commands_with_a_database() -> set[str]:
    found = set()
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", {"": command})
        for second, each in inner.items():
            if any(parameter.name == "storage" for parameter in each.params):
                found.add(f"{name} {second}".strip())
    return found


def test_every_command_is_tried():
    assert commands_with_a_database() == set(ARGUMENTS)


@pytest.mark.parametrize("command", ARGUMENTS)
@pytest.mark.parametrize(
    ("table", "revision", "says"),
    [
        pytest.param(
            "hpsearch_alembic_version",
            "9999_later",
            ("'9999_later' from a newer version", "pip install -U hpsearch"),
            id="a newer hpsearch",
        ),
        pytest.param(
            "alembic_version",
            "v9.9.0.a",
            ("from another version of Optuna", "or another --storage"),
            id="another Optuna",
        ),
    ],
)
def test_it_is_refused_with_what_to_do(hpsearch, here: Path, command, table, revision, says):
    is_refused(hpsearch, here, command, table, revision, says)


@pytest.mark.parametrize("command", [name for name in ARGUMENTS if name != "launch"])
def test_an_older_one_is_refused_with_what_to_type(hpsearch, here: Path, command):
    url = f"sqlite:///{here}/hpsearch.db"
    says = (
        f"{url} has the older schema 0002, but this version of hpsearch reads {head_revision()}",
        f"run `hpsearch studies --upgrade --storage {url}` once",
    )
    is_refused(hpsearch, here, command, "hpsearch_alembic_version", "0002", says)


def is_refused(hpsearch, here: Path, command, table, revision, says):
    (here / "secretive.yaml").write_text(STUDY)
    builds_on = STUDY.replace("study: secretive", "study: next") + "from: secretive\n"
    (here / "builds_on.yaml").write_text(builds_on)
    database = Database("sqlite:///hpsearch.db")
    ensure_tables(database)
    database.write(
        lambda connection: connection.execute(
            sa.text(f"UPDATE {table} SET version_num = :revision"), {"revision": revision}
        )
    )
    database.close()
    before = contents(here)
    ran = hpsearch(*command.split(), *ARGUMENTS[command])
    assert ran.code == 2, ran.all
    for part in says:
        assert part in ran.err
    assert "Traceback" not in ran.err
    assert contents(here) == before


def test_an_older_one_is_read_after_what_the_message_says(hpsearch, here: Path):
    (here / "secretive.yaml").write_text(STUDY)
    assert hpsearch("launch", "--study", "secretive.yaml", "--workers", "0").code == 0
    database = Database("sqlite:///hpsearch.db")
    database.write(go_back_to_0001)
    database.close()
    refused = hpsearch("status", "--study", "secretive", "--storage", "sqlite:///hpsearch.db")
    [command] = re.findall(r"run `hpsearch (.*?)` once", " ".join(refused.err.split()))
    ran = hpsearch(*shlex.split(command))
    upgraded = f"was upgraded from schema 0001 to {head_revision()}"
    assert (ran.code, upgraded in ran.out) == (0, True), ran.all
    assert "secretive" in ran.out
    assert hpsearch("status", "--study", "secretive").code == 0
    ran = hpsearch("studies", "--upgrade", "--json")
    assert ran.json["stored"][0]["study"] == "secretive"
    assert f"has this version's schema, {head_revision()}" in ran.err


def test_what_hpsearch_never_used_is_no_older_one(hpsearch, here: Path):
    ran = hpsearch("studies", "--upgrade")
    assert (ran.code, "no study has been launched into" in ran.err) == (2, True), ran.all
    assert not (here / "hpsearch.db").exists()


def contents(folder: Path) -> list[str]:
    """Return every row of every table."""
    database = Database(f"sqlite:///{folder}/hpsearch.db")
    rows = []
    with database.engine.connect() as connection:
        for table in sorted(sa.inspect(connection).get_table_names()):
            found = connection.execute(sa.text(f'SELECT * FROM "{table}"')).all()
            rows += [f"{table}: {row}" for row in found]
    database.close()
    return rows
