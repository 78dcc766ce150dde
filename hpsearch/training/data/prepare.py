"""From a study file's ``data`` section to tensors that every worker shares.

``prepare`` returns training and validation images. Only ``test_images`` returns test images, and
nothing in the search calls it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hpsearch.training.data.sources  # noqa: F401 - registers the built-in sources
from hpsearch.errors import DataError
from hpsearch.study_file.trial_config import LARGEST_INPUT, DataConfig
from hpsearch.training.data.cache import Entry, Writer, is_built, open_or_build, require_room
from hpsearch.training.data.content import content_hash
from hpsearch.training.data.decode import Choose, read_part, require_memory_for, write_parts
from hpsearch.training.data.folds import fold_splits, repeated_splits
from hpsearch.training.data.group_split import split_images
from hpsearch.training.data.images import SOURCES, Part, Source, require_class_names
from hpsearch.training.data.normalization import mean_and_std_of
from hpsearch.training.data.place import DataRoot, data_root
from hpsearch.training.data.split import Split, images_per_class, limit_images, split_hash
from hpsearch.training.data.statistics import mean_and_std


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedData:
    """Training and validation images, ready to be batched.

    ``images.index_select(0, indices)`` is the fast way to a batch (one copy per picture; on the
    CPU some 20 times faster than ``images[indices]``).
    """

    #: uint8 ``(n, channels, height, width)``, contiguous, over a memory map that all processes
    #: share. If the source has its own validation part, that follows the training part.
    images: Tensor
    #: int64 ``(n,)``.
    labels: Tensor
    #: int64, sorted; rows of ``images``.
    train_indices: Tensor
    #: int64, sorted; rows of ``images``.
    val_indices: Tensor
    #: float64 ``(channels,)``: subtracted from pixels on the 0..1 scale (``data.normalization``).
    mean: Tensor
    #: float64 ``(channels,)``: the divisor after that; never 0.
    std: Tensor
    class_names: tuple[str, ...]
    #: ``(channels, height, width)``.
    input_shape: tuple[int, int, int]
    #: SHA-256 of the chosen pictures in their own size, labels and class names.
    data_hash: str
    #: SHA-256 of the training and validation images' indices in the source.
    split_hash: str
    #: The cache entry of ``images``.
    cache_folder: Path
    #: Its size on disk.
    cache_bytes: int
    #: As of ``Source``.
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: The group of each image, int64 ``(n,)`` from 0; ``None`` if the source has no groups.
    #: Images of one group (such as those of one object) are on the same side of every split, and
    #: their predictions aren't independent.
    groups: Tensor | None = None
    #: The data of each training of a trial if it has several (``data.folds``, ``data.splits``),
    #: else empty. With several, ``train_indices`` and ``val_indices`` above are all images that
    #: train, or validate, in one of them, and ``split_hash`` is of all of their splits.
    rounds: tuple[PreparedData, ...] = ()

    @cached_property
    def class_counts(self) -> Tensor:
        """Training images of each class, int64 ``(classes,)``."""
        return torch.bincount(self.labels[self.train_indices], minlength=len(self.class_names))

    @cached_property
    def images_per_class(self) -> tuple[int, ...]:
        """Training and validation images of each class, in the order of ``class_names``."""
        return tuple(torch.bincount(self.labels, minlength=len(self.class_names)).tolist())

    def groups_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the groups of the images at ``rows``; ``None`` if the source has none."""
        if self.groups is None:
            return None
        groups: NDArray[np.int64] = self.groups.numpy()[rows]
        return groups

    @cached_property
    def val_groups(self) -> int | None:
        """The number of groups of the validation images; ``None`` if there are none."""
        groups = self.groups_of(self.val_indices.numpy())
        return None if groups is None or not len(groups) else len(np.unique(groups))


def prepare(config: DataConfig, *, split_seed: int, root: Path | None = None) -> PreparedData:
    """Return the training and validation images of ``config``.

    The first call decodes, resizes and writes the cache; later ones, in any process, map it.

    Args:
        config: The ``data`` section.
        split_seed: The seed of the split, and of ``limit`` and ``per_class`` if there is no
            ``limit_seed``; 0 or more.
        root: The data root; ``None``: ``HPSEARCH_DATA``, else ``~/.cache/hpsearch/data``.

    Raises:
        DataError: If the source is missing or damaged, a setting doesn't fit the images, or the
            data root can't be written.
    """
    return _prepare(_request(config, root, split_seed=split_seed))


def require_room_for(
    config: DataConfig, prepared: PreparedData, *, split_seed: int, root: Path | None = None
) -> None:
    """Require enough memory and disk to prepare images in another size.

    Args:
        config: The ``data`` section with the new ``input_size``; ``None`` there: no check.
        prepared: The same images, in another ``input_size``.
        split_seed: As in ``prepare``.
        root: As in ``prepare``.

    Raises:
        DataError: If there is less. The message shows what is needed and what is free.
    """
    if config.input_size is None:
        return
    count, channels, *_ = prepared.images.shape
    edge = config.input_size
    require_memory_for((edge, edge, channels))
    cache = data_root(root) / "cache"
    try:
        require_room(cache, "images", np.dtype(np.uint8), (count, channels, edge, edge))
    except DataError:
        # An entry that exists already needs no more space
        request = _request(config, root, split_seed)
        source = build_source(config, request.root)
        if not is_built(cache, _training_key(source, request)):
            raise


def image_names(
    config: DataConfig, rows: Sequence[int], *, split_seed: int, root: Path | None = None
) -> dict[int, str]:
    """Return row -> the name of an image of ``prepare``, such as its file below the data's folder.

    Args:
        config: The ``data`` section.
        rows: Rows of ``PreparedData.images``.
        split_seed: As in ``prepare``.
        root: As in ``prepare``.

    Returns:
        Only the images whose source knows names.

    Raises:
        DataError: As in ``prepare``.
    """
    request = _request(config, root, split_seed)
    source = build_source(config, request.root, may_download=False)
    entry = _training_entry(source, request)
    source_indices = entry.array("chosen")
    sizes: list[int] = entry.facts["images_per_part"]
    names = {}
    for row in rows:
        before = 0
        for part, size in zip(_parts(source).values(), sizes, strict=True):
            if before <= row < before + size and part.name_of is not None:
                names[row] = part.name_of(int(source_indices[row]))
            before += size
    return names


def test_images(config: DataConfig, *, root: Path | None = None) -> tuple[Tensor, Tensor]:
    """Open the test images: uint8 ``(n, channels, height, width)`` and labels int64 ``(n,)``.

    For the test evaluation only. ``limit`` and ``per_class`` don't apply.

    Raises:
        DataError: As in ``prepare``, and if the source has no test part.
    """
    entry = _test_entry(config, root)
    return torch.from_numpy(entry.array("images")), torch.from_numpy(entry.array("labels"))


def groups_of_test_images(
    config: DataConfig, *, root: Path | None = None
) -> NDArray[np.int64] | None:
    """Return the group of each of ``test_images``, int64 ``(n,)``; ``None`` if there are none.

    Raises:
        DataError: As in ``test_images``.
    """
    return _groups_in(_test_entry(config, root))


def _test_entry(config: DataConfig, root: Path | None) -> Entry:
    request = _request(config, root)
    source = build_source(config, request.root)
    if source.test is None:
        raise DataError(
            f"a final evaluation needs test images, but data source {source.name!r} has none here; "
            "set test_fraction or test_path of a source that has them (docs/data.md) in a new "
            "study, because images that a search has used can't test it"
        )
    key = _key(source, {"test": source.test}, config, request.root)
    return open_or_build(
        request.root / "cache", key, partial(_build, source, [source.test], config, None)
    )


def _groups_in(entry: Entry) -> NDArray[np.int64] | None:
    """Return an entry's groups, renumbered from 0: a source may use any numbers."""
    if not entry.has("groups"):
        return None
    return np.unique(entry.array("groups"), return_inverse=True)[1].astype(np.int64)


def build_source(config: DataConfig, root: Path, *, may_download: bool = True) -> Source:
    """Return the source of ``config``; it looks for its files but decodes none.

    Args:
        config: The ``data`` section.
        root: The data root.
        may_download: Whether the source may download missing files.

    Raises:
        DataError: If files are missing, a setting isn't valid, or a class name can't be used.
    """
    place = DataRoot(root=root, may_download=may_download)
    source = SOURCES.build(config.source, place)
    require_class_names(source)
    return source


@dataclass(frozen=True)
class _Request:
    """What prepared data depends on; the key is text, since lists in settings can't be hashed."""

    key: str
    config: DataConfig = field(compare=False)
    root: Path
    split_seed: int


def _request(config: DataConfig, root: Path | None, split_seed: int = 0) -> _Request:
    # Without the augmentation: it applies to batches, not to what is prepared.
    parts = (
        config.source.name,
        dict(config.source.settings),
        config.validation,  # 1 and 1.0 mean different things; their JSON differs as well
        config.input_size,
        config.limit,
        config.per_class,
        config.limit_seed,
        config.normalization,
        config.train_on_validation,
        config.folds,
        config.splits,
    )
    key = json.dumps(parts, sort_keys=True, default=str)
    return _Request(key, config, data_root(root), split_seed)


@lru_cache(maxsize=8)
def _prepare(request: _Request) -> PreparedData:
    config = request.config
    source = build_source(config, request.root)
    entry = _training_entry(source, request)
    images, labels = entry.array("images"), entry.array("labels")
    splits = _splits(source, entry, labels, request)
    prepared = partial(_prepared, config, source, entry, images, labels, _groups_in(entry))
    rounds = tuple(map(prepared, splits))
    if len(rounds) == 1:
        return rounds[0]
    hashes = ",".join(training.split_hash for training in rounds)
    together = hashlib.sha256(hashes.encode()).hexdigest()
    return replace(prepared(_union(splits)), rounds=rounds, split_hash=together)


def _prepared(
    config: DataConfig,
    source: Source,
    entry: Entry,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    split: Split,
) -> PreparedData:
    in_source = _in_source(split, entry.array("chosen"))
    hash_of_split = split_hash(in_source)
    _, channels, height, width = images.shape
    memo = entry.folder / f"pixels-{hash_of_split[:32]}.json"
    mean, std = mean_and_std_of(
        config.normalization,
        channels=channels,
        measure=lambda: mean_and_std(images, split.train, memo=memo),
    )
    return PreparedData(
        images=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        train_indices=torch.from_numpy(split.train),
        val_indices=torch.from_numpy(split.validation),
        mean=mean,
        std=std,
        class_names=source.class_names,
        input_shape=(channels, height, width),
        data_hash=entry.facts["data_hash"],
        split_hash=hash_of_split,
        cache_folder=entry.folder,
        cache_bytes=entry.bytes,
        notes=source.notes,
        warnings=source.warnings,
        groups=None if groups is None else torch.from_numpy(groups),
    )


def _training_entry(source: Source, request: _Request) -> Entry:
    choose, _ = _choice(request)
    build = partial(_build, source, [*_parts(source).values()], request.config, choose)
    return open_or_build(request.root / "cache", _training_key(source, request), build)


def _training_key(source: Source, request: _Request) -> dict[str, Any]:
    parts = _parts(source)
    key = _key(source, parts, request.config, request.root)
    if len(parts) > 1:
        key["groups"] = "of both parts"  # entries of earlier versions lack them
    _, settings = _choice(request)
    return key | settings


def _parts(source: Source) -> dict[str, Part]:
    parts = {"train": source.train}
    if source.validation is not None:
        parts["validation"] = source.validation
    return parts


def _key(
    source: Source, parts: Mapping[str, Part], config: DataConfig, root: Path
) -> dict[str, Any]:
    if config.input_size is not None and not 1 <= config.input_size <= LARGEST_INPUT:
        raise DataError(
            f"data.input_size must be 1 to {LARGEST_INPUT:,} pixels, but got {config.input_size:,}"
        )
    return {
        "source": source.name,
        "version": source.version,
        "settings": dict(source.settings),
        "class_names": list(source.class_names),
        "files": {
            name: content_hash(part.files, DataRoot(root=root).memo_folder, part.root)
            for name, part in parts.items()
        },
        "input_size": config.input_size,
    }


def _choice(request: _Request) -> tuple[Choose | None, dict[str, int]]:
    """Return the function that picks training images, and the settings that it depends on."""
    config = request.config
    seed = request.split_seed if config.limit_seed is None else config.limit_seed
    if config.limit is not None and config.per_class is not None:
        raise DataError(
            "data.limit and data.per_class can't be combined, because each of them chooses the "
            f"training images, but got limit {config.limit} and per_class {config.per_class}; "
            "leave one of them out"
        )
    if config.limit is not None:
        choose: Choose = partial(limit_images, limit=config.limit, seed=seed)
        return choose, {"limit": config.limit, "limit_seed": seed}
    if config.per_class is not None:
        choose = partial(images_per_class, per_class=config.per_class, seed=seed)
        return choose, {"per_class": config.per_class, "limit_seed": seed}
    return None, {}


def _build(
    source: Source, parts: list[Part], config: DataConfig, choose: Choose | None, writer: Writer
) -> dict[str, Any]:
    """Decode ``parts`` into ``writer``; of the first, only the images that ``choose`` picks."""
    selections = [
        read_part(source, part, choose if number == 0 else None)
        for number, part in enumerate(parts)
    ]
    sha256 = write_parts(writer, source.class_names, selections, config.input_size)
    return {"images_per_part": [len(part.indices) for part in selections], "data_hash": sha256}


def _splits(source: Source, entry: Entry, labels: Any, request: _Request) -> tuple[Split, ...]:
    """Return the split of each training of a trial."""
    config, seed = request.config, request.split_seed
    if config.train_on_validation:
        return (Split(train=np.arange(len(labels)), validation=np.arange(0)),)
    if source.validation is not None:
        several = "folds" if config.folds else "splits"
        if config.rounds > 1:
            raise DataError(
                f"data.{several} divides the training images, but data source {source.name!r} has "
                f"validation images of its own here; leave data.{several} out, or the source's "
                "validation part"
            )
        train = entry.facts["images_per_part"][0]
        return (Split(train=np.arange(train), validation=np.arange(train, len(labels))),)
    groups = entry.array("groups") if entry.has("groups") else None
    if config.folds is not None:
        names = source.class_names
        return fold_splits(labels, groups, config.folds, seed=seed, class_names=names)
    if config.splits is not None:
        return repeated_splits(labels, groups, config.validation, config.splits, seed=seed)
    return (split_images(labels, groups, config.validation, seed=seed),)


def _union(splits: Sequence[Split]) -> Split:
    """Return the images that train, and those that validate, in one of the splits."""
    return Split(
        train=reduce(np.union1d, (split.train for split in splits)),
        validation=reduce(np.union1d, (split.validation for split in splits)),
    )


def _in_source(split: Split, source_indices: Any) -> Split:
    """Return the split with the source's own indices, which ``limit`` doesn't change."""
    return Split(train=source_indices[split.train], validation=source_indices[split.validation])
