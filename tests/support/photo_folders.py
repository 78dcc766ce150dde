"""Folders of small pictures, one subfolder per class, as a person has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def photos(
    folder: Path,
    classes: Mapping[str, int],
    *,
    size: tuple[int, int] = (12, 12),
    gray: bool = False,
    name: Callable[[int], str] = "{}.png".format,
) -> Path:
    """Write pictures that a network can learn to tell apart; return ``folder``.

    Args:
        folder: The folder of the class folders.
        classes: Class -> the number of its pictures.
        size: Height and width in pixels.
        gray: Whether all channels are equal.
        name: Returns the file name of a class's picture, from 0.
    """
    rng = np.random.default_rng(len(classes))
    for label, (each, count) in enumerate(classes.items()):
        (folder / each).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = rng.integers(0, 128, (*size, 1 if gray else 3), dtype=np.uint8)
            rows = np.array_split(np.arange(size[0]), len(classes))[label]
            picture[rows] += 127
            whole = np.broadcast_to(picture, (*size, 3))
            Image.fromarray(np.ascontiguousarray(whole)).save(folder / each / name(number))
    return folder
