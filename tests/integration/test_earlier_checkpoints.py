"""What an earlier version interrupted goes on: a trial, a training with ``--out``, and folds.

``tests/data/earlier_checkpoints`` was made by version 3e403b6: a trial that left in its third epoch
with its database, a training of ``earlier_version/best.yaml`` that was killed in its second epoch,
and a state of two folds of which only the first had finished the second epoch. Never write these
files anew.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from support.commands import Ran
from support.trials import SmallSearch

import hpsearch.training.builtin  # noqa: F401 - fills the registries
from hpsearch import component_registries
from hpsearch.registry import Component
from hpsearch.search.database.schema_version import ensure_tables
from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies
from hpsearch.search.ledger.types import Idle
from hpsearch.study_file.loading import study_from_document
from hpsearch.study_file.trial_config import DataConfig, TrialConfig
from hpsearch.training import checkpoint
from hpsearch.training.engine import train

DATA = Path(__file__).parents[1] / "data"
EARLIER = DATA / "earlier_checkpoints"


def test_its_trial_goes_on_within_its_third_epoch(tmp_path: Path) -> None:
    with (
        gzip.open(EARLIER / "interrupted.db.gz") as packed,
        (tmp_path / "interrupted.db").open("wb") as file,
    ):
        shutil.copyfileobj(packed, file)
    runs = tmp_path / "runs"
    shutil.copytree(EARLIER / "checkpoints", runs)
    with closing(Database(f"sqlite:///{tmp_path / 'interrupted.db'}")) as database:
        ensure_tables(database)  # as a launch does first
        stored = studies.find(database, "interrupted")
        study = study_from_document(stored.document, component_registries.registries)
        search = SmallSearch(database, study, stored, runs, tmp_path / "data")
        before = queries.curve(database, stored.study_id, 1)
        assert [each.epoch for each in before] == [1, 2]
        assert search.run_all() is Idle.FINISHED
        assert not search.events("checkpoint_unusable") and not search.events("epoch_redone")
        after = queries.curve(database, stored.study_id, 1)
        assert (after[:2], after[2].epoch) == (before, 3)
        (trial,) = search.trials()
        assert trial.value == pytest.approx(after[2].val_accuracy)
        assert sorted(trial.intermediate_values) == [1, 2, 3]


def test_its_training_goes_on_in_its_folder(hpsearch: Callable[..., Ran], tmp_path: Path) -> None:
    shutil.copytree(EARLIER / "training", tmp_path / "out" / ".training")
    asked = (str(DATA / "earlier_version" / "best.yaml"), "--out", str(tmp_path / "out"))
    ran = hpsearch("train", *asked)
    assert (ran.code, ran.err) == (0, "")
    assert "continues after epoch 1" in ran.out
    # The recorded metrics: what was trained before is a part of the same training
    assert "reproduced" in ran.out
    again = hpsearch("train", *asked, "--json")
    assert [each["epoch"] for each in again.json["epochs"]] == [1, 2]


def test_its_folds_go_on_from_the_one_that_waits(tmp_path: Path) -> None:
    config = TrialConfig(
        data=DataConfig(source=Component("digits"), limit=100, folds=2),
        model=Component("mlp", {"hidden": [8]}),
        optimizer=Component("sgd", {"lr": 0.1}),
        lr_schedule=Component("constant"),
        batch_size=32,
        epochs=2,
        split_seed=0,
        seed=1,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        state = checkpoint.load(EARLIER / "folds.pt")
        assert [each is None for each in state["waiting"]] == [False, True]
        (end,) = train(config, resume_from=state, data_root=tmp_path)
        *_, whole = train(config, data_root=tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert (end.epoch, end.last) == (2, True)
    assert end.metrics.val_loss == pytest.approx(whole.metrics.val_loss, rel=0.01)
    assert end.state()["history"][0] == state["history"][0]
