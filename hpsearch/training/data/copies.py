"""Validation images that a model has already seen: pixel for pixel also training images.

A picture that was saved twice may be on both sides of a split. The model can then remember the
validation image, which makes the accuracy too high, and no later step can detect this.
"""

from __future__ import annotations

import hashlib

from hpsearch.training.data.content import note, recall
from hpsearch.training.data.prepare import PreparedData


def copies_across(data: PreparedData) -> int:
    """Return how many validation images are also training images of the same training.

    The prepared pixels are compared, in the size of ``data``; labels are ignored. If a trial trains
    on several splits or folds, an image counts once. The count is stored in the cache beside the
    images.
    """
    memo = data.cache_folder / f"copies-{data.split_hash[:32]}.json"
    count = recall(memo).get("copies")
    if not isinstance(count, int):
        count = _copies(data)
        note(memo, {"copies": count})
    return count


def _copies(data: PreparedData) -> int:
    images = data.images.numpy()
    rounds = [
        (training.train_indices.tolist(), training.val_indices.tolist())
        for training in data.rounds or (data,)
    ]
    used = {row for train_rows, val_rows in rounds for row in (*train_rows, *val_rows)}
    digests = {
        row: hashlib.blake2b(images[row].tobytes(), digest_size=16).digest() for row in sorted(used)
    }
    copies: set[int] = set()
    for train_rows, val_rows in rounds:
        train_digests = {digests[row] for row in train_rows}
        copies.update(row for row in val_rows if digests[row] in train_digests)
    return len(copies)
