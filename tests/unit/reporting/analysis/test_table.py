from __future__ import annotations

import numpy as np
import pytest

from hpsearch.reporting.analysis.table import columns, epoch_table, trial_table
from hpsearch.results.records import read_study
from hpsearch.search.ledger import queries


def test_a_row_per_drawn_trial_with_all_columns(searched) -> None:
    record = read_study(searched.database, "made_up")
    names, rows = columns(searched.database, record), trial_table(searched.database, record)
    assert [row["number"] for row in rows] == [0, 2, 3, 4, 5, 6]
    assert all(list(row) == names for row in rows)
    assert names[7:9] == ["model.line.width", "optimizer.walk.lr"]
    first = rows[0]
    assert (first["state"], first["value"], first["best_value"]) == ("complete", 0.7, 0.9)
    assert (first["best_epoch"], first["epochs"]) == (2, 3)
    assert (first["model.line.width"], first["optimizer.walk.lr"]) == (8, 0.1)
    assert (first["seconds"], first["epoch_seconds"]) == (6.0, 2.0)
    assert (first["parameters"], first["device"], first["latency"]) == (1234, "cpu", None)
    assert rows[4]["error"] == "RuntimeError: [red]poison[/red]"


def test_curves_that_were_read_already_are_taken(searched) -> None:
    record = read_study(searched.database, "made_up")
    curves = queries.curves(searched.database, record.study.study_id)
    again = trial_table(searched.database, record, curves)
    assert again == trial_table(searched.database, record)
    assert trial_table(searched.database, record, {})[0]["epoch_seconds"] is None


def test_every_epoch_of_every_trial_by_trial_and_epoch(searched) -> None:
    record = read_study(searched.database, "made_up")
    table = epoch_table(searched.database, record)
    assert table["number"].tolist() == [0, 0, 0, 2, 2, 2, 3, 3, 4, 4, 4, 5]
    assert table["epoch"].tolist() == [1, 2, 3, 1, 2, 3, 1, 2, 1, 2, 3, 1]
    assert table["value"][:3].tolist() == [0.5, 0.9, 0.7]
    assert table["train_loss"][1] == pytest.approx(0.1)
    assert table["ticket"].dtype == np.int64


def test_a_study_without_trials_has_empty_tables(made_up) -> None:
    record = read_study(made_up.database, "made_up")
    assert trial_table(made_up.database, record) == []
    assert {len(values) for values in epoch_table(made_up.database, record).values()} == {0}
