"""``--notify``: the status reaches a command or a webhook; its failure is one line and no more."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from support.webhook import Webhook, listening

from hpsearch.cli import notify
from hpsearch.cli.notify import Notifier, check_target
from hpsearch.errors import StorageError


@pytest.fixture
def notifier(searched: Any) -> Any:
    def make(target: str | None) -> Notifier:
        return Notifier(target=target, command="launch", study="made_up", storage=searched.url)

    return make


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class TestWebhook:
    def test_it_gets_the_status_and_the_reason(self, notifier, capsys) -> None:
        with listening(Webhook()) as hook:
            notifier(f"{hook.url}/T0/secret").tell("finished", code=0)
        ((path, headers, body),) = hook.told
        assert path == "/T0/secret"
        assert headers["Content-Type"] == "application/json"
        told = json.loads(body)
        assert (told["study"], told["command"], told["ended"]) == ("made_up", "launch", "finished")
        assert (told["exit_code"], told["error"]) == (0, None)
        assert told["trials"]["complete"] == 3
        assert told["best"]["value"] == 0.8
        assert "pruning" in told
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("hook", "says"),
        [
            (Webhook(status=500), "the server answered 500 "),
            (Webhook(status=404), "the server answered 404 "),
        ],
    )
    def test_a_refusal_is_one_line(self, notifier, capsys, hook, says) -> None:
        with listening(hook):
            notifier(f"{hook.url}/secret").tell("finished", code=0)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"--notify: {hook.url}: {says}")
        assert "secret" not in line

    def test_a_redirection_isnt_followed(self, notifier, capsys) -> None:
        hook = Webhook(status=302)
        with listening(Webhook()) as other, listening(hook):
            hook.location = f"{other.url}/elsewhere"
            notifier(hook.url).tell("finished", code=0)
        assert other.told == []
        assert "the server answered 302" in capsys.readouterr().err

    def test_nobody_there(self, notifier, capsys) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        notifier(f"http://127.0.0.1:{port}").tell("finished", code=0)
        (line,) = capsys.readouterr().err.splitlines()
        assert "can't be reached" in line

    def test_one_that_never_answers_is_left(self, notifier, capsys, monkeypatch) -> None:
        monkeypatch.setattr(notify, "HTTP_SECONDS", 0.5)
        with listening(Webhook(hangs=True)) as hook:
            notifier(hook.url).tell("finished", code=0)
            until = time.monotonic() + 240
            while not hook.told and time.monotonic() < until:
                time.sleep(0.01)  # it was asked, however late
        assert len(hook.told) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1


def is_alive(stat: Path) -> bool:
    """Whether the process of a `/proc/N/stat` runs or could; a zombie has ended."""
    try:
        return stat.read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class TestCommand:
    def test_it_gets_the_status_on_stdin(self, notifier, tmp_path, capsys) -> None:
        told = tmp_path / "told.json"
        notifier(f"cat > {told}; echo nobody reads this").tell("interrupted", code=0)
        status = json.loads(told.read_text())
        assert (status["ended"], status["budget"]["trials"]) == ("interrupted", 6)
        assert capsys.readouterr() == ("", "")

    def test_its_failure_is_one_line(self, notifier, capsys) -> None:
        notifier("echo one >&2; printf 'tw\\033[31mo\\n' >&2; exit 3").tell("finished", code=0)
        assert capsys.readouterr().err == (
            "--notify: the command: it ended with exit code 3: tw\N{REPLACEMENT CHARACTER}[31mo\n"
        )

    def test_one_that_doesnt_end_is_killed_with_its_children(
        self, notifier, tmp_path, capsys, monkeypatch
    ) -> None:
        pid = tmp_path / "pid"

        class Begun(subprocess.Popen):
            """Its time begins when its child is there, however busy the machine is."""

            def wait(self, timeout=None):
                while timeout is not None and not (pid.exists() and pid.read_text().strip()):
                    time.sleep(0.01)
                return super().wait(timeout)

        monkeypatch.setattr(notify, "COMMAND_SECONDS", 0.5)
        monkeypatch.setattr(notify.subprocess, "Popen", Begun)
        notifier(f"sleep 3600 & echo $! > {pid}; wait").tell("finished", code=0)
        assert "it didn't end within 0.5 s and was killed" in capsys.readouterr().err
        # A killed process dies when it is next scheduled, which may be a moment later
        child = Path(f"/proc/{pid.read_text().strip()}/stat")
        until = time.monotonic() + 240
        while is_alive(child) and time.monotonic() < until:
            time.sleep(0.02)
        assert not is_alive(child)

    def test_it_sees_no_password(self, notifier, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("HPSEARCH_STORAGE", "postgresql://me:hushhush@db/search")
        monkeypatch.setenv("PGPASSWORD", "hushhush")
        monkeypatch.setenv("HPSEARCH_NOTIFY", "https://hooks/hushhush")
        told = tmp_path / "told"
        notifier(f"(env; cat) > {told}").tell("failed", code=1, error="at pg://me:hushhush@db/x")
        assert "hushhush" not in told.read_text()
        assert "pg://me:***@db/x" in told.read_text()
        assert "PATH=" in told.read_text()

    def test_a_plain_database_stays_in_its_environment(self, notifier, tmp_path, monkeypatch):
        monkeypatch.setenv("HPSEARCH_STORAGE", "sqlite:///mine.db")
        notifier(f"env > {tmp_path}/told").tell("finished", code=0)
        assert "HPSEARCH_STORAGE=sqlite:///mine.db" in (tmp_path / "told").read_text()


class TestFailure:
    def test_what_is_raised_is_told_and_raised(self, notifier, tmp_path) -> None:
        told = tmp_path / "told"
        with (
            pytest.raises(StorageError),
            notifier(f"cat > {told}").on_failure(),
        ):
            raise StorageError("the database is gone")
        status = json.loads(told.read_text())
        assert (status["ended"], status["exit_code"]) == ("failed", 1)
        assert status["error"] == "the database is gone"

    def test_also_where_the_database_cant_be_read(self, tmp_path) -> None:
        told = tmp_path / "told"
        gone = Notifier(
            target=f"cat > {told}", command="confirm", study="s", storage="sqlite:////no/where.db"
        )
        gone.tell("failed", code=1, error="RuntimeError")
        assert json.loads(told.read_text())["study"] == "s"

    def test_an_exit_code_is_no_failure(self, notifier, tmp_path) -> None:
        with pytest.raises(typer.Exit), notifier(f"touch {tmp_path}/told").on_failure():
            raise typer.Exit(1)
        assert not (tmp_path / "told").exists()

    def test_without_a_target_nothing_happens(self, notifier) -> None:
        notifier(None).tell("finished", code=0)


@pytest.mark.parametrize(
    "target", ["ftp://host/x", "file:///etc/passwd", "http://", "https://me:pw@host/x", "  "]
)
def test_other_targets_are_refused(hpsearch, target) -> None:
    ran = hpsearch("launch", "--study", "quickstart", "--notify", target)
    assert ran.code == 2
    assert "--notify" in ran.err
    assert "pw" not in ran.err


@pytest.mark.parametrize("target", ["mail -s done me", "https://host/x?y=1", None, ""])
def test_these_are_fine(target) -> None:
    assert check_target(target) == (target or None)
