"""Metrics that only some studies measure: from the study file to the confirmed value."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sklearn.metrics import roc_auc_score
from support.commands import Ran
from support.trials import STUDY, open_small

from hpsearch import component_registries
from hpsearch.errors import UserError
from hpsearch.metric_registry import METRICS
from hpsearch.results.records import read_study
from hpsearch.search.database.storage import Database
from hpsearch.search.database.tables import epochs
from hpsearch.search.ledger import queries
from hpsearch.search.ledger.rungs import read_fronts
from hpsearch.study_file.loading import load_study
from hpsearch.training.engine import train

SEVERAL = STUDY + (
    "objectives: [val_auroc, val_calibration_error, parameters]\n"
    'constraints: ["val_recall(3) >= 0.01"]\n'
)

PLUGIN = """
import numpy as np
from hpsearch.metric_registry import METRICS

@METRICS.register("val_brier", direction="minimize")
def brier(probabilities, truth, /):
    '''Mean squared distance of the probabilities from the true class.'''
    return np.square(probabilities - np.eye(probabilities.shape[1])[truth]).sum(1).mean()
"""


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """One kind is enough: what differs between them is tested with other columns."""
    path = tmp_path / "hpsearch.db"
    shutil.copy(sqlite_template, path)
    found = Database(f"sqlite:///{path}")
    yield found
    found.close()


@pytest.fixture
def _no_metric_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    monkeypatch.setattr(METRICS, "directions", dict(METRICS.directions))


def test_a_study_measures_and_stores_what_it_uses(
    database: Database, tmp_path: Path, data_root: Path
) -> None:
    search = open_small(database, tmp_path, data_root, text=SEVERAL)
    search.run_all()
    record = read_study(database, "small")
    assert record.goals.directions == {
        "val_auroc": "maximize",
        "val_calibration_error": "minimize",
        "parameters": "minimize",
    }
    curves = queries.curves(database, search.stored.study_id)
    for trial in record.trials:
        last = curves[trial.ticket][-1]
        names = {"val_auroc", "val_calibration_error", "val_recall(3)"}
        assert set(last.others) == names
        assert {name: trial.metrics[name] for name in names} == dict(last.others)
        assert trial.value == last.value("val_auroc")
    # The first trial again, judged by scikit-learn
    config = search.study.trial_config(record.trials[0].params, 1)
    ends = list(train(config, data_root=data_root, keep_predictions=True))
    said = ends[-1].val_predictions
    assert said is not None
    expected = roc_auc_score(said.truth, said.probabilities, multi_class="ovr")
    assert record.trials[0].value == pytest.approx(expected, abs=1e-9)
    with database.engine.connect() as connection:
        fronts = read_fronts(connection, search.stored.study_id, record.goals, 2)
    assert set(fronts) == {1, 2, 3}


def test_other_trainings_neither_compute_nor_store_them(
    database: Database, tmp_path: Path, data_root: Path
) -> None:
    search = open_small(database, tmp_path, data_root, "budget.trials=1")
    search.run_all()
    config = search.study.trial_config(read_study(database, "small").trials[0].params, 1)
    end = next(train(config, data_root=data_root, keep_predictions=True))
    assert end.val_predictions is not None
    assert end.val_predictions.probabilities is None
    assert "others" not in end.state()["history"][0]
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(epochs.c.others)).scalars().all() == [None] * 3


def test_folds_are_judged_together(tmp_path: Path, data_root: Path) -> None:
    file = tmp_path / "study.yaml"
    text = STUDY.replace("limit: 200", "limit: 200, folds: 2") + "objective: val_auroc\n"
    file.write_text(text)
    study = load_study(file, component_registries.registries)
    config = study.trial_config({"optimizer.sgd.lr": 0.1}, 1)
    ends = train(config, data_root=data_root, keep_predictions=True)
    first = next(ends)
    said = first.val_predictions
    assert said is not None
    assert len(said.rows) == 200
    expected = roc_auc_score(said.truth, said.probabilities, multi_class="ovr")
    assert first.metrics.value("val_auroc") == pytest.approx(expected, abs=1e-9)
    state = first.state()
    again = next(train(config, data_root=data_root, resume_from=state))
    assert again.metrics.others == next(ends).metrics.others


def test_a_class_that_the_images_lack_is_one_message(
    database: Database, tmp_path: Path, data_root: Path
) -> None:
    search = open_small(database, tmp_path, data_root, text=STUDY + "objective: val_recall(ten)\n")
    with pytest.raises(UserError, match=re.escape("val_recall(ten) must name one of the classes")):
        search.run_one()


@pytest.mark.usefixtures("_no_metric_stays")
def test_a_plugin_adds_a_metric(
    database: Database, tmp_path: Path, data_root: Path, hpsearch: Callable[..., Ran]
) -> None:
    (tmp_path / "brier.py").write_text(PLUGIN)
    text = STUDY + "objective: val_brier\nplugins: [brier.py]\nconfirm: {top: 1, seeds: 2}\n"
    search = open_small(database, tmp_path, data_root, "budget.trials=2", text=text)
    search.run_all()
    assert search.stored.document["metrics"] == {"val_brier": "minimize"}
    # Without the plug-in, too, the study is read and ranked
    METRICS._entries.pop("val_brier")
    METRICS.directions.pop("val_brier")
    record = read_study(database, "small")
    assert record.objective.direction == "minimize"
    best = min(trial.value for trial in record.trials if trial.value is not None)
    assert 0 < best < 2
    url = database.url.render_as_string(hide_password=False)
    assert f"{best:.4g}" in hpsearch("status", "small", "--storage", url).out


def test_the_jackknife_estimates_the_error_of_a_mean() -> None:
    from hpsearch.results.confirmation.contributions import jackknife
    from hpsearch.results.confirmation.over_groups import error_of
    from hpsearch.results.confirmation.statistics import TrainingValues

    rng = np.random.default_rng(1)
    right = (rng.random(2000) < 0.8).astype(float)
    rows, groups = np.arange(2000), np.repeat(np.arange(500), 4)
    values = jackknife(lambda kept: float(right[kept].mean()), rows, None)
    assert values.mean() == pytest.approx(right.mean(), abs=1e-12)
    found = error_of(TrainingValues(rows=rows, values=values)).standard_error
    exact = error_of(TrainingValues(rows=rows, values=right)).standard_error
    assert found == pytest.approx(exact, rel=0.2), "100 blocks know it to about 7 %"
    # In groups of four equal images, the error is twice as large
    alike = np.repeat(right[:500], 4)
    values = jackknife(lambda kept: float(alike[kept].mean()), rows, groups)
    found = error_of(TrainingValues(rows=rows, values=values, groups=groups)).standard_error
    exact = error_of(TrainingValues(rows=rows, values=alike, groups=groups)).standard_error
    assert found == pytest.approx(exact, rel=0.25)
    # Few images are left out one by one
    few = jackknife(lambda kept: float(right[:50][kept].mean()), rows[:50], None)
    assert few == pytest.approx(right[:50], abs=1e-9)
