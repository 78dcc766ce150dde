"""What a source of knowledge holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One result elsewhere."""

    #: ``line 7`` of a file, ``trial 12`` of a study.
    place: str
    #: Name -> what stands there: text of a file, values of a study.
    cells: Mapping[str, Any]
    #: The study's figures by name, where the source tells them without any doubt.
    metrics: Mapping[str, float] = field(default_factory=dict)
    #: Why it can't be learned from, whatever it holds; ``None`` where nothing is wrong.
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows that may be learned from."""

    name: str
    rows: Sequence[Row]
    #: The names of the cells, in the source's order.
    columns: Sequence[str]
    #: What else differs from the study, a sentence each.
    caveats: Sequence[str] = ()
