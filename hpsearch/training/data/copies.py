"""Validation images that a model has already seen: pixel for pixel also training images.

A picture that was saved twice may come to lie on both sides of a split. What validates there isn't
skill but memory, and no later step can tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hpsearch.training.data.content import write_atomically
from hpsearch.training.data.prepare import PreparedData


def copies_across(data: PreparedData) -> int:
    """Return how many of the validation images are training images of the same training, too.

    Compared are the prepared pixels, in the size that ``data`` was prepared in, whatever the
    labels. Where a trial trains on several splits or folds, an image counts once. What was found
    is kept in the cache beside the images.
    """
    memo = data.cache_folder / f"copies-{data.split_hash[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads(memo.read_text(encoding="utf-8"))["copies"])
    found = _copies(data)
    # Only a memo: where it can't be written, the next look compares again
    with contextlib.suppress(OSError):
        write_atomically(memo, json.dumps({"copies": found}))
    return found


def _copies(data: PreparedData) -> int:
    images = data.images.numpy()
    digests: dict[int, bytes] = {}
    for row in np.union1d(data.train_indices.numpy(), data.val_indices.numpy()).tolist():
        digests[row] = hashlib.blake2b(images[row].tobytes(), digest_size=16).digest()
    copies: set[int] = set()
    for each in data.rounds or (data,):
        trained = {digests[row] for row in _rows(each.train_indices)}
        copies.update(row for row in _rows(each.val_indices) if digests[row] in trained)
    return len(copies)


def _rows(indices: Tensor) -> list[int]:
    rows: NDArray[np.int64] = indices.numpy()
    return [int(row) for row in rows]
