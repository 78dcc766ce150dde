from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from support.ledger import optuna_storage

from hpsearch.search.database.storage import Database


@pytest.fixture
def database(prepared_url: str) -> Iterator[Database]:
    with closing(Database(prepared_url)) as opened:
        yield opened


@pytest.fixture
def zoo(database: Database) -> optuna.Study:
    """A study of Optuna's own, with every kind of trial."""
    storage: RDBStorage = optuna_storage(database)
    study = optuna.create_study(storage=storage, study_name="zoo", directions=["minimize"])
    distributions = {
        "lr": FloatDistribution(1e-5, 1.0, log=True),
        "step": FloatDistribution(0.0, 1.0, step=0.25),
        "units": IntDistribution(1, 64),
        "kind": CategoricalDistribution(("a", None, True, 1, 2.5, '"<b>é\n')),
    }
    for number, kind in enumerate(distributions["kind"].choices):
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=[0.1, math.inf, -math.inf, 1e-300, 3.0, -0.0][number],
                params={"lr": 1e-5 * (number + 1), "step": 0.5, "units": 7, "kind": kind},
                distributions=distributions,
                user_attrs={"n": number, "text": "é\n", "list": [1, {"a": None}], "none": None},
                system_attrs={"constraints": [1.0, -2.0]} if number == 1 else {},
                intermediate_values={
                    3: math.nan,
                    1: 0.25,
                    2: math.inf,
                    4: -math.inf,
                    5: 1.0 / 3.0,
                },
            )
        )
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"val_confusion": [[1]]}))
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={1: 1.0}))
    study.enqueue_trial({"lr": 0.5, "units": 3})
    running = study.ask()
    running.suggest_float("lr", 1e-5, 1.0, log=True)
    running.report(0.5, 1)
    study.enqueue_trial({"lr": 0.25})
    return study
