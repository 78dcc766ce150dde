from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from hpsearch.dashboard.app import require_loopback
from hpsearch.dashboard.guard import Guard
from hpsearch.errors import UserError


def behind(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain"), ("X-Frame-Options", "SAMEORIGIN")]
    start_response("200 OK", headers)
    return [b"the dashboard"]


def ask(method: str, host: str = "localhost:8080") -> tuple[str, dict[str, str], bytes]:
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "HTTP_HOST": host, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    told: list[Any] = []
    answer = validator(Guard(behind))(environ, lambda *given: told.extend(given))
    try:
        body = b"".join(answer)
    finally:
        answer.close()
    return told[0], dict(told[1]), body


@pytest.mark.parametrize(
    "host", ["localhost:8080", "127.0.0.1:9", "[::1]:8080", "LOCALHOST", "[::1]"]
)
def test_reading_passes(host):
    status, headers, body = ask("GET", host)
    assert (status, body) == ("200 OK", b"the dashboard")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_the_application_s_own_headers_stay():
    assert ask("GET")[1]["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get"])
def test_everything_else_is_refused(method):
    environ = {"REQUEST_METHOD": method, "HTTP_HOST": "localhost"}
    told: list[Any] = []
    body = b"".join(Guard(behind)(environ, lambda *given: told.extend(given)))
    assert told[0] == "405 Method Not Allowed"
    assert dict(told[1])["Allow"] == "GET, HEAD"
    assert b"read-only" in body
    assert dict(told[1])["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "host", ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", "::1"]
)
def test_a_foreign_name_reads_nothing(host):
    status, _, body = ask("GET", host)
    assert status == "403 Forbidden"
    assert body == b"This server answers requests to localhost only.\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses_are_accepted(host):
    require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_other_addresses_are_refused(host):
    with pytest.raises(UserError, match="listens on this machine only"):
        require_loopback(host)


TOKEN = "0123456789abcdef"


def with_token(authorization: str | None, path: str = "/") -> str:
    environ: dict[str, Any] = {"QUERY_STRING": "", "SCRIPT_NAME": "", "PATH_INFO": path}
    environ["HTTP_HOST"] = "any.where"
    if authorization is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    setup_testing_defaults(environ)
    told: list[Any] = []
    answer = validator(Guard(behind, None, TOKEN))(environ, lambda *given: told.extend(given))
    try:
        b"".join(answer)
    finally:
        answer.close()
    return str(told[0])


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [basic(f"me:{TOKEN}"), basic(f":{TOKEN}"), f"Bearer {TOKEN}", f"bearer  {TOKEN} "],
)
def test_the_token_opens_it(authorization):
    assert with_token(authorization) == "200 OK"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Bearer",
        "Bearer é",
        TOKEN,
        f"Digest {TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        basic(TOKEN),
        basic(f"{TOKEN}:"),
        basic(f"me:{TOKEN}x"),
    ],
)
def test_anything_else_doesnt(authorization):
    assert with_token(authorization) == "401 Unauthorized"
    assert with_token(authorization, path="/healthz") == "200 OK"


def test_no_version_is_told_and_no_foreign_script_runs():
    headers = ask("GET")[1]
    assert headers["Server"] == "hpsearch"
    assert headers["Content-Security-Policy"].startswith("default-src 'self'; ")
    assert "script-src" not in headers["Content-Security-Policy"]
