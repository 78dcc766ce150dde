"""What is in a source: classes, numbers, sizes and colours of its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError
from hpsearch.formatting import count_noun
from hpsearch.registry import Component
from hpsearch.starter.finding import SourceChoice, find, find_named, with_changes
from hpsearch.starter.groups import Groups, find_groups
from hpsearch.study_file.trial_config import DataConfig
from hpsearch.training.data.group_split import hold_out
from hpsearch.training.data.images import SOURCES, DamagedPicture, Images, Part, Source
from hpsearch.training.data.place import data_root
from hpsearch.training.data.prepare import build_source

#: Pictures that are decoded to see their sizes and colours.
_SAMPLED = 24
#: With fewer pictures there is nothing to divide into training and validation images.
_FEWEST = 10

#: The share of a source without test images that is held out for them, and the fewest images (of
#: all, of each class) from which that leaves enough.
TEST_FRACTION = 0.15
_FEWEST_TO_TEST, _FEWEST_OF_CLASS = 40, 4


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is in a source."""

    #: The source and its keys, with those that follow from the pictures.
    choice: SourceChoice
    class_names: tuple[str, ...]
    #: Training images of each class, without test images.
    per_class: tuple[int, ...]
    #: Images of the source's own validation part; ``None`` if it has none.
    val_images: int | None
    #: Whether test images are held out or the source has some.
    has_test: bool
    #: Whether the source can hold some out, with ``test_fraction``.
    can_hold_out: bool
    #: The smallest, the median and the largest shorter side of the sampled pictures, in pixels.
    edges: tuple[int, int, int]
    #: Whether all pictures are in one array, so they have the same size.
    one_size: bool
    #: Whether they are squares.
    square: bool
    channels: int
    #: A pattern of groups in the names of the files; ``None`` if there is none.
    groups: Groups | None = None
    #: The fewest groups of a class (or images, without groups).
    fewest_groups: int

    @property
    def images(self) -> int:
        """The number of training images, before validation images are split off."""
        return sum(self.per_class)


def inspect_path(path: Path, changes: Mapping[str, Any] | None = None) -> Findings:
    """Find the source of a path and open it.

    Args:
        path: What the user named.
        changes: Keys of the source by their paths in a study file, as for ``with_changes``.

    Raises:
        UserError: As ``find``, ``with_changes`` and ``inspect``.
    """
    return inspect(with_changes(find(path), changes or {}))


def inspect_named(name: str, changes: Mapping[str, Any] | None = None) -> Findings:
    """Find the source of a data set by its name and open it.

    Args:
        name: As for ``find_named``.
        changes: Keys of the source by their paths in a study file, as for ``with_changes``.

    Raises:
        UserError: As ``find_named``, ``with_changes`` and ``inspect``.
    """
    return inspect(with_changes(find_named(name), changes or {}))


def inspect(choice: SourceChoice, data: Path | None = None) -> Findings:
    """Open a source and count.

    Args:
        choice: The source and its keys.
        data: The data root; ``None``: the default one.

    Raises:
        DataError: Something is missing, or there is too little to train on.
    """
    choice = _without_divided_groups(choice, data)
    choice, groups = _with_groups(choice, data)
    choice, source, images = _opened(choice, data)
    shapes, gray = _sample(images)
    if gray and shapes[0][2] == 3 and "colour" in SOURCES[choice.source].keys:
        choice = replace(choice, settings={**choice.settings, "colour": "gray"})
        shapes = [(*shape[:2], 1) for shape in shapes]
    rows = np.arange(len(images.labels))
    can_hold_out = "test_fraction" in SOURCES[choice.source].keys and source.test is None
    if can_hold_out and _worth_testing(images.labels, len(source.class_names)):
        choice = replace(choice, settings={**choice.settings, "test_fraction": TEST_FRACTION})
        rows = hold_out(images.labels, images.groups, TEST_FRACTION).train
    labels = images.labels[rows]
    group_numbers = None if images.groups is None else images.groups[rows]
    counts = np.bincount(labels, minlength=len(source.class_names))
    shorter = sorted(min(shape[:2]) for shape in shapes)
    return Findings(
        choice=choice,
        class_names=source.class_names,
        per_class=tuple(counts.tolist()),
        val_images=_size_of(source.validation),
        has_test=source.test is not None or "test_fraction" in choice.settings,
        can_hold_out=can_hold_out,
        edges=(shorter[0], round(median(shorter)), shorter[-1]),
        one_size=isinstance(images.images, np.ndarray),
        square=all(shape[0] == shape[1] for shape in shapes),
        channels=shapes[0][2],
        groups=groups,
        fewest_groups=_fewest_groups(labels, group_numbers),
    )


def _opened(choice: SourceChoice, data: Path | None) -> tuple[SourceChoice, Source, Images]:
    source = build_source(_of(choice), data_root(data))
    images = source.train.read()
    if len(images.labels) < _FEWEST:
        raise DataError(
            f"a search needs at least {_FEWEST} pictures to train on and to compare with, and "
            f"better hundreds, but {source.origin} has {len(images.labels)}; add pictures"
        )
    if len(source.class_names) < 2:
        raise DataError(
            f"a model needs at least two classes to distinguish, but {source.origin} has "
            f"{count_noun(len(source.class_names), 'class', 'classes')}"
        )
    return replace(choice, notes=(*choice.notes, *source.notes, *source.warnings)), source, images


#: Source -> its key for a pattern of groups in the names of files.
_NAME_GROUPS = {"image_folder": "group", "table": "group_pattern"}


def _with_groups(choice: SourceChoice, data: Path | None) -> tuple[SourceChoice, Groups | None]:
    """Add the key ``group`` if names of files show certain groups; and return what they show."""
    key = _NAME_GROUPS.get(choice.source)
    if key is None or "group" in choice.settings:
        return choice, None
    _, source, images = _opened(choice, data)
    name_of = source.train.name_of
    if name_of is None:
        return choice, None
    names = [Path(name_of(row)).name for row in range(len(images.labels))]
    groups = find_groups(names, images.labels.tolist())
    if groups is None or not groups.certain:
        return choice, groups
    grouped = replace(choice, settings={**choice.settings, key: groups.pattern})
    try:  # the pattern must match in the other parts, too, and no group may be in two of them
        build_source(_of(grouped), data_root(data))
    except DataError:
        return choice, replace(groups, certain=False)
    return grouped, groups


def _without_divided_groups(choice: SourceChoice, data: Path | None) -> SourceChoice:
    """Leave out a column or key of groups if two of the source's own parts contain the same."""
    if "group" not in choice.settings:
        return choice
    try:
        build_source(_of(choice), data_root(data))
    except DataError as error:
        settings = {key: value for key, value in choice.settings.items() if key != "group"}
        plain = replace(choice, settings=settings)
        build_source(_of(plain), data_root(data))
        note = f"{choice.settings['group']!r} isn't used as the group of a picture: {error}"
        return replace(plain, notes=(*choice.notes, note))
    return choice


def _of(choice: SourceChoice) -> DataConfig:
    return DataConfig(source=Component(choice.source, choice.settings))


def _worth_testing(labels: NDArray[np.int64], classes: int) -> bool:
    counts = np.bincount(labels, minlength=classes)
    return len(labels) >= _FEWEST_TO_TEST and int(counts.min()) >= _FEWEST_OF_CLASS


def _fewest_groups(labels: NDArray[np.int64], groups: NDArray[np.int64] | None) -> int:
    numbers = np.arange(len(labels)) if groups is None else groups
    return min(len(np.unique(numbers[labels == label])) for label in np.unique(labels))


def _size_of(part: Part | None) -> int | None:
    return None if part is None else len(part.read().labels)


def _sample(images: Images) -> tuple[list[tuple[int, int, int]], bool]:
    """Return the shapes of some pictures, and whether none of them has a colour.

    Damaged ones are left out here: when all are prepared, an error lists them.
    """
    rows = np.linspace(0, len(images.labels) - 1, _SAMPLED).astype(np.int64)
    shapes, gray = [], True
    damaged: Sequence[Any] = []
    for row in dict.fromkeys(rows.tolist()):
        try:
            picture = images.images[row]
        except DamagedPicture as error:
            damaged = [*damaged, error]
            continue
        height, width, channels = picture.shape
        shapes.append((height, width, channels))
        gray &= bool((picture == picture[:, :, :1]).all())
    if not shapes:
        raise DataError(
            f"pictures must be readable, but none of {len(damaged)} that were tried is: "
            f"{damaged[0]}"
        )
    return shapes, gray
