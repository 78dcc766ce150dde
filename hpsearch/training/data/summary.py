"""What a source contains and whether it is available, for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpsearch.errors import DataError
from hpsearch.registry import Component
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.images import SOURCES
from hpsearch.training.data.place import data_root
from hpsearch.training.data.prepare import build_source, prepare


@dataclass(frozen=True, kw_only=True)
class PartSummary:
    """One part of a prepared source."""

    #: ``training``, ``validation`` or ``test``.
    name: str
    #: The number of images; ``None`` for test images, which stay closed.
    images: int | None
    #: The number for each class, in the order of the class names; ``None`` for test images.
    per_class: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class SourceSummary:
    """A prepared source."""

    name: str
    #: The folder or package that the images came from.
    origin: str
    class_names: tuple[str, ...]
    #: ``(channels, height, width)`` after resizing.
    input_shape: tuple[int, int, int]
    parts: tuple[PartSummary, ...]
    data_hash: str
    split_hash: str
    cache_folder: Path
    cache_bytes: int


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


def describe_source(
    config: DataConfig, root: Path | None = None, *, split_seed: int = 0
) -> SourceSummary:
    """Prepare ``config`` (download, decode, cache) and return a summary.

    Test images stay closed.

    Args:
        config: The ``data`` section.
        root: The data root; ``None``: as in ``prepare``.
        split_seed: As in ``prepare``.

    Raises:
        DataError: As in ``prepare``.
    """
    source = build_source(config, data_root(root))
    data = prepare(config, split_seed=split_seed, root=root)

    def part(name: str, indices: np.ndarray) -> PartSummary:
        counts = np.bincount(data.labels.numpy()[indices], minlength=len(data.class_names))
        return PartSummary(name=name, images=len(indices), per_class=tuple(map(int, counts)))

    parts = [
        part("training", data.train_indices.numpy()),
        part("validation", data.val_indices.numpy()),
    ]
    if source.test is not None:
        parts.append(PartSummary(name="test", images=None, per_class=None))
    return SourceSummary(
        name=source.name,
        origin=source.origin,
        class_names=data.class_names,
        input_shape=data.input_shape,
        parts=tuple(parts),
        data_hash=data.data_hash,
        split_hash=data.split_hash,
        cache_folder=data.cache_folder,
        cache_bytes=data.cache_bytes,
    )


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
