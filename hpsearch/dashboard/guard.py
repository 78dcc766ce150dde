"""What may pass to the dashboard: reading requests that name this server, and nothing else.

optuna-dashboard has no authentication and offers to delete studies. A page on another site can
make a browser send requests to ``localhost``: those change nothing here (only reading passes), and
a rebound domain name reads nothing (the Host header must be a loopback name).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.headers import Headers

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

READING = ("GET", "HEAD")

#: Names under which a browser on this machine reaches the loopback interface.
LOOPBACK_NAMES = frozenset(["localhost", "127.0.0.1", "[::1]"])

#: Only what the application didn't set itself is added.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """WSGI middleware; ``hosts`` are the names that the Host header may hold, without a port."""

    def __init__(self, application: WSGIApplication, hosts: Iterable[str] = LOOPBACK_NAMES) -> None:
        self._application = application
        self._hosts = frozenset(hosts)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer 405 to what would write, 403 to a foreign Host, and pass on the rest."""
        method = str(environ.get("REQUEST_METHOD", ""))
        if method not in READING:
            told = "This dashboard is read-only: studies change through hpsearch alone."
            allow = [("Allow", ", ".join(READING))]
            return _refuse(HTTPStatus.METHOD_NOT_ALLOWED, told, allow, start_response)
        if _without_port(str(environ.get("HTTP_HOST", ""))) not in self._hosts:
            told = "This server answers only to localhost."
            return _refuse(HTTPStatus.FORBIDDEN, told, [], start_response)
        return self._application(environ, _guarded(start_response))


def _guarded(start_response: StartResponse) -> StartResponse:
    def start(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        return start_response(status, _with_security(headers), exc_info)

    return start


def _refuse(
    status: HTTPStatus,
    told: str,
    headers: list[tuple[str, str]],
    start_response: StartResponse,
) -> list[bytes]:
    body = f"{told}\n".encode()
    own = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *headers,
    ]
    start_response(f"{status.value} {status.phrase}", _with_security(own))
    return [body]


def _with_security(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    listed = Headers(list(headers))
    for name, value in HEADERS.items():
        listed.setdefault(name, value)
    return listed.items()


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdigit() else host).lower()
