"""The database's password is seen nowhere: not by `ps`, not in files, rows, pages or messages."""

from __future__ import annotations

import stat
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url
from support.commands import Ran
from support.watched_shell import MARK, PASSWORD, WatchedShell

LAUNCH = ("launch", "--study", "secretive.yaml", "--workers", "2", "--checkpoint-interval", "0")
WARNING = "warning: --storage contains a password, and everybody on this machine can read"


def secret_file(folder: Path, content: str) -> str:
    path = folder.parent / "secret"
    path.write_text(content + "\n")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return str(path)


def test_a_launch_shows_it_nowhere(
    shell: WatchedShell,
    secret_url: str,
    open_url: str,
    postgres: Any,
    hpsearch: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launched = shell.run(
        *LAUNCH,
        HPSEARCH_STORAGE=open_url,
        HPSEARCH_STORAGE_PASSWORD_FILE=secret_file(shell.folder, PASSWORD),
    )
    assert launched.code == 0, launched.all
    assert "2 of 2 trials" in launched.out
    assert WARNING not in launched.err
    # The launch, its fork server and its workers were all seen
    assert len(shell.watch.pids) >= 4
    assert not any(MARK in line for line in shell.watch.command_lines)

    monkeypatch.chdir(shell.folder)
    monkeypatch.setenv("HPSEARCH_STORAGE_FILE", secret_file(shell.folder, secret_url))
    for command in (
        ("status", "--study", "secretive", "--json"),
        ("studies",),
        ("show", "--study", "secretive", "0"),
        ("doctor", "--study", "secretive", "--json"),
        ("export", "--study", "secretive", "--out", "winner.yaml"),
    ):
        ran = hpsearch(*command)
        assert ran.code == 0, ran.all
        shell.told.append(ran.all)
    assert MARK not in "".join(shell.told)
    assert MARK not in "".join(_rows(postgres, secret_url))
    written = [path for path in shell.folder.rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"winner.yaml", "best.pt"}
    for path in written:
        assert MARK.encode() not in path.read_bytes(), path


def _rows(postgres: Any, url: str) -> list[str]:
    """Return every value of every table, as text."""
    tables = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", url)
    assert len(tables) > 10
    found = []
    for (table,) in tables:
        found += [str(row) for row in postgres.execute(f'SELECT * FROM "{table}"', url)]
    return found


def test_a_launch_in_the_background_shows_it_nowhere(shell: WatchedShell, secret_url: str) -> None:
    started = shell.run(*LAUNCH, "--detach", "--storage", secret_url)
    assert started.code == 0, started.all
    assert WARNING in started.err
    log = shell.folder / "runs" / "secretive" / "launch.log"
    try:
        deadline = time.monotonic() + 240
        while "2 of 2 trials" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
    finally:
        shell.run("stop", "--study", "secretive", HPSEARCH_STORAGE=secret_url)
    while shell.watch.alive():
        assert time.monotonic() < deadline + 60
        time.sleep(0.1)
    assert MARK not in log.read_text() + "".join(shell.told)
    showing = {line for line in shell.watch.command_lines if MARK in line}
    assert len(showing) == 1  # the person's own command, which was warned of
    assert any("--workers=2" in line for line in shell.watch.command_lines)


def test_a_password_from_a_passfile_or_a_service(
    shell: WatchedShell, secret_url: str, open_url: str
) -> None:
    url = make_url(secret_url)
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passfile = secret_file(shell.folder, f"*:*:*:{url.username}:{escaped}")
    services = shell.folder.parent / "services"
    services.write_text(
        f"[mine]\nhost={url.query['host']}\ndbname={url.database}\nuser={url.username}\n"
    )
    refused = shell.run("studies", HPSEARCH_STORAGE=open_url)
    assert refused.code == 2, refused.all
    stored = shell.run(
        *LAUNCH[:3], "--workers", "0", HPSEARCH_STORAGE=open_url, PGPASSFILE=passfile
    )
    assert stored.code == 0, stored.all
    seen = shell.run(
        "status",
        "--study",
        "secretive",
        HPSEARCH_STORAGE="postgresql:///?service=mine",
        PGSERVICEFILE=str(services),
        PGPASSFILE=passfile,
    )
    assert seen.code == 0, seen.all
    assert "0 of 2 trials" in seen.out


@pytest.mark.parametrize(
    ("part", "says"),
    [
        pytest.param("password", "password authentication failed", id="a wrong password"),
        pytest.param("database", "does not exist; the database must exist", id="no such database"),
        pytest.param("host", "can't be reached|must be reachable", id="no server"),
    ],
)
def test_a_refusal_of_the_database_shows_it_to_nobody(
    shell: WatchedShell, secret_url: str, part: str, says: str
) -> None:
    url = make_url(secret_url)
    wrong = {
        "password": url.set(password=PASSWORD + "2"),
        "database": url.set(database="none"),
        "host": url.update_query_dict({"host": "/nowhere"}),
    }[part]
    ran = shell.run("studies", HPSEARCH_STORAGE=wrong.render_as_string(hide_password=False))
    assert ran.code == 2, ran.all
    assert any(each in ran.err for each in says.split("|")), ran.err
    assert ":***@" in ran.err
    assert "Traceback" not in ran.err
    assert MARK not in ran.all


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("studies", f"postgresql://u:{MARK} /@{MARK}@h/d"), id="one too many"),
        pytest.param(("studies", "--storage", f"postgresql://u:a@{MARK}@h/d"), id="a raw @"),
        pytest.param(("studies", "--storage", f"postgresql://u:{MARK}@h:x/d"), id="no port"),
        pytest.param(("studies", "--storage", f"mysql://u:{MARK}@h/d"), id="another database"),
        pytest.param(
            ("studies", "--storage", f"postgresql://u@127.0.0.1:9/d?password={MARK}"), id="a query"
        ),
        pytest.param(("studies", f"--storag=postgresql://u:{MARK}@h/d"), id="a misspelt option"),
        pytest.param(("status", "--study", f"postgresql://u:{MARK}@h/d"), id="taken for a study"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_without_it(hpsearch, here, arguments):
    ran = hpsearch(*arguments)
    assert ran.code == 2
    assert "error: " in ran.err
    assert MARK not in ran.all
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("command", ["launch", "worker", "status", "studies", "dashboard"])
def test_help_doesnt_show_the_environment(hpsearch, monkeypatch, command):
    monkeypatch.setenv("HPSEARCH_STORAGE", f"postgresql://u:{MARK}@h/d")
    ran = hpsearch(command, "--help")
    assert ran.code == 0
    assert "HPSEARCH_STORAGE" in ran.out
    assert MARK not in ran.all


FILE = "HPSEARCH_STORAGE_FILE"
PASSWORD_FILE = "HPSEARCH_STORAGE_PASSWORD_FILE"


@pytest.mark.parametrize(
    ("variable", "content", "says"),
    [
        pytest.param(FILE, None, "can't be read: No such file", id="missing"),
        pytest.param(FILE, b"\n", "is empty", id="empty"),
        pytest.param(
            FILE, f"{MARK}\nsqlite:///x.db".encode(), "contains something else", id="lines"
        ),
        pytest.param(FILE, MARK.encode() * 2000, "contains something else", id="too long"),
        pytest.param(FILE, MARK.encode() + b"\xff", "isn't UTF-8 text", id="binary"),
        pytest.param(FILE, MARK.encode(), "can't be parsed", id="no URL"),
        pytest.param(PASSWORD_FILE, MARK.encode(), "names a SQLite file", id="SQLite"),
    ],
)
def test_a_secret_file_is_refused_in_words(
    hpsearch, tmp_path, monkeypatch, variable, content, says
):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(variable, str(path))
    ran = hpsearch("studies")
    assert ran.code == 2, ran.all
    assert says in ran.err
    assert MARK not in ran.all


def test_two_places_that_contradict_each_other_are_refused(hpsearch, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("x")
    monkeypatch.setenv("HPSEARCH_STORAGE", f"postgresql://u:{MARK}@h/d")
    monkeypatch.setenv(FILE, str(tmp_path / "secret"))
    both = hpsearch("studies")
    assert (both.code, "must not both be set" in both.err) == (2, True)
    monkeypatch.delenv(FILE)
    monkeypatch.setenv(PASSWORD_FILE, str(tmp_path / "secret"))
    twice = hpsearch("studies")
    assert (twice.code, "has one; take it out of the URL" in twice.err) == (2, True)
    assert MARK not in both.all + twice.all


def test_the_dashboard_shows_it_nowhere(
    shell: WatchedShell, secret_url: str, postgres: Any
) -> None:
    """Neither its pages nor its answers to what goes wrong."""
    shell.store(secret_url)
    dashboard = shell.start("dashboard", "--port", "0", "--no-browser", HPSEARCH_STORAGE=secret_url)
    try:
        assert dashboard.stdout is not None
        first = dashboard.stdout.readline()
        base = next(word for word in first.split() if word.startswith("http"))
        pages = [_answer(base + path) for path in ("", "api/studies", "api/meta", "api/studies/1")]
        assert [code for code, _ in pages] == [200, 200, 200, 200]
        assert "secretive" in pages[1][1]
        role = make_url(secret_url).username
        postgres.execute(f'ALTER ROLE "{role}" NOLOGIN')
        postgres.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
        )
        code, page = _answer(base + "api/studies")
        assert code == 500
        assert "Traceback" not in page and "File " not in page and "psycopg" not in page
    finally:
        dashboard.terminate()
        said = dashboard.communicate(timeout=240)[0]
    assert MARK not in first + said + "".join(body for _, body in pages) + page
    assert dashboard.returncode == 0
    assert not any(MARK in line for line in shell.watch.command_lines)


def _answer(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=240) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
