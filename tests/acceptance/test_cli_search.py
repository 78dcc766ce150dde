"""From a study file to a winner that trains again to the same figures, by commands alone."""

from __future__ import annotations

import json
import os
import re
import signal
import time

from ruamel.yaml import YAML


def test_every_trial_of_the_budget_ends_and_a_relaunch_adds_none(searched_shell):
    before = searched_shell.json("status", "--study", "small")
    trials = before["trials"]
    assert trials["total"] == 6
    assert trials["complete"] + trials["pruned"] == 6
    assert trials["pruned"] >= 1
    assert before["budget"] == {"trials": 6, "epochs_per_trial": 3}

    again = searched_shell.json("launch", "--study", "small.yaml", "--workers", "2")
    assert again.pop("ended") == "finished"
    assert {**before, **again} == before  # `status` tells more: what pruning saved


def test_the_winner_trains_again_to_the_same_figures(searched_shell):
    best = searched_shell.json("status", "--study", "small")["best"]
    lines = searched_shell.done("train", "winner.yaml").splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert lines[-2].startswith(f"validation accuracy {best['value']:.6f}  loss ")
    assert lines[-1] == (
        f"reproduced exactly: every figure is that of trial {best['number']} at epoch 3"
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


def test_a_changed_config_is_trained_and_not_compared(searched_shell):
    trained = searched_shell.json("train", "winner.yaml", "--set", "budget.epochs_per_trial=1")
    assert (trained["reproduced"], len(trained["epochs"])) == (None, 1)


def test_show_has_the_curve_and_the_files(searched_shell):
    number = searched_shell.json("status", "--study", "small")["best"]["number"]
    page = searched_shell.json("show", "--study", "small", str(number))
    assert [point["epoch"] for point in page["curve"]] == [1, 2, 3]
    (file,) = page["files"]
    assert file["path"].endswith("best.pt")
    assert page["noted"]["device"] == "cpu"


def test_the_winner_is_evaluated_on_test_images_and_the_looks_are_counted(searched_shell):
    first = searched_shell.run("evaluate", "--study", "small")
    assert (first.returncode, first.stderr) == (0, "")
    assert re.search(r"test accuracy \d+\.\d\d % on 355 images \(95 % interval over", first.stdout)
    again = searched_shell.run("evaluate", "--study", "small", "--json")
    assert "were opened before (1 time): report the first figure" in again.stderr
    told = json.loads(again.stdout)
    assert f"test accuracy {100 * told['accuracy']:.2f} % on" in first.stdout
    assert (told["opened"], told["images"]) == (2, 355)


def test_a_worker_attached_to_a_finished_study_leaves(searched_shell):
    told = searched_shell.done("worker", "--study", "small", "--device", "cpu")
    assert told.endswith("left study small: finished\n")


def test_another_space_is_refused_with_the_difference(searched_shell):
    ran = searched_shell.run("launch", "--study", "small.yaml", "--set", "batch_size=8")
    assert ran.returncode == 2
    assert "study 'small' already exists" in ran.stderr
    assert "batch_size: {values: [16, 32]} -> 8" in ran.stderr
    assert "--name small_2" in ran.stderr


def test_a_detached_launch_is_stopped_and_goes_on(searched_shell, shell):
    (shell.folder / "small.yaml").write_text((searched_shell.folder / "small.yaml").read_text())
    # Slow enough to be stopped in the middle.
    study = ("--study", "small.yaml", "--name", "slow", "--set", "data.input_size=24")
    longer = ("--set", "budget.epochs_per_trial=200", "--set", "pruner=none", "--trials", "2")
    notify = ("--notify", "cat > told.json")
    started = shell.json("launch", *study, *longer, "--detach", *notify)
    try:
        deadline = time.monotonic() + 240
        while True:
            ran = shell.run("status", "--study", "slow", "--json")
            if ran.returncode == 0 and re.search(r'"epochs_run": [1-9]', ran.stdout):
                break
            assert time.monotonic() < deadline, ran.stdout + ran.stderr
            time.sleep(0.3)
        shell.done("stop", "--study", "slow")
        while _is_alive(started["pid"]):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        if _is_alive(started["pid"]):
            os.kill(started["pid"], signal.SIGKILL)
    told = json.loads((shell.folder / "told.json").read_text())
    assert (told["study"], told["ended"], told["exit_code"]) == ("slow", "stopped", 0)
    log = (shell.folder / started["log"]).read_text()
    assert "slow: stopped by `hpsearch stop`; " in log
    stopped = shell.json("status", "--study", "slow")
    assert stopped["trials"]["running"] == 0
    assert stopped["trials"]["complete"] < 2

    ended = shell.json("launch", *study, *longer, "--workers", "2", *notify)
    told = json.loads((shell.folder / "told.json").read_text())
    assert (told["ended"], told["trials"]) == ("finished", ended["trials"])
    assert ended["trials"]["complete"] == 2
    assert ended["epochs_run"] == 400


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_stored_study_is_launched_by_its_name(shell):
    """Its file may be gone; --study isn't needed."""
    (shell.folder / "mine.yaml").write_text(
        "study: emo\n"
        "budget: {trials: 2, epochs_per_trial: 1}\n"
        "data: {source: digits}\n"
        "model: {mlp: {hidden: {values: [[8], [16]]}}}\n"
        "optimizer: {sgd: {lr: 0.1}}\n"
    )
    shell.done("launch", "mine.yaml", "--workers", "0")
    (shell.folder / "mine.yaml").unlink()
    told = json.loads(shell.done("launch", "emo", "--trials", "3", "--json"))
    assert told["ended"] == "finished"
    assert told["trials"]["total"] == told["budget"]["trials"] == 3
