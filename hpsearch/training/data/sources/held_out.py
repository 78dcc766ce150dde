"""Test images that are held out of a part which is read as a whole."""

from __future__ import annotations

from collections.abc import Callable

from hpsearch.training.data.group_split import hold_out
from hpsearch.training.data.images import Images, Part, SomeOf


def held_out(whole: Part, fraction: float) -> tuple[Part, Part]:
    """Return the training and the test part of one part: the same ones for every seed.

    Args:
        whole: All images; their labels and groups decide which are held out.
        fraction: The share of the images that is held out, between 0 and 1.
    """

    def side(of_test: bool) -> Callable[[], Images]:
        def read() -> Images:
            images = whole.read()
            split = hold_out(images.labels, images.groups, fraction)
            rows = split.validation if of_test else split.train
            return Images(
                images=SomeOf(pictures=images.images, rows=rows),
                labels=images.labels[rows],
                groups=None if images.groups is None else images.groups[rows],
            )

        return read

    return (
        Part(read=side(of_test=False), files=whole.files, root=whole.root),
        Part(read=side(of_test=True), files=whole.files, root=whole.root),
    )
