"""Lets only authorized reading requests pass to the dashboard.

optuna-dashboard has no authentication and can delete studies. A page on another site can make a
browser send requests to ``localhost``: they can't change anything (only reading requests pass), and
a rebound domain name can't read anything (the Host header must be a loopback name, or the request
must contain a token, which a browser sends only to the host name that it was entered for).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable
from hmac import compare_digest
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.headers import Headers

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

READING = ("GET", "HEAD")

#: Answered without a token; it only shows that the server runs.
HEALTH = "/healthz"

#: Names under which a browser on this machine reaches the loopback interface.
LOOPBACK_NAMES = frozenset(["localhost", "127.0.0.1", "[::1]"])

#: Added to an answer unless the application sets them itself.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Notes and names are untrusted text: they must not run scripts or send data to other hosts.
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    # The default contains the versions of Python and of the server.
    "Server": "hpsearch",
}


class Guard:
    """WSGI middleware.

    Args:
        application: Receives the requests that pass.
        hosts: The allowed names of the Host header, without a port; ``None`` allows any.
        token: The token that requests must contain, as the password of HTTP's Basic authentication
            (any user name) or as a Bearer token; ``None`` if none is needed.
    """

    def __init__(
        self,
        application: WSGIApplication,
        hosts: Iterable[str] | None = LOOPBACK_NAMES,
        token: str | None = None,
    ) -> None:
        self._application = application
        self._hosts = None if hosts is None else frozenset(hosts)
        self._token = None if token is None else token.encode()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer 405 to writing requests, 403 to other hosts, and 401 without the token."""
        method = str(environ.get("REQUEST_METHOD", ""))
        if method not in READING:
            text = "This dashboard is read-only: only hpsearch changes studies."
            allow = [("Allow", ", ".join(READING))]
            return _answer(HTTPStatus.METHOD_NOT_ALLOWED, text, allow, start_response)
        host = _without_port(str(environ.get("HTTP_HOST", "")))
        if self._hosts is not None and host not in self._hosts:
            text = "This server answers requests to localhost only."
            return _answer(HTTPStatus.FORBIDDEN, text, [], start_response)
        if environ.get("PATH_INFO") == HEALTH:
            return _answer(HTTPStatus.OK, "ok", [], start_response)
        if not self._may_read(str(environ.get("HTTP_AUTHORIZATION", ""))):
            text = "This dashboard needs its token as the password (with any user name)."
            asks = [("WWW-Authenticate", 'Basic realm="hpsearch", charset="UTF-8"')]
            return _answer(HTTPStatus.UNAUTHORIZED, text, asks, start_response)
        return self._application(environ, _with_headers(start_response))

    def _may_read(self, authorization: str) -> bool:
        if self._token is None:
            return True
        # In constant time, so that the duration doesn't reveal how much of a guess is right
        return compare_digest(_credential(authorization), self._token)


def _credential(authorization: str) -> bytes:
    """Return the password or token of an Authorization header, empty if it has none."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip().encode("latin-1", errors="replace")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _with_headers(start_response: StartResponse) -> StartResponse:
    def start(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        return start_response(status, _with_security(headers), exc_info)

    return start


def _answer(
    status: HTTPStatus,
    message: str,
    headers: list[tuple[str, str]],
    start_response: StartResponse,
) -> list[bytes]:
    body = f"{message}\n".encode()
    own = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *headers,
    ]
    start_response(f"{status.value} {status.phrase}", _with_security(own))
    return [body]


def _with_security(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    all_headers = Headers(list(headers))
    # optuna-dashboard allows scripts of every site to read artifacts.
    del all_headers["Access-Control-Allow-Origin"]
    for name, value in HEADERS.items():
        all_headers.setdefault(name, value)
    return all_headers.items()


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdigit() else host).lower()
