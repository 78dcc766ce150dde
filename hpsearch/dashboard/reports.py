"""The reports, behind the same guard, each in its current state.

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
from threading import Lock

from hpsearch.dashboard.study_view import StudyViews
from hpsearch.errors import UnknownName
from hpsearch.results.planned import parent_of
from hpsearch.search.database.storage import Database

_SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)

#: Most rendered reports in the cache; one has a few megabytes.
_CACHE_SIZE = 4


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
        self._pages: dict[str, Page] = {}

    def report(self, name: str) -> Page | None:
        """Return a study's report (for a planned study, its search's), or ``None`` if unknown."""
        try:
            view = self._views.of(name)
        except UnknownName:
            return None
        if (parent := parent_of(view.record.study)) is not None:
            return self.report(parent.search)
        # One at a time: a report takes seconds, and several readers may request the same one.
        with self._lock:
            page = self._pages.pop(name, None)
            if page is None or page.tag != view.revision:
                page = make_page(self._render(self._database, [name]), view.revision)
            self._pages[name] = page
            for oldest in list(self._pages)[:-_CACHE_SIZE]:
                del self._pages[oldest]
            return page


def make_page(html: str, tag: str) -> Page:
    """Return a page that runs only its own scripts and loads nothing."""
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
