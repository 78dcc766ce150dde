"""``--notify``: a command or a webhook that is called at the end of a launch or a confirmation.

It never changes the exit code: a failure of it is one line on stderr.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from hpsearch.cli.process_setup import Terminated
from hpsearch.cli.storage_option import URL as STORAGE_VARIABLE
from hpsearch.cli.terminal.output import as_json as json_of
from hpsearch.cli.terminal.output import mask_urls, say
from hpsearch.errors import HpsearchError
from hpsearch.foreign_text import clean
from hpsearch.import_path import environment_of_the_user

if TYPE_CHECKING:
    from http.client import HTTPMessage

VARIABLE = "HPSEARCH_NOTIFY"

#: Timeouts of a server and of a command.
HTTP_SECONDS, COMMAND_SECONDS = 15.0, 60.0

#: Characters of a failure that are printed.
_SHOWN = 200

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def check_target(target: str | None) -> str | None:
    """Check a command or an address; a callback of ``--notify``.

    Raises:
        typer.BadParameter: It is blank, an address that isn't http(s), or one with a user or a
            password.
    """
    if not target:
        return None
    if not target.strip():
        raise typer.BadParameter("must be a command or an http(s) address, but it is empty.")
    if _SCHEME.match(target):
        try:
            parts = urlsplit(target)
            is_supported = parts.scheme in ("http", "https") and bool(parts.hostname)
            secret = parts.username is not None or parts.password is not None
        except ValueError:
            is_supported, secret = False, False
        if not is_supported:
            raise typer.BadParameter(
                "must be a command or an address http://HOST/.. or https://HOST/..; other "
                "schemes aren't supported."
            )
        if secret:
            raise typer.BadParameter(
                "an address must contain no user or password; let a command send them "
                "(curl with a file of its own)."
            )
    return target


NotifyOption = Annotated[
    str | None,
    typer.Option(
        "--notify",
        metavar="COMMAND|URL",
        envvar=VARIABLE,
        callback=check_target,
        show_envvar=False,
        help="At the end, or on failure, run this command with the status as JSON on stdin, or "
        f"POST it to this http(s) address. Put a secret address into {VARIABLE}.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Notifier:
    """Notifies ``target``, unless it is ``None``, how ``command`` on ``study`` ended."""

    target: str | None
    command: str
    study: str
    storage: str

    @contextmanager
    def on_failure(self) -> Iterator[None]:
        """Notify the target of an exception in the block, and raise it again."""
        try:
            yield
        except typer.Exit:
            raise
        except (Exception, KeyboardInterrupt, Terminated) as error:
            interrupted = isinstance(error, KeyboardInterrupt | Terminated)
            text = str(error) if isinstance(error, HpsearchError) else type(error).__name__
            self.tell(
                "interrupted" if interrupted else "failed",
                code=130 if interrupted else 1,
                error=None if interrupted else text,
            )
            raise

    def tell(self, reason: str, *, code: int, error: str | None = None, **more: Any) -> None:
        """Notify the target of the end.

        Args:
            reason: How the command ended, such as ``finished`` or ``failed``.
            code: The exit code.
            error: The message of an error; ``None`` without one.
            more: Further entries of the JSON.
        """
        if self.target is None:
            return
        content = {
            **self._status(),
            **more,
            "command": self.command,
            "ended": reason,
            "exit_code": code,
            "error": None if error is None else clean(mask_urls(error)),
        }
        text = json_of(content)
        send = _post if _SCHEME.match(self.target) else _run
        try:
            problem = send(self.target, text)
        except KeyboardInterrupt:
            problem = "interrupted"
        if problem is not None:
            message = clean(mask_urls(" ".join(problem.split())))[:_SHOWN]
            say(f"--notify: {_printable(self.target)}: {message}", stderr=True)

    def _status(self) -> dict[str, Any]:
        """Return ``status --json``; only the study's name if the status can't be read."""
        from hpsearch.reporting.status import status_of
        from hpsearch.results.opening import database_for_reading, record_of

        try:
            with database_for_reading(self.storage) as database:
                return status_of(database, record_of(database, self.study))
        except Exception:  # noqa: BLE001 - the same error may be what the notification is about
            return {"study": self.study}


def _printable(target: str) -> str:
    """Return the part of a target that may be printed: a webhook's path is often a secret."""
    if not _SCHEME.match(target):
        return "the command"
    parts = urlsplit(target)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def _post(url: str, text: str) -> str | None:
    """POST the JSON; return what went wrong, or ``None``."""
    import urllib.error
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(
            self, req: Any, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
        ) -> None:
            # A redirect could lead anywhere, and would become a GET
            return None

    def send() -> str | None:
        request = urllib.request.Request(
            url,
            data=text.encode(),
            headers={"Content-Type": "application/json", "User-Agent": "hpsearch"},
            method="POST",
        )
        try:
            with urllib.request.build_opener(NoRedirect).open(request, timeout=HTTP_SECONDS):
                return None
        except urllib.error.HTTPError as error:
            with error:
                return f"the server answered {error.code} {error.reason}"
        except urllib.error.URLError as error:
            return f"it can't be reached ({error.reason})"
        except (OSError, ValueError) as error:
            return f"it can't be reached ({error})"

    return _within(HTTP_SECONDS, send)


def _within(seconds: float, send: Callable[[], str | None]) -> str | None:
    """Run ``send`` in a thread: the timeout of a socket ignores a server that sends slowly."""
    answers: list[str | None] = []

    def work() -> None:
        try:
            answers.append(send())
        except Exception as error:  # noqa: BLE001
            answers.append(f"it can't be sent ({type(error).__name__})")

    thread = threading.Thread(target=work, name="notify", daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else f"no answer within {seconds:g} s"


def _run(command: str, text: str) -> str | None:
    """Run the command in a shell, with the JSON on stdin; return what went wrong, or ``None``."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        stdin.write(text.encode())
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                command,
                shell=True,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=_environment(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"it can't be started ({error})"
        try:
            code = process.wait(COMMAND_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, KeyboardInterrupt):
                raise
            return f"it didn't end within {COMMAND_SECONDS:g} s and was killed"
        if code == 0:
            return None
        size = stderr.seek(0, os.SEEK_END)
        stderr.seek(max(0, size - 4 * _SHOWN))
        lines = stderr.read().decode(errors="replace").strip().splitlines()
        return f"it ended with exit code {code}" + (f": {lines[-1]}" if lines else "")


def _environment() -> dict[str, str]:
    """Return this environment without the database's password and without ``VARIABLE``."""
    left = {
        key: value
        for key, value in environment_of_the_user().items()
        if key not in (VARIABLE, "PGPASSWORD")
    }
    if STORAGE_VARIABLE in left and mask_urls(left[STORAGE_VARIABLE]) != left[STORAGE_VARIABLE]:
        del left[STORAGE_VARIABLE]
    return left
