"""Validation images that a model has already seen: pixel for pixel also training images.

A picture that was saved twice may come to lie on both sides of a split. What validates there isn't
skill but memory, and no later step can tell.
"""

from __future__ import annotations

import hashlib

from hpsearch.training.data.content import note, recall
from hpsearch.training.data.prepare import PreparedData


def copies_across(data: PreparedData) -> int:
    """Return how many of the validation images are training images of the same training, too.

    Compared are the prepared pixels, in the size that ``data`` was prepared in, whatever the
    labels. Where a trial trains on several splits or folds, an image counts once. What was found
    is kept in the cache beside the images.
    """
    memo = data.cache_folder / f"copies-{data.split_hash[:32]}.json"
    known = recall(memo).get("copies")
    if not isinstance(known, int):
        known = _copies(data)
        note(memo, {"copies": known})
    return known


def _copies(data: PreparedData) -> int:
    images = data.images.numpy()
    rounds = [
        (each.train_indices.tolist(), each.val_indices.tolist()) for each in data.rounds or (data,)
    ]
    used = {row for trained, validated in rounds for row in (*trained, *validated)}
    digests = {
        row: hashlib.blake2b(images[row].tobytes(), digest_size=16).digest() for row in sorted(used)
    }
    copies: set[int] = set()
    for trained, validated in rounds:
        seen = {digests[row] for row in trained}
        copies.update(row for row in validated if digests[row] in seen)
    return len(copies)
