from __future__ import annotations

import os

import pytest

from hpsearch.library_warnings import captured_stderr


def test_lines_of_libtiff_are_collected_and_others_come_out(capfd):
    with captured_stderr() as lines:
        os.write(2, b"TIFFReadDirectory: Warning, Unknown field with tag 59932.\n")
        os.write(2, b"a line of another thread\n")
        os.write(2, b"tempfile.tif: Using code not yet in table.\nTraceback (most recent call\n")
    assert lines == [
        "TIFFReadDirectory: Warning, Unknown field with tag 59932.",
        "tempfile.tif: Using code not yet in table.",
    ]
    assert capfd.readouterr().err == "a line of another thread\nTraceback (most recent call\n"


def test_the_stream_is_back_after_an_error(capfd):
    opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, no files
    with pytest.raises(KeyboardInterrupt), captured_stderr():
        raise KeyboardInterrupt
    os.write(2, b"here\n")
    assert capfd.readouterr().err == "here\n"
    assert len(os.listdir("/proc/self/fd")) == opened  # noqa: PTH208
