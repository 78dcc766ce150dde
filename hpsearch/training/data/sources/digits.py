"""scikit-learn's handwritten digits: 1,797 gray pictures of 8x8, inside the package."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hpsearch.training.data.images import SOURCES, Images, Part, Source
from hpsearch.training.data.place import DataRoot

#: Every fifth picture of each class, in scikit-learn's order, is a test image.
_TEST_EVERY = 5


@SOURCES.register("digits")
def digits(place: DataRoot, /) -> Source:
    """1,797 handwritten digits, gray, 8x8 pixels; in scikit-learn, nothing to download.

    The set has no test part, so every fifth picture of each class (355 of 1,797) is a test image,
    the same for every seed. Source: the UCI optical recognition of handwritten digits set, by
    E. Alpaydin and C. Kaynak.
    """
    return Source(
        name="digits",
        class_names=tuple("0123456789"),
        train=Part(read=lambda: _read("train")),
        test=Part(read=lambda: _read("test")),
        origin="scikit-learn",
    )


def _read(part: Literal["train", "test"]) -> Images:
    # Imported late: scikit-learn takes a second to import, and a prepared cache doesn't need it.
    from sklearn.datasets import load_digits

    data = load_digits()
    sixteenths = data.images.astype(np.int64)  # 0..16
    labels = data.target.astype(np.int64)
    held_back = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        held_back[np.flatnonzero(labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    mask = held_back if part == "test" else ~held_back
    pixels = ((sixteenths[mask] * 255 + 8) // 16).astype(np.uint8)
    return Images(images=pixels[..., None], labels=labels[mask])
