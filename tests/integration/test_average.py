"""``evaluate: ema`` from the search to the model in use: one average in all places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.commands import Ran
from support.confirming import confirming
from support.trials import IN_EPOCH_3, SmallSearch, leave_after, open_small

from hpsearch.results.export.bundle import read_bundle
from hpsearch.results.ranking import best
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.training import checkpoint
from hpsearch.training.data.prepare import prepare

Hpsearch = Callable[..., Ran]

EMA = "evaluate=ema"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'hpsearch.db'}"


@pytest.fixture
def open_study(url: str, tmp_path: Path) -> Iterator[Callable[..., SmallSearch]]:
    database, before = Database(url), torch.get_num_threads()
    ensure_tables(database)
    torch.set_num_threads(1)  # as the worker notes
    yield lambda *overrides: open_small(database, tmp_path, tmp_path / "data", *overrides)
    torch.set_num_threads(before)
    database.close()


def test_a_trial_that_was_paused_is_the_undisturbed_one(open_study) -> None:
    whole = open_study(EMA, "budget.trials=1", "study=whole")
    whole.run_all()
    paused = open_study(EMA, "budget.trials=1", "study=paused")
    left = paused.run_one("one", leave=leave_after(IN_EPOCH_3))
    assert left.state == "paused" and left.checkpoint
    state = checkpoint.load(paused.runs / left.checkpoint)["engine"]
    assert state["partial"]["batches"] == 2
    assert not torch.equal(state["model"]["logits.weight"], state["raw"]["logits.weight"])
    paused.run_one("two")

    assert paused.figures() == whole.figures()
    raw = open_study("budget.trials=1", "study=raw")
    raw.run_all()
    assert raw.figures() != whole.figures()  # or this shows nothing


def test_the_average_is_exported_confirmed_and_verified(
    hpsearch: Hpsearch, open_study, url: str, here: Path
) -> None:
    search = open_study(EMA, "pruner=asha", "budget.trials=4")
    search.run_all()
    record = search.record()
    folders = ("--runs", str(search.runs), "--data", str(search.data))
    stored = ("--study", "small", "--storage", url, *folders)

    winner = best(record)
    assert winner is not None
    kept = checkpoint.load(search.bench().folder.trial(winner.number) / "best.pt")["weights"]
    assert hpsearch("export", *stored, "--bundle", "best").code == 0
    frozen, model = read_bundle(here / "best")
    assert frozen.document["evaluate"] == "ema"
    for name, weights in kept.items():
        assert torch.equal(model.model.state_dict()[name], weights), name
    config = frozen.trial_config({}, ticket=1)
    data = prepare(config.data, split_seed=config.split_seed, root=search.data)
    found = model.evaluate(data.images[data.val_indices], data.labels[data.val_indices])
    assert found.accuracy == winner.value
    told = hpsearch("verify", "best/best.yaml", "--data", str(search.data), "--json").json
    assert (told["exact"], told["value"]) == (True, winner.value)

    confirm = confirming(search)
    confirm.run_to_end()
    assert confirm.study.document["evaluate"] == "ema"
    assert hpsearch("export", *stored, "--bundle", "confirmed").code == 0
    told = hpsearch("verify", "confirmed/best.yaml", "--data", str(search.data), "--json").json
    assert told["exact"]
