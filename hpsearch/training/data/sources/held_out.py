"""From the parts of a data set to its source: test images may be held out of the training part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.training.data.group_split import hold_out
from hpsearch.training.data.images import Images, Part, Source, Subset


def source_of_parts(
    name: str,
    parts: Mapping[str, Part],
    *,
    class_names: tuple[str, ...],
    settings: Mapping[str, Any],
    test_fraction: float | None,
    origin: str,
    notes: tuple[str, ...] = (),
) -> Source:
    """Return the source of a data set that is read part by part.

    Args:
        name: The source's name.
        parts: ``train``, and ``validation`` and ``test`` if they are there.
        class_names: The classes.
        settings: As of ``Source``, without ``test_fraction``.
        test_fraction: The share of the training images that is held out for tests, the same ones
            for every seed; ``None``: none are.
        origin: As of ``Source``.
        notes: As of ``Source``.
    """
    train, test = parts["train"], parts.get("test")
    if test_fraction is not None:
        settings = {**settings, "test_fraction": test_fraction}
        train, test = _held_out(train, test_fraction)
    return Source(
        name=name,
        class_names=class_names,
        train=train,
        validation=parts.get("validation"),
        test=test,
        settings=settings,
        origin=origin,
        notes=notes,
    )


def _held_out(whole: Part, fraction: float) -> tuple[Part, Part]:
    """Return the training and the test part of one part; labels and groups decide."""

    @cache
    def rows(of_test: bool) -> NDArray[np.int64]:
        images = whole.read()
        split = hold_out(images.labels, images.groups, fraction)
        return split.validation if of_test else split.train

    def side(of_test: bool) -> Part:
        def read() -> Images:
            images, own = whole.read(), rows(of_test)
            return Images(
                images=Subset(pictures=images.images, rows=own),
                labels=images.labels[own],
                groups=None if images.groups is None else images.groups[own],
            )

        return replace(whole, read=read, name_of=_renumbered(whole.name_of, lambda: rows(of_test)))

    return side(of_test=False), side(of_test=True)


def _renumbered(
    name_of: Callable[[int], str] | None, rows: Callable[[], NDArray[np.int64]]
) -> Callable[[int], str] | None:
    return None if name_of is None else lambda index: name_of(int(rows()[index]))
