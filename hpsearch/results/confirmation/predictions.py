"""One training's prediction for each validation image, and its compact text for an attribute."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpsearch.errors import StorageError

#: Without and with groups, and with scores; earlier versions of hpsearch read only the first ones.
_VERSION: Final = "1"
_GROUPED: Final = "2"
_SCORED: Final = "3"
#: Number of images, and bytes per image row and per class (with groups: per group, too).
_HEADER: Final = struct.Struct("<IBB")
_GROUPED_HEADER: Final = struct.Struct("<IBBB")
_LARGEST_LOSS: Final = float(np.finfo(np.float16).max)


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """One training's prediction for each of ``n`` validation images, each image once.

    Arrays are converted to the types below and sorted by image row.

    Raises:
        ValueError: If lengths differ, an image appears twice, or a number is negative.
    """

    #: Rows of the images in the prepared data, ascending, int64 ``(n,)``.
    rows: NDArray[np.int64]
    #: Predicted class, int64 ``(n,)``.
    predicted: NDArray[np.int64]
    #: True class, int64 ``(n,)``.
    truth: NDArray[np.int64]
    #: Cross-entropy of the true class, float64 ``(n,)``, finite: NaN and values beyond float16's
    #: range count as its largest number, 65504. Stored with float16's 3 digits.
    loss: NDArray[np.float64]
    #: The group of each image, int64 ``(n,)``: images of one group aren't independent. ``None`` if
    #: the source has no groups, or if an earlier version stored this.
    groups: NDArray[np.int64] | None = None
    #: Each image's contribution to the study's objective, float64 ``(n,)``, if that needs more than
    #: the columns above (``contributions.jackknife``); their mean is the objective. Stored with
    #: float32's 7 digits.
    scores: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        whole = {name: _whole(getattr(self, name), name) for name in ("rows", "predicted", "truth")}
        loss = np.asarray(self.loss, dtype=np.float64)
        if self.groups is not None:
            whole["groups"] = _whole(self.groups, "groups")
        if any(array.shape != loss.shape or array.ndim != 1 for array in whole.values()):
            raise ValueError("rows, predicted, truth, loss and groups must be lists of one length")
        order = np.argsort(whole["rows"], kind="stable")
        rows = whole["rows"][order]
        if np.any(rows[1:] == rows[:-1]):
            raise ValueError("each image must appear once")
        loss = np.nan_to_num(loss, nan=_LARGEST_LOSS, posinf=_LARGEST_LOSS)
        for name, array in whole.items():
            object.__setattr__(self, name, array[order])
        object.__setattr__(self, "loss", np.clip(loss[order], 0.0, _LARGEST_LOSS))
        if self.scores is not None:
            scores = np.asarray(self.scores, dtype=np.float64)
            if scores.shape != loss.shape or not np.isfinite(scores).all():
                raise ValueError("scores must be finite numbers, one for each image")
            object.__setattr__(self, "scores", scores[order])

    def __len__(self) -> int:
        return len(self.rows)

    def encode(self) -> str:
        """Return the text that ``decode`` reads: about 3 bytes per image for ten classes."""
        gaps = np.diff(self.rows, prepend=0)  # small and similar, so half the size when compressed
        row_bytes = _bytes_for(gaps)
        class_bytes = max(_bytes_for(self.predicted), _bytes_for(self.truth))
        columns = [
            gaps.astype(f"<u{row_bytes}"),
            self.predicted.astype(f"<u{class_bytes}"),
            self.truth.astype(f"<u{class_bytes}"),
            self.loss.astype("<f2"),
        ]
        version, header = _VERSION, _HEADER.pack(len(self), row_bytes, class_bytes)
        group_bytes = 0
        if self.groups is not None:
            group_bytes = _bytes_for(self.groups)
            columns.append(self.groups.astype(f"<u{group_bytes}"))
            version = _GROUPED
        if self.scores is not None:
            columns.append(self.scores.astype("<f4"))
            version = _SCORED
        if version != _VERSION:
            header = _GROUPED_HEADER.pack(len(self), row_bytes, class_bytes, group_bytes)
        packed = header + zlib.compress(b"".join(column.tobytes() for column in columns), 9)
        return f"{version}:{base64.b64encode(packed).decode()}"


def decode(text: str) -> Predictions:
    """Read the text of ``Predictions.encode``.

    Raises:
        StorageError: If the text is of another version, or damaged.
    """
    version, colon, packed = text.partition(":")
    if not colon or version not in (_VERSION, _GROUPED, _SCORED):
        raise StorageError(
            f"stored predictions must be of version {_VERSION} to {_SCORED}, got "
            f"{text[:12]!r}...; confirm again with --again, or read them with the version of "
            "hpsearch that wrote them"
        )
    try:
        return _unpack(base64.b64decode(packed, validate=True), version)
    except (binascii.Error, zlib.error, struct.error, ValueError) as error:
        raise StorageError(
            f"stored predictions are damaged ({error}); train that seed again"
        ) from None


def _unpack(packed: bytes, version: str) -> Predictions:
    header = _HEADER if version == _VERSION else _GROUPED_HEADER
    count, row_bytes, class_bytes, *group_bytes = header.unpack_from(packed)
    scored = version == _SCORED
    if scored and group_bytes == [0]:
        group_bytes = []
    if {row_bytes, class_bytes, *group_bytes} - {1, 2, 4, 8}:
        raise ValueError(f"{row_bytes} and {class_bytes} bytes a number")
    size = count * (row_bytes + 2 * class_bytes + 2 + sum(group_bytes) + 4 * scored)
    unzip = zlib.decompressobj()
    # Limited to the header's size: a forged text must not fill the memory
    body = unzip.decompress(packed[header.size :], size + 1)
    if len(body) != size or not unzip.eof or unzip.unused_data:
        raise ValueError(f"{size} bytes expected, and no bytes after them")
    columns, start = [], 0
    kinds = [f"<u{row_bytes}", f"<u{class_bytes}", f"<u{class_bytes}", "<f2"]
    for kind in (*kinds, *(f"<u{width}" for width in group_bytes), *(["<f4"] if scored else [])):
        columns.append(np.frombuffer(body, dtype=kind, count=count, offset=start))
        start += columns[-1].nbytes
    gaps, predicted, truth, loss, *others = columns
    scores = others.pop() if scored else None
    return Predictions(
        rows=np.cumsum(gaps.astype(np.int64)),
        predicted=predicted,
        truth=truth,
        loss=loss,
        groups=others[0] if others else None,
        scores=scores,
    )


def _whole(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array: NDArray[Any] = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers")
    whole = array.astype(np.int64)
    if whole.size and whole.min() < 0:
        raise ValueError(f"{name} must not be negative")
    return whole


def _bytes_for(values: NDArray[np.int64]) -> int:
    return int(np.min_scalar_type(int(values.max(initial=0))).itemsize)
