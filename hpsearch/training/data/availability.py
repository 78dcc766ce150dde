"""Whether the images of a source are available."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.images import SOURCES
from hpsearch.training.data.place import data_root
from hpsearch.training.data.prepare import build_source


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a source could be opened now, without the network."""

    name: str
    #: The source in one line.
    description: str
    ready: bool
    #: All its keys, and those among them that a study file must give.
    keys: tuple[str, ...]
    required: tuple[str, ...]
    #: Where its files are, or what is missing and what to do.
    detail: str


def list_sources(root: Path | None = None) -> tuple[Availability, ...]:
    """Return every registered source, by name, and whether it could be opened now."""
    return tuple(available(name, root) for name in SOURCES.names())


def available(name: str, root: Path | None = None) -> Availability:
    """Look for a source's files with its default settings; nothing is downloaded or decoded.

    Raises:
        UnknownName: If no source is called ``name``.
    """
    entry = SOURCES[name]
    required = tuple(key.name for key in entry.keys.values() if key.required)
    if required:
        ready, detail = False, f"needs {', '.join(f'data.source.{name}.{key}' for key in required)}"
    else:
        config = DataConfig(source=Component(name))
        try:
            source = build_source(config, data_root(root), may_download=False)
            ready, detail = True, source.origin
        except DataError as error:
            ready, detail = False, str(error)
    return Availability(
        name=name,
        description=entry.description,
        ready=ready,
        keys=tuple(entry.keys),
        required=required,
        detail=detail,
    )
