"""Collects the problems of a study file, so that the user sees all of them at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpsearch.errors import MOST_PROBLEMS, Problem, StudyFileError

#: Most characters of a value, of a dotted key and of a message that an error shows.
_LONGEST_VALUE, _LONGEST_KEY, _LONGEST_MESSAGE = 60, 200, 2_000


@dataclass(frozen=True)
class SourceLocation:
    """Where a value was written."""

    #: The file as the user named it, ``--set data.limit=0``, or another name for the origin.
    source: str
    #: 1-based; ``None`` if the origin has no lines.
    line: int | None = None
    column: int = 0
    #: The folder that relative paths start from.
    folder: Path = field(default_factory=Path)
    #: Errors list origins in this order: the file first, then each override.
    order: int = 0

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


class Diagnostics:
    """The problems found so far."""

    def __init__(self) -> None:
        self._diagnostics: list[_Diagnostic] = []
        self._closed: set[tuple[SourceLocation, str]] = set()
        self._count = 0
        #: Returns the likeliest paths in a study file that end in a key; empty without a schema.
        self.places_of: Callable[[str], list[str]] = lambda key: []

    def add(
        self,
        location: SourceLocation,
        key: str,
        message: str | Callable[[], str],
        *,
        final: bool = False,
    ) -> None:
        """Add one problem.

        Args:
            location: Where the value was written.
            key: The dotted key.
            message: The broken rule and the value. For a message that takes long to make, pass a
                function: it is called only if the message is shown.
            final: Whether to ignore later problems of this location and key, as they follow from
                this one.
        """
        self._count += 1
        if (location, key) in self._closed:
            return
        if final:
            self._closed.add((location, key))
        if isinstance(message, str):
            message = shorten(message, _LONGEST_MESSAGE)
        self._diagnostics.append(_Diagnostic(location, shorten(key, _LONGEST_KEY), message))

    def __len__(self) -> int:
        # Ignored problems count too: callers compare counts to see whether their value is valid
        return self._count

    def error(self) -> StudyFileError:
        """Return every problem as one exception, in the order of the file."""
        ordered = sorted(self._diagnostics, key=lambda diagnostic: diagnostic.rank)
        return StudyFileError(
            [
                diagnostic.problem(listed=nth < MOST_PROBLEMS)
                for nth, diagnostic in enumerate(ordered)
            ]
        )


@dataclass(frozen=True)
class _Diagnostic:
    """A problem; its message is text, or a function that makes it."""

    location: SourceLocation
    key: str
    message: str | Callable[[], str]

    @property
    def rank(self) -> tuple[int, int, int]:
        """The sort key for the order of the file."""
        return (self.location.order, self.location.line or 0, self.location.column)

    def problem(self, *, listed: bool) -> Problem:
        """Return the problem for the error; an unlisted one has a placeholder as its message."""
        message = self.message
        if not isinstance(message, str):
            message = shorten(message(), _LONGEST_MESSAGE) if listed else "not known"
        return Problem(where=str(self.location), key=self.key, message=message)


def quote(value: Any) -> str:
    """Return ``value`` as messages quote it: as JSON, so that text differs from numbers."""
    return shorten(json.dumps(value, ensure_ascii=False, default=str), _LONGEST_VALUE)


def shorten(text: str, most: int) -> str:
    """Return ``text``, cut to ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
