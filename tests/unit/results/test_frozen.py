from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from support.searching import epoch_end

from hpsearch.errors import UserError
from hpsearch.metrics import EpochMetrics
from hpsearch.results import provenance
from hpsearch.results.export import frozen as frozen_config
from hpsearch.results.export.bundle import refuse_to_replace, write_content
from hpsearch.results.export.frozen import export_trial
from hpsearch.results.records import read_study
from hpsearch.study_file.loading import load_study
from hpsearch.study_file.trial_config import trial_seed


def test_the_winner_becomes_a_study_file_without_ranges(searched, tmp_path, made_up_components):
    record = read_study(searched.database, "made_up")
    frozen = export_trial(searched.database, record, searched.study)
    path = tmp_path / "winner.yaml"
    write_content(path, frozen.text(tmp_path))
    again = load_study(path, made_up_components)
    assert again.is_frozen
    assert again.document == frozen.document
    before = searched.study.trial_config(frozen.trial.params, frozen.trial.ticket)
    before = replace(before, precision="fp32")  # what `auto` came to, says the worker's note
    assert again.trial_config({}, 1) == before  # the recorded seed, not ticket 1's
    assert path.read_text().startswith(
        "# Trial 2 of study made_up, UNCONFIRMED; exported by hpsearch.\n"
        "# val_accuracy of its last epoch: 80.00 %. "
        "The best seen is line (trial 2): val_accuracy 80.00 %, not confirmed (one seed, the best "
        "of 3 complete trials: optimistic).\n"
    )


def test_provenance_tells_everything_that_decides_the_result(searched):
    record = read_study(searched.database, "made_up")
    origin = export_trial(searched.database, record, searched.study).document["provenance"]
    assert origin["trial_seed"] == trial_seed(3, 2)
    assert origin["split_seed"] == 3
    assert (origin["study"], origin["trial"], origin["ticket"]) == ("made_up", 2, 2)
    assert origin["fingerprint"] == searched.study.fingerprint
    assert (origin["device"], origin["threads"], origin["precision"]) == ("cpu", 1, "fp32")
    assert (origin["parameters"], origin["data_hash"]) == (1234, "d" * 64)
    assert origin["split_hash"] == "e" * 64
    assert (origin["rank"], origin["complete_trials"], origin["epochs_run"]) == (1, 3, 3)
    assert origin["figures"]["last"]["val_accuracy"] == 0.8
    assert origin["confirmed"] is False
    assert origin["training"] == {"study": "made_up", "trial": 2}
    assert origin["cost"]["training"] == {"epochs": 3, "seconds": 6.0}
    assert origin["cost"]["search"]["epochs"] == 12
    assert set(origin["versions"]) - {"timm"} == {
        "python",
        "hpsearch",
        "torch",
        "torchvision",
        "optuna",
    }


def test_last_and_best_epoch_are_both_told(searched):
    record = read_study(searched.database, "made_up")
    frozen = export_trial(searched.database, record, searched.study, number=0)
    told = frozen.document["provenance"]["figures"]
    assert (told["last"]["epoch"], told["last"]["val_accuracy"]) == (3, 0.7)
    assert (told["best"]["epoch"], told["best"]["val_accuracy"]) == (2, 0.9)


def test_overfitting_is_told_and_the_matrix_left_out(made_up):
    claim = made_up.start()
    made_up.epoch(claim, 1, 0.5)
    result = epoch_end(2, 0.6, last=True, val_confusion=[[1, 2], [3, 4]])
    made_up.ledger.report(claim, result)
    record = read_study(made_up.database, "made_up")
    origin = export_trial(made_up.database, record, made_up.study).document["provenance"]
    assert origin["overfits_from"] is None
    assert "val_confusion" not in origin
    assert origin["epochs_run"] == 2


def test_where_it_overfits_is_told(searched, monkeypatch):
    monkeypatch.setattr(frozen_config, "overfits_from", lambda curve: len(curve) - 1)
    record = read_study(searched.database, "made_up")
    origin = export_trial(searched.database, record, searched.study).document["provenance"]
    assert origin["overfits_from"] == 2


def test_without_a_complete_trial_there_is_nothing_to_export(made_up):
    made_up.trial(0.1, 0.2)
    record = read_study(made_up.database, "made_up")
    with pytest.raises(UserError) as raised:
        export_trial(made_up.database, record, made_up.study)
    assert str(raised.value) == (
        "only a complete trial can win, but study 'made_up' has none yet (1 pruned, 0 failed); "
        "launch more trials, or name one with --trial"
    )


def test_a_trial_without_an_epoch_is_refused(searched):
    record = read_study(searched.database, "made_up")
    with pytest.raises(UserError, match=r"trial 6 of study 'made_up' has none \(running\)"):
        export_trial(searched.database, record, searched.study, number=6)


def test_a_pruned_trial_is_exported_with_a_warning_in_its_header(searched, tmp_path):
    record = read_study(searched.database, "made_up")
    frozen = export_trial(searched.database, record, searched.study, number=3)
    assert frozen.rank is None
    assert "This trial is pruned, so its value can't be compared" in frozen.text(tmp_path)


def test_a_file_is_replaced_only_when_told_to(tmp_path):
    path = tmp_path / "winner.yaml"
    path.write_text("mine")
    with pytest.raises(UserError) as raised:
        refuse_to_replace([tmp_path / "new.yaml", path], overwrite=False)
    assert f"{path} exists; choose another path, or add --force" in str(raised.value)
    refuse_to_replace([path], overwrite=True)
    write_content(path, "new")
    assert path.read_text() == "new"


def test_a_folder_that_is_missing_leaves_nothing_behind(tmp_path):
    with pytest.raises(UserError, match="can't be written: No such file or directory"):
        write_content(tmp_path / "missing" / "winner.yaml", "new")
    assert list(tmp_path.iterdir()) == []


def test_the_repository_is_told_with_its_changes(tmp_path):
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    assert provenance.repository(tmp_path) is None
    git("init", "-q")
    assert provenance.repository(tmp_path) is None  # no commit yet
    (tmp_path / "a.txt").write_text("a")
    git("add", "a.txt")
    git("commit", "-q", "-m", "a")
    clean = provenance.repository(tmp_path)
    assert clean is not None
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    (tmp_path / "a.txt").write_text("b")
    assert provenance.repository(tmp_path) == {**clean, "dirty": True}


def test_figures_name_the_epochs_that_they_are_of():
    result = EpochMetrics(
        epoch=1,
        train_loss=1.0,
        train_accuracy=0.5,
        val_loss=2.0,
        val_accuracy=0.4,
        val_macro_f1=0.3,
        val_balanced_accuracy=0.2,
        lr=0.1,
        seconds=1.0,
        val_seconds=0.5,
    )
    told = provenance.epoch_metrics(
        [result, replace(result, epoch=2, val_accuracy=0.3)], best_epoch=1
    )
    assert (told["last"]["epoch"], told["best"]["epoch"]) == (2, 1)
    assert (told["best"]["val_loss"], told["best"]["val_macro_f1"]) == (2.0, 0.3)
