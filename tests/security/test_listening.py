"""Nothing listens beyond this machine unless told, and then only to those who have the token."""

from __future__ import annotations

import base64
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.watched_shell import WatchedShell

#: As the kernel writes them: the bytes of each 32 bits stand backwards.
LOOPBACK, EVERYWHERE = "0100007F", "00000000"
TOKEN = "0123456789abcdef-token"
DATABASE = {"HPSEARCH_STORAGE": "sqlite:///hpsearch.db"}


def test_a_launch_listens_nowhere(shell: WatchedShell) -> None:
    launched = shell.run("launch", "--study", "secretive.yaml", "--workers", "2", **DATABASE)
    assert launched.code == 0, launched.all
    assert len(shell.watch.pids) >= 4
    assert shell.watch.listening == set()


@contextmanager
def dashboard(shell: WatchedShell, *options: str, **environment: str) -> Iterator[tuple[str, str]]:
    """Yield the line that it begins with, and its URL on this machine."""
    shell.store(f"sqlite:///{shell.folder}/hpsearch.db")
    process = shell.start(
        "dashboard", "--port", "0", "--no-browser", *options, **DATABASE, **environment
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = re.search(r"http://[\d.]+:(\d+)/", line)
        assert port is not None, line
        yield line, f"http://127.0.0.1:{port[1]}/"
    finally:
        process.terminate()
        process.communicate(timeout=240)
    assert process.returncode == 0


def ask(url: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=240) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def test_the_dashboard_listens_on_this_machine_only(shell: WatchedShell) -> None:
    with dashboard(shell) as (_, url):
        assert ask(url + "api/studies")[0] == 200
        assert ask(url + "api/studies", Host="evil.example")[0] == 403
        shell.watch.look()
        port = int(url.rstrip("/").rpartition(":")[2])
        assert shell.watch.listening == {(LOOPBACK, port)}


def test_with_a_token_it_may_listen_elsewhere_and_asks_for_it(
    shell: WatchedShell, tmp_path
) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    file = {"HPSEARCH_DASHBOARD_TOKEN_FILE": str(tmp_path / "token")}
    with dashboard(shell, "--host", "0.0.0.0", **file) as (line, url):
        shell.watch.look()
        assert {address for address, _ in shell.watch.listening} == {EVERYWHERE}
        assert ask(url + "healthz")[:2] == (200, "ok\n")
        for path in ("", "api/studies", "dashboard", "static/bundle.js", "healthz/"):
            status, body, headers = ask(url + path)
            assert status == 401, path
            assert "secretive" not in body
            assert headers["WWW-Authenticate"].startswith("Basic ")
        given = base64.b64encode(f"me:{TOKEN}".encode()).decode()
        for authorization in (f"Basic {given}", f"Bearer {TOKEN}"):
            # Also by another name of this machine: the token is what counts.
            status, body, _ = ask(url + "api/studies", Authorization=authorization, Host="gpu.box")
            assert (status, "secretive" in body) == (200, True)
    assert TOKEN not in line
    assert not any(TOKEN in words for words in shell.watch.command_lines)


@pytest.mark.parametrize("token", ["short", "with a blank in it", "x" * 257, "ünicode-0123456789"])
def test_a_poor_token_is_refused_and_not_shown(hpsearch, monkeypatch, token):
    monkeypatch.setenv("HPSEARCH_DASHBOARD_TOKEN", token)
    ran = hpsearch("dashboard", "--host", "0.0.0.0")
    assert ran.code == 2
    assert "must be 16 to 256" in ran.err
    assert token not in ran.all


def test_without_a_token_it_doesnt_listen_elsewhere(hpsearch, monkeypatch):
    monkeypatch.setenv("HPSEARCH_DASHBOARD_TOKEN", "")
    ran = hpsearch("dashboard", "--host", "0.0.0.0")
    assert ran.code == 2
    assert "without a token the dashboard listens on this machine only" in ran.err
