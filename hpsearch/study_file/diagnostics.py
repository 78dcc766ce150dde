"""Collects what is wrong in a study file, so that the user sees all of it at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpsearch.errors import MOST_PROBLEMS, Problem, StudyFileError

#: Characters of a value, of a dotted key and of a message: a file may have any number of each.
_LONGEST_VALUE, _LONGEST_KEY, _LONGEST_MESSAGE = 60, 200, 2_000


@dataclass(frozen=True)
class SourceLocation:
    """Where a value was written."""

    #: The file as the user named it, ``--set data.limit=0``, or another name for the origin.
    source: str
    #: 1-based; ``None`` where the origin has no lines.
    line: int | None = None
    column: int = 0
    #: Relative paths are meant from here.
    folder: Path = field(default_factory=Path)
    #: Origins are reported in this order: the file first, then each override.
    order: int = 0

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


class Diagnostics:
    """The problems found so far."""

    def __init__(self) -> None:
        self._found: list[_Diagnostic] = []
        self._closed: set[tuple[SourceLocation, str]] = set()
        self._count = 0
        #: Returns the paths in a study file that end in a key, the likeliest; known with a schema.
        self.places_of: Callable[[str], list[str]] = lambda key: []

    def add(
        self,
        location: SourceLocation,
        key: str,
        message: str | Callable[[], str],
        *,
        final: bool = False,
    ) -> None:
        """Note one problem.

        Args:
            location: Where it was written.
            key: The dotted key.
            message: The rule that was broken, and the value; a function returns it if it is shown
                at all, for a message that takes long to make: a file may have any number of them.
            final: Whatever else is found wrong at this place and key would only follow from it.
        """
        self._count += 1
        if (location, key) in self._closed:
            return
        if final:
            self._closed.add((location, key))
        if isinstance(message, str):
            message = shortened(message, _LONGEST_MESSAGE)
        self._found.append(_Diagnostic(location, shortened(key, _LONGEST_KEY), message))

    def __len__(self) -> int:
        # Those that follow from another count too: the caller's value is as broken
        return self._count

    def error(self) -> StudyFileError:
        """Return every problem as one exception, in the order of the file."""
        ordered = sorted(self._found, key=lambda found: found.rank)
        return StudyFileError(
            [found.problem(listed=nth < MOST_PROBLEMS) for nth, found in enumerate(ordered)]
        )


@dataclass(frozen=True)
class _Diagnostic:
    """A problem whose message may not be made yet."""

    location: SourceLocation
    key: str
    message: str | Callable[[], str]

    @property
    def rank(self) -> tuple[int, int, int]:
        """Where it stands among the others, in the order of the file."""
        return (self.location.order, self.location.line or 0, self.location.column)

    def problem(self, *, listed: bool) -> Problem:
        """Return it as the error holds it; one that no message lists says little."""
        message = self.message
        if not isinstance(message, str):
            message = shortened(message(), _LONGEST_MESSAGE) if listed else "not known"
        return Problem(where=str(self.location), key=self.key, message=message)


def shown(value: Any) -> str:
    """Return ``value`` as a message shows it: JSON, so that text is told from numbers."""
    return shortened(json.dumps(value, ensure_ascii=False, default=str), _LONGEST_VALUE)


def shortened(text: str, most: int) -> str:
    """Return ``text``, its end left out if it has more than ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
