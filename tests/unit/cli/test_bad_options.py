"""What is wrong before anything is read: one message, exit code 2, nothing created."""

from __future__ import annotations

import pytest

from hpsearch.cli.app import COMMANDS, run_command
from hpsearch.cli.options import DEFAULT_STORAGE
from hpsearch.errors import LeaseLost, StorageError
from hpsearch.search.database import storage_url

#: Where the command line shows a password.
WARNING = (
    "warning: --storage contains a password, and everybody on this machine can read command lines; "
    "set HPSEARCH_STORAGE instead, or write the URL into a file and set HPSEARCH_STORAGE_FILE to "
    "its path, or put the password into ~/.pgpass\n"
)

LAUNCH = ("launch", "--study", "quickstart")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            (*LAUNCH, "--workers", "-1"),
            "error: Invalid value for '--workers' / '-w': must be a number from 0, or auto, "
            "but got -1.\n"
            "See `hpsearch launch --help`.\n",
            id="fewer workers than none",
        ),
        pytest.param(
            (*LAUNCH, "--trials", "-3"),
            "error: Invalid value for '--trials': must be at least 1, but got -3.\n",
            id="trials below 1",
        ),
        pytest.param(
            (*LAUNCH, "--epochs", "0"),
            "error: Invalid value for '--epochs': must be at least 1, but got 0.\n",
            id="no epochs",
        ),
        pytest.param(
            (*LAUNCH, "--workers", "many"),
            "error: Invalid value for '--workers' / '-w': must be a number from 0, or auto, ",
            id="not a number",
        ),
        pytest.param(
            (*LAUNCH, "--timeout", "30"),
            "error: Invalid value for '--timeout': must be a duration with its unit, as in 90s, "
            "30m, 8h or 2d, but got '30'.\n",
            id="a duration without its unit",
        ),
        pytest.param(
            (*LAUNCH, "--timeout", "0m"),
            "error: Invalid value for '--timeout': must be longer than 0, but got '0m'.\n",
            id="no time at all",
        ),
        pytest.param(
            (*LAUNCH, "--lease", "0"),
            "error: Invalid value for '--lease': must be more than 0, but got 0.\n",
            id="no lease",
        ),
        pytest.param(
            (*LAUNCH, "--workers-per-gpu", "0"),
            "error: Invalid value for '--workers-per-gpu': must be at least 1, but got 0.\n",
            id="no workers on a GPU",
        ),
        pytest.param(("launch",), "error: Missing option '--study' / '-s'.\n", id="no study"),
        pytest.param((*LAUNCH, "--bogus"), "error: No such option: --bogus", id="unknown option"),
        pytest.param(("frobnicate",), "error: No such command 'frobnicate'.", id="no such command"),
        pytest.param(
            ("dashboard", "--host", "0.0.0.0"),
            "error: without a token the dashboard listens on this machine only (127.0.0.1, ::1 or "
            "localhost), but --host is '0.0.0.0'; set HPSEARCH_DASHBOARD_TOKEN, or use an SSH "
            "tunnel from another machine: ssh -L 8080:localhost:8080 THIS_HOST\n",
            id="a dashboard for everybody",
        ),
        pytest.param(
            ("data", "prepare"),
            "error: give either a source or --study, but got neither; "
            "`hpsearch data list` lists the sources\n",
            id="nothing to prepare",
        ),
        pytest.param(
            ("status", "--study", "quickstart"),
            "yet: the file doesn't exist; run `hpsearch launch` first, or name another --storage\n",
            id="no database yet",
        ),
        pytest.param(
            ("status", "--study", "x", "--storage", "mysql://me:hush@db/x"),
            "error: a storage must be SQLite or PostgreSQL, but 'mysql' was given; ",
            id="another database",
        ),
    ],
)
def test_one_message_and_nothing_created(hpsearch, here, arguments, says):
    ran = hpsearch(*arguments)
    assert ran.code == 2
    assert says in ran.err
    assert ran.err.removeprefix(WARNING).startswith("error: ")
    assert "Traceback" not in ran.err
    assert "hush" not in ran.err
    assert ran.out == ""
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", [name for panel in COMMANDS.values() for name in panel])
def test_every_command_has_help_with_an_example(hpsearch, name):
    ran = hpsearch(name, "--help")
    assert ran.code == 0
    assert f"hpsearch {name}" in ran.out


def test_no_arguments_show_what_there_is(hpsearch):
    ran = hpsearch()
    assert ran.code == 0
    assert "hpsearch launch --study quickstart --workers 2" in ran.out


def test_version(hpsearch):
    assert hpsearch("--version").out == "hpsearch 0.1.0\n"


def test_the_default_storage_is_the_search_s_own():
    assert DEFAULT_STORAGE == storage_url.DEFAULT_STORAGE


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        pytest.param(
            StorageError("postgresql://me:hush@db/x: no answer"),
            2,
            "error: postgresql://me:***@db/x: no answer\n",
            id="what the user can correct",
        ),
        pytest.param(LeaseLost("ticket 3"), 1, "error: ticket 3\n", id="what a run can meet"),
        pytest.param(
            ZeroDivisionError("sqlite://u:hush@h/d"),
            1,
            "error: this is a fault of hpsearch: ZeroDivisionError; please report it\n",
            id="our own mistake",
        ),
        pytest.param(
            StorageError("\x1b[2Jgone"), 2, "error: \N{REPLACEMENT CHARACTER}[2J", id="esc"
        ),
        pytest.param(KeyboardInterrupt(), 130, "", id="Ctrl-C"),
    ],
)
def test_what_becomes_of_an_error(monkeypatch, capsys, error, code, says):
    def app(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("hpsearch.cli.app._parser", lambda: app)
    assert run_command([]) == code
    told = capsys.readouterr().err
    assert says in told
    assert "hush" not in told
    assert ("Traceback" in told) == isinstance(error, ZeroDivisionError)
