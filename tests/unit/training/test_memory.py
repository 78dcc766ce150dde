"""Freed memory stays with the process while it trains, and no longer."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.training import malloc
from hpsearch.training.malloc import keep_freed_pages

with_glibc = pytest.mark.skipif(malloc._glibc() is None, reason="needs glibc")

#: Takes and frees 48 MB again and again, as training steps do; prints the page faults of single
#: times before the block and inside it (after some, until each finds the place of the one before),
#: and the resident megabytes at its end and after it.
SCRIPT = """
import json, resource
import torch
from pathlib import Path
from hpsearch.training.malloc import keep_freed_pages

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(12 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

outside = [faults() for _ in range(3)]
with keep_freed_pages():
    inside = [faults() for _ in range(60)][-20:]
    megabytes = [resident()]
megabytes.append(resident())
print(json.dumps([outside, inside, megabytes]))
"""


@with_glibc
def test_a_step_finds_the_memory_of_the_one_before(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT]
    said = subprocess.run(command, check=True, timeout=240, capture_output=True, text=True).stdout

    outside, inside, (before, after) = json.loads(said)

    assert min(outside) > 20  # 12,288 pages of 4 KB, or 24 huge ones of 2 MB
    assert sum(inside) <= min(outside)
    assert after < before - 40


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)

    with keep_freed_pages():
        assert malloc._glibc() is None


def test_a_c_library_without_such_settings_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())

    with keep_freed_pages():
        assert malloc._glibc() is None


@with_glibc
def test_memory_goes_back_when_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def __init__(self) -> None:
            self.calls: list[tuple[str, ...]] = []

        def mallopt(self, *arguments: int) -> int:
            self.calls.append(("mallopt", *map(str, arguments)))
            return int(arguments[1] != 2**30)  # as an older glibc refuses it

        def malloc_trim(self, pad: int) -> None:
            self.calls.append(("malloc_trim", str(pad)))

    library = Library()
    monkeypatch.setattr(malloc, "_glibc", lambda: library)

    with pytest.raises(KeyError), keep_freed_pages():
        raise KeyError

    assert library.calls == [
        ("mallopt", "-1", str(2**31 - 1)),
        ("mallopt", "-3", str(2**30)),
        ("mallopt", "-3", str(2**25)),
        ("malloc_trim", "0"),
    ]
