"""Runs commands in this process, in an empty folder, as ``hpsearch ARGUMENTS`` would."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpsearch.cli.app import run_command


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no setting from outside."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("HPSEARCH_STORAGE", "HPSEARCH_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HPSEARCH_DATA", str(tmp_path / "data"))
    return folder


@pytest.fixture
def hpsearch(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run_command(list(arguments))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
