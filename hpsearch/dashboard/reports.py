"""The reports, behind the same guard: a list of them, and each in its current state.

A report is one file without outside resources, so its content security policy allows nothing else:
only scripts with the listed hashes run, and no data can be sent.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from threading import Lock

from hpsearch.dashboard.notes import state_line, winner_line
from hpsearch.dashboard.study_view import StudyViews
from hpsearch.errors import UnknownName
from hpsearch.results.confirmation.spec import confirmed_search
from hpsearch.results.confirmation.stored import is_confirmation
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import studies

_SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)

#: Most rendered reports in the cache; one has a few megabytes.
_KEPT = 4

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}li{margin:.8rem 0}a{color:#064787}"
)


@dataclass(frozen=True)
class Page:
    """A page as it is sent."""

    #: The HTML, compressed with gzip.
    packed: bytes
    #: Its content security policy.
    policy: str
    #: Changes if the page changes.
    tag: str


class Reports:
    """Renders reports on request. It is thread-safe.

    Args:
        database: The database.
        views: The states of its studies.
        render: Returns the HTML of the report on the named studies of a database.
    """

    def __init__(
        self,
        database: Database,
        views: StudyViews,
        render: Callable[[Database, Sequence[str]], str],
    ) -> None:
        self._database = database
        self._views = views
        self._render = render
        self._lock = Lock()
        self._kept: dict[str, Page] = {}

    def index(self) -> Page:
        """Return the page that lists the searches, with links to their reports."""
        lines = []
        for stored in studies.everything(self._database):
            if is_confirmation(stored):
                continue
            view = self._views.of(stored.name)
            lines.append(
                f'<li><a href="/report/{escape(stored.name)}">{escape(stored.name)}</a>: '
                f"{escape(winner_line(view))}<br><small>{escape(state_line(view))}</small>"
            )
        listed = "\n".join(lines) or "<li>No study yet."
        html = (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>hpsearch reports</title><style>{_STYLE}</style></head><body><main>"
            f'<h1>Reports</h1><ul>\n{listed}\n</ul><p><a href="/dashboard">Dashboard</a></p>'
            "</main></body></html>\n"
        )
        return _page(html, sha256(html.encode()).hexdigest())

    def report(self, name: str) -> Page | None:
        """Return a study's report (for a confirmation, its search's), or ``None`` if unknown."""
        try:
            view = self._views.of(name)
        except UnknownName:
            return None
        if (search := confirmed_search(view.record.study)) is not None:
            return self.report(search)
        # One at a time: a report takes seconds, and several readers may request the same one.
        with self._lock:
            kept = self._kept.pop(name, None)
            if kept is None or kept.tag != view.revision:
                kept = _page(self._render(self._database, [name]), view.revision)
            self._kept[name] = kept
            for oldest in list(self._kept)[:-_KEPT]:
                del self._kept[oldest]
            return kept


def _page(html: str, tag: str) -> Page:
    return Page(zlib.compress(html.encode(), 6, wbits=31), _policy(html), tag)


def _policy(html: str) -> str:
    scripts = " ".join(dict.fromkeys(map(_hash, _SCRIPT.findall(html)))) or "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _hash(script: str) -> str:
    # A browser's parser turns CR LF into LF before it computes the hash.
    plain = script.replace("\r\n", "\n").replace("\r", "\n")
    return f"'sha256-{b64encode(sha256(plain.encode()).digest()).decode()}'"
