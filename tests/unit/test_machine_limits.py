from __future__ import annotations

import errno
import os

import pytest

from hpsearch.cli import app
from hpsearch.errors import UserError
from hpsearch.machine_limits import limit_reached


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "no more memory"),
        (os_error(errno.ENOMEM), "no more memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "no more mem"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), "no more memory"),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.5 GiB. GPU 0 has"),
            "the GPU gives no",
        ),
        (RuntimeError("CUDA error: out of memory"), "the GPU gives no more memory"),
        (RuntimeError("can't start new thread"), "no more processes or threads"),
        (os_error(errno.EAGAIN), "no more processes or threads"),
        (os_error(errno.EMFILE), "lets no more files be open (`ulimit -n`: "),
        (os_error(errno.ENOSPC), "the disk is full"),
        (os_error(errno.EFBIG), "a file may not become so large"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_a_limit_of_the_machine_is_told_as_one(error, told, monkeypatch, capsys):
    def fail(*_, **__):
        try:
            raise error
        except type(error) as cause:
            raise ValueError("what a library made of it") from cause

    monkeypatch.setattr(app, "_parser", lambda: fail)
    assert app.run_command(["status"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert told in said
    assert said.count("\n") == 1
    assert "fault of hpsearch" not in said


@pytest.mark.parametrize(
    "error",
    [
        ValueError("not enough memory of mine"),
        UserError("resource temporarily unavailable"),
        OSError(errno.ENOENT, "no such file"),
        RuntimeError("shapes don't fit"),
    ],
)
def test_other_errors_are_none(error):
    assert limit_reached(error) is None
