"""A database behind a password that any leak would show, and a shell that is watched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url
from support.watched_shell import PASSWORD, STUDY, Ran, WatchedShell
from support.watching import Watch

from hpsearch.cli.app import run_command


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[WatchedShell]:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "secretive.yaml").write_text(STUDY)
    with Watch() as watch:
        yield WatchedShell(folder, watch)


@pytest.fixture
def secret_url(postgres: Any) -> Iterator[str]:
    """The URL, with its password, of an empty database whose owner must log in."""
    url = postgres.create()
    yield postgres.protect(url, PASSWORD)
    postgres.drop(url)


@pytest.fixture
def open_url(secret_url: str) -> str:
    """The same without the password: refused by the server unless it comes from elsewhere."""
    bare = make_url(secret_url)._replace(password=None)
    return bare.render_as_string(hide_password=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no setting from outside."""
    folder = tmp_path / "here"
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("HPSEARCH")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HPSEARCH_DATA", str(tmp_path / "data"))
    return folder


@pytest.fixture
def hpsearch(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process, in an empty folder."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run_command(list(arguments))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
