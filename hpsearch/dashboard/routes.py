"""Answers requests for the home page, a study's data and its report; optuna-dashboard the others.

optuna-dashboard's page begins with the note of its study, in front of everything else. Styles hide
the buttons that would change something, as far as a selector can name them (the guard refuses their
requests anyway), and put the columns below each other on a phone.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from optuna.artifacts.exceptions import ArtifactNotFound

from hpsearch.dashboard.home import Home
from hpsearch.dashboard.reports import Page, Reports, make_page
from hpsearch.dashboard.storage import DashboardStorage
from hpsearch.dashboard.study_payload import StudyPayloads
from hpsearch.dashboard.study_view import StudyView
from hpsearch.errors import DatabaseReplaced, UserError
from hpsearch.reporting import palette

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


logger = logging.getLogger(__name__)

_STUDY = re.compile(r"/api/studies/([0-9]{1,9})")
_REPORT = re.compile(r"/report(?:/([A-Za-z0-9_-]{1,64}))?")
_IMPORTANCES = re.compile(r"/api/studies/([0-9]{1,9})/param_importances")
_PAGE = re.compile(r"/dashboard/.*")
_PAGE_OF_STUDY = re.compile(r"/dashboard/studies/([0-9]{1,9})(?:/.*)?")
_SCRIPT = "/hpsearch.js"

#: Complete trials below which importances are noise; the report shows none, either.
_ENOUGH = 10

_FORM = re.compile("HTTP_(IF_|RANGE|ACCEPT_ENCODING)")

#: zlib's fastest level: it packs 37 MB of trials into 6 MB in a quarter of a second.
_LEVEL = 1


class Routes:
    """A WSGI application between the guard and optuna-dashboard."""

    def __init__(
        self, dashboard: WSGIApplication, storage: DashboardStorage, reports: Reports, home: Home
    ) -> None:
        self._dashboard = dashboard
        self._storage = storage
        self._reports = reports
        self._home = home
        self._lock = Lock()
        self._answers: dict[int, StudyPayloads] = {}
        self._whole: dict[int, tuple[str, bytes]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; error messages contain no paths of this host."""
        # optuna-dashboard requires this header.
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")
        try:
            return self._answer(environ, start_response)
        except ArtifactNotFound:
            return _tell(HTTPStatus.NOT_FOUND, "There is no such artifact.", start_response)
        except (UserError, DatabaseReplaced) as error:
            logger.warning("%s", error)
            text = "The database doesn't answer, or its content isn't valid; see the server's log."
            return _tell(HTTPStatus.SERVICE_UNAVAILABLE, text, start_response)
        except Exception:
            logger.exception("a request for %s failed", environ.get("PATH_INFO"))
            text = "This is a bug of the dashboard; see the server's log."
            return _tell(HTTPStatus.INTERNAL_SERVER_ERROR, text, start_response)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", "")).rstrip("/")
        if study := _STUDY.fullmatch(path):
            return self._study(int(study[1]), environ, start_response)
        if report := _REPORT.fullmatch(path or "/report"):
            return self._report(report[1], environ, start_response)
        if importances := _IMPORTANCES.fullmatch(path):
            return self._importances(int(importances[1]), environ, start_response)
        if path == _SCRIPT:
            return _send(
                lambda: _pack(_template("dashboard.js").encode()),
                "text/javascript; charset=utf-8",
                _tag(_template("dashboard.js")),
                environ,
                start_response,
            )
        if path == "/dashboard":
            return _tell(HTTPStatus.FOUND, "The page / lists all studies.", start_response, "/")
        if _PAGE.fullmatch(path):
            return self._page(environ, start_response)
        if path.startswith("/artifacts/"):
            try:
                return self._dashboard(environ, start_response)
            except KeyError as error:  # there is no such study or trial
                raise ArtifactNotFound(path) from error
        return self._dashboard(environ, start_response)

    def _study(
        self, study_id: int, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        after_text = parse_qs(str(environ.get("QUERY_STRING", ""))).get("after", ["0"])[-1]
        view = self._storage.view(study_id)
        if view is None or re.fullmatch("[0-9]{1,9}", after_text) is None:
            return self._dashboard(environ, start_response)
        with self._lock:
            answers = self._answers.setdefault(study_id, StudyPayloads(self._storage, study_id))
        answer = answers.payload(view)
        if answer is None:
            return self._dashboard(environ, start_response)
        after = int(after_text)
        tag = _tag(answer.tag, str(after))
        kind = "application/json"
        if after:
            return _send(lambda: _pack(answer.body(after)), kind, tag, environ, start_response)

        def whole() -> bytes:
            pair = self._whole.get(study_id)
            if pair is None or pair[0] != tag:
                self._whole[study_id] = pair = tag, _pack(answer.body(0))
            return pair[1]

        return _send(whole, kind, tag, environ, start_response)

    def _report(
        self, name: str | None, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if name is None:
            html = self._home.page()
            page: Page | None = make_page(html, html)
        else:
            page = self._reports.report(name)
        if page is None:
            text = "There is no such study; the page / lists all studies."
            return _tell(HTTPStatus.NOT_FOUND, text, start_response)
        return _send(
            lambda: page.packed,
            "text/html; charset=utf-8",
            _tag(page.tag, ""),
            environ,
            start_response,
            [("Content-Security-Policy", page.policy)],
        )

    def _importances(
        self, study_id: int, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Return none if they would contradict the report, which has none from so few trials."""
        view = self._storage.view(study_id)
        if view is None or has_enough(view):
            return self._dashboard(environ, start_response)
        objectives = (
            len(view.record.goals.objectives) if view.record.goals.is_multi_objective else 1
        )
        body = json.dumps({"param_importances": [[] for _ in range(objectives)]}).encode()
        length = ("Content-Length", str(len(body)))
        start_response("200 OK", [("Content-Type", "application/json"), length])
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]

    def _page(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Return optuna-dashboard's page, below the note of its study."""
        # Request the whole page, uncompressed, whatever range or encoding the reader asks for
        plain = {key: value for key, value in environ.items() if not _FORM.match(key)}
        start: list[Any] = []

        def take(*arguments: Any) -> Callable[[bytes], object]:
            start.extend(arguments)
            return lambda _: None

        answer = self._dashboard(plain, take)
        try:
            body = b"".join(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        study = _PAGE_OF_STUDY.fullmatch(str(environ.get("PATH_INFO", "")).rstrip("/"))
        view = None if study is None else self._storage.view(int(study[1]))
        head = "" if view is None else self._home.head(view)
        body = with_additions(body, head, importances=view is None or has_enough(view))
        fixed = ("content-length", "last-modified", "etag", "accept-ranges")
        headers = [(key, value) for key, value in start[1] if key.lower() not in fixed]
        length = [("Content-Length", str(len(body))), ("Cache-Control", "no-cache")]
        start_response(start[0], [*headers, *length])
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]


def _send(
    packed: Callable[[], bytes],
    kind: str,
    tag: str,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    extra: Iterable[tuple[str, str]] = (),
) -> Iterable[bytes]:
    """Answer with ``packed`` (gzip), or with 304 if the reader already has it."""
    headers = [("ETag", tag), ("Cache-Control", "no-cache"), ("Vary", "Accept-Encoding"), *extra]
    if tag in str(environ.get("HTTP_IF_NONE_MATCH", "")):
        start_response("304 Not Modified", headers)
        return []
    body = packed()
    if "gzip" in str(environ.get("HTTP_ACCEPT_ENCODING", "")):
        headers.append(("Content-Encoding", "gzip"))
    else:
        body = zlib.decompress(body, wbits=31)
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
    return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]


def _pack(body: bytes) -> bytes:
    return zlib.compress(body, _LEVEL, wbits=31)


def _tag(*parts: str) -> str:
    return f'W/"{sha256("/".join(parts).encode()).hexdigest()[:32]}"'


def _tell(
    status: HTTPStatus, message: str, start_response: StartResponse, location: str | None = None
) -> Iterable[bytes]:
    body = f"{message}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    if location is not None:
        headers.append(("Location", location))
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


_STYLE = """
button[aria-label="rename study"], button[aria-label="delete study"],
button[aria-label="delete artifact"], button:has(> svg[data-testid="EditIcon"]),
button:has(svg[data-testid="AddBoxIcon"]),
.MuiGrid-item:has(input[type=file]), .MuiCard-root:has(input[type=file]) { display: none }
#hpsearch { background: #fff; margin: 0; max-width: none; COLOURS }
@media (max-width: 700px) {
  main { min-width: 0 }
  main .MuiGrid-item { max-width: 100%; flex-basis: 100% }
  main .MuiGrid-item h3 { font-size: 1.6rem; overflow-wrap: anywhere }
  main .MuiContainer-root { padding: 0 8px }
  main .MuiContainer-root > div { width: 100%; margin: 8px 0 }
  main .MuiContainer-root > div > .MuiCard-root { width: 100%; margin: 8px 0 }
  main .MuiCardContent-root > .MuiBox-root { flex-wrap: wrap; gap: 8px }
  main .MuiTableContainer-root { overflow-x: auto }
  main > div > div:has(> div > ul.MuiList-root) { flex-direction: column; height: auto }
  main > div > div > div:has(> ul.MuiList-root) { width: 100%; height: 30vh; flex: none }
  main > div > div > div:has(> ul.MuiList-root) ~ div { min-width: 0; width: 100% }
}
"""

_FEW_TRIALS = ".MuiGrid-item:has(#graph-hyperparameter-importances) { display: none }"


def has_enough(view: StudyView) -> bool:
    """Return whether a study has enough complete trials for importances."""
    return view.record.counts.complete >= _ENOUGH


def with_additions(html: bytes, head: str, *, importances: bool) -> bytes:
    """Return optuna-dashboard's page with the head, the styles and the script.

    Args:
        html: The page.
        head: HTML that the script puts in front of its content.
        importances: Whether the study has enough trials for importances.
    """
    style = _STYLE.replace("COLOURS", palette.css(palette.LIGHT)) + _template("home.css")
    if not importances:
        style += _FEW_TRIALS
    # Before its own program, which would otherwise keep the functions that the script replaces
    script = f'<head><script defer src="{_SCRIPT}"></script>'
    html = html.replace(b"<head>", script.encode(), 1)
    html = html.replace(b"</head>", f"<style>{style}</style></head>".encode(), 1)
    return html.replace(b"<body>", f"<body>{head}".encode(), 1)


@cache
def _template(name: str) -> str:
    return (files("hpsearch.dashboard") / "templates" / name).read_text(encoding="utf-8")
