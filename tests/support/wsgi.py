"""Asking a WSGI application, without a server."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator


@dataclass(frozen=True)
class Answered:
    """An answer, its body unpacked."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(
    application: Any, path: str, method: str = "GET", *, host: str = "localhost", **headers: str
) -> Answered:
    """Send one request; ``headers`` as ``IF_NONE_MATCH``. The standard's checker looks on."""
    path, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote(path),
        "QUERY_STRING": query,
        "SCRIPT_NAME": "",
        "HTTP_HOST": host,
        **{f"HTTP_{name}": value for name, value in headers.items()},
    }
    setup_testing_defaults(environ)
    told: list[Any] = []
    checked = validator(application)
    answer = checked(environ, lambda *given: told.extend(given) or (lambda _: None))
    try:
        body = b"".join(answer)
    finally:
        answer.close()
    found = dict(told[1])
    if found.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return Answered(int(told[0].split()[0]), found, body)
