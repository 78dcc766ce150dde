"""A database behind a password that any leak would show, and a shell that is watched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url
from support.watched_shell import PASSWORD, STUDY, WatchedShell
from support.watching import Watch


@pytest.fixture
def shell(tmp_path: Path, shared_data: Path) -> Iterator[WatchedShell]:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "secretive.yaml").write_text(STUDY)
    with Watch() as watch:
        yield WatchedShell(folder, shared_data, watch)


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
