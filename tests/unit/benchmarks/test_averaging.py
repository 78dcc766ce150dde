"""The benchmark of ``evaluate: ema``: one training, looked at twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.search_efficiency.averaging import main, read
from benchmarks.search_efficiency.spaces import read_recorded
from hpsearch.training.engine import train


def test_both_figures_are_those_of_trainings_that_evaluate_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, work = tmp_path / "tables", tmp_path / "work"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(
        "study: tiny\nbudget: {trials: 9, epochs_per_trial: 9}\n"
        "data: {source: digits, limit: 100}\nmodel: {mlp: {hidden: [8]}}\n"
        "optimizer: {sgd: {lr: {min: 0.01, max: 1, log: true}}}\n"
    )
    (folder / "tiny.json").write_text(
        json.dumps({"budget": 2, "chance": 0.1, "record": {"spread": 4}})
    )
    places = ["--tables", f"{folder}", "--work", f"{work}", "--table", "tiny"]
    main(["record", *places, "--count", "1"])
    first = (work / "tiny.jsonl").read_text()
    main(["record", *places, "--count", "4"])
    assert (work / "tiny.jsonl").read_text().startswith(first)

    pairs = read(work / "tiny.jsonl")
    assert len({str(pair["ema"].params) for pair in pairs}) == 4
    study = read_recorded("tiny", folder).study()
    for row, pair in enumerate(pairs):
        assert pair["ema"].val_accuracy != pair["weights"].val_accuracy
        for variant in ("weights", "ema"):
            config = study.trial_config(pair[variant].params, ticket=row + 1)
            alone = train(replace(config, evaluate=variant), data_root=work / "data")
            assert pair[variant].val_loss == [round(each.metrics.val_loss, 5) for each in alone]

    main(["show", *places])
    shown = capsys.readouterr().out
    assert "tiny, 4 configurations of 4" in shown
    assert "mean at the end" in shown
