"""Pixels in any order and scale: found where it is clear, asked for where it isn't."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.errors import DataError
from hpsearch.training.data.pixel_arrays import as_pictures


def converted(pixels, layout="auto", scale="auto") -> np.ndarray:
    return as_pictures(
        np.asarray(pixels), layout=layout, scale=scale, key=lambda name: f"x.{name}", where="'data'"
    )


@pytest.fixture
def colour(pictures) -> np.ndarray:
    return pictures(5, 6, 6, 3)


@pytest.mark.parametrize("given", [True, False], ids=["given", "found"])
@pytest.mark.parametrize(
    ("layout", "channels", "saved"),
    [
        pytest.param("NHWC", 3, lambda x: x, id="NHWC"),
        pytest.param("NCHW", 3, lambda x: x.transpose(0, 3, 1, 2), id="NCHW"),
        pytest.param("NHWC", 1, lambda x: x, id="NHWC gray"),
        pytest.param("NCHW", 1, lambda x: x.transpose(0, 3, 1, 2), id="NCHW gray"),
        pytest.param("NHW", 1, lambda x: x[..., 0], id="NHW"),
        pytest.param("flat_NHWC", 1, lambda x: x.reshape(5, -1), id="flat gray"),
        pytest.param("flat_NCHW", 1, lambda x: x.reshape(5, -1), id="flat gray planes"),
        pytest.param("flat_NHWC", 3, lambda x: x.reshape(5, -1), id="flat pixels"),
        pytest.param(
            "flat_NCHW", 3, lambda x: x.transpose(0, 3, 1, 2).reshape(5, -1), id="flat planes"
        ),
    ],
)
def test_layouts(pictures, layout, channels, saved, given):
    picture = pictures(5, 6, 6, channels)
    if layout.startswith("flat") and channels == 3 and not given:
        # 108 = 3 * 6 * 6 numbers: the planes of CIFAR, or pixel by pixel?
        with pytest.raises(
            DataError, match=r"x\.layout must give the order of the pixels .*\(5, 10"
        ):
            converted(saved(picture))
    else:
        read = converted(saved(picture), layout if given else "auto")
        assert np.array_equal(read, picture)
        assert read.dtype == np.uint8


@pytest.mark.parametrize(
    ("shape", "layout", "message"),
    [
        ((5, 3, 6, 3), "auto", r"\(5, 3, 6, 3\) fits NHWC and NCHW; give one of NHWC, NCHW"),
        ((5, 1, 6, 1), "auto", "fits NHWC and NCHW"),
        ((5, 12), "auto", "fits flat_NHWC and flat_NCHW; give one of flat_NHWC, flat_NCHW"),
        ((5, 6, 6, 4), "auto", r"1 or 3 channels.* \(5, 6, 6, 4\); save it .* without an opacity"),
        ((5, 7), "auto", "flat rows of a square"),
        ((5, 6, 6, 3, 2), "auto", "must have 1 or 3 channels"),
        (
            (5, 6, 6, 3),
            "NCHW",
            r"NCHW \(with 1 or 3 .*doesn't fit the shape \(5, 6, 6, 3\) of 'da",
        ),
        ((5, 6, 6, 3), "flat_NCHW", "flat_NCHW .* doesn't fit the shape"),
        ((5, 108), "NHWC", "NHWC .* doesn't fit the shape"),
        ((5, 0, 6, 3), "auto", r"must have pixels, but 'data' has the shape \(5, 0, 6, 3\)"),
    ],
)
def test_what_fits_no_layout_or_two_is_refused(shape, layout, message):
    with pytest.raises(DataError, match=message):
        converted(np.zeros(shape, np.uint8), layout)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("given", [True, False], ids=["given", "found"])
@pytest.mark.parametrize(
    ("scale", "saved"),
    [
        pytest.param("raw", lambda x: x, id="raw"),
        pytest.param("unit", lambda x: x / 255, id="unit"),
        pytest.param("symmetric", lambda x: x / 127.5 - 1, id="symmetric"),
    ],
)
def test_floats_become_the_bytes_that_they_were(scale, saved, dtype, given):
    every = np.arange(256).reshape(1, 16, 16)
    floats = saved(every.astype(np.float64)).astype(dtype)
    if dtype == np.float16 and scale == "symmetric":
        floats = floats.clip(-1, 1)
    read = converted(floats, scale=scale if given else "auto")[..., 0]
    assert np.abs(read.astype(int) - every).max() <= (1 if dtype == np.float16 else 0)


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint16])
def test_whole_numbers_up_to_255_are_raw(pictures, dtype):
    whole = pictures(2, 4, 4)
    assert np.array_equal(converted(whole.astype(dtype))[..., 0], whole)


def test_truth_values_are_black_and_white():
    drawn = np.array([[[True, False], [False, True]]])
    assert converted(drawn)[0, :, :, 0].tolist() == [[255, 0], [0, 255]]


def test_bytes_may_mean_something_else_than_bytes():
    drawn = np.array([[[0, 1], [1, 0]]], dtype=np.uint8)
    assert converted(drawn).max() == 1  # bytes are what they are ...
    assert converted(drawn, scale="unit").max() == 255  # ... unless it is said


def test_many_pictures_are_converted_in_pieces(pictures):
    many = pictures(2500, 2, 2)
    assert np.array_equal(converted(many / 255)[..., 0], many)


@pytest.mark.parametrize(
    ("values", "scale", "message"),
    [
        pytest.param([0, 1], "auto", r"x\.scale must give .* of 'data' \(int64\) are from 0 to 1;"),
        pytest.param([0.0, 0.0], "auto", "are from 0 to 0; give raw"),
        pytest.param([0, 256], "auto", "are from 0 to 256; divide them"),
        pytest.param([-1, 1], "auto", r"\(int64\) are from -1 to 1"),
        pytest.param([-2.0, 2.0], "auto", "are from -2 to 2; divide"),
        pytest.param([0.0, float("nan")], "auto", "must be finite numbers, but 'data' contains"),
        pytest.param([0.0, float("inf")], "raw", "must be finite numbers"),
        pytest.param([0.0, 1.5], "unit", r"x\.scale unit means pixels from 0 to 1, .* 0 to 1\.5;"),
        pytest.param([-0.5, 1.0], "raw", "raw means pixels from 0 to 255, but .* from -0.5 to 1"),
        pytest.param(["a", "b"], "auto", "pixels must be numbers, but 'data' contains <U1"),
        pytest.param([1j, 2j], "auto", "pixels must be numbers, but 'data' contains complex128"),
    ],
)
def test_a_scale_that_is_unclear_or_wrong_is_refused(values, scale, message):
    with pytest.raises(DataError, match=message):
        converted(np.array(values).reshape(1, 1, 2), scale=scale)
