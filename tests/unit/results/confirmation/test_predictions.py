"""What a training said of each image: kept whole in a short text, and never believed if damaged."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.errors import StorageError
from hpsearch.results.confirmation.predictions import Predictions, decode


def some(images: int, classes: int = 10, seed: int = 0, groups: int | None = None) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions(
        rows=rng.permutation(5 * images)[:images],
        predicted=rng.integers(0, classes, images),
        truth=rng.integers(0, classes, images),
        loss=rng.gamma(1.0, size=images),
        groups=None if groups is None else rng.integers(0, groups, images),
    )


@settings(max_examples=50, deadline=None)
@given(
    rows=st.sets(st.integers(0, 2**33), max_size=30),
    classes=st.sampled_from([2, 256, 257, 70_000]),
    seed=st.integers(0, 99),
)
def test_the_text_gives_back_every_image(rows: set[int], classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    written = Predictions(
        rows=np.array(list(rows), dtype=np.int64),
        predicted=rng.integers(0, classes, len(rows)),
        truth=rng.integers(0, classes, len(rows)),
        loss=rng.gamma(1.0, size=len(rows)),
    )
    read = decode(written.encode())
    assert read.rows.tolist() == sorted(rows)
    assert np.array_equal(read.predicted, written.predicted)
    assert np.array_equal(read.truth, written.truth)
    np.testing.assert_allclose(read.loss, written.loss, rtol=1e-3, atol=1e-7)


def test_images_are_sorted_and_their_answers_go_with_them() -> None:
    said = Predictions(rows=[7, 2], predicted=[1, 0], truth=[1, 2], loss=[0.1, 3.0])
    assert (said.rows.tolist(), said.predicted.tolist(), said.truth.tolist()) == (
        [2, 7],
        [0, 1],
        [2, 1],
    )
    assert said.loss.tolist() == [3.0, 0.1]


def test_the_text_is_short() -> None:
    assert len(some(10_000).encode()) < 60_000


def test_a_loss_that_is_no_number_counts_as_the_largest() -> None:
    loss = [np.nan, np.inf, 1e9]
    said = Predictions(rows=[0, 1, 2], predicted=[0] * 3, truth=[0] * 3, loss=loss)
    assert decode(said.encode()).loss.tolist() == [65504.0] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [0, 0]}, "each image must appear once"),
        ({"rows": [0]}, "one length"),
        ({"truth": [0, -1]}, "truth must not be negative"),
        ({"predicted": [0.5, 1.0]}, "predicted must be whole numbers"),
        ({"groups": [0, -1]}, "groups must not be negative"),
        ({"groups": [0]}, "one length"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, list[float]], message: str) -> None:
    whole = {"rows": [0, 1], "predicted": [0, 1], "truth": [0, 1], "loss": [0.1, 0.2]}
    with pytest.raises(ValueError, match=message):
        Predictions(**{**whole, **change})


@pytest.mark.parametrize("groups", [1, 300, 70_000])
def test_groups_go_with_their_images(groups: int) -> None:
    written = some(500, groups=groups)
    read = decode(written.encode())
    assert read.groups is not None and written.groups is not None
    assert np.array_equal(read.rows, written.rows)
    assert np.array_equal(read.groups, written.groups)
    unsorted = Predictions(
        rows=[7, 2], predicted=[1, 0], truth=[1, 2], loss=[0.1, 3.0], groups=[5, 6]
    )
    assert unsorted.groups is not None
    assert unsorted.groups.tolist() == [6, 5]


def test_without_groups_the_text_is_that_of_earlier_versions() -> None:
    said = Predictions(rows=[2, 7], predicted=[0, 1], truth=[2, 1], loss=[0.5, 3.0])
    # Written by hpsearch before groups were stored
    stored = "1:AgAAAAEBeNpjYmVgZGJksGBwAgABTQCG"
    read = decode(stored)
    assert (read.rows.tolist(), read.loss.tolist(), read.groups) == ([2, 7], [0.5, 3.0], None)
    assert said.encode().startswith("1:AgAAAAEB"), "the version and header that these read"


@pytest.mark.parametrize("groups", [None, 6])
def test_a_damaged_byte_or_a_cut_is_noticed_or_changes_nothing(groups: int | None) -> None:
    whole = some(40, groups=groups)
    text = whole.encode()
    version, _, body = text.partition(":")
    assert version == ("1" if groups is None else "2")
    packed = base64.b64decode(body)
    noticed = 0
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 0x10
        try:
            read = decode(f"{version}:{base64.b64encode(damaged).decode()}")
        except StorageError as error:
            assert "damaged" in str(error)
            noticed += 1
        else:  # a bit that zlib doesn't use
            assert read.encode() == text
    assert noticed >= len(packed) - 1
    for cut in range(2, len(text)):
        with pytest.raises(StorageError, match="damaged"):
            decode(text[:cut])
    with pytest.raises(StorageError, match="damaged"):
        decode(f"{version}:{base64.b64encode(packed + b'more').decode()}")


@pytest.mark.parametrize("text", ["", "hello", "4:AAAA"])
def test_another_version_is_told_apart_from_damage(text: str) -> None:
    with pytest.raises(StorageError, match="of version 1 to 3, got"):
        decode(text)


@pytest.mark.parametrize("groups", [None, 6])
def test_scores_are_stored_beside_the_rest(groups: int | None) -> None:
    scored = replace(some(40, groups=groups), scores=np.linspace(-1.5, 2.0, 40))
    read, plain = decode(scored.encode()), decode(replace(scored, scores=None).encode())
    assert scored.scores is not None
    assert read.scores == pytest.approx(scored.scores, abs=1e-6)
    for name in ("rows", "predicted", "truth", "loss", "groups"):
        assert np.array_equal(getattr(read, name), getattr(plain, name)), name
    with pytest.raises(StorageError, match="damaged"):
        decode(scored.encode()[:-8])
    with pytest.raises(ValueError, match="one for each image"):
        replace(scored, scores=np.zeros(39))
