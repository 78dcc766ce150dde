"""The content of a source of prior results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One result from elsewhere."""

    #: ``line 7`` of a file, ``trial 12`` of a study.
    place: str
    #: Name -> content: text of a file, values of a study.
    cells: Mapping[str, Any]
    #: Metric -> value, if the source contains it unambiguously.
    metrics: Mapping[str, float] = field(default_factory=dict)
    #: Why it can't be used, whatever its cells; ``None`` if it may be.
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows that may be used as prior results."""

    name: str
    rows: Sequence[Row]
    #: The names of the cells, in the source's order.
    columns: Sequence[str]
    #: Other differences from the study, a sentence each.
    caveats: Sequence[str] = ()
