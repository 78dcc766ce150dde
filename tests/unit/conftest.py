"""A study that was searched without training: made-up figures through the real ledger."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpsearch.metrics import EpochEnd, EpochMetrics
from hpsearch.registry import Registry
from hpsearch.search.database.storage import Database
from hpsearch.search.history import distribution_of
from hpsearch.search.ledger import studies
from hpsearch.search.ledger.claims import Claims
from hpsearch.search.ledger.ledger import Ledger
from hpsearch.search.ledger.types import CheckpointRef, Claim, SearchRules, TrialRow
from hpsearch.search.pruning.pruners import PRUNERS
from hpsearch.search.samplers import SAMPLERS
from hpsearch.study_file.loading import study_from_document
from hpsearch.study_file.study import StudyFile

DOCUMENT = {
    "study": "made_up",
    "description": "figures that nobody trained",
    "seed": 3,
    "budget": {"trials": 6, "epochs_per_trial": 3},
    "sampler": "random",
    "pruner": "none",
    "data": {"source": "dots"},
    "model": {"line": {"width": {"min": 1, "max": 64}}},
    "optimizer": {"walk": {"lr": {"min": 1e-4, "max": 1.0, "log": True}}},
}


def made_up_registries(plugins: Iterable[Path] = ()) -> Mapping[str, Registry[Any]]:
    """Components that can be named and never built: nothing here needs torch."""
    made: dict[str, Registry[Any]] = {
        kind: Registry(kind)
        for kind in ("source", "augmentation", "model", "optimizer", "lr_schedule", "regularizer")
    }

    @made["source"].register("dots")
    def dots(place: object, /) -> None: ...

    @made["model"].register("line")
    def line(shape: object, classes: object, /, *, width: int = 4) -> None: ...

    @made["optimizer"].register("walk")
    def walk(parameters: object, /, *, lr: float = 0.1) -> None: ...

    @made["lr_schedule"].register("constant")
    def constant(optimizer: object, epochs: int, steps: int, /) -> None: ...

    return {**made, "sampler": SAMPLERS, "pruner": PRUNERS, "tracker": Registry("tracker")}


@dataclass
class MadeUp:
    """Plays a worker on the real ledger."""

    database: Database
    url: str
    study: StudyFile
    stored: studies.StoredStudy
    ledger: Ledger
    claims: Claims

    def claim(self) -> Claim:
        claim = self.claims.claim()
        assert isinstance(claim, Claim), claim
        return claim

    def row(self, *, width: int, lr: float) -> TrialRow:
        parameters = self.study.space.parameters()
        params = {"model.line.width": width, "optimizer.walk.lr": lr}
        return TrialRow(
            params=params,
            distributions={path: distribution_of(parameters[path]) for path in params},
            user_attrs={
                "device": "cpu",
                "threads": 1,
                "precision": "fp32",
                "parameters": 1234,
                "data_hash": "d" * 64,
                "split_hash": "e" * 64,
            },
            system_attrs={},
        )

    def start(self, *, width: int = 8, lr: float = 0.1) -> Claim:
        claim = self.claim()
        self.ledger.start(claim, self.row(width=width, lr=lr))
        return claim

    def epoch(self, claim: Claim, epoch: int, accuracy: float) -> str:
        metrics = EpochMetrics(
            epoch=epoch,
            train_loss=1.0 - accuracy,
            train_accuracy=accuracy,
            val_loss=1.5 - accuracy,
            val_accuracy=accuracy,
            val_macro_f1=accuracy,
            val_balanced_accuracy=accuracy,
            lr=0.1,
            seconds=2.0,
            val_seconds=0.5,
        )
        checkpoint = CheckpointRef(
            key=f"made_up/{claim.ticket}/epoch-{epoch}.pt", sha256="a" * 64, epoch=epoch
        )
        end = EpochEnd(metrics=metrics, last=False, state=dict)
        return self.ledger.report(claim, end, checkpoint)

    def trial(self, *accuracies: float, width: int = 8, lr: float = 0.1) -> Claim:
        claim = self.start(width=width, lr=lr)
        for epoch, accuracy in enumerate(accuracies, start=1):
            self.epoch(claim, epoch, accuracy)
        return claim


@pytest.fixture
def made_up(sqlite_template: Path, tmp_path: Path) -> Iterable[MadeUp]:
    """An empty study in a new SQLite database."""
    shutil.copy(sqlite_template, tmp_path / "made_up.db")
    url = f"sqlite:///{tmp_path}/made_up.db"
    database = Database(url)
    study = study_from_document(DOCUMENT, made_up_registries)
    stored = studies.attach(database, study)
    rules = SearchRules(
        metric="val_accuracy",
        maximize=True,
        best_epoch_counts=False,
        epochs_per_trial=3,
        pruner=lambda report, peers: report.epoch == 2 and report.score < 0.3,
    )
    ledger = Ledger(database, stored.study_id, "worker-a", rules)
    claims = Claims(
        database,
        stored.study_id,
        "worker-a",
        lease_seconds=30,
        seen_stops=0,
        needs_point=lambda ticket: False,
        rules=rules,
    )
    yield MadeUp(database, url, study, stored, ledger, claims)
    database.close()


@pytest.fixture
def searched(made_up: MadeUp) -> MadeUp:
    """Trials 0, 2, 4 complete (4 ties with 2), 1 an infeasible draw, 3 pruned, 5 failed, 6 runs."""
    made_up.trial(0.5, 0.9, 0.7)
    claim = made_up.claim()
    made_up.ledger.infeasible(claim, made_up.row(width=64, lr=0.5), "64 > 8", nth=0)
    made_up.ledger.start(claim, made_up.row(width=16, lr=0.25))
    for epoch, accuracy in enumerate((0.4, 0.6, 0.8), start=1):
        made_up.epoch(claim, epoch, accuracy)
    made_up.trial(0.1, 0.2)
    made_up.trial(0.5, 0.7, 0.8, width=32)
    failed = made_up.trial(0.5)
    made_up.ledger.fail(failed, "Traceback ...\nRuntimeError: [red]poison[/red]", retry=False)
    made_up.start(width=5)
    return made_up


@pytest.fixture
def made_up_components() -> Callable[[Iterable[Path]], Mapping[str, Registry[Any]]]:
    """What ``load_study`` asks for the components that a made-up study may name."""
    return made_up_registries
