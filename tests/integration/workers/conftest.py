"""Small studies of digits in each kind of database, and plug-ins that last for one test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.trials import NO_CHECKPOINTS, ONE_TRIAL, STUDY, SmallSearch, open_small

import hpsearch.training.builtin  # noqa: F401 - fills the registries before they are copied
from hpsearch.search.database.storage import Database
from hpsearch.training.registries import MODELS

OpenStudy = Callable[..., SmallSearch]


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the digits are prepared, once for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def open_study(database: Database, tmp_path: Path, data_root: Path) -> OpenStudy:
    """Open a study: ``open_study("pruner=asha", text=STUDY)``."""

    def open_(*overrides: str, text: str = STUDY) -> SmallSearch:
        return open_small(database, tmp_path, data_root, *overrides, text=text)

    return open_


@pytest.fixture
def undisturbed(open_study: OpenStudy) -> list[tuple[float, ...]]:
    """The figures of trial 1 where nothing happens to it."""
    search = open_study(ONE_TRIAL, "study=undisturbed")
    search.run_all(checkpoint_seconds=NO_CHECKPOINTS)
    return search.figures()[1]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Write a plug-in file; what it registers is forgotten after the test."""
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    known = set(sys.modules)

    def write(code: str) -> Path:
        path = tmp_path / "own_model.py"
        path.write_text(code)
        return path

    yield write
    for name in [name for name in sys.modules if name.startswith("hpsearch_plugin_")]:
        if name not in known:
            del sys.modules[name]
