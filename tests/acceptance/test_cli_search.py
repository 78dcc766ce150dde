"""From a study file to a winner that trains again to the same figures, by commands alone."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import closing

import pytest
from ruamel.yaml import YAML
from support.processes import _without_main_module

from hpsearch.search.database.storage import Database
from hpsearch.search.ledger import queries, studies


def test_every_trial_of_the_budget_ends_and_a_relaunch_adds_none(searched):
    before = searched("status", "--study", "small", "--json").json
    trials = before["trials"]
    assert trials["total"] == 6
    assert trials["complete"] + trials["pruned"] == 6
    assert trials["pruned"] >= 1
    assert before["budget"] == {"trials": 6, "epochs_per_trial": 3}

    again = searched("launch", "--study", "small.yaml", "--workers", "2", "--json").json
    assert again.pop("ended") == "finished"
    assert {**before, **again} == before  # `status` tells more: what pruning saved


@pytest.mark.usefixtures("threads_restored")
def test_the_winner_trains_again_to_the_same_figures(searched):
    best = searched("status", "--study", "small", "--json").json["best"]
    ran = searched("train", "winner.yaml")
    assert ran.code == 0, ran.all
    lines = ran.out.splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert lines[-2].startswith(f"validation accuracy {100 * best['value']:.4f} %  loss ")
    assert lines[-1] == (
        f"reproduced exactly: every metric equals that of trial {best['number']} at epoch 3"
    )


def test_the_frozen_config_tells_where_it_comes_from(searched_shell):
    document = YAML(typ="safe").load(searched_shell.folder / "winner.yaml")
    origin = document["provenance"]
    assert document["precision"] == origin["precision"] in ("fp32", "bf16")
    assert origin["device"] == "cpu"
    assert origin["threads"] >= 1
    assert (origin["input_shape"], origin["classes"]) == ([1, 8, 8], 10)
    assert origin["architecture"][-1]["output_shape"] == [10]
    parts = [layer["parameters"] for layer in origin["architecture"]]
    assert sum(parts) == origin["parameters"]
    assert len(origin["data_hash"]) == len(origin["split_hash"]) == 64


def test_a_changed_config_is_trained_and_not_compared(searched):
    trained = searched("train", "winner.yaml", "--set", "budget.epochs_per_trial=1", "--json").json
    assert (trained["reproduced"], len(trained["epochs"])) == (None, 1)


def test_show_has_the_curve_and_the_files(searched):
    number = searched("status", "--study", "small", "--json").json["best"]["number"]
    page = searched("show", "--study", "small", str(number), "--json").json
    assert [point["epoch"] for point in page["curve"]] == [1, 2, 3]
    (file,) = page["files"]
    assert file["path"].endswith("best.pt")
    assert page["noted"]["device"] == "cpu"


def test_the_winner_is_evaluated_on_test_images_and_the_looks_are_counted(searched):
    first = searched("evaluate", "--study", "small")
    assert (first.code, first.err) == (0, "")
    assert re.search(r"test accuracy \d+\.\d\d % on 355 images \(95 % interval over", first.out)
    assert "mirror" not in first.out
    again = searched("evaluate", "--study", "small", "--mirrored", "--json")
    assert "were opened before (1 time): report the first value" in again.err
    told = again.json
    assert f"test accuracy {100 * told['accuracy']:.2f} % on" in first.out
    assert (told["opened"], told["images"]) == (2, 355)
    mirrored = told["mirrored"]  # beside the plain figures: digits are worse with mirror images
    assert mirrored.keys() == {"loss", "accuracy", "macro_f1", "balanced_accuracy"}
    assert mirrored["loss"] > told["loss"]


@pytest.mark.usefixtures("threads_restored")
def test_a_worker_attached_to_a_finished_study_leaves(searched):
    ran = searched("worker", "--study", "small", "--device", "cpu")
    assert ran.code == 0, ran.all
    assert ran.out.endswith("stopped working on study small: finished\n")


def test_another_space_is_refused_with_the_difference(searched):
    ran = searched("launch", "--study", "small.yaml", "--set", "batch_size=8")
    assert ran.code == 2
    assert "study 'small' already exists" in ran.err
    assert "batch_size: {values: [16, 32]} -> 8" in ran.err
    assert "--name small_2" in ran.err


#: A model whose batches take half a second while a file is there, and next to no CPU time.
SLOW_MODEL = """\
import time
from pathlib import Path

from torch import nn

from hpsearch.training.registries import MODELS


class Slow(nn.Flatten):
    def forward(self, images):
        if self.training and images.device.type == "cpu" and Path(WAIT).exists():
            time.sleep(0.5)
        return super().forward(images)


@MODELS.register("slow")
def slow(input_shape, classes, /):
    return nn.Sequential(Slow(), nn.Linear(64, classes))
"""

SLOW_STUDY = """\
study: slow
budget: {trials: 2, epochs_per_trial: 60}
plugins: [slow_model.py]
pruner: none
data: {source: digits, limit: 200}
model: slow
optimizer: {sgd: {lr: {min: 0.01, max: 0.1}}}
"""


def test_a_detached_launch_is_stopped_and_goes_on(shell, hpsearch):
    # An epoch takes seconds: the launch is stopped in the middle, however busy the machine is.
    wait = shell.folder / "wait"
    wait.touch()
    (shell.folder / "slow_model.py").write_text(SLOW_MODEL.replace("WAIT", repr(str(wait))))
    (shell.folder / "slow.yaml").write_text(SLOW_STUDY)
    study = ("--study", "slow.yaml", "--workers", "2")
    notify = ("--notify", "cat > told.json")
    started = shell.json("launch", *study, "--detach", *notify)
    try:
        deadline = time.monotonic() + 240
        with closing(Database(f"sqlite:///{shell.folder}/hpsearch.db")) as database:
            stored = studies.find(database, "slow")
            while queries.counts(database, stored.study_id).epochs_run == 0:
                assert time.monotonic() < deadline and _is_alive(started["pid"])
                time.sleep(0.05)
        assert hpsearch("stop", "--study", "slow").code == 0
        while _is_alive(started["pid"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        if _is_alive(started["pid"]):
            os.kill(started["pid"], signal.SIGKILL)
    told = json.loads((shell.folder / "told.json").read_text())
    assert (told["study"], told["ended"], told["exit_code"]) == ("slow", "stopped", 0)
    log = (shell.folder / started["log"]).read_text()
    assert "slow: stopped by `hpsearch stop`; " in log
    stopped = hpsearch("status", "--study", "slow", "--json").json
    assert stopped["trials"]["running"] == 0
    assert stopped["trials"]["complete"] < 2

    wait.unlink()
    with _without_main_module():
        ended = hpsearch("launch", *study, *notify, "--json").json
    told = json.loads((shell.folder / "told.json").read_text())
    assert (told["ended"], told["trials"]) == ("finished", ended["trials"])
    assert ended["trials"]["complete"] == 2
    assert ended["epochs_run"] == 120


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_stored_study_is_launched_by_its_name(hpsearch, here):
    """Its file may be gone; --study isn't needed."""
    (here / "mine.yaml").write_text(
        "study: emo\n"
        "budget: {trials: 2, epochs_per_trial: 1}\n"
        "data: {source: digits}\n"
        "model: {mlp: {hidden: {values: [[8], [16]]}}}\n"
        "optimizer: {sgd: {lr: 0.1}}\n"
    )
    with _without_main_module():
        assert hpsearch("launch", "mine.yaml", "--workers", "0").code == 0
        (here / "mine.yaml").unlink()
        told = hpsearch("launch", "emo", "--trials", "3", "--json").json
    assert told["ended"] == "finished"
    assert told["trials"]["total"] == told["budget"]["trials"] == 3
